"""Stored transaction ids: whether this cluster gave them, and how they are brought over to it if not.

What was settled when, and how far it was read, is stored as PostgreSQL's transaction ids. A dump carries them
into a cluster that counts from the beginning: there they lie in the future, and nothing seems settled.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import OperationalError

from hie.errors import Rejected
from hie.schema.absence import is_away

LOCK_TIMEOUT = "10s"
KEPT = timedelta(days=1)  # a job that failed can be asked about for so long
FIRST = 3  # PostgreSQL's first ordinary transaction: settled everywhere
# What was written, and the marks of those who read it.
WRITTEN = ("resource", "resource_history")
MARKS = {"subscription": "matched", "export_mark": "xid", "terminology_mark": "xid"}
GREATEST = """
SELECT greatest(
    (SELECT xid::text::bigint FROM resource ORDER BY xid DESC LIMIT 1),
    (SELECT max(matched::text::bigint) FROM subscription),
    (SELECT max(xid::text::bigint) FROM export_mark),
    (SELECT max(xid::text::bigint) FROM terminology_mark),
    (SELECT max(snapshot::text::bigint) FROM job)
) > pg_snapshot_xmax(pg_current_snapshot())::text::bigint
"""
EVERY_MARK = text(
    "SELECT matched::text::bigint FROM subscription UNION SELECT xid::text::bigint FROM export_mark"
    " UNION SELECT xid::text::bigint FROM terminology_mark"
)
FAILED = "The database was restored meanwhile; ask again."


class Restored(Rejected):
    """The database came from another PostgreSQL server: stop the hub's processes and run `hie rebase`."""


def check_own(database_url: str) -> None:
    """Check that the stored transaction ids are this cluster's; a database that is away is not asked.

    Raises: Restored.
    """
    engine = create_engine(database_url, hide_parameters=True, connect_args={"connect_timeout": 5})
    try:
        with engine.connect() as connection:
            if _is_foreign(connection):
                raise Restored
    except OperationalError as error:
        if not is_away(error):
            raise
    finally:
        engine.dispose()


def _is_foreign(connection: Connection) -> bool:
    tables = (*WRITTEN, *MARKS, "job")
    known = connection.scalar(
        text("SELECT bool_and(to_regclass(name) IS NOT NULL) FROM unnest(CAST(:names AS text[])) AS name"),
        {"names": list(tables)},
    )
    return bool(known and connection.scalar(text(GREATEST)))


def rebase(connection: Connection, now: datetime) -> int | None:
    """Give what came from another cluster transaction ids that lie in this one's past; commit it yourself.

    What each reader had seen and had not stays so: an id becomes the number of the marks at or below it. Jobs
    under way fail, for their files are not the database's.

    Returns: how many marks of readers there are; None if there is nothing to do.
    """
    connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
    connection.execute(text(f"LOCK TABLE {', '.join((*WRITTEN, *MARKS, 'job'))} IN ACCESS EXCLUSIVE MODE"))
    if not _is_foreign(connection):
        return None
    marks = _marks(connection)
    places = ",".join(map(str, marks))
    for table, column in [(name, "xid") for name in WRITTEN] + list(MARKS.items()):
        # Made anew as a whole, with its indexes: an UPDATE would leave each row behind once more.
        place = f"({FIRST} + width_bucket({column}, '{{{places}}}'::xid8[]))::text::xid8"
        connection.execute(text(f"ALTER TABLE {table} ALTER COLUMN {column} TYPE xid8 USING {place}"))
    connection.execute(
        text(
            "UPDATE job SET state = 'failed', progress = 'failed', failure = :why, finished_at = :now,"
            " expires_at = :over WHERE state IN ('waiting', 'running')"
        ),
        {"why": FAILED, "now": now, "over": now + KEPT},
    )
    connection.execute(text("UPDATE job SET snapshot = NULL"))
    for table in WRITTEN:
        connection.execute(text(f"ANALYZE {table}"))
    return len(marks)


def _marks(connection: Connection) -> list[int]:
    """Return the readers' marks in order; the oldest of exports are forgotten where there are too many."""
    room = text("SELECT pg_current_xact_id()::text::bigint - :first")
    most = int(connection.scalar(room, {"first": FIRST + 1}) or 0)
    found = sorted(connection.scalars(EVERY_MARK))
    if len(found) > most:
        # Who asks since one of those then goes by the clock.
        connection.execute(
            text("DELETE FROM export_mark WHERE xid::text::bigint < :least"), {"least": found[-most]}
        )
        found = sorted(connection.scalars(EVERY_MARK))
    return found
