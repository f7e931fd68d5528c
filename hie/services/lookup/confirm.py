"""Confirm who a person is: two identifiers and a purpose open a relation for a day (audited, throttled)."""

from __future__ import annotations

import re
import unicodedata
import uuid
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hie.errors import NotFound, NotPermitted, TooManyTries
from hie.mpi import relations
from hie.schema.security import AuditEventRow
from hie.security.actor import Actor
from hie.security.audit import record
from hie.security.policy import decide
from hie.services.lookup.naming import name_of
from hie.services.lookup.people import patients, sources_of

OPERATION = "portal.confirm"
# HL7 v3 PurposeOfUse. COC, coordination of care, stands for a consultation.
PURPOSES = ("TREAT", "COC", "ETREAT", "CAREMGT", "PATRQT")
NEEDED = 2
MOST_REFUSALS = 5
WINDOW = timedelta(minutes=10)
BETWEEN = re.compile(r"[\s·•・.,'’-]+")
PLACEHOLDER_BIRTH = date(1900, 1, 1)


@dataclass(frozen=True, slots=True)
class Given:
    """What a doctor says about the person in front of them; empty text where nothing was said."""

    name: str = ""
    birth_date: date | None = None
    number: str = ""

    @property
    def count(self) -> int:
        """How many identifiers were given."""
        return bool(self.name) + (self.birth_date is not None) + bool(self.number)


def confirm(
    session: Session,
    person_id: uuid.UUID,
    given: Given,
    purpose: str,
    *,
    hours: int,
    now: datetime,
    by: Actor,
) -> bool:
    """Open a relation if everything given agrees with one source record; return whether it does.

    A person who is absent, restricted or somebody else gives the same refusal, in the trail too.

    Raises: NotPermitted if the role may not confirm; TooManyTries after repeated refusals.
    """
    if not decide(by, "confirm", "Person", now=now).allowed or by.facility is None:
        raise NotPermitted
    if _refusals(session, now, by) >= MOST_REFUSALS:
        raise TooManyTries
    try:
        sources = sources_of(session, person_id, "confirm", now, by)
        known = patients(session, [source.identity for source in sources])
    except NotFound:
        known = []
    match = next((str(patient["id"]) for patient in known if _agrees(patient, given)), None)
    record(
        session,
        actor=by.for_request(by.request_id, purpose),
        action="E",
        operation=OPERATION,
        resource_type="Patient",
        compartment=match,
        person_id=person_id if match else None,
        outcome=0 if match else 4,
        http=303 if match else 403,
    )
    if match:
        relations.confirm(session, match, purpose=purpose, now=now, hours=hours, by=by)
    return match is not None


def _refusals(session: Session, now: datetime, by: Actor) -> int:
    """Count this user's refusals in the window: the trail holds them for all web processes."""
    return (
        session.scalar(
            select(func.count())
            .select_from(AuditEventRow)
            .where(
                AuditEventRow.actor == by.id,
                AuditEventRow.at > now - WINDOW,
                AuditEventRow.operation == OPERATION,
                AuditEventRow.outcome == 4,
                # What this service refused; not a form that was not filled in, nor the pause itself.
                AuditEventRow.resource_type == "Patient",
            )
        )
        or 0
    )


def _agrees(patient: dict[str, Any], given: Given) -> bool:
    if given.count < NEEDED:
        return False
    if given.name and _plain(given.name) not in {_plain(name) for name in _names(patient)} - {""}:
        return False
    if given.birth_date is not None and (
        given.birth_date == PLACEHOLDER_BIRTH or patient.get("birthDate") != given.birth_date.isoformat()
    ):
        return False
    return not given.number or _plain(given.number) in {
        _plain(str(identifier.get("value", ""))) for identifier in patient.get("identifier") or ()
    }


def _names(patient: dict[str, Any]) -> set[str]:
    said = {name_of({"name": [name]}) for name in patient.get("name") or ()}
    return said | {f"{n.get('family', '')}{''.join(n.get('given') or ())}" for n in patient.get("name") or ()}


def _plain(text: str) -> str:
    return BETWEEN.sub("", unicodedata.normalize("NFKC", text)).casefold()
