"""The order of a search and where its next page begins (FHIR R4 search.html#sort)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Interval, and_, literal_column, or_, tuple_

from hie.errors import NotValid
from hie.repository.conditions import Condition
from hie.repository.wanted import Sorting
from hie.schema.repository import Resource

NO_TIME = literal_column("interval '0'", Interval())


@dataclass(frozen=True, slots=True)
class SortKey:
    """A column of the order; missing values come last.

    is_backwards: ascending as an index of descending values is read; nothing may be missing then.
    """

    column: Any
    descending: bool
    is_instant: bool = False
    may_miss: bool = False
    is_backwards: bool = False

    def order(self, *, is_apart: bool = False) -> Any:
        """Return the ORDER BY term; apart, it is one that no index is read in the order of."""
        column = self.column + NO_TIME if is_apart and self.is_instant else self.column
        term = column.desc() if self.descending else column.asc()
        if self.is_backwards:
            return term.nulls_first()
        return term.nulls_last() if self.may_miss else term


@lru_cache(maxsize=1000)
def sort_keys(types: tuple[str, ...], sort: tuple[Sorting, ...]) -> tuple[SortKey, ...]:
    """Return the columns to sort by, ending with what tells two apart; newest first if nothing was asked."""
    keys = []
    down = sort[-1].descending if sort else True
    for each in sort:
        if each.code == "_id":
            # Nothing that was asked for behind it can change the order.
            down = each.descending
            break
        keys.append(
            SortKey(each.column.column, each.descending, each.column.is_instant, each.column.may_miss)
        )
    if not sort:
        keys = [SortKey(Resource.updated_at, True, True)]
    keys.append(SortKey(Resource.id, down))
    return tuple(keys) if len(types) == 1 else (*keys, SortKey(Resource.type, down))


def behind(keys: Sequence[SortKey], values: Sequence[Any]) -> Condition:
    """Return the condition of coming after the resource with these sort values."""
    if keys[0].column is Resource.updated_at and len({key.descending for key in keys}) == 1:
        row, last = tuple_(*(key.column for key in keys)), tuple_(*values)
        return row < last if keys[0].descending else row > last
    alternatives = []
    equal: list[Condition] = []
    for key, value in zip(keys, values, strict=True):
        if value is not None:
            further = key.column < value if key.descending else key.column > value
            alternatives.append(and_(*equal, or_(further, key.column.is_(None)) if key.may_miss else further))
        equal.append(key.column == value if value is not None else key.column.is_(None))
    return or_(*alternatives)


def values_of(keys: Sequence[SortKey], given: Sequence[Any]) -> list[Any]:
    """Return the sort values of a page link. Raises: NotValid if they are not those of these keys."""
    if len(given) != len(keys):
        raise NotValid("The page link belongs to another search; search again.")
    return [
        datetime.fromisoformat(value) if key.is_instant and value is not None else value
        for key, value in zip(keys, given, strict=True)
    ]


def plain(value: Any) -> Any:
    """Return a sort value as a page link carries it."""
    return value.isoformat() if isinstance(value, datetime) else value
