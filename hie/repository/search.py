"""FHIR search over the index: one statement per page, never parsing what it returns (FHIR R4 search.html).

A page begins behind the sort values of the last resource shown and sees nothing that was written after page
one, so what is written meanwhile moves nothing and shows nothing twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any

from psycopg.errors import QueryCanceled
from sqlalchemy import ColumnElement, Integer, Select, Text, bindparam, cast, func, literal, or_, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.types import UserDefinedType

from esb.prepared import Prepared
from hie.errors import Issue, NotSupported
from hie.repository import ordering
from hie.repository.chains import Reach
from hie.repository.conditions import Condition
from hie.repository.ordering import SortKey
from hie.repository.paging import began_at, make_cursor, query_digest, read_cursor
from hie.repository.query import Query, Reading, Target, parse
from hie.repository.shaped import Shape, Shaped, places, values
from hie.repository.sizes import Room, light
from hie.repository.wanted import Sorting
from hie.schema.driver import driver, run
from hie.schema.repository import Resource, Xid8

Match = tuple[str, str, bytes]
MOST_READ = 200_000  # matches that are sorted by what stands in their content
MOST_KEPT = 16  # values of a statement that is kept: alternatives of dates make shapes without end
MOST_SECONDS = 10  # that one statement of a search may take
# Controls that cost little; a search with others, with chains or modifiers is watched for its time.
QUICK = frozenset(
    {"_count", "_id", "_format", "_pretty", "_cursor", "_lastUpdated", "_elements", "_include", "_revinclude"}
)
QUICKLY_SORTED = frozenset({"date", "-date", "_lastUpdated", "-_lastUpdated", "_id", "-_id"})
# Older than this at page one: no transaction that wrote it is still open.
SETTLED = timedelta(hours=1)


class TooCostly(NotSupported):
    """This takes too long; narrow it, e.g. by a patient, a code or a date."""

    code = "too-costly"


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a search.

    matches: (type, id, stored bytes). cursor: opaque beginning of the next page, None on the last.
    total: number of all matches, where asked for. remarks: what was left aside.
    used: the parameters that were understood. compartments: whose records the matches are.
    """

    matches: list[Match]
    cursor: str | None
    total: int | None
    remarks: list[Issue]
    used: list[tuple[str, str]]
    query: Query
    compartments: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Search:
    """What every search needs.

    where: the policy's condition. secret: seals the page links. zone: what a day means.
    reach: the policy's condition for the types that chains and includes go through; `where` if not given.
    is_kept: `where` is the same object in every search with this reach, so that statements are kept.
    """

    session: Session
    where: ColumnElement[bool]
    zone: tzinfo
    secret: bytes
    now: datetime
    reach: Reach | None = None
    is_kept: bool = False

    def reading(self, *, strict: bool, began: datetime | None = None) -> Reading:
        """Return how the parameters are read, on later pages at the instant of page one."""
        reach = self.reach or (lambda _: self.where)
        return Reading(self.zone, strict, reach, self.session, began or self.now)


class Snapshot(UserDefinedType[str]):
    """PostgreSQL's pg_snapshot: which transactions a statement sees."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """Return the type's name in SQL."""
        return "pg_snapshot"


# What a statement sees: its snapshot and, if it has written itself, its own transaction.
SEEN_NOW = select(
    cast(func.pg_current_snapshot(), Text)
    .concat(" ")
    .concat(func.coalesce(cast(func.pg_current_xact_id_if_assigned(), Text), ""))
).scalar_subquery()


