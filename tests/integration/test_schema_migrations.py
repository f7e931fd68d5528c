"""The hub's migrations make exactly the tables that the models describe."""

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.orm import Session

from hie.__main__ import main
from hie.schema import Base
from hie.schema.migrate import alembic_config
from hie.schema.repository import Xid8


def test_models_and_migrations_agree(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(ischema_names, "xid8", Xid8)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_the_history_of_migrations_has_one_head():
    assert len(ScriptDirectory.from_config(alembic_config()).get_heads()) == 1


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("ALTER TABLE subscription DROP COLUMN costly", "lacks subscription.costly:"),
        ("DROP INDEX ix_resource_type_date", "lacks ix_resource_type_date:"),
    ],
)
def test_a_database_made_by_earlier_migrations_is_refused_in_a_sentence_that_says_what_to_do(
    fresh_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    statement: str,
    named: str,
) -> None:
    monkeypatch.setenv("HIE_DATABASE_URL", fresh_database_url)
    main(["migrate"])
    engine = sa.create_engine(fresh_database_url, hide_parameters=True)
    with engine.begin() as connection:
        connection.execute(sa.text(statement))
    engine.dispose()
    with pytest.raises(SystemExit):
        main(["migrate"])
    told = capsys.readouterr().err
    assert named in told and "create an empty database" in told


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO audit_event (actor_kind, actor, operation, action, outcome)"
        " VALUES ('user', 'x', 'read', 'X', 0)",
        "INSERT INTO audit_event (actor_kind, actor, operation, action, outcome)"
        " VALUES ('user', 'x', 'read', 'R', 1)",
        "INSERT INTO person_link (identity, person_to, reason, actor)"
        " VALUES ('a', gen_random_uuid(), 'why', 'x')",
        "INSERT INTO review_item (kind, identity_a, identity_b, reason) VALUES ('odd', 'a', 'b', '')",
    ],
)
def test_what_is_a_closed_list_in_the_code_is_one_in_the_database(session: Session, statement: str) -> None:
    with pytest.raises(sa.exc.IntegrityError, match="violates check constraint"):
        session.execute(sa.text(statement))
