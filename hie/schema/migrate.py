"""Brings a hub database to the newest schema; several processes may ask at once, one does the work."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, text

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = 0x48494501  # any constant will do; it names the migration lock


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
    """Apply all migrations over an open connection and commit."""
    connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK})
    connection.commit()
    try:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": LOCK})
        connection.commit()
