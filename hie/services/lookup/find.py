"""Find a person (IHE ITI-78 in spirit): masked results, nobody restricted, one audit row."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from secrets import token_bytes

from sqlalchemy import select
from sqlalchemy.orm import Session

from hie.errors import NotPermitted
from hie.repository.search import Search, search
from hie.schema.mpi import Identity
from hie.security.actor import Actor
from hie.security.audit import record
from hie.security.policy import Decision, decide
from hie.services.lookup.masking import mask_identifier, mask_name
from hie.services.lookup.naming import name_of
from hie.services.lookup.people import patients
from hie.services.lookup.query import Query, parse_query

MOST = 20
SYNTAX = re.compile(r"[,$|\\]")
CARDS = ("urn:oid:", "http://", "https://")


@dataclass(frozen=True, slots=True)
class Found:
    """A person as shown before a relation; `is_open` says that the searcher has one already."""

    person_id: uuid.UUID
    name: str
    gender: str
    birth_year: str
    identifier: str
    facilities: tuple[str, ...]
    is_open: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What a search found; `more` says that there are more than are shown."""

    people: Sequence[Found]
    more: bool


def find_people(session: Session, text: str, *, now: datetime, zone: tzinfo, by: Actor) -> Answer:
    """Return the people that the words of the search box name, masked.

    Raises: NotPermitted if the role may not search; Unclear if the words are neither a number nor a name
        with a birth date.
    """
    decision = decide(by, "find", "Person", now=now)
    if not decision.allowed:
        raise NotPermitted
    how = Search(session, decision.where, zone, token_bytes(), now)
    identities = matching(how, parse_query(text, now.astimezone(zone).date()))
    persons = _persons(session, identities, decision)
    shown = persons[:MOST]
    record(
        session,
        actor=by,
        action="E",
        operation="portal.find",
        resource_type="Patient",
        detail={"found": len(shown)},
    )
    readable = decide(by, "everything", "*", now=now)
    related = set(
        session.scalars(select(Identity.person_id).where(Identity.person_id.in_(shown), readable.people))
    )
    people = [_masked(session, person, decision, is_open=person in related) for person in shown]
    return Answer([person for person in people if person], len(persons) > MOST)


def masked_person(session: Session, person_id: uuid.UUID, *, now: datetime, by: Actor) -> Found | None:
    """Return one person as a search shows them; None if a search would not, present or not."""
    decision = decide(by, "find", "Person", now=now)
    return _masked(session, person_id, decision, is_open=False) if decision.allowed else None


def matching(how: Search, query: Query) -> list[str]:
    """Return the ids of the Patients that a query names, within the reach of the search."""
    found: dict[str, None] = {}
    if query.number:
        found |= dict.fromkeys(_patient_ids(how, ("identifier", query.number)))
    if query.name and query.birth_date:
        born = ("birthdate", query.birth_date.isoformat())
        found |= dict.fromkeys(_patient_ids(how, ("name", SYNTAX.sub("", query.name)), born))
    return list(found)


def _patient_ids(how: Search, *asked: tuple[str, str]) -> list[str]:
    page = search(how, "Patient", [*asked, ("_count", str(MOST * 5))])
    return [id_ for _, id_, _ in page.matches]


def _persons(session: Session, identities: list[str], decision: Decision) -> list[uuid.UUID]:
    rows = session.scalars(
        select(Identity.person_id).where(Identity.id.in_(identities), decision.people).distinct()
    )
    return sorted(rows)


def _masked(session: Session, person_id: uuid.UUID, decision: Decision, *, is_open: bool) -> Found | None:
    rows = session.execute(
        select(Identity.id, Identity.facility).where(Identity.person_id == person_id, decision.people)
    ).all()
    known = patients(session, [identity for identity, _ in rows])
    if not rows:
        return None
    cards = [
        str(identifier["value"])
        for patient in known
        for identifier in patient.get("identifier") or ()
        if str(identifier.get("system", "")).startswith(CARDS) and identifier.get("value")
    ]
    return Found(
        person_id=person_id,
        name=mask_name(next((name for p in known if (name := name_of(p))), "")),
        gender=next((str(p["gender"]) for p in known if p.get("gender")), "unknown"),
        birth_year=next((str(p["birthDate"])[:4] for p in known if p.get("birthDate")), ""),
        identifier=mask_identifier(max(cards, key=len)) if cards else "",
        facilities=tuple(sorted({facility for _, facility in rows if facility})),
        is_open=is_open,
    )
