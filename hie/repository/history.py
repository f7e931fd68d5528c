"""Histories a page at a time: of a resource, of a type, of everything (FHIR R4 http.html#history).

A page begins behind the last version shown. A version keeps its place whether it is the present one or has
been replaced meanwhile, so each appears once, whatever is written while a reader goes through the pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Select,
    Text,
    and_,
    cast,
    column,
    exists,
    func,
    literal,
    or_,
    select,
    text,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.orm import Session, aliased

from esb.fhir.types import RESOURCE_TYPES
from hie.errors import NotFound, NotValid
from hie.repository.dates import Range
from hie.repository.read import OWNER, Stored
from hie.repository.sizes import Room, light
from hie.schema.repository import NO_COMPARTMENT, Resource, ResourceHistory, ResourceKey

COLUMNS = (
    "type", "id", "version", "updated_at", "deleted", "superseded", "content", "compartment", "facility",
    "source_at", "epoch", "seq",
)  # fmt: skip
# One resource: late arrivals stand where their source time puts them. Several: by the time of storing.
OF_ONE = ("source_at", "epoch", "seq", "version")
OF_MANY = ("updated_at", "type", "id", "version")
INSTANTS = frozenset({"source_at", "updated_at"})
# A write takes its instant shortly before its transaction begins.
BEFORE_BEGIN = timedelta(seconds=15)
OLDEST_WRITER = text(
    "SELECT coalesce(min(xact_start), now()) FROM pg_stat_activity"
    " WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which versions are asked for.

    type, id: of one resource, of one type, or of all (None).
    since: only what was stored at or after this instant. at: only what was the present version at some time
        within this range. after: the sort values of the last version shown. past: what the policy says of
        each version of the past by itself.
    """

    type: str | None = None
    id: str | None = None
    since: datetime | None = None
    at: Range | None = None
    count: int = 50
    after: Sequence[Any] = ()
    past: ColumnElement[bool] = field(default_factory=true)

    @property
    def order(self) -> tuple[str, ...]:
        """Return the columns it is sorted by, all descending."""
        return OF_MANY if self.id is None else OF_ONE


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Versions, newest first, deletions among them; `last` is where the next page goes on, None on the last.

    Arrivals that were late, and so never the present version, are in the history of their resource alone.
    """

    versions: list[Stored]
    last: list[Any] | None


def safe_instant(session: Session) -> datetime:
    """Return the instant that all which is still being written lies at or after.

    Who asks again `_since` then misses nothing that was committed late, and may see some versions twice.
    """
    oldest: datetime = session.execute(OLDEST_WRITER).scalar_one()
    return oldest - BEFORE_BEGIN


def history_page(session: Session, wanted: Wanted, where: ColumnElement[bool]) -> HistoryPage:
    """Return one page of versions that the policy's condition over `Resource` reaches.

    A resource whose present version is out of reach is not there at all; a version that was filed with
    another patient is there only for who may read that patient too.

    Raises: NotFound if one resource was named that is not there or may not be seen; NotValid for sort values
        of another history.
    """
    if wanted.id is not None and not _is_there(session, wanted, where):
        raise NotFound
    both = union_all(*_halves(wanted, where)).subquery()
    rows = session.execute(
        select(both).order_by(*(both.c[name].desc() for name in wanted.order)).limit(wanted.count + 1)
    ).all()
    room = Room()
    shown = [row for row in rows[: wanted.count] if room.takes(row.type, row.id, row.content)]
    last = None
    if len(rows) > len(shown):
        last = [_plain(getattr(shown[-1], name)) for name in wanted.order]
    return HistoryPage(list(map(_stored, shown, room.drained(session))), last)


def _halves(wanted: Wanted, where: ColumnElement[bool]) -> list[Select[Any]]:
    """Return what a page is made of: the first of the present versions, and the first of the past."""
    present = _present(wanted, where)
    if wanted.id is not None:
        return [_page_of(present, wanted), _page_of(_past(wanted, where), wanted)]
    newest = [_newest(present.where(is_), Resource, wanted) for is_ in (~Resource.deleted, Resource.deleted)]
    if where is true():
        past = _newest(_whole_past(wanted), ResourceHistory, wanted)
    else:
        # To judge a version by its present one costs more by itself than together with all others.
        past = _page_of(_past(wanted, where), wanted)
    return [*newest, past]


def count_versions(session: Session, wanted: Wanted, where: ColumnElement[bool]) -> int:
    """Return how many versions the pages hold together."""
    whole = replace(wanted, after=())
    both = union_all(_present(whole, where), _past(whole, where)).subquery()
    return session.execute(select(func.count()).select_from(both)).scalar_one()


def _is_there(session: Session, wanted: Wanted, where: ColumnElement[bool]) -> bool:
    key = ResourceKey.type == wanted.type, ResourceKey.id == wanted.id
    found = session.execute(
        select(literal(1)).select_from(Resource).join(ResourceKey, OWNER).where(*key, where)
    )
    return found.first() is not None


def _page_of(query: Select[Any], wanted: Wanted) -> Select[Any]:
    """Let each half read no further than a page: a sort over both would read all versions."""
    half = query.subquery()
    chosen = select(half)
    if wanted.after:
        columns = tuple_(*(half.c[name] for name in wanted.order))
        chosen = chosen.where(columns < tuple_(*_values(wanted)))
    return chosen.order_by(*(half.c[name].desc() for name in wanted.order)).limit(wanted.count + 1)


def _newest(versions: Select[Any], table: Any, wanted: Wanted) -> Select[Any]:
    """Return the newest versions of each type, by the indexes of their table: few rows are read."""
    types = [wanted.type] if wanted.type is not None else sorted(RESOURCE_TYPES)
    each = func.unnest(cast(types, ARRAY(Text))).table_valued(column("type", Text)).render_derived("each")
    newest = (
        versions.where(table.type == each.c.type)
        .order_by(table.updated_at.desc(), table.id.desc(), table.version.desc())
        .limit(wanted.count + 1)
        .correlate(each)
    )
    if wanted.after:
        behind = tuple_(*(getattr(table, name) for name in wanted.order))
        newest = newest.where(behind < tuple_(*_values(wanted)))
    found = newest.lateral("newest")
    return select(*(found.c[name] for name in COLUMNS)).select_from(each.join(found, true()))


def _present(wanted: Wanted, where: ColumnElement[bool]) -> Select[Any]:
    columns = [_column(Resource, name) for name in COLUMNS]
    query = select(*columns).where(where, *_limits(Resource, wanted))
    if wanted.id is not None:
        query = query.join(ResourceKey, OWNER).where(
            ResourceKey.type == wanted.type, ResourceKey.id == wanted.id
        )
    elif wanted.type is not None:
        query = query.where(Resource.type == wanted.type)
    return query


def _past(wanted: Wanted, where: ColumnElement[bool]) -> Select[Any]:
    columns = [_column(ResourceHistory, name) for name in COLUMNS]
    query = (
        select(*columns)
        .join(
            ResourceKey, and_(ResourceKey.type == ResourceHistory.type, ResourceKey.id == ResourceHistory.id)
        )
        .join(Resource, OWNER)
        .where(where, wanted.past, *_limits(ResourceHistory, wanted))
        .where(or_(ResourceHistory.compartment == Resource.compartment, _is_reached_elsewhere(where)))
    )
    query = _limited(query, wanted)
    return query.where(Resource.updated_at > wanted.at[0]) if wanted.at else query


def _whole_past(wanted: Wanted) -> Select[Any]:
    """Return the versions of the past of everything, without a look at the present ones."""
    columns = [_column(ResourceHistory, name) for name in COLUMNS]
    query = _limited(select(*columns).where(*_limits(ResourceHistory, wanted)), wanted)
    if wanted.at:
        still = (
            select(Resource.updated_at)
            .join(ResourceKey, OWNER)
            .where(ResourceKey.type == ResourceHistory.type, ResourceKey.id == ResourceHistory.id)
        )
        query = query.where(still.correlate(ResourceHistory).scalar_subquery() > wanted.at[0])
    return query


def _limited(query: Select[Any], wanted: Wanted) -> Select[Any]:
    """Let a query of the past give what is asked for, and what was the present version at the time."""
    if wanted.type is not None:
        query = query.where(ResourceHistory.type == wanted.type)
    if wanted.id is not None:
        query = query.where(ResourceHistory.id == wanted.id)
    if wanted.id is None or wanted.at:
        query = query.where(~ResourceHistory.superseded)
    if wanted.at:
        later = aliased(ResourceHistory)
        replaced = exists().where(
            later.type == ResourceHistory.type,
            later.id == ResourceHistory.id,
            later.version > ResourceHistory.version,
            ~later.superseded,
            later.updated_at <= wanted.at[0],
        )
        query = query.where(~replaced.correlate(ResourceHistory))
    return query


def _is_reached_elsewhere(where: ColumnElement[bool]) -> ColumnElement[bool]:
    """The condition that a version filed in another compartment may be seen: judged by a row there."""
    return (
        exists(select(literal(1)).select_from(Resource))
        .where(
            Resource.compartment == ResourceHistory.compartment,
            or_(
                Resource.type == "Patient",
                Resource.facility.is_not_distinct_from(ResourceHistory.facility),
            ),
            or_(Resource.compartment != NO_COMPARTMENT, Resource.type == ResourceHistory.type),
            where,
        )
        .correlate(ResourceHistory)
    )


def _limits(table: Any, wanted: Wanted) -> list[ColumnElement[bool]]:
    limits = []
    if wanted.since is not None:
        limits.append(table.updated_at >= wanted.since)
    if wanted.at:
        limits.append(table.updated_at < wanted.at[1])
    if wanted.id is None and wanted.after:
        # Said of the table itself too, so that its index can be used.
        limits.append(table.updated_at <= _values(wanted)[0])
    return limits


def _column(table: Any, name: str) -> Any:
    if name == "superseded" and table is Resource:
        return literal(False).label(name)
    if name == "content":
        return light(table).label(name)
    return getattr(table, name)


def _values(wanted: Wanted) -> list[Any]:
    if len(wanted.after) != len(wanted.order):
        raise NotValid("The page link belongs to another history; ask for it again.")
    return [
        datetime.fromisoformat(value) if name in INSTANTS else value
        for name, value in zip(wanted.order, wanted.after, strict=True)
    ]


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _stored(row: Any, content: bytes) -> Stored:
    values = {name: getattr(row, name) for name in COLUMNS[:-2]}
    return Stored(**(values | {"content": content}))
