"""The SQL of an export: a type's resources in order, as they stood below the watermark, stored text only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Text,
    and_,
    cast,
    func,
    literal,
    literal_column,
    or_,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.orm import Session, aliased

from hie.schema.exports import ExportMark
from hie.schema.repository import NO_COMPARTMENT, Resource, ResourceHistory

After = tuple[str, str]
MOST_BYTES = 32 << 20  # of text in a chunk, unless one resource alone has more


@dataclass(frozen=True, slots=True)
class Reach:
    """Which resources of a type an export holds.

    where: the policy's condition, and the filters. past: what holds of each version of the past besides.
    snapshot: the watermark; `at`: its instant.
    since: what was committed since that instant; `mark`: and below no watermark known for it.
    patients: compartments; None for all. has_filters: whether `where` looks at the content.
    """

    where: ColumnElement[bool]
    past: ColumnElement[bool]
    snapshot: int
    at: datetime
    since: datetime | None
    mark: int | None
    until: datetime | None
    patients: list[str] | None
    only_patients: bool
    has_filters: bool


def xid(number: int) -> ColumnElement[Any]:
    """Return a transaction id as SQL."""
    return literal_column(f"'{int(number)}'::xid8")


def watermark(session: Session) -> tuple[int, datetime]:
    """Return a transaction id below which everything is settled, and the instant it was taken.

    The pair is remembered: `_since` that instant begins at that transaction.
    """
    at, lowest = session.execute(
        select(
            func.date_trunc("milliseconds", func.clock_timestamp()),
            cast(func.pg_snapshot_xmin(func.pg_current_snapshot()), Text),
        )
    ).one()
    session.merge(ExportMark(at=at, xid=int(lowest)))
    return int(lowest), at


def mark_at(session: Session, since: datetime) -> int | None:
    """Return the watermark that an earlier export took at exactly this instant."""
    return session.scalar(select(ExportMark.xid).where(ExportMark.at == since))


def chunk(
    session: Session, type_: str, reach: Reach, after: After | None, limit: int
) -> tuple[list[bytes], After | None]:
    """Return up to `limit` stored texts of a type behind a place in its order, and where the next ones begin.

    Few where they are large, so that no chunk takes more room than another; None where nothing follows.

    What was replaced since the watermark is given as it stood there. Both arms are read by one statement:
    a resource that is being replaced is in exactly one of them, under the same key.
    """
    present = _present(type_, reach, after).order_by(Resource.updated_at, Resource.id).limit(limit)
    if reach.has_filters:
        ordered = present
    else:
        # Each arm has its own limit: the present is then read along its index, a chunk at a time.
        past = _replaced(type_, reach, after).order_by(ResourceHistory.updated_at, ResourceHistory.id)
        arms = present.subquery("present"), past.limit(limit).subquery("past")
        both = union_all(*(select(arm) for arm in arms))
        ordered = both.order_by(literal_column("updated_at"), literal_column("id")).limit(limit)
    with session.connection().execute(_up_to_bytes(ordered)) as result:
        sent = result.cursor.pgresult
        value = sent.get_value
        contents = [value(row, 2) for row in range(sent.ntuples)]
        if not contents:
            return [], None
        last = sent.ntuples - 1
        is_all = len(contents) < limit and sum(map(len, contents)) < MOST_BYTES
        return contents, None if is_all else (value(last, 0).decode(), value(last, 1).decode())


def _up_to_bytes(ordered: Any) -> Any:
    """Return the first of ordered rows that have room together, at least one.

    The length of a text is known without reading it.
    """
    rows = ordered.subquery("rows")
    place = (rows.c.updated_at, rows.c.id)
    size = func.octet_length(rows.c.content)
    counted = select(
        *place,
        rows.c.content,
        (func.sum(size).over(order_by=place, rows=(None, 0)) - size).label("before"),
    ).subquery("counted")
    columns = (counted.c.updated_at, counted.c.id, counted.c.content)
    fits = counted.c.before < MOST_BYTES
    return select(*columns).where(fits).order_by(counted.c.updated_at, counted.c.id)


def _present(type_: str, reach: Reach, after: After | None) -> Any:
    return select(Resource.updated_at, Resource.id, Resource.content).where(
        Resource.type == type_,
        ~Resource.deleted,
        Resource.xid < xid(reach.snapshot),
        *_limits(Resource, reach, after),
        *_belonging(reach),
    )


def _replaced(type_: str, reach: Reach, after: After | None) -> Any:
    """The version that stood at the watermark, of what a later transaction replaced or deleted.

    The past keeps the transaction that ended a version; the first one to end after the watermark stood there.
    """
    other = aliased(ResourceHistory)
    earlier = (
        select(literal(1))
        .where(
            other.type == ResourceHistory.type,
            other.id == ResourceHistory.id,
            ~other.superseded,
            other.xid >= xid(reach.snapshot),
            other.version < ResourceHistory.version,
        )
        .exists()
    )
    return (
        select(ResourceHistory.updated_at, ResourceHistory.id, ResourceHistory.content)
        .join(Resource, and_(Resource.type == ResourceHistory.type, Resource.id == ResourceHistory.id))
        .where(
            Resource.type == type_,
            Resource.xid >= xid(reach.snapshot),
            ResourceHistory.type == type_,
            ResourceHistory.compartment == Resource.compartment,
            ResourceHistory.xid >= xid(reach.snapshot),
            ResourceHistory.updated_at <= reach.at,
            ~ResourceHistory.deleted,
            ~ResourceHistory.superseded,
            ~earlier,
            reach.past,
            *_limits(ResourceHistory, reach, after),
            *_belonging(reach),
        )
    )


def _limits(
    table: type[Resource] | type[ResourceHistory], reach: Reach, after: After | None
) -> list[ColumnElement[bool]]:
    limits: list[ColumnElement[bool]] = []
    if after is not None:
        place = tuple_(cast(after[0], table.updated_at.type), literal(after[1]))
        limits.append(tuple_(table.updated_at, table.id) > place)
    if reach.since is not None:
        since = table.updated_at > reach.since
        limits.append(since if reach.mark is None else or_(since, table.xid >= xid(reach.mark)))
    if reach.until is not None:
        limits.append(table.updated_at <= reach.until)
    return limits


def _belonging(reach: Reach) -> list[ColumnElement[bool]]:
    belonging = [reach.where]
    if reach.patients is not None:
        belonging.append(Resource.compartment == func.any(literal(reach.patients)))
    elif reach.only_patients:
        belonging.append(Resource.compartment != NO_COMPARTMENT)
    return belonging


def deleted(session: Session, types: Sequence[str], reach: Reach, after: str, limit: int) -> list[str]:
    """Return `Type/id` of what was deleted since, behind a name in the order of names."""
    name = Resource.type + "/" + Resource.id
    found = (
        select(name)
        .where(Resource.deleted, Resource.type.in_(types), Resource.xid < xid(reach.snapshot))
        .where(*_limits(Resource, reach, None), *_belonging(reach), name.collate("C") > after)
        .order_by(name.collate("C"))
        .limit(limit)
    )
    return list(session.scalars(found))
