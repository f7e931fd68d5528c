"""What the tests of subscriptions share: what is asked for, a turn of the work process, how things stand."""

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from hie.schema import SubscriptionEvent, SubscriptionRow
from hie.work.notices import once
from tests.hub_world import Json
from tests.receiver import Receiver

BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-"


def turn(app: Flask, later: float = 0) -> None:
    """Match and deliver once, so many seconds from now."""
    hub = app.extensions["hie"]
    once(hub.engine, hub.config, datetime.now(UTC) + timedelta(seconds=later))


def by_criteria(receiver: Receiver, criteria: str, **channel: Any) -> Json:
    return {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "test",
        "criteria": criteria,
        "channel": {"type": "rest-hook", "endpoint": f"{receiver.url}/notices"} | channel,
    }


def by_topic(receiver: Receiver, topic: str, content: str, *filters: str, **extensions: int) -> Json:
    made = by_criteria(receiver, f"urn:hie:topic:{topic}", payload="application/fhir+json")
    made["channel"]["_payload"] = {"extension": [{"url": BACKPORT + "payload-content", "valueCode": content}]}
    made["channel"]["extension"] = [
        {"url": BACKPORT + name.replace("_", "-"), "valueUnsignedInt": value}
        for name, value in extensions.items()
    ]
    if not extensions:
        del made["channel"]["extension"]
    if filters:
        one = BACKPORT + "filter-criteria"
        made["_criteria"] = {"extension": [{"url": one, "valueString": text} for text in filters]}
    return made


def encounter(subject: str, status: str) -> Json:
    return {
        "resourceType": "Encounter",
        "status": status,
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
        "subject": {"reference": f"Patient/{subject}"},
    }


def events(app: Flask) -> list[tuple[int, str, str | None]]:
    with Session(app.extensions["hie"].engine) as session:
        rows = session.execute(
            sa.select(SubscriptionEvent.number, SubscriptionEvent.id, SubscriptionEvent.settled).order_by(
                SubscriptionEvent.subscription, SubscriptionEvent.number
            )
        )
        return [tuple(row) for row in rows]  # type: ignore[misc]


def states(app: Flask) -> dict[str, tuple[str, int]]:
    """How each subscription stands: its state, and how often it took too long."""
    with Session(app.extensions["hie"].engine) as session:
        return {row.id: (row.state, row.costly) for row in session.scalars(sa.select(SubscriptionRow))}
