"""Finds what subscriptions wait for: each change below the watermark is looked at once, as the owner may."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Text,
    and_,
    cast,
    exists,
    func,
    literal_column,
    or_,
    select,
    text,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from esb.fhir import lexemes
from hie.config import Config
from hie.repository import criteria
from hie.repository.search import TooCostly
from hie.schema.repository import Resource, ResourceHistory
from hie.schema.subscriptions import SubscriptionEvent, SubscriptionRow
from hie.security.policy import decide
from hie.security.standing import recall
from hie.services.subscriptions import channel
from hie.services.subscriptions.topics import TOPICS, Topic

AT_ONCE = 500
MOST_CHANGES = 5000  # that are looked at in one transaction, unless one transaction made more
FEWEST_CHANGES = 50
MOST_S = 10.0  # a look takes, as a search
# Events are kept longer than versions are looked back at, so that none is told twice.
LOOKED_BACK, KEPT = timedelta(days=29), timedelta(days=30)
Found = tuple[str, str, int, datetime]


def lowest_running(session: Session) -> int:
    """Return the transaction id below which everything is settled."""
    return int(
        session.scalar(
            select(func.pg_snapshot_xmin(func.pg_current_snapshot()).op("::")(literal_column("text")))
        )
        or 0
    )


def match(session: Session, id_: str, config: Config, now: datetime, most_s: float = MOST_S) -> int:
    """Write the events of one subscription that came to be since it was last looked after; return how many.

    Events and the new watermark are committed together: nothing is missed, nothing is written twice. Who took
    too long before is looked after in smaller steps.

    Raises: NotPermitted if its owner has no rights any more; TooCostly, or a statement that was cancelled,
        once `most_s` are over: roll back.
    """
    end = time.monotonic() + most_s
    _limit(session, end)
    row = session.scalars(
        select(SubscriptionRow).where(SubscriptionRow.id == id_).with_for_update()
    ).one_or_none()
    if row is None or row.state != "active":
        return 0
    upto = lowest_running(session)
    if not session.scalar(select(exists().where(_between(row.matched, upto)))):
        return 0
    types = channel.types({"topic": row.topic, "filters": row.filters})
    most = max(MOST_CHANGES >> 2 * max(row.costly - 1, 0), min(MOST_CHANGES, FEWEST_CHANGES))
    upto = _upto(session, row.matched, types, upto, most)
    window = _between(row.matched, upto)
    owner = recall(session, row.owner)
    found: list[Found] = []
    for type_ in types:
        decision = decide(owner, "search", type_)
        if decision.allowed and decide(owner, "read", type_).allowed:
            filters = [asked for asked in row.filters if criteria.split(asked)[0] == type_]
            reach, zone = decision.where, config.zone
            wanted = [criteria.condition(session, reach, asked, zone, now) for asked in filters]
            where = and_(window, decision.where, or_(*wanted) if wanted else true())
            _limit(session, end)
            if row.topic is None:
                found += _present(session, id_, type_, where)
            else:
                found += _versions(session, row, TOPICS[row.topic], type_, where, now, end)
    found.sort(key=lambda one: (one[3], one[1], one[2]))
    session.flush()
    numbered = [
        {"subscription": id_, "number": number, "type": type_, "id": of, "version": version, "at": at}
        for number, (type_, of, version, at) in enumerate(found, start=row.last_number + 1)
    ]
    for start in range(0, len(numbered), AT_ONCE):
        session.execute(insert(SubscriptionEvent), numbered[start : start + AT_ONCE])
    row.last_number += len(numbered)
    row.matched = upto
    return len(numbered)


def _limit(session: Session, end: float) -> None:
    """Let no statement from here on last beyond an instant of the monotonic clock. Raises: TooCostly."""
    left = end - time.monotonic()
    if left <= 0:
        raise TooCostly
    session.execute(text(f"SET LOCAL statement_timeout = {max(int(left * 1000), 1)}"))


def _upto(session: Session, matched: int, types: Sequence[str], settled: int, most: int) -> int:
    """Return where a look ends: where all is settled, or earlier after a load of very much."""
    changes = select(cast(Resource.xid, Text)).where(_between(matched, settled), Resource.type.in_(types))
    beyond = session.scalar(changes.order_by(Resource.xid).offset(most).limit(1))
    return settled if beyond is None else max(int(beyond), matched + 1)


def _between(first: int, end: int) -> ColumnElement[bool]:
    return and_(Resource.xid >= _xid(first), Resource.xid < _xid(end))


def _xid(number: int) -> ColumnElement[Any]:
    return literal_column(f"'{int(number)}'::xid8")


def _present(session: Session, id_: str, type_: str, where: ColumnElement[bool]) -> list[Found]:
    """R4: each resource that changed and matches now, unless it was told of as it stands."""
    told = exists().where(
        SubscriptionEvent.subscription == id_,
        SubscriptionEvent.type == Resource.type,
        SubscriptionEvent.id == Resource.id,
        SubscriptionEvent.version == Resource.version,
    )
    rows = session.execute(
        select(Resource.type, Resource.id, Resource.version, Resource.updated_at).where(
            Resource.type == type_, ~Resource.deleted, where, ~told
        )
    )
    return [(row.type, row.id, row.version, row.updated_at) for row in rows]


def _versions(
    session: Session,
    row: SubscriptionRow,
    topic: Topic,
    type_: str,
    where: ColumnElement[bool],
    now: datetime,
    end: float,
) -> list[Found]:
    """Backport: each version of what changed that is an event of the topic, seen beside the one before."""
    ids = session.scalars(
        select(Resource.id).where(Resource.type == type_, ~Resource.deleted, where).order_by(Resource.id)
    ).all()
    earliest = max(row.since, now - LOOKED_BACK)
    found: list[Found] = []
    for start in range(0, len(ids), AT_ONCE):
        part = ids[start : start + AT_ONCE]
        _limit(session, end)
        rows = session.execute(
            select(SubscriptionEvent.id, SubscriptionEvent.version).where(
                SubscriptionEvent.subscription == row.id,
                SubscriptionEvent.type == type_,
                SubscriptionEvent.id.in_(part),
            )
        )
        told = {(id_, version) for id_, version in rows}
        for versions in _pasts(session, type_, part):
            before: dict[str, Any] | None = None
            for id_, version, at, content in versions:
                resource = lexemes.loads(content)
                is_new = at >= earliest and (id_, version) not in told
                if is_new and topic.is_event(before, resource):
                    found.append((type_, id_, version, at))
                before = resource
    return found


def _pasts(
    session: Session, type_: str, ids: Sequence[str]
) -> Iterator[list[tuple[str, int, datetime, str]]]:
    """Yield the versions of each resource that were present one after the other, the first one first."""
    of: dict[str, list[tuple[str, int, datetime, str]]] = {}
    for table, more in ((ResourceHistory, ~ResourceHistory.superseded), (Resource, ~Resource.deleted)):
        columns = (table.id, table.version, table.updated_at, table.content)
        rows = session.execute(select(*columns).where(table.type == type_, table.id.in_(ids), more))
        for id_, version, at, content in rows:
            if content:
                of.setdefault(id_, []).append((id_, version, at, content))
    for versions in of.values():
        yield sorted(versions, key=lambda one: one[1])


def prune(session: Session, now: datetime) -> None:
    """Forget events that were settled long ago."""
    session.execute(SubscriptionEvent.__table__.delete().where(SubscriptionEvent.settled_at < now - KEPT))  # type: ignore[attr-defined]


def end_what_is_over(session: Session, now: datetime) -> list[str]:
    """Switch off what has reached its end; return their ids."""
    over = update(SubscriptionRow).where(SubscriptionRow.ends_at < now, SubscriptionRow.state != "off")
    return list(session.scalars(over.values(state="off").returning(SubscriptionRow.id)))
