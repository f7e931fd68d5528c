"""What a steward decides: link, unlink, not the same, undo. Each step is logged and can be undone."""

import uuid
from datetime import datetime

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from hie.errors import Conflict, NotFound
from hie.mpi.moves import (
    DECLARED,
    LINKED,
    UNDONE,
    UNLINKED,
    Move,
    apply_moves,
    close_reviews,
    drop_veto,
    is_vetoed,
    lock_identities,
    log_moves,
    members,
    new_person,
    pair,
    reopen_reviews,
    vetoes,
)
from hie.schema.mpi import Identity, NotSame, PersonLink
from hie.security.actor import Actor


def link(session: Session, identity: str, to: str, *, reason: str, now: datetime, by: Actor) -> uuid.UUID:
    """Bring an identity to the person of another one and return that person.

    Raises: NotFound; Conflict if it was declared not the same as a record of that person.
    """
    lock_identities(session, [identity, to])
    own, target = person_of(session, identity), person_of(session, to)
    theirs = members(session, [target])[target]
    if is_vetoed(vetoes(session, [identity]), [identity], theirs):
        raise Conflict("These records were declared not the same; take that back first.")
    if own != target:
        apply_moves(session, [Move(identity, own, target, LINKED, reason)], actor=by.id, now=now)
    for other in theirs:
        close_reviews(session, identity, other, "linked", actor=by.id, now=now)
    return target


def unlink(session: Session, identity: str, *, reason: str, now: datetime, by: Actor) -> uuid.UUID:
    """Give an identity a person of its own and return it.

    Raises: NotFound; Conflict if it is the only record of its person.
    """
    lock_identities(session, [identity])
    own = person_of(session, identity)
    if members(session, [own])[own] == [identity]:
        raise Conflict("This is the only record of its person; there is nothing to unlink.")
    person = new_person(session, now)
    apply_moves(session, [Move(identity, own, person, UNLINKED, reason)], actor=by.id, now=now)
    return person


def not_same(session: Session, one: str, other: str, *, reason: str, now: datetime, by: Actor) -> None:
    """Declare two identities different people; if they share a person, the second gets one of its own.

    Raises: NotFound.
    """
    lock_identities(session, [one, other])
    first, second = pair(one, other)
    if (first, second) in vetoes(session, [one]):
        return
    session.execute(insert(NotSame), [{"identity_a": first, "identity_b": second, "actor": by.id, "at": now}])
    person, shared = person_of(session, other), person_of(session, one)
    apart = new_person(session, now) if person == shared else person
    move = Move(other, person, apart, DECLARED, f"{one}: {reason}")
    apply_moves(session, [move], actor=by.id, now=now)
    close_reviews(session, one, other, "not_same", actor=by.id, now=now)


def undo(session: Session, seq: int, *, now: datetime, by: Actor) -> None:
    """Take back a step of the log; the step itself stays in the log, the undoing is added.

    The questions that the step answered are open again.

    Raises: NotFound; Conflict if a later step moved the identity, the step cannot be taken back, or the
    record would return to one that it was declared not the same as.
    """
    step = session.get(PersonLink, seq)
    if step is None:
        raise NotFound("There is no such step.")
    lock_identities(session, [step.identity])
    steps = select(PersonLink.seq).where(PersonLink.identity == step.identity)
    if session.scalar(steps.order_by(PersonLink.seq.desc()).limit(1)) != seq:
        raise Conflict("A later step concerns the same record; undo that one first.")
    if step.person_from is None:
        raise Conflict("This is how the record was registered; unlink it instead.")
    if step.reason == DECLARED:
        drop_veto(session, step.identity, step.detail.partition(":")[0])
    theirs = members(session, [step.person_from])[step.person_from]
    if is_vetoed(vetoes(session, [step.identity]), [step.identity], theirs):
        raise Conflict("It was declared not the same as a record of that person; take that back first.")
    reopen_reviews(session, step.identity, actor=step.actor, at=step.at)
    move = Move(step.identity, step.person_to, step.person_from, UNDONE, f"step {seq}")
    if step.person_to == step.person_from:
        log_moves(session, [move], actor=by.id, now=now)
    else:
        apply_moves(session, [move], actor=by.id, now=now)


def person_of(session: Session, identity: str) -> uuid.UUID:
    """Return the person of an identity. Raises: NotFound."""
    person = session.scalar(select(Identity.person_id).where(Identity.id == identity))
    if person is None:
        raise NotFound("There is no such patient record.")
    return person
