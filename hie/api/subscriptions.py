"""$status and $events of subscriptions (HL7 Subscriptions R5 Backport IG 1.1, for R4)."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from flask import Blueprint, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from hie.api import answers, asking, binaries, parameters
from hie.api.operations import add_operation, operation
from hie.errors import NotFound, NotValid
from hie.repository import read
from hie.schema.repository import Resource
from hie.schema.subscriptions import SubscriptionEvent, SubscriptionRow
from hie.security import audit
from hie.security.access import access
from hie.services.subscriptions import channel, delivering, notices
from hie.services.subscriptions.notices import Event

MOST = 1000


def add_routes(blueprint: Blueprint) -> None:
    """Open the routes of this module."""
    add_operation(blueprint, "status", status)
    add_operation(blueprint, "events", events)


@access("$status")
def status(id_: str | None = None) -> Response:
    """Answer how one subscription stands, or each that the asker may read."""
    asking.check_accept()
    decision = asking.permitted("read", "Subscription")
    asked = parameters.asked(operation("status", "instance" if id_ else "type", "Subscription"))
    ids = {*asked.get("id", ()), *([id_] if id_ else ())}
    states = asked.get("status", ())
    with asking.hub().begin() as session:
        if id_ is not None:
            read.read(session, "Subscription", id_, decision.where)
        seen = select(Resource.id).where(Resource.type == "Subscription", ~Resource.deleted, decision.where)
        wanted = select(SubscriptionRow).where(SubscriptionRow.id.in_(seen)).order_by(SubscriptionRow.id)
        if ids:
            wanted = wanted.where(SubscriptionRow.id.in_(ids))
        if states:
            wanted = wanted.where(SubscriptionRow.state.in_(states))
        entries = [
            answers.match_entry("Subscription", row.id, orjson.dumps(_said(row)))
            for row in session.scalars(wanted.limit(MOST))
        ]
        _audit(session, "$status", id_, len(entries))
    return answers.answer(answers.bundle("searchset", entries, total=len(entries)))


def _said(row: SubscriptionRow) -> dict[str, object]:
    return notices.status(row, answers.base(), "query-status")


@access("$events")
def events(id_: str) -> Response:
    """Answer the events of the asker's own subscription again, as far as the asker may see them now."""
    asking.check_accept()
    decision = asking.permitted("read", "Subscription")
    asked = parameters.asked(operation("events", "instance", "Subscription"))
    least, most = _number(asked, "eventsSinceNumber", 0), _number(asked, "eventsUntilNumber", 2**62)
    content = parameters.one(asked, "content")
    if content not in (None, *channel.CONTENTS):
        raise NotValid(f"content is one of {', '.join(channel.CONTENTS)}.")
    with asking.hub().begin() as session:
        read.read(session, "Subscription", id_, decision.where)
        row = session.get(SubscriptionRow, id_)
        if row is None or row.owner["client"] != asking.actor().id:
            raise NotFound
        found = session.scalars(
            select(SubscriptionEvent)
            .where(SubscriptionEvent.subscription == id_, SubscriptionEvent.number.between(least, most))
            .order_by(SubscriptionEvent.number)
            .limit(MOST)
        ).all()
        told = [
            Event(one.number, one.at, one.type, one.id, one.version, binaries.whole(one.type, stored))
            for one in found
            if (stored := delivering.content_of(session, one, asking.actor())) is not None
        ]
        payload = content or ("id-only" if row.payload in ("none", "resource") else row.payload)
        session.expunge(row)
        row.payload = payload
        body = notices.notification(row, answers.base(), "query-event", asking.now(), told)
        numbers = [one.number for one in told] if payload not in delivering.SAYING_NOTHING else []
        _audit(session, "$events", id_, len(told), delivering.whom(session, id_, numbers))
    return answers.answer(body)


def _number(asked: parameters.Values, name: str, default: int) -> int:
    value = parameters.one(asked, name)
    if value is None:
        return default
    if not value.isascii() or not value.isdigit() or len(value) > 18:
        raise NotValid(f"{name} is the number of an event.")
    return int(value)


def _audit(
    session: Session, operation: str, id_: str | None, count: int, patients: Sequence[str] = ()
) -> None:
    audit.record_each(
        session,
        patients,
        actor=asking.actor(),
        action="R",
        operation=operation,
        resource_type="Subscription",
        resource_id=id_,
        detail={"matches": count},
    )
