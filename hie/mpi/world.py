"""The part of the index that a batch of registrations touches: read once, changed, written once."""

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from sqlalchemy import ARRAY, BigInteger, Select, Text, any_, bindparam, func, select, text, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session, aliased

from hie.mpi.moves import APART, MANUAL, MERGED, Move, log_moves, vetoes
from hie.mpi.normalise import Demographics
from hie.schema.bulk import copy_in
from hie.schema.mpi import Identity, IdentityKey, Person, PersonLink
from hie.schema.security import Relation

ALTERED = ("facility", "person_id", "name_norm", "birth_date", "gender", "updated_at")
ALTER = update(Identity).where(Identity.id == bindparam("b_id")).values({n: bindparam(n) for n in ALTERED})
BARE = Demographics(None, None, None, frozenset())

# Built once, with one array each whatever the number of ids: built, prepared and planned a single time.
KNOWN = (
    select(
        Identity.id,
        Identity.facility,
        Identity.person_id,
        Identity.name_norm,
        Identity.birth_date,
        Identity.gender,
        Identity.restricted,
        func.array_remove(func.array_agg(IdentityKey.key), None),
    )
    .outerjoin(IdentityKey, IdentityKey.identity == Identity.id)
    .group_by(Identity.id)
)
IDS = any_(bindparam("ids", type_=ARRAY(Text)))
BY_ID = KNOWN.where(Identity.id == IDS)
_NAMED = aliased(Identity)
BY_PERSON = KNOWN.where(Identity.person_id.in_(select(_NAMED.person_id).where(_NAMED.id == IDS)))
SHARING = select(IdentityKey.identity).where(
    IdentityKey.key == any_(bindparam("keys", type_=ARRAY(BigInteger)))
)


@dataclass(slots=True)
class Known:
    """An identity as it stands.

    is_bare: only its id is known. is_decided: a steward placed it. is_apart: a steward put it by itself.
    is_restricted: hidden without a right.
    """

    id: str
    facility: str | None
    person: uuid.UUID
    demographics: Demographics
    is_bare: bool = False
    is_decided: bool = False
    is_apart: bool = False
    is_restricted: bool = False


@dataclass(slots=True)
class World:
    """Identities with their persons, keys and vetoes, and what of it has changed.

    merged: by a successor that had not arrived when last stored, the identities ever merged into it.
    """

    known: dict[str, Known] = field(default_factory=dict)
    members: dict[uuid.UUID, set[str]] = field(default_factory=dict)
    by_key: dict[int, set[str]] = field(default_factory=dict)
    vetoed: set[tuple[str, str]] = field(default_factory=set)
    merged: dict[str, set[str]] = field(default_factory=dict)
    new_persons: list[uuid.UUID] = field(default_factory=list)
    added: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    stored_keys: dict[str, frozenset[int]] = field(default_factory=dict)

    def sharing(self, keys: Iterable[int]) -> set[str]:
        """Return the identities that carry one of these keys."""
        return {identity for key in keys for identity in self.by_key.get(key, ())}

    def add_person(self) -> uuid.UUID:
        """Add a person without identities."""
        person = uuid.uuid4()
        self.new_persons.append(person)
        self.members[person] = set()
        return person

    def add(
        self, identity: str, facility: str | None, person: uuid.UUID, stated: Demographics | None
    ) -> None:
        """Add an identity to a person; without demographics it is bare."""
        self._enter(Known(identity, facility, person, stated or BARE, is_bare=stated is None))
        self.added.add(identity)

    def change(self, identity: str, stated: Demographics) -> None:
        """Give an identity its new demographics."""
        known = self.known[identity]
        for key in known.demographics.keys - stated.keys:
            self.by_key[key].discard(identity)
        for key in stated.keys:
            self.by_key.setdefault(key, set()).add(identity)
        known.demographics, known.is_bare = stated, False
        self.changed.add(identity)

    def move(self, identity: str, person: uuid.UUID) -> None:
        """Put an identity under another person."""
        known = self.known[identity]
        self.members[known.person].discard(identity)
        self.members.setdefault(person, set()).add(identity)
        known.person = person

    def _enter(self, known: Known) -> None:
        self.known[known.id] = known
        self.members.setdefault(known.person, set()).add(known.id)
        for key in known.demographics.keys:
            self.by_key.setdefault(key, set()).add(known.id)


