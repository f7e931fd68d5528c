"""Keeps the table of subscriptions like the Subscription resources that clients write."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select, true
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from esb.fhir import lexemes
from hie.config import Config
from hie.errors import NotFound, NotPermitted, Rejected
from hie.repository import criteria
from hie.repository.search import limited
from hie.repository.writes import Outcome, Write
from hie.schema.subscriptions import SubscriptionEvent, SubscriptionRow
from hie.security import audit
from hie.security.actor import Actor
from hie.security.policy import decide
from hie.security.standing import remember
from hie.services.subscriptions import channel, delivering
from hie.services.subscriptions.matching import lowest_running


def ask(writes: Sequence[Write]) -> None:
    """Let what clients write be a request: the hub alone says active and error (R4 subscription.html)."""
    for write in writes:
        if write.type == "Subscription" and write.resource and write.resource.get("status") != "off":
            write.resource["status"] = "requested"
            write.resource.pop("error", None)


def follow(
    session: Session, outcomes: Sequence[Outcome], config: Config, now: datetime, by: Actor
) -> list[Outcome]:
    """Bring the table up to date with what was just written, in its transaction; who made it owns it.

    Returns: the outcomes, those of patched subscriptions as they are then.

    Raises: NotValid, NotSupported, TooCostly, NotPermitted; roll back.
    """
    followed = list(outcomes)
    for number, outcome in enumerate(outcomes):
        if outcome.type != "Subscription":
            continue
        if outcome.fate == "deleted":
            session.execute(delete(SubscriptionRow).where(SubscriptionRow.id == outcome.id))
        elif outcome.fate in ("created", "updated"):
            followed[number] = _put(session, outcome, config, now, by)
    return followed


# What makes a subscription begin anew; its events and its watermark stay.
ANEW: dict[str, Any] = {"failures": 0, "retry_at": None, "error": None, "costly": 0, "look_at": None}


def parked(session: Session) -> list[dict[str, Any]]:
    """Return the subscriptions that were set aside: whose, where to, why, and how many events wait."""
    waiting = (
        select(func.count())
        .where(SubscriptionEvent.subscription == SubscriptionRow.id, SubscriptionEvent.settled.is_(None))
        .scalar_subquery()
    )
    wanted = select(SubscriptionRow, waiting).where(SubscriptionRow.state == "error")
    return [
        {
            "id": row.id,
            "client": row.owner["client"],
            "endpoint": row.endpoint,
            "error": row.error,
            "failures": row.failures,
            "waiting": number,
        }
        for row, number in session.execute(wanted.order_by(SubscriptionRow.id))
    ]


def release(session: Session, id_: str, config: Config, now: datetime, by: Actor) -> None:
    """Take up a subscription again that was set aside, where it stood, with its owner's rights.

    Raises: NotFound; Rejected if it was not set aside.
    """
    row = session.get(SubscriptionRow, id_, with_for_update=True)
    if row is None:
        raise NotFound("There is no such subscription.")
    if row.state != "error":
        raise Rejected(f"The subscription was not set aside: it is {row.state}.")
    row.state = "requested"
    for name, value in ANEW.items():
        setattr(row, name, value)
    delivering.state_as_resource(session, row, now, config)
    audit.record(
        session,
        actor=by,
        action="U",
        operation="subscription.released",
        resource_type="Subscription",
        resource_id=id_,
        http=None,
    )


def _put(session: Session, outcome: Outcome, config: Config, now: datetime, by: Actor) -> Outcome:
    """Raises: NotPermitted for whom the subscription does not belong to: its owner's rights decide."""
    kept = session.get(SubscriptionRow, outcome.id, with_for_update=True)
    if kept is not None and (kept.owner["client"], kept.owner["facility"]) != (by.id, by.facility):
        raise NotPermitted("This Subscription belongs to another client; make one of your own.")
    resource = lexemes.loads(outcome.content)
    asked = channel.read(resource, config.notify_to, config.zone)
    for type_ in channel.types(asked):
        if not (decide(by, "search", type_).allowed and decide(by, "read", type_).allowed):
            raise NotPermitted(f"You may not read {type_}, so you cannot subscribe to it.")
    for text in asked["filters"]:
        with limited(session):
            criteria.condition(session, true(), text, config.zone, now)
    asked |= {
        "state": "off" if resource.get("status") == "off" else "requested",
        "owner": remember(by),
        **ANEW,
    }
    first = {"since": now, "matched": lowest_running(session)}
    session.execute(
        insert(SubscriptionRow)
        .values(id=outcome.id, **asked, **first)
        .on_conflict_do_update(index_elements=["id"], set_=asked)
    )
    if resource.get("status") in ("requested", "off") and "error" not in resource:
        return outcome
    # A patch left what the hub alone says (see `ask`).
    row = session.get_one(SubscriptionRow, outcome.id, populate_existing=True)
    return delivering.state_as_resource(session, row, now, config) or outcome
