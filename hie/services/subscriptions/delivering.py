"""Tells subscribers, in order, until they have it: handshake, events, heartbeats; parks who never answers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Engine, and_, or_, select, update
from sqlalchemy.orm import Session

from esb.fhir import lexemes
from hie.config import Config
from hie.errors import NotPermitted
from hie.repository import contents, store
from hie.repository.writes import Outcome, Write
from hie.schema.repository import Resource, ResourceHistory
from hie.schema.subscriptions import SubscriptionEvent, SubscriptionRow
from hie.security import audit
from hie.security.actor import Actor, system_actor
from hie.security.allowed import is_allowed
from hie.security.policy import decide
from hie.security.standing import recall
from hie.services.subscriptions import channel, notices
from hie.services.subscriptions.calling import Call, send
from hie.services.subscriptions.notices import Event

log = structlog.get_logger(__name__)

LONGEST = timedelta(hours=1)
SAYING_NOTHING = ("none", "empty")  # payloads that name nobody
MOST_FAILURES = 16  # the pauses double up to an hour: about six hours in all


def due(session: Session, now: datetime) -> list[str]:
    """Return the ids of the subscriptions that have something to be told by now."""
    waiting = (
        select(SubscriptionEvent.number)
        .where(SubscriptionEvent.subscription == SubscriptionRow.id, SubscriptionEvent.settled.is_(None))
        .exists()
    )
    rows = session.execute(
        select(
            SubscriptionRow.id,
            SubscriptionRow.state,
            SubscriptionRow.heartbeat_s,
            SubscriptionRow.told_at,
            waiting,
        )
        .where(SubscriptionRow.state.in_(("requested", "active")))
        .where(or_(SubscriptionRow.retry_at.is_(None), SubscriptionRow.retry_at <= now))
    ).all()
    return [
        id_
        for id_, state, beat, told, waits in rows
        if state == "requested" or waits or _is_beat_due(beat, told, now)
    ]


def _is_beat_due(heartbeat_s: int | None, told_at: datetime | None, now: datetime) -> bool:
    return bool(heartbeat_s and (told_at is None or now - told_at >= timedelta(seconds=heartbeat_s)))


def tell(engine: Engine, config: Config, id_: str, now: datetime) -> bool:
    """Make the next call a subscription waits for and settle it; False if there was none or it failed.

    An event counts as delivered when the subscriber answered 2xx and that was committed: whoever dies between
    the two lets it be sent again.
    """
    with Session(engine) as session, session.begin():
        call = _prepare(session, config, id_, now)
    if call is None:
        return False
    failure = send(call, config)
    with Session(engine) as session, session.begin():
        row = session.scalars(
            select(SubscriptionRow).where(SubscriptionRow.id == id_).with_for_update()
        ).one_or_none()
        if row is None:
            return False
        # Where it was moved meanwhile, what the old endpoint answered says nothing of the new one.
        is_moved = row.endpoint != call.endpoint
        if failure is None and not is_moved:
            _settle(session, row, call, now)
        elif failure is not None and not is_moved:
            _put_off(session, row, failure, config, now)
        owner = Actor("client", row.owner["client"], row.owner["facility"], "system", purpose="HOPERAT")
        told = whom(session, id_, call.numbers) if row.payload not in SAYING_NOTHING else ()
        audit.record_each(
            session,
            told,
            actor=owner,
            action="R" if call.numbers else "E",
            operation="subscription.notify",
            resource_type="Subscription",
            resource_id=id_,
            outcome=0 if failure is None else 8,
            http=None,
            detail={"kind": call.kind, "events": len(call.numbers)},
        )
        if row.state == "active" and call.kind == "handshake" and failure is None and not is_moved:
            state_as_resource(session, row, now, config)
    return failure is None and not is_moved


def _prepare(session: Session, config: Config, id_: str, now: datetime) -> Call | None:
    """Return the next call, or None; what the owner may not see any more is withheld."""
    row = session.get(SubscriptionRow, id_, with_for_update=True)
    if row is None or row.state not in ("requested", "active"):
        return None
    if not is_allowed(row.endpoint, config.notify_to):
        park(session, row, "The endpoint is no longer among those the operator has listed.", now, config)
        return None
    try:
        owner = recall(session, row.owner)
    except NotPermitted as error:
        park(session, row, error.text, now, config)
        return None
    if row.state == "requested":
        return _handshake(session, row, config, now)
    return _next(session, row, owner, config, now)


def _handshake(session: Session, row: SubscriptionRow, config: Config, now: datetime) -> Call | None:
    if row.topic is not None:
        return _post(row, "handshake", notices.notification(row, _base(config), "handshake", now))
    # The criteria of R4 know no handshake.
    row.state, row.error = "active", None
    state_as_resource(session, row, now, config)
    return None


def _next(session: Session, row: SubscriptionRow, owner: Actor, config: Config, now: datetime) -> Call | None:
    events = _next_events(session, row, owner, config, now)
    if not events:
        if _is_beat_due(row.heartbeat_s, row.told_at, now) and row.topic:
            return _post(row, "heartbeat", notices.notification(row, _base(config), "heartbeat", now))
        return None
    numbers = tuple(event.number for event in events)
    if row.topic:
        body = notices.notification(row, _base(config), "event-notification", now, events)
        return _post(row, "event-notification", body, numbers)
    if row.payload == "none":
        return _post(row, "event", b"", numbers)
    # R4 subscription.html: with a payload, the endpoint is the base of a FHIR server that gets an update.
    event = events[0]
    url = f"{row.endpoint}/{event.type}/{event.id}"
    return Call(row.endpoint, "PUT", url, _headers(row, has_body=True), event.content, "event", numbers)


def _base(config: Config) -> str:
    return config.base_url + "/fhir"


def _post(row: SubscriptionRow, kind: str, body: bytes, numbers: tuple[int, ...] = ()) -> Call:
    return Call(row.endpoint, "POST", row.endpoint, _headers(row, has_body=bool(body)), body, kind, numbers)


def _headers(row: SubscriptionRow, *, has_body: bool) -> dict[str, str]:
    pairs = (header.partition(":") for header in row.headers)
    given = {name: value.strip() for name, _, value in pairs}
    return given | ({"Content-Type": channel.JSON} if has_body else {})


def _next_events(
    session: Session, row: SubscriptionRow, owner: Actor, config: Config, now: datetime
) -> list[Event]:
    """Return the next events to be told, in the order of their numbers, without what must be withheld."""
    waiting = select(SubscriptionEvent).where(
        SubscriptionEvent.subscription == row.id, SubscriptionEvent.settled.is_(None)
    )
    told: list[Event] = []
    for one in session.scalars(waiting.order_by(SubscriptionEvent.number).limit(row.most)).all():
        content = content_of(session, one, owner)
        if content is None:
            one.settled, one.settled_at = "withheld", now
        else:
            if one.type == contents.BINARY:
                content = contents.filled(content, contents.reader(config.blob_dir, config.key_dir))
            told.append(Event(one.number, one.at, one.type, one.id, one.version, content))
    return told


def whom(session: Session, id_: str, numbers: Sequence[int]) -> Sequence[str]:
    """Return the patients whose records some events are about."""
    return session.scalars(
        select(Resource.compartment)
        .join(
            SubscriptionEvent,
            and_(SubscriptionEvent.type == Resource.type, SubscriptionEvent.id == Resource.id),
        )
        .where(SubscriptionEvent.subscription == id_, SubscriptionEvent.number.in_(numbers))
        .distinct()
    ).all()


def content_of(session: Session, event: SubscriptionEvent, reader: Actor) -> bytes | None:
    """Return the version an event is about, None if the reader may not see it now, or it is gone."""
    decision = decide(reader, "read", event.type)
    if not decision.allowed:
        return None
    present = session.execute(
        select(Resource.version, Resource.compartment, Resource.content).where(
            Resource.type == event.type, Resource.id == event.id, ~Resource.deleted, decision.where
        )
    ).one_or_none()
    if present is None:
        return None
    if present.version == event.version:
        return bytes(present.content.encode())
    past = session.execute(
        select(ResourceHistory.content, decision.past.label("visible")).where(
            ResourceHistory.type == event.type,
            ResourceHistory.id == event.id,
            ResourceHistory.version == event.version,
            ResourceHistory.compartment == present.compartment,
        )
    ).one_or_none()
    if past is None:
        return bytes(present.content.encode())
    return bytes(past.content.encode()) if past.visible else None


def _settle(session: Session, row: SubscriptionRow, call: Call, now: datetime) -> None:
    row.failures, row.retry_at, row.told_at, row.error = 0, None, now, None
    if call.kind == "handshake" and row.state == "requested":
        row.state = "active"
    session.execute(
        update(SubscriptionEvent)
        .where(SubscriptionEvent.subscription == row.id, SubscriptionEvent.number.in_(call.numbers))
        .values(settled="delivered", settled_at=now)
    )


def put_off(engine: Engine, config: Config, id_: str, why: str, now: datetime) -> None:
    """Let a subscription wait before it is told again, as after a call that failed."""
    with Session(engine) as session, session.begin():
        row = session.get(SubscriptionRow, id_, with_for_update=True)
        if row is not None and row.state in ("requested", "active"):
            _put_off(session, row, why, config, now)


def _put_off(session: Session, row: SubscriptionRow, failure: str, config: Config, now: datetime) -> None:
    row.failures += 1
    if row.failures >= MOST_FAILURES:
        park(session, row, failure, now, config)
        return
    row.retry_at = now + min(timedelta(seconds=2**row.failures), LONGEST)


def park(session: Session, row: SubscriptionRow, why: str, now: datetime, config: Config) -> None:
    """Set a subscription aside with an alert; its events wait until its owner asks for it again."""
    row.state, row.error, row.retry_at = "error", why, None
    log.error("subscription.parked", subscription=row.id, failures=row.failures)
    audit.record(
        session,
        actor=system_actor("work"),
        action="U",
        operation="subscription.parked",
        resource_type="Subscription",
        resource_id=row.id,
        outcome=8,
        http=None,
    )
    state_as_resource(session, row, now, config)


def state_as_resource(
    session: Session, row: SubscriptionRow, now: datetime, config: Config
) -> Outcome | None:
    """Let the Subscription itself say what became of it, status and error; return what the write came to."""
    session.flush()
    content = session.scalar(
        select(Resource.content).where(
            Resource.type == "Subscription", Resource.id == row.id, ~Resource.deleted
        )
    )
    if content is None:
        return None
    resource = lexemes.loads(content)
    resource["status"] = row.state
    resource.pop("error", None)
    if row.error:
        resource["error"] = row.error
    return store.write(session, [Write("put", "Subscription", row.id, resource)], now, config.zone)[0]


__all__: Sequence[str] = [
    "content_of",
    "due",
    "park",
    "put_off",
    "state_as_resource",
    "tell",
    "whom",
]
