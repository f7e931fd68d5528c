"""What an engineer may ask the list for, as columns of the cache; and how it is said in an address."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Select, and_, select

from front_end_processor.cache.tables import CAPTURED, SET_ASIDE, message, outbox

# What the form offers, in its order.
FATES: tuple[str, ...] = (
    "unsettled",
    "waiting",
    "sent",
    "stored",
    "superseded",
    "hub_set_aside",
    "set_aside",
    "repeated",
    "warned",
)
# What of an address stays when one goes from the list to a message and on.
KEPT = ("fate", "inlet", "kind", "control_id", "since", "until")


@dataclass(frozen=True, slots=True)
class Filters:
    """What to list: fate, inlet, parts of kind and control id, from, until; below or above which number."""

    fate: str = ""
    inlet: str = ""
    kind: str = ""
    control_id: str = ""
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None
    after: int | None = None


def read_filters(arguments: Mapping[str, str], zone: ZoneInfo) -> Filters:
    """Return the filters of an address; what cannot be read is left out."""
    return Filters(
        fate=arguments.get("fate", ""),
        inlet=arguments.get("inlet", ""),
        kind=arguments.get("kind", "").strip(),
        control_id=arguments.get("control_id", "").strip(),
        since=_moment(arguments.get("since", ""), zone),
        until=_moment(arguments.get("until", ""), zone),
        before=_number(arguments.get("before", "")),
        after=_number(arguments.get("after", "")),
    )


def filtered(query: Select[Any], filters: Filters) -> Select[Any]:
    """Return a query of messages with all conditions but those of paging."""
    if filters.fate in _BY_FATE:
        query = query.where(_BY_FATE[filters.fate]())
    if filters.inlet:
        query = query.where(message.c.inlet == filters.inlet)
    if filters.kind:
        query = query.where(message.c.kind.contains(filters.kind, autoescape=True))
    if filters.control_id:
        query = query.where(message.c.control_id.contains(filters.control_id, autoescape=True))
    if filters.since:
        query = query.where(message.c.received_at >= filters.since)
    if filters.until:
        query = query.where(message.c.received_at < filters.until)
    return query


def of_message() -> ColumnElement[bool]:
    """Return the condition that an outbox row is one of a message's entries."""
    return and_(
        outbox.c.seq >= message.c.entries_from, outbox.c.seq < message.c.entries_from + message.c.entries
    )


def _having(*where: ColumnElement[bool]) -> ColumnElement[bool]:
    return select(outbox.c.seq).where(of_message(), *where).exists()


_BY_FATE: Mapping[str, Callable[[], ColumnElement[bool]]] = {
    "set_aside": lambda: message.c.fate == SET_ASIDE,
    "repeated": lambda: message.c.repeats > 0,
    "warned": lambda: message.c.warnings != "[]",
    "unsettled": lambda: _having(outbox.c.settled_at.is_(None)),
    "waiting": lambda: _having(outbox.c.settled_at.is_(None), outbox.c.confirmed_at.is_(None)),
    "sent": lambda: _having(outbox.c.settled_at.is_(None), outbox.c.confirmed_at.is_not(None)),
    "stored": lambda: _having(outbox.c.fate.in_(("stored", "duplicate"))),
    "superseded": lambda: _having(outbox.c.fate == "superseded"),
    "hub_set_aside": lambda: _having(outbox.c.fate == "set_aside"),
    "captured": lambda: message.c.fate == CAPTURED,
}


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 18 else None


def _moment(text: str, zone: ZoneInfo) -> datetime | None:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC) if text else None
    except (ValueError, OverflowError):
        return None
