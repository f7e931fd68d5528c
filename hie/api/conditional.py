"""Conditional interactions: which resource criteria mean, one asker at a time (FHIR R4 http.html#ccreate)."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import parse_qsl

from sqlalchemy import ColumnElement, func, select, true
from sqlalchemy.orm import Session

from esb.fhir.types import RESOURCE_TYPES
from hie.api import asking
from hie.errors import NotPermitted, NotValid, PreconditionFailed
from hie.repository.query import Reading, parse
from hie.schema.repository import Resource


@dataclass(frozen=True, slots=True)
class Known:
    """A resource that criteria found."""

    type: str
    id: str
    compartment: str


def lock_number(type_: str, criteria: str) -> int:
    """Return the number of the lock of some criteria; equal criteria in any order have the same."""
    text = type_ + "?" + "&".join(sorted(f"{name}={value}" for name, value in parse_qsl(criteria, True)))
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big", signed=True)


def lock(session: Session, numbers: list[int]) -> None:
    """Hold locks until the transaction ends, taken in order; the second sees what the first wrote."""
    for number in sorted(set(numbers)):
        session.execute(select(func.pg_advisory_xact_lock(number)))


def match(
    session: Session, type_: str, criteria: str, where: ColumnElement[bool], *, lock: bool = False
) -> Known | None:
    """Return the one resource that matches criteria among all rows, or None.

    Args:
        where: the policy's condition; a match beyond it gives a neutral NotPermitted.
        lock: be the only one with these criteria until the transaction ends.

    Raises: PreconditionFailed if several match; NotValid for criteria that cannot be searched by.
    """
    if lock:
        _lock_one(session, lock_number(type_, criteria))
    if type_ not in RESOURCE_TYPES:
        raise NotValid("There is no such resource type in FHIR R4.")
    pairs = parse_qsl(criteria.removeprefix("?"), keep_blank_values=True)
    how = Reading(asking.hub().config.zone, True, lambda _: true(), session)
    query = parse(type_, pairs, how)
    if not query.conditions:
        raise NotValid("A condition needs at least one search parameter.")
    found = session.execute(
        select(Resource.id, Resource.compartment, where.label("visible"))
        .where(Resource.type == type_, ~Resource.deleted, *query.conditions)
        .limit(2)
    ).all()
    if len(found) > 1:
        raise PreconditionFailed("The condition matches several resources; name one.")
    if not found:
        return None
    if not found[0].visible:
        raise NotPermitted("You may not do this here.")
    return Known(type_, found[0].id, found[0].compartment)


def _lock_one(session: Session, number: int) -> None:
    lock(session, [number])
