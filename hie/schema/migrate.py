"""Brings a hub database to the newest schema; several processes may ask at once, one does the work."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, text

from hie.errors import Rejected
from hie.schema.base import Base

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = 0x48494501  # any constant will do; it names the migration lock
MOST_NAMED = 3
HELD = text(
    "SELECT c.relname || '.' || a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
    " WHERE c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid) AND a.attnum > 0 AND NOT a.attisdropped"
    " UNION ALL SELECT relname FROM pg_class WHERE relkind = 'i' AND pg_table_is_visible(oid)"
)


class MadeBefore(Rejected):
    """The database was made by an earlier hub; create an empty one and run `hie migrate` there."""


def alembic_config() -> Config:
    """Return Alembic's configuration; there is no alembic.ini."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    return config


def upgrade(database_url: str) -> None:
    """Apply all migrations that a database lacks. Raises: OperationalError if it cannot be reached."""
    engine = create_engine(database_url, hide_parameters=True)
    try:
        with engine.connect() as connection:
            upgrade_on(connection)
    finally:
        engine.dispose()


def upgrade_on(connection: Connection) -> None:
    """Apply all migrations over an open connection and commit.

    Raises: MadeBefore if the migrations that made the database were written anew since.
    """
    connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK})
    connection.commit()
    try:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
        _check_whole(connection)
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": LOCK})
        connection.commit()


def _check_whole(connection: Connection) -> None:
    """Check that every column and index of the models is there. Raises: MadeBefore."""
    held = set(connection.scalars(HELD))
    tables = Base.metadata.sorted_tables
    wanted = [f"{table.name}.{column.name}" for table in tables for column in table.columns]
    wanted += sorted(str(index.name) for table in tables for index in table.indexes)
    lacking = [name for name in wanted if name not in held]
    if lacking:
        shown = ", ".join(lacking[:MOST_NAMED]) + (" and others" if len(lacking) > MOST_NAMED else "")
        raise MadeBefore(
            f"The database was made by an earlier hub and lacks {shown}: until the first release there is no"
            " way from one to the next; create an empty database and run `hie migrate` there."
        )
