"""The single write path of the repository: a batch of writes becomes versions, history and index in one go.

A batch costs a fixed number of statements: claim new keys, lock and read the known ones, move what is
replaced to the history, COPY the rest. Keys are always taken in sorted order, so that two batches rarely
wait in a circle; what a transaction locks besides may still close one, and then one of them is tried again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from sqlalchemy.orm import Session

from esb.fhir.references import patient_of
from esb.fhir.types import RESOURCE_TYPES
from esb.fhir.validation import check_resource
from hie.errors import Conflict, NotFound, NotValid, PreconditionFailed
from hie.repository import statements
from hie.repository.content import body_of, head_of, instant_text
from hie.repository.patching import patched
from hie.repository.state import State, Version
from hie.repository.writes import ANY, PLACEHOLDER, Fate, NotYours, Order, Outcome, Write
from hie.schema.driver import driver

REGION = ZoneInfo("Asia/Shanghai")
ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
Key = tuple[str, str]


def write(session: Session, writes: Sequence[Write], now: datetime, zone: tzinfo = REGION) -> list[Outcome]:
    """Write a batch in the caller's transaction and return what became of each, in order.

    The newer snapshot wins by (source time, epoch, sequence); what arrives late goes to the history as
    superseded; the same content again makes no new version. Two batches that create one id at the same time:
    the second waits and then sees the first.

    Args:
        now: instant of the transaction, for meta.lastUpdated.
        zone: the region's zone, for dates without an offset.

    Raises: NotValid, NotYours (another facility's id), NotFound (patch of nothing), Conflict (create of a
        known id), PreconditionFailed; the caller's transaction or savepoint must then be rolled back.
    """
    if not writes:
        return []
    cursor = driver(session).cursor()
    moment = _Moment.at(now)
    changes = [_Change.of(write) for write in writes]
    states = _states(cursor, changes)
    outcomes = [_apply(states[change.key], change, moment) for change in changes]
    statements.flush(cursor, states.values(), zone)
    return outcomes


def compartment_of(resource: dict[str, Any]) -> str:
    """Return the id of the source patient a resource is kept with, or ''."""
    patient = patient_of(resource)
    return patient.removeprefix("Patient/") if patient and patient.startswith("Patient/") else ""


@dataclass(frozen=True, slots=True)
class _Moment:
    """The instant of a batch, in milliseconds as meta.lastUpdated shows it."""

    now: datetime
    text: str

    @classmethod
    def at(cls, now: datetime) -> _Moment:
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        return cls(now, instant_text(now))


@dataclass(frozen=True, slots=True)
class _Change:
    """A write with what is computed of its content before the database is asked."""

    write: Write
    body: bytes
    compartment: str

    @classmethod
    def of(cls, write: Write) -> _Change:
        if write.type not in RESOURCE_TYPES:
            raise NotValid("There is no such resource type in FHIR R4.")
        if not ID.fullmatch(write.id):
            raise NotValid("An id has 1 to 64 letters, digits, '-' and '.'.")
        if write.resource is None:
            return cls(write, b"", "")
        return cls(write, body_of(write.resource), compartment_of(write.resource))

    @property
    def key(self) -> Key:
        return self.write.type, self.write.id


def _states(cursor: psycopg.Cursor[Any], changes: Sequence[_Change]) -> dict[Key, State]:
    """Return the state of every key of the batch: new ones claimed, known ones locked and read."""
    first: dict[Key, _Change] = {}
    looked_at: set[Key] = set()
    for change in changes:
        first.setdefault(change.key, change)
        if not change.write.if_none_match:
            looked_at.add(change.key)
    claims = {
        key: (change.compartment, change.write.facility)
        for key, change in first.items()
        if change.write.resource is not None or (change.write.method == "delete" and change.write.order)
    }
    claimed = statements.claim(cursor, claims)
    states = {key: State(*key, claims[key][1]) for key in claimed}
    for key in claimed:
        states[key].keyed = claims[key][0]
    states |= statements.read_locked(cursor, sorted(looked_at - claimed))
    for key in first.keys() - states.keys():
        states[key] = State(*key, None, kept=key in claims)
    return states


def _apply(state: State, change: _Change, moment: _Moment) -> Outcome:
    """Apply one write to the state of its key."""
    write = change.write
    if write.if_none_match and (state.kept or state.present.number):
        return _outcome(state, "kept", b"")
    if write.facility is not None and state.is_known and state.facility != write.facility:
        raise NotYours(f"{write.type}/{write.id} belongs to another facility; use ids of your own.")
    if write.if_match is not None:
        _check_version(state, write.if_match)
    return ACTIONS[write.method](state, change, moment)


def _check_version(state: State, wanted: int) -> None:
    is_there = bool(state.present.number) and not state.present.deleted
    if wanted == 0 and is_there:
        raise PreconditionFailed(f"{state.type}/{state.id} exists already.")
    if wanted == ANY:
        if not is_there:
            raise PreconditionFailed(f"There is no {state.type}/{state.id}.")
    elif wanted and (state.present.number != wanted or state.present.deleted):
        raise PreconditionFailed(f"{state.type}/{state.id} has another version by now; read it again.")


def _create(state: State, change: _Change, moment: _Moment) -> Outcome:
    if state.present.number and not state.present.deleted:
        raise Conflict(f"{state.type}/{state.id} exists already.")
    return _put(state, change, moment)


def _put(state: State, change: _Change, moment: _Moment) -> Outcome:
    present = state.present
    order = PLACEHOLDER if change.write.if_none_match else _order(state, change.write, moment)
    if not present.number:
        return _replace(state, change, order, moment)
    if not present.deleted and state.body == change.body and present.compartment == change.compartment:
        state.touch(order)
        return _outcome(state, "unchanged", present.content)
    if order < present.order:
        return _late(state, change, order, moment)
    return _replace(state, change, order, moment)


def _delete(state: State, change: _Change, moment: _Moment) -> Outcome:
    present = state.present
    order = _order(state, change.write, moment)
    if present.number and order < present.order:
        return _late(state, change, order, moment)
    if present.deleted or (not present.number and change.write.order is None):
        state.touch(order)
        return _outcome(state, "unchanged", b"")
    number = state.next_version()
    state.put(Version(number, order, moment.now, present.compartment, b"", deleted=True, body=b""))
    return _outcome(state, "deleted", b"")


def _patch(state: State, change: _Change, moment: _Moment) -> Outcome:
    """Apply a patch to the present content; one that arrives late has been overtaken by what is there.

    A merge that arrives late is still one. What comes out is checked against R4, as every other content was
    before it came here.
    """
    present = state.present
    if not present.number or present.deleted:
        raise NotFound(f"There is no {state.type}/{state.id} to patch.")
    late = _order(state, change.write, moment) < present.order
    if late and not _is_merge(change.write.patch):
        return _outcome(state, "superseded", b"")
    resource = patched(present.content, change.write.patch or [])
    if resource.get("resourceType") != state.type or resource.get("id") != state.id:
        raise NotValid("A patch may not change the resource's type or id.")
    check_resource(resource)
    result = _Change.of(Write("put", state.type, state.id, resource))
    order = max(present.order, _order(state, change.write, moment))
    if result.body == state.body and result.compartment == present.compartment:
        state.touch(order)
        return _outcome(state, "unchanged", present.content)
    return _replace(state, result, order, moment)


def _is_merge(patch: list[dict[str, Any]] | dict[str, Any] | None) -> bool:
    """Say whether a JSON Patch links a Patient to the one that replaces it."""
    return isinstance(patch, list) and any(str(one.get("path")).split("/")[1:2] == ["link"] for one in patch)


def _order(state: State, write: Write, moment: _Moment) -> Order:
    """Return the order of a write; one without follows the time of the day and everything stored."""
    if write.order is not None:
        return write.order
    return max((moment.now, 0, 0), state.present.order)


def _replace(state: State, change: _Change, order: Order, moment: _Moment) -> Outcome:
    # What was deleted comes to be anew (RFC 9110 §9.3.4).
    fate: Fate = "updated" if state.present.number and not state.present.deleted else "created"
    number = state.next_version()
    content = head_of(state.type, state.id, number, moment.text) + change.body
    state.put(
        Version(
            number,
            order,
            moment.now,
            change.compartment,
            content,
            deleted=False,
            body=change.body,
            resource=change.write.resource,
        )
    )
    return _outcome(state, fate, content)


def _late(state: State, change: _Change, order: Order, moment: _Moment) -> Outcome:
    """Keep in the history what arrived after a newer version; a deletion may be late too."""
    number = state.next_version()
    deleted = change.write.resource is None
    content = b"" if deleted else head_of(state.type, state.id, number, moment.text) + change.body
    compartment = state.present.compartment if deleted else change.compartment
    state.keep(Version(number, order, moment.now, compartment, content, deleted), superseded=True)
    return Outcome(state.type, state.id, number, "superseded", content, moment.now, compartment)


def _outcome(state: State, fate: Fate, content: bytes) -> Outcome:
    present = state.present
    return Outcome(
        state.type, state.id, present.number, fate, content, present.updated_at, present.compartment
    )


ACTIONS: dict[str, Callable[[State, _Change, _Moment], Outcome]] = {
    "put": _put,
    "create": _create,
    "patch": _patch,
    "delete": _delete,
}
