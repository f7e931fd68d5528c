"""Restricted people (beneficiaries and others): hidden from everybody without an explicit right."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import insert, update
from sqlalchemy.orm import Session

from hie.mpi.links import person_of
from hie.schema.mpi import Identity
from hie.schema.security import Relation
from hie.security import audit
from hie.security.actor import Actor


def restrict(session: Session, patient: str, *, reason: str, by: Actor) -> None:
    """Hide the person of a Patient id. Raises: NotFound."""
    _mark(session, patient, hidden=True, reason=reason, by=by)


def lift(session: Session, patient: str, *, reason: str, by: Actor) -> None:
    """Take the restriction off every record of the person. Raises: NotFound."""
    _mark(session, patient, hidden=False, reason=reason, by=by)


def grant(
    session: Session, patient: str, *, facility: str, username: str | None, days: int, reason: str, by: Actor
) -> None:
    """Give a facility, or one user of it, the explicit right to a restricted person. Raises: NotFound."""
    now = datetime.now(UTC)
    person = person_of(session, patient)
    session.execute(
        insert(Relation),
        [
            {
                "facility": facility,
                "person_id": person,
                "identity": patient,
                "username": username,
                "kind": "granted",
                "purpose": "TREAT",
                "opened_at": now,
                "until": now + timedelta(days=days),
            }
        ],
    )
    audit.record(
        session,
        actor=by,
        action="C",
        operation="restrict.grant",
        resource_type="Patient",
        resource_id=patient,
        compartment=patient,
        person_id=person,
        http=None,
        detail={"facility": facility, "username": username, "days": days, "reason": reason},
    )


def _mark(session: Session, patient: str, *, hidden: bool, reason: str, by: Actor) -> None:
    person = person_of(session, patient)
    where = Identity.id == patient if hidden else Identity.person_id == person
    session.execute(update(Identity).where(where).values(restricted=hidden))
    audit.record(
        session,
        actor=by,
        action="U",
        operation="restrict" if hidden else "restrict.lift",
        resource_type="Patient",
        resource_id=patient,
        compartment=patient,
        person_id=person,
        http=None,
        detail={"reason": reason},
    )