def same_as_stored(
    session: Session, stated: Mapping[str, Demographics]
) -> tuple[dict[str, uuid.UUID], set[str]]:
    """Return the persons of those identities whose demographics are stored just so, and their ids."""
    rows = _identities(session, BY_ID, list(stated))
    unchanged = {known.id: known.person for known in rows if known.demographics == stated[known.id]}
    return unchanged, set(unchanged)


def load_world(session: Session, identities: Iterable[str], keys: Iterable[int]) -> World:
    """Return these identities, those that share a key with them, and all members of their persons."""
    wanted = set(identities)
    wanted |= set(session.connection().scalars(SHARING, {"keys": list(keys)}))
    world = World()
    for known in _identities(session, BY_PERSON, sorted(wanted)):
        world._enter(known)
        world.stored_keys[known.id] = known.demographics.keys
    if world.known:
        world.vetoed = vetoes(session, world.known)
        for identity, reason in _decided(session, list(world.known)):
            world.known[identity].is_decided = True
            world.known[identity].is_apart = reason in APART
        for identity, successor in _merged(session, world.known.values()):
            world.merged.setdefault(successor, set()).add(identity)
    return world


def store_world(session: Session, world: World, moves: Sequence[Move], *, actor: str, now: datetime) -> None:
    """Write what changed: persons, identities, keys, the log, and the relations that moved along."""
    if world.new_persons:
        copy_in(session, Person.__tablename__, ("id", "created_at"), ((p, now) for p in world.new_persons))
    if world.added:
        rows = [_row(world.known[i], now) for i in sorted(world.added)]
        copy_in(session, Identity.__tablename__, tuple(rows[0]), (tuple(row.values()) for row in rows))
    moved = {m.identity for m in moves if m.person_from is not None}
    altered = sorted((world.changed | moved) - world.added)
    if altered:
        session.connection().execute(ALTER, [_row(world.known[i], now) | {"b_id": i} for i in altered])
    _store_keys(session, world)
    if moves:
        log_moves(session, moves, actor=actor, now=now)
    for identity in sorted(moved):
        person = world.known[identity].person
        session.execute(update(Relation).where(Relation.identity == identity).values(person_id=person))


def _store_keys(session: Session, world: World) -> None:
    gone, come = [], []
    for identity in sorted(world.added | world.changed):
        now = world.known[identity].demographics.keys
        before = world.stored_keys.get(identity, frozenset())
        gone += [{"key": key, "identity": identity} for key in sorted(before - now)]
        come += [{"key": key, "identity": identity} for key in sorted(now - before)]
    if gone:
        session.execute(text("DELETE FROM identity_key WHERE key = :key AND identity = :identity"), gone)
    if come:
        rows = ((row["key"], row["identity"]) for row in come)
        copy_in(session, IdentityKey.__tablename__, ("key", "identity"), rows)


def _row(known: Known, now: datetime) -> dict[str, object]:
    return {
        "id": known.id,
        "facility": known.facility,
        "person_id": known.person,
        "name_norm": known.demographics.name,
        "birth_date": known.demographics.birth_date,
        "gender": known.demographics.gender,
        "updated_at": now,
    }


def _identities(session: Session, query: Select[Any], ids: list[str]) -> list[Known]:
    found = []
    rows = session.connection().execute(query, {"ids": ids})
    for id_, facility, person, name, birth_date, gender, restricted, keys in rows:
        born: date | None = birth_date
        stored = Demographics(name, born, gender, frozenset(keys))
        bare = stored == BARE
        found.append(Known(id_, facility, person, stored, is_bare=bare, is_restricted=restricted))
    return found


def _decided(session: Session, identities: Sequence[str]) -> list[tuple[str, str]]:
    """Return those whose last move was a person's decision, and which."""
    query = (
        select(PersonLink.identity, PersonLink.reason)
        .where(PersonLink.identity.in_(identities))
        .ext(distinct_on(PersonLink.identity))
        .order_by(PersonLink.identity, PersonLink.seq.desc())
    )
    return [(identity, reason) for identity, reason in session.execute(query) if reason in MANUAL]


def _merged(session: Session, known: Collection[Known]) -> list[tuple[str, str]]:
    """Return who was merged into those whose facility is not known yet, as (identity, successor)."""
    awaited = [one.id for one in known if one.facility is None]
    if not awaited:
        return []
    query = select(PersonLink.identity, PersonLink.detail).where(
        PersonLink.identity.in_([one.id for one in known]),
        PersonLink.reason == MERGED,
        PersonLink.detail.in_(awaited),
    )
    return [(identity, successor) for identity, successor in session.execute(query)]
