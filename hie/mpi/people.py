"""Reads the index: which records a person has, whose record one is, and the person as FHIR R4 Person."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Text, any_, bindparam, select, true
from sqlalchemy.orm import Session, aliased

from hie.mpi.normalise import search_keys
from hie.schema.mpi import Identity, IdentityKey, PersonLink, ReviewItem

# Built once: to build them takes longer than PostgreSQL needs for them.
_OWN = aliased(Identity)
PERSONS = select(Identity.id, Identity.person_id).where(
    Identity.id == any_(bindparam("ids", type_=ARRAY(Text)))
)
AROUND = (
    select(Identity.id)
    .where(
        Identity.person_id == select(_OWN.person_id).where(_OWN.id == bindparam("around")).scalar_subquery()
    )
    .order_by(Identity.id)
)


@dataclass(frozen=True, slots=True)
class Review:
    """An open question: are these two records one person?"""

    id: int
    kind: str
    identity_a: str
    identity_b: str
    facility_a: str | None
    facility_b: str | None
    reason: str
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the log of an identity; is_undoable: the last one, and not how it was registered."""

    seq: int
    identity: str
    person_from: uuid.UUID | None
    person_to: uuid.UUID
    reason: str
    detail: str
    actor: str
    at: datetime
    is_undoable: bool


def person_of(session: Session, identity: str) -> uuid.UUID | None:
    """Return the person of a Patient id, or None."""
    return session.scalar(select(Identity.person_id).where(Identity.id == identity))


def persons_of(session: Session, identities: Iterable[str]) -> dict[str, uuid.UUID]:
    """Return the person of each Patient id that is known."""
    wanted = list(identities)
    if not wanted:
        return {}
    rows = session.connection().execute(PERSONS, {"ids": wanted})
    return {row.id: row.person_id for row in rows}


def compartments_of(
    session: Session, person: uuid.UUID, people: ColumnElement[bool] | None = None
) -> list[str]:
    """Return the Patient ids (compartments) of a person; with a decision's `people`, those it reaches."""
    query = select(Identity.id).where(Identity.person_id == person).order_by(Identity.id)
    return list(session.scalars(query.where(people if people is not None else true())))


def compartments_around(
    session: Session, identity: str, people: ColumnElement[bool] | None = None
) -> list[str]:
    """Return the Patient ids of the person that a Patient id belongs to; empty if it is not known."""
    query = AROUND if people is None else AROUND.where(people)
    return list(session.connection().scalars(query, {"around": identity}))


def identities_by_identifier(session: Session, value: str, system: str | None = None) -> list[str]:
    """Return the Patient ids that carry a personal identifier, with or without its system."""
    query = select(IdentityKey.identity).where(IdentityKey.key.in_(search_keys(value, system))).distinct()
    return sorted(session.scalars(query))


def person_resource(
    session: Session, person: uuid.UUID, people: ColumnElement[bool] | None = None
) -> dict[str, Any] | None:
    """Return the read-only FHIR Person that shows which Patients are linked, or None if none may be seen."""
    query = select(Identity).where(Identity.person_id == person).order_by(Identity.id)
    found = session.scalars(query.where(people if people is not None else true())).all()
    if not found:
        return None
    updated = max(identity.updated_at for identity in found)
    return {
        "resourceType": "Person",
        "id": str(person),
        "meta": {"lastUpdated": updated.isoformat(timespec="milliseconds")},
        "active": True,
        "link": [
            {"target": {"reference": f"Patient/{identity.id}", "type": "Patient"}, "assurance": "level3"}
            for identity in found
        ],
    }


def open_reviews(
    session: Session,
    people: ColumnElement[bool] | None = None,
    limit: int = 200,
    pair: tuple[str, str] | None = None,
) -> list[Review]:
    """Return the open review items, oldest first; with a decision's `people`, those it reaches.

    Args:
        pair: the two identities to which the items must belong, in either order.
    """
    other = aliased(Identity)
    reach = people if people is not None else true()
    visible = select(Identity.id).where(reach).correlate(None)
    query = (
        select(ReviewItem, Identity.facility, other.facility)
        .join(Identity, Identity.id == ReviewItem.identity_a)
        .join(other, other.id == ReviewItem.identity_b)
        .where(ReviewItem.state == "open", reach)
        .order_by(ReviewItem.id)
        .limit(limit)
    )
    if people is not None:
        query = query.where(other.id.in_(visible))
    if pair:
        query = query.where(ReviewItem.identity_a.in_(pair), ReviewItem.identity_b.in_(pair))
    return [
        Review(item.id, item.kind, item.identity_a, item.identity_b, one, two, item.reason, item.opened_at)
        for item, one, two in session.execute(query)
    ]


def steps_of(session: Session, identities: Sequence[str]) -> list[Step]:
    """Return the log of these identities, newest first."""
    query = select(PersonLink).where(PersonLink.identity.in_(identities)).order_by(PersonLink.seq.desc())
    steps: list[Step] = []
    seen: set[str] = set()
    for row in session.scalars(query):
        is_last = row.identity not in seen
        seen.add(row.identity)
        steps.append(
            Step(
                row.seq,
                row.identity,
                row.person_from,
                row.person_to,
                row.reason,
                row.detail,
                row.actor,
                row.at,
                is_last and row.person_from is not None,
            )
        )
    return steps