def search(
    how: Search, target: Target | str, params: Sequence[tuple[str, str]], *, strict: bool = False
) -> Page:
    """Return one page of the resources that match.

    Args:
        target: a resource type, or what else is searched.
        params: (name, value) in the order given; `_cursor` continues an earlier page.

    Raises: NotValid, NotSupported, TooCostly, Expired.
    """
    with bounded(how.session, params):
        given = [value for name, value in params if name == "_cursor"]
        began_first = began_at(how.secret, given[0]) if given else None
        query = parse(target, params, how.reading(strict=strict, began=began_first))
        total = _count(how, query) if query.total or query.only_count else None
        if query.only_count:
            return Page([], None, total, query.remarks, query.used, query)
        digest = query_digest(query.target.path, query.used)
        keys = ordering.sort_keys(query.target.types, tuple(query.sort))
        last = read_cursor(how.secret, digest, how.now, given[0]) if given else None
        found = _found(how, query, keys, last)
    room = Room()
    shown = [row for row in found[: query.count] if room.takes(*row[:3])]
    contents = room.drained(how.session)
    cursor = None
    if len(found) > len(shown):
        values = [ordering.plain(value) for value in shown[-1][5:]]
        began = last[:2] if last else [how.now.isoformat(), found[0][4]]
        cursor = make_cursor(how.secret, digest, how.now, [*began, *values])
    matches = [(row[0], row[1], content) for row, content in zip(shown, contents, strict=True)]
    compartments = frozenset(row[3] for row in shown)
    return Page(matches, cursor, total, query.remarks, query.used, query, compartments)


def conditions_of(query: Query, where: ColumnElement[bool]) -> list[Condition]:
    """Return all conditions of a search: types, policy, compartment, parameters."""
    types = query.target.types
    of_types = Resource.type == types[0] if len(types) == 1 else Resource.type.in_(types)
    within = [] if query.target.within is None else [query.target.within]
    return [of_types, ~Resource.deleted, where, *within, *query.conditions]


def statement(
    conditions: Sequence[Condition],
    keys: Sequence[SortKey],
    most: int | ColumnElement[int],
    last: Sequence[Any] | None = None,
    *,
    is_apart: bool = False,
) -> Select[Any]:
    """Return the one statement of a page.

    Args:
        most: rows that it gives. last: of a later page, the instant and snapshot of page one and the sort
            values of the last shown. is_apart: all that matches is read and then sorted.
    """
    seen: list[Condition] = []
    if last is not None:
        seen = [ordering.behind(keys, ordering.values_of(keys, last[2:]))]
        seen.append(_was_there(datetime.fromisoformat(last[0]), last[1]))
    stored = (Resource.type, Resource.id, light(Resource), Resource.compartment)
    columns = (*stored, SEEN_NOW, *(key.column for key in keys))
    order = [key.order(is_apart=is_apart) for key in keys]
    return select(*columns).where(*conditions, *seen).order_by(*order).limit(most)


def _found(
    how: Search, query: Query, keys: Sequence[SortKey], last: Sequence[Any] | None
) -> Sequence[Sequence[Any]]:
    """Return the rows of a page and, where there are more, one of the next."""
    if any(key.is_read for key in query.sort):
        _check_few(how, query)
    if keys[0].column is Resource.date_low and not keys[0].descending and not query.is_of_few:
        return _oldest_first(how, query, keys, last)
    shaped = [each for each in query.conditions if isinstance(each, Shaped)]
    is_kept = how.is_kept and last is None and query.target.within is None
    is_small = sum(len(each.values) for each in shaped) <= MOST_KEPT
    if not (is_kept and is_small) or len(shaped) < len(query.conditions):
        conditions = conditions_of(query, how.where)
        page = statement(conditions, keys, query.count + 1, last, is_apart=query.is_of_few)
        return how.session.execute(page).all()
    shapes = tuple(each.shape for each in shaped)
    prepared = _first_page(query.target.types, how.where, shapes, tuple(query.sort))
    return run(how.session, prepared, values(shaped) | {"most": query.count + 1}).fetchall()


