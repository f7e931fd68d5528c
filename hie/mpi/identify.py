"""Finds the person behind source records as they arrive (ITI-104 Patient Identity Feed), a batch at a time.

Rule: an exact identifier and the same name and birth date link; an exact identifier with another name or
birth date opens a review item; what a person decided outranks both. A facility's merge (A40) is followed.
"""

import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import delete, or_, update
from sqlalchemy.orm import Session

from hie.mpi.locks import identity_lock, lock
from hie.mpi.moves import MATCHED, MERGED, REGISTERED, Move, is_vetoed, open_reviews, pair
from hie.mpi.normalise import SINGLE, Demographics, demographics, system_of_key
from hie.mpi.world import Known, World, load_world, same_as_stored, store_world
from hie.schema.mpi import Identity, IdentityKey, ReviewItem

SAME = "the same identifier, name and birth date"
DIFFERENT = "the same identifier, but name or birth date differ"
TWO_NUMBERS = "name, birth date and an identifier agree, but another number of the same kind differs"
CHANGED = "name or birth date changed and no longer agree with the other records of the person"
DECIDED = "data says they are the same, but a person decided otherwise"
ACROSS = "the facility merged its record into one of another facility"
# What the sender of a record is told when a question about it was opened; whose the other is stays unsaid.
ASK_SENDER = {
    "disagreement": "Another record has the same number, but another name or birth date; check all three at"
    " the registration desk. The record is stored apart until the region's identity desk has looked.",
    "suggestion": "Another record has the same number, name and birth date, but another number of the same"
    " kind differs; check the numbers. The region's identity desk is asked too.",
    "changed": "Name or birth date changed and no longer agree with the person's other records; check them."
    " The region's identity desk is asked too.",
}


@dataclass(frozen=True, slots=True)
class Source:
    """A source patient record as just stored: the Patient's id, who wrote it, and its content."""

    id: str
    facility: str | None
    patient: dict[str, Any]


class Identified(NamedTuple):
    """What became of source records, by Patient id.

    persons: the person of each. doubts: what its sender should look at, where a question was opened.
    """

    persons: dict[str, uuid.UUID]
    doubts: dict[str, str]


@dataclass(slots=True)
class _Result:
    moves: list[Move] = field(default_factory=list)
    reviews: list[tuple[str, str, str, str]] = field(default_factory=list)


def identify(session: Session, source: Source, now: datetime, actor: str = "mpi") -> uuid.UUID:
    """Return the person of one source record; see `identify_many`."""
    return identify_many(session, [source], now, actor).persons[source.id]


def identify_many(
    session: Session, sources: Sequence[Source], now: datetime, actor: str = "mpi"
) -> Identified:
    """Register or update source records and return what became of each, by Patient id.

    Concurrent registrations of one human wait for each other, and so do decisions about a record that moves
    along: once it is known to move, it is locked and the batch judged again upon what is there by then.
    Persons, keys, log and review items are written in the caller's transaction.
    """
    latest = {source.id: source for source in sources}
    stated = {source.id: demographics(source.patient) for source in latest.values()}
    persons, known = same_as_stored(session, stated)
    todo = [s for s in latest.values() if s.id not in known or successor_of(s.patient)]
    if not todo:
        return Identified(persons, {})
    successors = {s.id: successor for s in todo if (successor := successor_of(s.patient))}
    ids = [s.id for s in todo] + list(successors.values())
    keys = {key for s in todo for key in stated[s.id].keys}
    locked, wanted = set[int](), {*keys, *map(identity_lock, ids)}
    while wanted:
        lock(session, wanted)
        locked |= wanted
        world, result = load_world(session, ids, keys), _Result()
        for source in todo:
            _identify(world, result, source, stated[source.id])
        for identity, successor in successors.items():
            _follow_merge(world, result, latest[identity], successor)
        wanted = _at_stake(world, result) - locked
    store_world(session, world, result.moves, actor=actor, now=now)
    open_reviews(session, result.reviews, now)
    persons |= {s.id: world.known[s.id].person for s in todo}
    return Identified(persons, _doubts(world, result, stated.keys()))


