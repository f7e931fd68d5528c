"""FHIR search over the index: one statement per page, never parsing what it returns (FHIR R4 search.html).

A page begins behind the sort values of the last resource shown, so what is written meanwhile moves nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select, tuple_
from sqlalchemy.orm import Session

from esb.fhir.search_parameters import Parameter
from hie.errors import Issue, NotSupported, NotValid
from hie.repository import definitions
from hie.repository.conditions import Condition
from hie.repository.paging import make_cursor, query_digest, read_cursor
from hie.repository.query import Query, Reading, parse
from hie.schema.repository import Resource, SearchDate

MOST_CHAINED = 1000
Match = tuple[str, str, bytes]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a search.

    matches: (type, id, stored bytes). cursor: opaque beginning of the next page, None on the last.
    total: number of all matches, where asked for. remarks: what was left aside.
    used: the parameters that were understood.
    """

    matches: list[Match]
    cursor: str | None
    total: int | None
    remarks: list[Issue]
    used: list[tuple[str, str]]
    query: Query


@dataclass(frozen=True, slots=True)
class Search:
    """What every search needs.

    where: the policy's condition. secret: signs the page links. zone: what a day means.
    """

    session: Session
    where: ColumnElement[bool]
    zone: tzinfo
    secret: bytes
    now: datetime


def search(how: Search, type_: str, params: Sequence[tuple[str, str]], *, strict: bool = False) -> Page:
    """Return one page of the resources of a type that match.

    Args:
        params: (name, value) in the order given; `_cursor` continues an earlier page.

    Raises: NotValid, NotSupported, Expired.
    """
    query = parse(
        type_,
        params,
        Reading(how.zone, strict, lambda target, inner: find_ids(how.session, how.where, target, inner)),
    )
    conditions = [Resource.type == type_, ~Resource.deleted, how.where, *query.conditions]
    total = _count(how.session, conditions) if query.total or query.only_count else None
    if query.only_count:
        return Page([], None, total, query.remarks, query.used, query)
    digest = query_digest(type_, [(name, value) for name, value in params if name != "_cursor"])
    keys = _sort_keys(type_, query.sort)
    given = [value for name, value in params if name == "_cursor"]
    if given:
        conditions.append(_behind(keys, _values(keys, read_cursor(how.secret, digest, how.now, given[0]))))
    found = how.session.execute(
        select(Resource.type, Resource.id, Resource.content, *(key.column for key in keys))
        .where(*conditions)
        .order_by(*(key.order() for key in keys))
        .limit(query.count + 1)
    ).all()
    cursor = None
    if len(found) > query.count:
        last = [_plain(value) for value in found[query.count - 1][3:]]
        cursor = make_cursor(how.secret, digest, how.now, last)
    matches = [(row[0], row[1], row[2].encode()) for row in found[: query.count]]
    return Page(matches, cursor, total, query.remarks, query.used, query)


def _count(session: Session, conditions: Sequence[Condition]) -> int:
    return session.execute(select(func.count()).select_from(Resource).where(*conditions)).scalar_one()


def find_ids(
    session: Session, where: ColumnElement[bool], type_: str, conditions: Sequence[Condition]
) -> list[str]:
    """Return the ids of what conditions find within a reach; the inner part of a chain.

    Raises: NotSupported if there are more than can be gone through.
    """
    found = session.scalars(
        select(Resource.id)
        .where(Resource.type == type_, ~Resource.deleted, where, *conditions)
        .limit(MOST_CHAINED + 1)
    ).all()
    if len(found) > MOST_CHAINED:
        raise NotSupported(f"The chained part matches more than {MOST_CHAINED} resources; narrow it.")
    return list(found)


@dataclass(frozen=True, slots=True)
class SortKey:
    """A column of the order; missing values come last."""

    column: Any
    descending: bool
    is_instant: bool
    may_miss: bool = False

    def order(self) -> Any:
        """Return the ORDER BY term."""
        term = self.column.desc() if self.descending else self.column.asc()
        return term.nulls_last() if self.may_miss else term


def _sort_keys(type_: str, sort: Sequence[tuple[Parameter, bool]]) -> list[SortKey]:
    """Return the columns to sort by, the id last: newest first if nothing was asked for."""
    keys = [
        SortKey(_sort_column(type_, p), down, True, p.code != "_lastUpdated")
        for p, down in sort
        if p.code != "_id"
    ]
    if not sort:
        keys = [SortKey(Resource.updated_at, True, True)]
    down = sort[-1][1] if sort else True
    return [*keys, SortKey(Resource.id, down, False)]


def _sort_column(type_: str, parameter: Parameter) -> Any:
    if parameter.code == "_lastUpdated":
        return Resource.updated_at
    if parameter.code == definitions.primary_date(type_):
        return Resource.date_low
    return (
        select(func.min(SearchDate.low))
        .where(
            SearchDate.compartment == Resource.compartment,
            SearchDate.type == type_,
            SearchDate.id == Resource.id,
            SearchDate.param == parameter.code,
        )
        .scalar_subquery()
    )


def _behind(keys: Sequence[SortKey], values: Sequence[Any]) -> Condition:
    """Return the condition of coming after the resource with these sort values."""
    if len(keys) == 2 and keys[0].column is Resource.updated_at and keys[0].descending == keys[1].descending:
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


def _values(keys: Sequence[SortKey], given: Sequence[Any]) -> list[Any]:
    if len(given) != len(keys):
        raise NotValid("The page link belongs to another search; search again.")
    return [
        datetime.fromisoformat(value) if key.is_instant and value is not None else value
        for key, value in zip(keys, given, strict=True)
    ]


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
