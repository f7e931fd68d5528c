"""Confirm who a person is: two identifiers and a purpose open a relation for a day (audited, throttled)."""

from __future__ import annotations

import re
import unicodedata
import uuid
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from esb.fhir.identifiers import is_placeholder
from hie.errors import NotFound, NotPermitted, TooManyTries
from hie.mpi import relations
from hie.schema.security import AuditEventRow
from hie.security.actor import Actor
from hie.security.audit import record_each
from hie.security.policy import decide
from hie.services.lookup.naming import name_of
from hie.services.lookup.people import patients, sources_of

OPERATION = "portal.confirm"
# HL7 v3 PurposeOfUse. COC, coordination of care, stands for a consultation.
PURPOSES = ("TREAT", "COC", "ETREAT", "CAREMGT", "PATRQT")
NEEDED = 2
MOST_REFUSALS = 5
WINDOW = timedelta(minutes=10)
ALONE = select(func.pg_advisory_xact_lock(func.hashtextextended(bindparam("user"), 0)))
BETWEEN = re.compile(r"[\s·•・.,'’-]+")


@dataclass(frozen=True, slots=True)
class Given:
    """What a doctor says about the person in front of them; empty text where nothing was said."""

    name: str = ""
    birth_date: date | None = None
    number: str = ""

    @property
    def count(self) -> int:
        """How many identifiers were given; what stands for "not known" is none."""
        return bool(_plain(self.name)) + bool(self.born) + bool(_plain(self.number))

    @property
    def born(self) -> str:
        """The birth date as FHIR writes it; empty where none, or the one that stands for "not known"."""
        text = self.birth_date.isoformat() if self.birth_date else ""
        return "" if is_placeholder(text) else text


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
    # One after the other: tries side by side would each be counted before any was refused.
    session.execute(ALONE, {"user": f"{OPERATION} {by.id}"})
    if _refusals(session, now, by) >= MOST_REFUSALS:
        raise TooManyTries
    try:
        sources = sources_of(session, person_id, "confirm", now, by)
        known = patients(session, [source.identity for source in sources])
    except NotFound:
        sources, known = [], []
    match = next((str(patient["id"]) for patient in known if _agrees(patient, given)), None)
    record_each(
        session,
        [source.identity for source in sources] if match else (),
        actor=by.for_request(by.request_id, purpose),
        action="E",
        operation=OPERATION,
        resource_type="Patient",
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
    """Return whether everything given agrees with a Patient; what says nothing counts on neither side."""
    if given.count < NEEDED:
        return False
    name, number = _plain(given.name), _plain(given.number)
    if name and name not in {_plain(known) for known in _names(patient)}:
        return False
    if given.born and given.born != patient.get("birthDate"):
        return False
    return not number or number in {
        _plain(str(identifier.get("value", ""))) for identifier in patient.get("identifier") or ()
    }


def _names(patient: dict[str, Any]) -> set[str]:
    said = {name_of({"name": [name]}) for name in patient.get("name") or ()}
    return said | {f"{n.get('family', '')}{''.join(n.get('given') or ())}" for n in patient.get("name") or ()}


def _plain(text: str) -> str:
    """Return a name or number as it is compared; empty where it stands for "not known"."""
    plain = BETWEEN.sub("", unicodedata.normalize("NFKC", text)).upper()
    return "" if is_placeholder(plain) else plain.casefold()
