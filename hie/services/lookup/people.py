"""People as a portal user may know them: by the policy's reach, never beyond it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from esb.fhir import lexemes
from hie.errors import NotFound
from hie.schema.mpi import Identity
from hie.schema.repository import Resource
from hie.schema.security import Relation
from hie.security.actor import Actor
from hie.security.policy import decide
from hie.services.lookup.naming import name_of
from hie.services.lookup.sources import Source


@dataclass(frozen=True, slots=True)
class OpenPerson:
    """A person whose record a user may open now, and until when."""

    person_id: uuid.UUID
    name: str
    gender: str
    birth_date: str
    purpose: str
    until: datetime


def sources_of(session: Session, person_id: uuid.UUID, action: str, now: datetime, by: Actor) -> list[Source]:
    """Return the source records of a person that the actor may act on.

    Raises: NotFound if there are none, whether the person is absent or out of reach.
    """
    decision = decide(by, action, "Person" if action in ("find", "confirm") else "*", now=now)
    rows = session.execute(
        select(Identity.id, Identity.facility)
        .where(Identity.person_id == person_id, decision.people)
        .order_by(Identity.facility, Identity.id)
    ).all()
    if not rows:
        raise NotFound
    return [Source(identity, facility or "") for identity, facility in rows]


def purpose_of(session: Session, person_id: uuid.UUID, now: datetime, by: Actor) -> str:
    """Return the purpose for which the user's newest open relation was opened; the actor's own if none is."""
    found = session.scalar(
        select(Relation.purpose)
        .where(
            Relation.person_id == person_id,
            Relation.facility == (by.facility or ""),
            Relation.until > now,
            or_(Relation.username.is_(None), Relation.username == by.id),
        )
        .order_by(Relation.username.is_(None), Relation.opened_at.desc())
        .limit(1)
    )
    return found or by.purpose


def patients(session: Session, identities: Iterable[str]) -> list[dict[str, Any]]:
    """Return the Patient resources of identities whose reach was decided before."""
    wanted = list(identities)
    contents = session.scalars(
        select(Resource.content).where(
            Resource.compartment.in_(wanted),
            Resource.type == "Patient",
            Resource.id.in_(wanted),
            Resource.deleted.is_(False),
        )
    )
    return [lexemes.loads_kept(content) for content in contents]


def open_people(session: Session, now: datetime, by: Actor, limit: int = 20) -> list[OpenPerson]:
    """Return the people whose record this user opened by confirming, the newest first."""
    decision = decide(by, "everything", "*", now=now)
    if not decision.allowed or by.facility is None:
        return []
    rows = session.execute(
        select(Relation.person_id, func.max(Relation.until), func.max(Relation.purpose))
        .where(
            Relation.facility == by.facility,
            Relation.username == by.id,
            or_(Relation.kind == "confirmed", Relation.kind == "granted"),
            Relation.until > now,
        )
        .group_by(Relation.person_id)
        .order_by(func.max(Relation.opened_at).desc())
        .limit(limit)
    ).all()
    found = session.execute(
        select(func.min(Identity.id), Identity.person_id)
        .where(Identity.person_id.in_([row[0] for row in rows]), decision.people)
        .group_by(Identity.person_id)
    )
    reach = {str(identity): person_id for identity, person_id in found}
    shown = {reach[str(patient["id"])]: patient for patient in patients(session, reach)}
    return [
        OpenPerson(
            person_id,
            name_of(shown[person_id]),
            str(shown[person_id].get("gender", "")),
            str(shown[person_id].get("birthDate", "")),
            purpose,
            until,
        )
        for person_id, until, purpose in rows
        if person_id in shown
    ]
