"""Restricted people (beneficiaries and others): hidden from everybody without an explicit right."""

from datetime import datetime, timedelta

from sqlalchemy import insert, update
from sqlalchemy.orm import Session

from hie.directory.clients import check_facility
from hie.errors import Rejected
from hie.mpi.links import person_of
from hie.schema.directory import AppUser
from hie.schema.mpi import Identity
from hie.schema.security import Relation
from hie.security import audit
from hie.security.actor import Actor

MOST_DAYS = 3650


def restrict(session: Session, patient: str, *, reason: str, by: Actor) -> None:
    """Hide the person of a Patient id. Raises: NotFound."""
    _mark(session, patient, hidden=True, reason=reason, by=by)


def lift(session: Session, patient: str, *, reason: str, by: Actor) -> None:
    """Take the restriction off every record of the person. Raises: NotFound."""
    _mark(session, patient, hidden=False, reason=reason, by=by)


def grant(
    session: Session,
    patient: str,
    *,
    facility: str,
    username: str | None,
    days: int,
    reason: str,
    now: datetime,
    by: Actor,
) -> None:
    """Give a facility, or one user of it, the explicit right to a restricted person.

    Raises: NotFound; Rejected for a facility or user that is not registered, or days out of range.
    """
    check_facility(session, facility)
    user = session.get(AppUser, username) if username is not None else None
    if username is not None and (user is None or user.facility != facility):
        raise Rejected(f"Facility {facility} has no such user; add the user first with `hie user add`.")
    if not 1 <= days <= MOST_DAYS:
        raise Rejected(f"A right is given for 1 to {MOST_DAYS} days.")
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
