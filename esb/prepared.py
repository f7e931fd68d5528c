"""Statements of the hot paths: rendered once by SQLAlchemy, then handed to the database's driver as they are.

On SQLite, building, looking up and binding a statement costs several times what the statement itself costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, CursorResult, Dialect
from sqlalchemy.sql.expression import ClauseElement, Select

Convert = Callable[[Any], Any] | None


class Prepared:
    """A statement for values that are given by name, converted as the types of their columns say."""

    def __init__(self, statement: ClauseElement, names: Sequence[str] | None = None) -> None:
        """Prepare a statement. names: the columns that an INSERT is given."""
        self._statement = statement
        self._names = names
        self._rendered: dict[str, _Rendered] = {}

    def run(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> CursorResult[Any]:
        """Run it once for each row of values."""
        rendered = self._for(connection.dialect)
        return connection.exec_driver_sql(rendered.sql, [rendered.bind(row) for row in rows])

    def fetch(self, connection: Connection, **values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        rendered = self._for(connection.dialect)
        found = connection.exec_driver_sql(rendered.sql, rendered.bind(values))
        return [rendered.read(row) for row in found]

    def spoken(self, dialect: Dialect, values: Mapping[str, Any]) -> tuple[str, Any]:
        """Return the statement and its values as the database's driver takes them."""
        rendered = self._for(dialect)
        return rendered.sql, rendered.bind(values)

    def _for(self, dialect: Dialect) -> _Rendered:
        rendered = self._rendered.get(dialect.name)
        if rendered is None:
            rendered = self._rendered[dialect.name] = _Rendered(self._statement, self._names, dialect)
        return rendered


class _Rendered:
    """A statement in the words of one database."""

    def __init__(self, statement: ClauseElement, names: Sequence[str] | None, dialect: Dialect) -> None:
        compiled: Any = statement.compile(dialect=dialect, column_keys=names)
        self._is_positional = bool(compiled.positional)
        # The values of an IN become parameters of their own.
        given_later = {name: None for name, bind in compiled.binds.items() if bind.required}
        spread = compiled.construct_expanded_state(given_later)
        self.sql = spread.statement
        self._constants = {name: value for name, value in spread.parameters.items() if value is not None}
        order = spread.positiontup if compiled.positional else list(spread.parameters)
        self._binds: list[tuple[str, Convert]] = [
            (name, _converter(compiled.binds[name], dialect) if name in compiled.binds else None)
            for name in order
        ]
        columns = statement.selected_columns if isinstance(statement, Select) else ()
        self._reads: list[Convert] = [
            column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns
        ]

    def bind(self, row: Mapping[str, Any]) -> Any:
        """Return a row of values as the driver takes it."""
        given = {**self._constants, **row} if self._constants else row
        values = [given[name] if convert is None else convert(given[name]) for name, convert in self._binds]
        if self._is_positional:
            return tuple(values)
        return {name: value for (name, _), value in zip(self._binds, values, strict=True)}

    def read(self, row: Sequence[Any]) -> tuple[Any, ...]:
        """Return a row that the driver gave, converted."""
        return tuple(
            [
                value if convert is None else convert(value)
                for value, convert in zip(row, self._reads, strict=True)
            ]
        )


def _converter(bind: Any, dialect: Dialect) -> Convert:
    convert: Convert = bind.type.dialect_impl(dialect).bind_processor(dialect)
    return convert