def _doubts(world: World, result: _Result, sent: Collection[str]) -> dict[str, str]:
    """Return what to tell the senders; nothing that would give away a restricted person."""
    found: dict[str, str] = {}
    for kind, one, other, _ in result.reviews:
        hidden = world.members[world.known[other].person]
        if kind in ASK_SENDER and one in sent and not any(world.known[i].is_restricted for i in hidden):
            found.setdefault(one, ASK_SENDER[kind])
    return found


def _at_stake(world: World, result: _Result) -> set[int]:
    """Return the locks of all records of the persons that records are to leave or to join."""
    persons = {p for move in result.moves if move.person_from for p in (move.person_from, move.person_to)}
    members = {identity for person in persons for identity in world.members[person]}
    members |= {move.identity for move in result.moves if move.person_from}
    keys = {key for one in members for key in world.known[one].demographics.keys}
    stored = (world.stored_keys.get(one, frozenset()) for one in members)
    return keys.union(*stored, map(identity_lock, members))


def forget(session: Session, identities: Sequence[str], now: datetime, actor: str = "mpi") -> None:
    """Take from the index what deleted Patients were known by; where they were linked and the log stay."""
    lock(session, map(identity_lock, identities))
    session.execute(delete(IdentityKey).where(IdentityKey.identity.in_(identities)))
    nothing = {"name_norm": None, "birth_date": None, "gender": None, "updated_at": now}
    session.execute(update(Identity).where(Identity.id.in_(identities)).values(nothing))
    is_asked = or_(ReviewItem.identity_a.in_(identities), ReviewItem.identity_b.in_(identities))
    closed = {"state": "closed", "closed_at": now, "closed_by": actor}
    session.execute(update(ReviewItem).where(is_asked, ReviewItem.state == "open").values(closed))


def successor_of(patient: dict[str, Any]) -> str | None:
    """Return the id of the Patient that replaced this one (Patient.link, type replaced-by), or None."""
    for link in patient.get("link") or ():
        reference = str((link.get("other") or {}).get("reference", ""))
        if link.get("type") == "replaced-by" and reference.startswith("Patient/"):
            return reference.removeprefix("Patient/").partition("/")[0]
    return None


def _identify(world: World, result: _Result, source: Source, stated: Demographics) -> None:
    mine = world.known.get(source.id)
    if mine is not None and mine.demographics == stated and not mine.is_bare:
        return
    candidates = sorted(world.sharing(stated.keys) - {source.id})
    agreeing = [c for c in candidates if world.known[c].demographics.agrees_with(stated)]
    targets = list(dict.fromkeys(world.known[c].person for c in agreeing))
    if mine is None:
        joined = next((p for p in targets if _obstacle(world, [source.id], p, stated) is None), None)
        person = joined or world.add_person()
        world.add(source.id, source.facility, person, stated)
        why = (MATCHED, SAME) if joined else (REGISTERED, "")
        result.moves.append(Move(source.id, None, person, *why))
    else:
        world.change(source.id, stated)
        if mine.facility is None and source.facility is not None:
            _arrive(world, result, mine, source.facility)
        _check_change(world, result, source.id)
    for target in targets:
        _join(world, result, source.id, target, agreeing)
    own = world.known[source.id].person
    for candidate in candidates:
        if candidate not in agreeing and world.known[candidate].person != own:
            _review(world, result, "disagreement", source.id, candidate, DIFFERENT)


def _arrive(world: World, result: _Result, mine: Known, facility: str) -> None:
    """Give a record that was only spoken of its facility; ask about what others merged into it before.

    Where others are with it, it goes by itself with what its own facility merged into it; but it stays where
    no other facility merged: the others then came to a record of its own facility.
    """
    mine.facility = facility
    others = [world.known[i] for i in sorted(world.members[mine.person] - {mine.id})]
    strangers = [other for other in others if other.facility != facility]
    merged = [other for other in others if other.id in world.merged.get(mine.id, ())]
    is_at_home = bool(merged) and all(other.facility == facility for other in merged)
    if not strangers or mine.is_decided or is_at_home:
        return
    person, left = world.add_person(), mine.person
    result.moves.append(Move(mine.id, left, person, REGISTERED))
    world.move(mine.id, person)
    for other in merged:
        if other.facility == facility and not other.is_decided:
            result.moves.append(Move(other.id, left, person, MERGED, mine.id))
            world.move(other.id, person)
    for stranger in strangers:
        _review(world, result, "merge", stranger.id, mine.id, ACROSS)