def _oldest_first(
    how: Search, query: Query, keys: Sequence[SortKey], last: Sequence[Any] | None
) -> list[Sequence[Any]]:
    """Return the rows of a page in the order of the main date, what has none apart.

    The index holds the newest first and what has no date last: read backwards it begins with the latter.
    """
    conditions = conditions_of(query, how.where)
    most = query.count + 1
    found: list[Sequence[Any]] = []
    if last is None or last[2] is not None:
        dated = [*conditions, Resource.date_low.isnot(None)]
        if last is not None:
            dated.append(Resource.date_low >= datetime.fromisoformat(last[2]))
        backwards = [replace(keys[0], is_backwards=True), *keys[1:]]
        found += how.session.execute(statement(dated, backwards, most, last)).all()
    if len(found) < most:
        others = [*conditions, Resource.date_low.is_(None)]
        found += how.session.execute(statement(others, keys, most - len(found), last)).all()
    return found


def _check_few(how: Search, query: Query) -> None:
    """Check that not too much is sorted by what must be read from each match. Raises: TooCostly."""
    some = select(Resource.id).where(*conditions_of(query, how.where)).limit(MOST_READ + 1).subquery()
    if how.session.execute(select(func.count()).select_from(some)).scalar_one() > MOST_READ:
        raise TooCostly(
            f"More than {MOST_READ} resources match: that many are sorted only by _lastUpdated, _id or the "
            "date of their type. Narrow the search, e.g. by a patient, a code or a date."
        )


@lru_cache(maxsize=500)
def _first_page(
    types: tuple[str, ...], where: ColumnElement[bool], shapes: tuple[Shape, ...], sort: tuple[Sorting, ...]
) -> Prepared:
    """Return the statement of first pages that differ in the values asked for alone.

    Args:
        where: the policy's condition, which is the same object for the same reach.
    """
    conditions = conditions_of(Query(Target("", types), [*places(shapes)]), where)
    keys = ordering.sort_keys(types, sort)
    is_apart = any(shape.is_few for shape in shapes)
    return Prepared(statement(conditions, keys, bindparam("most", type_=Integer), is_apart=is_apart))


def _was_there(began: datetime, seen: str) -> Condition:
    """Return the condition of being as page one could see it."""
    snapshot, _, own = seen.partition(" ")
    visible = func.pg_visible_in_snapshot(Resource.xid, cast(literal(snapshot, Text), Snapshot))
    # Rows that came with a restored database have numbers of another one: their age tells.
    there = or_(Resource.updated_at < began - SETTLED, visible)
    return or_(there, Resource.xid == cast(literal(own, Text), Xid8)) if own else there


def _count(how: Search, query: Query) -> int:
    counted = select(func.count()).select_from(Resource).where(*conditions_of(query, how.where))
    return how.session.execute(counted).scalar_one()


def is_quick(params: Sequence[tuple[str, str]]) -> bool:
    """Say whether all conditions of a search are read from an index, so that its time needs no watch."""
    return all(
        (name in QUICK and not value.startswith("*"))
        or (name == "_sort" and value in QUICKLY_SORTED)
        or not (name[:1] == "_" or "." in name or ":" in name)
        for name, value in params
    )


@contextmanager
def bounded(session: Session, params: Sequence[tuple[str, str]]) -> Iterator[None]:
    """Let no statement of a search take longer than may be waited for.

    Outside of a transaction each statement has the limit of its connection.

    Raises: TooCostly; RuntimeError for unusual parameters outside of a transaction: they need several
        statements that see the same.
    """
    if driver(session).autocommit and is_quick(params):
        yield
        return
    with limited(session):
        yield


@contextmanager
def limited(session: Session) -> Iterator[None]:
    """Let no statement of a transaction take longer than may be waited for; as `bounded`."""
    if driver(session).autocommit:
        raise RuntimeError("a search with unusual parameters needs a transaction")
    session.execute(text(f"SET LOCAL statement_timeout = '{MOST_SECONDS}s'"))
    try:
        yield
    except QueryCanceled:
        raise TooCostly from None
    except OperationalError as error:
        if isinstance(error.orig, QueryCanceled):
            raise TooCostly from None
        raise
    session.execute(text("SET LOCAL statement_timeout = DEFAULT"))


__all__ = ["Match", "Page", "Search", "Target", "TooCostly", "bounded", "is_quick", "limited", "search"]
