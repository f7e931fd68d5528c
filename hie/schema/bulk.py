"""Puts many rows into a table by COPY, inside the session's transaction (PostgreSQL COPY FROM STDIN)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from psycopg import sql
from sqlalchemy.orm import Session

from hie.schema.driver import driver


def copy_in(session: Session, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Insert rows; a dict meant for jsonb must be wrapped in `psycopg.types.json.Jsonb`.

    Raises: psycopg.Error, e.g. UniqueViolation; the transaction or savepoint must then be rolled back.
    """
    connection = driver(session)
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)