def _join(world: World, result: _Result, identity: str, target: uuid.UUID, agreeing: Iterable[str]) -> None:
    """Bring the identity's person and the target together, or say why not."""
    own = world.known[identity].person
    if own == target:
        return
    ours = world.members[own]
    obstacle = _obstacle(world, ours, target)
    twin = next((c for c in agreeing if world.known[c].person == target), None)
    if obstacle is None:
        for member in sorted(ours):
            result.moves.append(Move(member, own, target, MATCHED, SAME))
            world.move(member, target)
    elif twin is not None:
        _review(world, result, "suggestion", identity, twin, obstacle)


def _obstacle(
    world: World, ours: Iterable[str], target: uuid.UUID, stated: Demographics | None = None
) -> str | None:
    """Return why these identities may not join a person by themselves, or None."""
    theirs = world.members[target]
    is_decided = any(world.known[i].is_decided for i in ours if i in world.known)
    # Who was put by itself is not brought back by what another record says.
    is_apart = bool(theirs) and all(world.known[i].is_apart for i in theirs)
    if is_decided or is_apart or is_vetoed(world.vetoed, ours, theirs):
        return DECIDED
    our_keys = stated.keys if stated else {k for i in ours for k in world.known[i].demographics.keys}
    their_keys = {key for i in theirs for key in world.known[i].demographics.keys}
    for system in SINGLE:
        one = {key for key in our_keys if system_of_key(key) == system}
        other = {key for key in their_keys if system_of_key(key) == system}
        if one and other and one.isdisjoint(other):
            return TWO_NUMBERS
    return None


def _check_change(world: World, result: _Result, identity: str) -> None:
    """Ask for a look where a changed record no longer agrees with any other record of its person."""
    mine = world.known[identity]
    others = sorted(i for i in world.members[mine.person] - {identity} if not world.known[i].is_bare)
    if not others or mine.is_decided:
        return
    if not any(world.known[other].demographics.agrees_with(mine.demographics) for other in others):
        _review(world, result, "changed", identity, others[0], CHANGED)


def _follow_merge(world: World, result: _Result, source: Source, successor: str) -> None:
    """Bring a record that its facility merged into another to that one's person (HL7 v2 A40).

    Whose record a successor is that has not arrived is not known before it does: the first facility to name
    it is followed, and another that does so too is asked about, lest the two share a person unseen.
    """
    if successor not in world.known:
        person = world.add_person()
        world.add(successor, None, person, None)
        result.moves.append(Move(successor, None, person, REGISTERED))
    mine, other = world.known[source.id], world.known[successor]
    if mine.person == other.person:
        return
    if not _may_be_of(world, mine.facility, other):
        _review(world, result, "merge", source.id, successor, ACROSS)
    elif mine.is_decided or is_vetoed(world.vetoed, [source.id], world.members[other.person]):
        _review(world, result, "merge", source.id, successor, DECIDED)
    else:
        result.moves.append(Move(source.id, mine.person, other.person, MERGED, successor))
        world.move(source.id, other.person)


def _may_be_of(world: World, facility: str | None, record: Known) -> bool:
    """Say whether a record is this facility's, or, not arrived, shares a person with no other's."""
    if not (record.is_bare and record.facility is None):
        return record.facility == facility
    others = world.members[record.person] - {record.id}
    return all(world.known[other].facility == facility for other in others)


def _review(world: World, result: _Result, kind: str, one: str, other: str, why: str) -> None:
    """Note a review item, unless people already said that these two are not the same."""
    if pair(one, other) not in world.vetoed:
        result.reviews.append((kind, one, other, why))
