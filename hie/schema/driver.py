"""Statements of the hot paths, handed to psycopg itself inside a session's transaction.

SQLAlchemy renders each once; to build, look up, run and wrap a statement costs it several times what
PostgreSQL needs for one row by its key.
"""

from __future__ import annotations

from typing import Any

import psycopg
from sqlalchemy.orm import Session

from esb.prepared import Prepared


def driver(session: Session) -> psycopg.Connection[Any]:
    """Return psycopg's connection behind a session, which has written what it held."""
    session.flush()
    connection = session.connection().connection.driver_connection
    assert isinstance(connection, psycopg.Connection)
    return connection


def run(session: Session, statement: Prepared, values: dict[str, Any]) -> psycopg.Cursor[Any]:
    """Run a statement and return psycopg's cursor over what it gave.

    Raises: psycopg.Error, not SQLAlchemy's.
    """
    session.flush()
    connection = session.connection()
    known = connection.connection.driver_connection
    assert isinstance(known, psycopg.Connection)
    return known.execute(*statement.spoken(connection.dialect, values))
