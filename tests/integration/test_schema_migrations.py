"""The hub's migrations make exactly the tables that the models describe."""

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.dialects.postgresql.base import ischema_names

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
