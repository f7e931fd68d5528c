"""Notifications as they go over the wire: a history Bundle, its status in front (R5 Backport IG, R4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

import orjson

from hie.repository.content import instant_text
from hie.schema.subscriptions import SubscriptionRow

STATUS = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-subscription-status-r4"


@dataclass(frozen=True, slots=True)
class Event:
    """An event as it is told; content is the stored text of the version."""

    number: int
    at: datetime
    type: str
    id: str
    version: int
    content: bytes


def status(row: SubscriptionRow, base: str, kind: str, events: Sequence[Event] = ()) -> dict[str, Any]:
    """Return the status Parameters of a subscription.

    Args:
        kind: handshake, heartbeat, event-notification, query-status or query-event.
    """
    parameters: list[dict[str, Any]] = [
        {"name": "subscription", "valueReference": {"reference": f"{base}/Subscription/{row.id}"}}
    ]
    if row.topic:
        parameters.append({"name": "topic", "valueCanonical": row.topic})
    parameters += [
        {"name": "status", "valueCode": row.state},
        {"name": "type", "valueCode": kind},
        {"name": "events-since-subscription-start", "valueString": str(row.last_number)},
    ]
    for event in events:
        part: list[dict[str, Any]] = [
            {"name": "event-number", "valueString": str(event.number)},
            {"name": "timestamp", "valueInstant": instant_text(event.at)},
        ]
        if row.payload != "empty":
            part.append({"name": "focus", "valueReference": {"reference": f"{base}/{event.type}/{event.id}"}})
        parameters.append({"name": "notification-event", "part": part})
    if row.error:
        parameters.append({"name": "error", "valueCodeableConcept": {"text": row.error}})
    return {
        "resourceType": "Parameters",
        "id": str(uuid4()),
        "meta": {"profile": [STATUS]},
        "parameter": parameters,
    }


def notification(
    row: SubscriptionRow, base: str, kind: str, now: datetime, events: Sequence[Event] = ()
) -> bytes:
    """Return a notification: the status, then what each event is about as far as the payload says."""
    said = status(row, base, kind, events)
    entries: list[dict[str, Any]] = [
        {
            "fullUrl": f"urn:uuid:{said['id']}",
            "resource": said,
            "request": {"method": "GET", "url": f"{base}/Subscription/{row.id}/$status"},
            "response": {"status": "200"},
        }
    ]
    for event in events if row.payload != "empty" else ():
        entry: dict[str, Any] = {
            "fullUrl": f"{base}/{event.type}/{event.id}",
            "request": {"method": "PUT", "url": f"{event.type}/{event.id}"},
            "response": {"status": "201" if event.version == 1 else "200"},
        }
        if row.payload == "full-resource":
            entry["resource"] = orjson.Fragment(event.content)
        entries.append(entry)
    return orjson.dumps(
        {
            "resourceType": "Bundle",
            "id": str(uuid4()),
            "type": "history",
            "timestamp": instant_text(now),
            "entry": entries,
        }
    )
