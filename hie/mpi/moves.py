"""The one way an identity gets to a person: moved and logged, with the relations that arose from it.

The log is append-only. No clinical row is touched: they point at the identity.
"""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, exists, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session, aliased

from hie.mpi.locks import identity_lock, lock
from hie.schema.bulk import copy_in
from hie.schema.mpi import Identity, NotSame, Person, PersonLink, ReviewItem
from hie.schema.security import Relation

# Reasons in the log. A person's decision outranks what data says afterwards.
REGISTERED, MATCHED, MERGED = "registered", "matched", "merged by the facility"
LINKED, UNLINKED, DECLARED, UNDONE = "linked", "unlinked", "declared not the same", "undone"
APART = frozenset({UNLINKED, DECLARED})
MANUAL = frozenset({LINKED, UNLINKED, DECLARED, UNDONE})


@dataclass(frozen=True, slots=True)
class Move:
    """One move of an identity, as the log keeps it."""

    identity: str
    person_from: uuid.UUID | None
    person_to: uuid.UUID
    reason: str
    detail: str = ""


def new_person(session: Session, now: datetime) -> uuid.UUID:
    """Add a person and return its id."""
    person = uuid.uuid4()
    session.execute(insert(Person), [{"id": person, "created_at": now}])
    return person


def apply_moves(session: Session, moves: Sequence[Move], *, actor: str, now: datetime) -> None:
    """Move identities and write the log; relations that arose from an identity go with it."""
    if not moves:
        return
    log_moves(session, moves, actor=actor, now=now)
    for move in moves:
        if move.person_from is None or move.person_from == move.person_to:
            continue
        where = Identity.id == move.identity
        session.execute(update(Identity).where(where).values(person_id=move.person_to, updated_at=now))
        session.execute(
            update(Relation).where(Relation.identity == move.identity).values(person_id=move.person_to)
        )


def log_moves(session: Session, moves: Sequence[Move], *, actor: str, now: datetime) -> None:
    """Append to the log of links."""
    columns = ("identity", "person_from", "person_to", "reason", "detail", "actor", "at")
    rows = ((m.identity, m.person_from, m.person_to, m.reason, m.detail, actor, now) for m in moves)
    copy_in(session, PersonLink.__tablename__, columns, rows)


def members(session: Session, persons: Iterable[uuid.UUID]) -> dict[uuid.UUID, list[str]]:
    """Return the identities of each person, in order of their ids."""
    wanted = list(persons)
    found: dict[uuid.UUID, list[str]] = {person: [] for person in wanted}
    query = (
        select(Identity.person_id, Identity.id).where(Identity.person_id.in_(wanted)).order_by(Identity.id)
    )
    for person, identity in session.execute(query):
        found[person].append(identity)
    return found


def pair(one: str, other: str) -> tuple[str, str]:
    """Return two identities in the order a pair is stored."""
    return (one, other) if one < other else (other, one)


def vetoes(session: Session, identities: Iterable[str]) -> set[tuple[str, str]]:
    """Return the pairs declared not the same that name one of these identities."""
    wanted = list(identities)
    query = select(NotSame.identity_a, NotSame.identity_b).where(
        or_(NotSame.identity_a.in_(wanted), NotSame.identity_b.in_(wanted))
    )
    return {(one, other) for one, other in session.execute(query)}


def is_vetoed(pairs: set[tuple[str, str]], ours: Iterable[str], theirs: Iterable[str]) -> bool:
    """Say whether any two of them were declared not the same."""
    others = list(theirs)
    return any(pair(one, other) in pairs for one in ours for other in others)


def open_reviews(session: Session, items: Iterable[tuple[str, str, str, str]], now: datetime) -> None:
    """Open review items (kind, identity, identity, reason) unless the pair has an open one."""
    rows = []
    for kind, one, other, reason in items:
        first, second = pair(one, other)
        if first != second:
            rows.append(
                {
                    "kind": kind,
                    "identity_a": first,
                    "identity_b": second,
                    "reason": reason,
                    "state": "open",
                    "opened_at": now,
                }
            )
    if rows:
        session.execute(upsert(ReviewItem).on_conflict_do_nothing(), rows)


def close_reviews(session: Session, one: str, other: str, state: str, *, actor: str, now: datetime) -> None:
    """Close the open review item of a pair."""
    first, second = pair(one, other)
    session.execute(
        update(ReviewItem)
        .where(ReviewItem.identity_a == first, ReviewItem.identity_b == second, ReviewItem.state == "open")
        .values(state=state, closed_at=now, closed_by=actor)
    )


def reopen_reviews(session: Session, identity: str, *, actor: str, at: datetime) -> None:
    """Open again the review items of an identity that a step closed, unless the pair has an open one."""
    again = aliased(ReviewItem)
    is_asked = exists().where(
        again.identity_a == ReviewItem.identity_a,
        again.identity_b == ReviewItem.identity_b,
        again.state == "open",
    )
    session.execute(
        update(ReviewItem)
        .where(
            or_(ReviewItem.identity_a == identity, ReviewItem.identity_b == identity),
            ReviewItem.closed_at == at,
            ReviewItem.closed_by == actor,
            ~is_asked,
        )
        .values(state="open", closed_at=None, closed_by=None)
    )


def drop_veto(session: Session, one: str, other: str) -> None:
    """Take back that two identities are not the same."""
    first, second = pair(one, other)
    session.execute(delete(NotSame).where(NotSame.identity_a == first, NotSame.identity_b == second))


def lock_identities(session: Session, identities: Iterable[str]) -> None:
    """Keep others from moving these identities until the transaction ends."""
    lock(session, [identity_lock(identity) for identity in identities])
