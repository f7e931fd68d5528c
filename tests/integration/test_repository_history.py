"""What a page of a history costs: it reads about as many versions as it shows, however many there are."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from hie.repository.history import Wanted, history_page

MANY = 20_000
FILL = (
    """
    INSERT INTO resource_key (type, id, compartment)
    SELECT (ARRAY['Basic', 'Flag', 'Task'])[1 + n % 3], 'r' || n, '' FROM generate_series(1, :many) n
    """,
    """
    INSERT INTO resource
        (compartment, type, id, version, updated_at, source_at, epoch, seq, deleted, tokens, content)
    SELECT '', type, id, 2, now() - interval '1 minute' * substr(id, 2)::int, now(), 1, 1,
        substr(id, 2)::int % 7 = 0, '{}', ''
    FROM resource_key
    """,
    """
    INSERT INTO resource_history
        (compartment, type, id, version, updated_at, source_at, epoch, seq, deleted, content)
    SELECT '', type, id, 1, updated_at - interval '1 hour', now(), 1, 1, false, '' FROM resource
    """,
    "ANALYZE resource, resource_key, resource_history",
)
READ = (
    "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables"
    " WHERE relname = ANY(:of)"
)


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted("Basic"),
        Wanted(),
        Wanted("Basic", after=["2020-01-01T00:00:00+00:00", "Basic", "r1", 1]),
    ],
    ids=["of a type", "of the system", "behind the last page"],
)
def test_a_page_of_a_history_reads_little_more_than_it_shows(session: Session, wanted: Wanted) -> None:
    for statement in FILL:
        session.execute(sa.text(statement), {"many": MANY} if ":many" in statement else {})
    tables = {"of": ["resource", "resource_history"]}
    before = session.execute(sa.text(READ), tables).scalar_one()
    page = history_page(session, wanted, sa.true())
    read = session.execute(sa.text(READ), tables).scalar_one() - before
    assert len(page.versions) == (0 if wanted.after else wanted.count)
    assert read < MANY / 20


def test_what_was_stored_since_an_instant_is_all_that_is_read(session: Session) -> None:
    for statement in FILL:
        session.execute(sa.text(statement), {"many": MANY} if ":many" in statement else {})
    now = session.execute(sa.select(sa.func.now())).scalar_one()
    tables = {"of": ["resource_history"]}
    before = session.execute(sa.text(READ), tables).scalar_one()
    # Of one hospital: a condition, not everything.
    everything_but = sa.literal(1) == sa.literal(1)
    page = history_page(session, Wanted("Basic", since=now - timedelta(minutes=100)), everything_but)
    assert {version.deleted for version in page.versions} == {True, False}
    assert session.execute(sa.text(READ), tables).scalar_one() - before < MANY / 20
