"""Conditional interactions: which resources criteria mean, one asker at a time (http.html#ccreate)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import ARRAY, BigInteger, ColumnElement, bindparam, func, select, true
from sqlalchemy.orm import Session

from esb.fhir.search_parameters import PARAMETERS
from esb.fhir.types import RESOURCE_TYPES
from hie.api import asking, binaries
from hie.api.recording import NEUTRAL
from hie.errors import NotFound, NotPermitted, NotValid, PreconditionFailed
from hie.repository import read as repository_read
from hie.repository.conditions import Condition
from hie.repository.contents import BINARY
from hie.repository.query import FORM, Reading, pairs, parse
from hie.repository.read import Stored
from hie.repository.search import is_quick, limited
from hie.repository.shaped import Shaped
from hie.schema.repository import Resource

# Parameters that many resources can share say nothing about who must wait for whom.
SINGLING = frozenset({"identifier", "_id", "url"})
# Criteria share so many locks: one request cannot fill the server's lock table.
LOCKS = 4096
FIRST_LOCK = 0x434F4E44 << 32

Conditions = Sequence[Condition]


@dataclass(frozen=True, slots=True)
class Known:
    """A resource that criteria found."""

    type: str
    id: str
    compartment: str


def pairs_of(criteria: str) -> list[tuple[str, str]]:
    """Return the (name, value) pairs of criteria, without what is about the form of an answer.

    Raises: NotValid.
    """
    found = pairs(criteria.removeprefix("?"))
    return [pair for pair in found if pair[0] not in FORM]


def same_words(type_: str, criteria: str) -> str:
    """Return criteria in one order and one case, so that equal ones are equal texts."""
    words = (f"{name}={_alike(type_, name, value)}" for name, value in pairs_of(criteria))
    return f"{type_}?" + "&".join(sorted(words))


def _alike(type_: str, name: str, value: str) -> str:
    """Return a value as it is compared: the code of a token in one case."""
    parameter = PARAMETERS.get(type_, {}).get(name)
    if parameter is None or parameter.kind != "token" or name == "_id":
        return value
    parts = (part.rpartition("|") for part in value.split(","))
    return ",".join(system + bar + code.lower() for system, bar, code in parts)


def locks_of(type_: str, criteria: str) -> set[int]:
    """Return the numbers of the locks of some criteria.

    Criteria that may mean the same resource share one, as `identifier=a` and `identifier=urn:x|a&active=true`
    do.
    """
    words = {
        f"{type_}?{name}={part.rpartition('|')[2].lower()}"
        for name, value in pairs_of(criteria)
        if name in SINGLING
        for part in value.split(",")
    }
    return {_number(word) for word in words or {same_words(type_, criteria)}}


def _number(words: str) -> int:
    return FIRST_LOCK + int.from_bytes(sha256(words.encode("utf-8", "surrogatepass")).digest()[:8]) % LOCKS


def lock(session: Session, numbers: Iterable[int]) -> None:
    """Hold locks until the transaction ends, taken in order; the second sees what the first wrote."""
    wanted = sorted(set(numbers))
    if wanted:
        given = func.unnest(bindparam("numbers", wanted, type_=ARRAY(BigInteger))).column_valued("number")
        session.execute(select(func.pg_advisory_xact_lock(given)))


def match(
    session: Session, type_: str, criteria: str, where: ColumnElement[bool], *, alone: bool = False
) -> Known | None:
    """Return the one resource that matches criteria among all rows, or None.

    Args:
        where: the policy's condition; a match beyond it gives a neutral NotPermitted.
        alone: be the only one with these criteria until the transaction ends.

    Raises: PreconditionFailed if several match; NotValid for criteria that cannot be searched by.
    """
    found = match_all(session, type_, criteria, where, most=1, alone=alone)
    return found[0] if found else None


def match_all(
    session: Session, type_: str, criteria: str, where: ColumnElement[bool], *, most: int, alone: bool = False
) -> list[Known]:
    """Return all resources that match criteria, if they are not more than `most`; else as `match`."""
    conditions = read(session, type_, criteria)
    if alone:
        lock(session, locks_of(type_, criteria))
        conditions = read_again(session, type_, criteria, conditions)
    return find(session, type_, conditions, where, most=most)


def stored(session: Session, known: Known, where: ColumnElement[bool]) -> Stored:
    """Return what a condition found. Raises: NotPermitted for a Binary that may not be read."""
    if known.type != BINARY:
        return repository_read.read(session, known.type, known.id, where)
    try:
        return binaries.read_one(session, known.id, where)
    except NotFound:
        raise NotPermitted(NEUTRAL) from None


def read(session: Session, type_: str, criteria: str) -> Conditions:
    """Return the conditions that criteria stand for. Raises: NotValid, also for none at all."""
    if type_ not in RESOURCE_TYPES:
        raise NotValid("There is no such resource type in FHIR R4.")
    how = Reading(asking.hub().config.zone, True, lambda _: true(), session, asking.now())
    params = pairs_of(criteria)
    # What is quick is made into conditions without asking the database.
    with nullcontext() if is_quick(params) else limited(session):
        query = parse(type_, params, how)
    if not query.conditions:
        raise NotValid("A condition needs at least one search parameter.")
    return query.conditions


def read_again(session: Session, type_: str, criteria: str, conditions: Conditions) -> Conditions:
    """Return the conditions of criteria as they are now that their lock is held; as `read`.

    A chain, `_has`, `_list` and some modifiers put what was there when they were read into the conditions,
    and who held the lock before may have changed that. All others stay as they were read.
    """
    return conditions if is_plain(criteria) else read(session, type_, criteria)


def is_plain(criteria: str) -> bool:
    """Say whether the conditions of criteria are the same whatever is there when they are read."""
    names = [name for name, _value in pairs_of(criteria)]
    return not any("." in name or ":" in name or name == "_list" for name in names)


def find_one(
    session: Session, type_: str, conditions: Conditions, where: ColumnElement[bool]
) -> Known | None:
    """Return the one resource that conditions find; as `match`."""
    found = find(session, type_, conditions, where, most=1)
    return found[0] if found else None


def find(
    session: Session, type_: str, conditions: Conditions, where: ColumnElement[bool], *, most: int
) -> list[Known]:
    """Return all resources that conditions find; as `match_all`."""
    is_usual = all(isinstance(each, Shaped) for each in conditions)
    with nullcontext() if is_usual else limited(session):
        found = session.execute(
            select(Resource.id, Resource.compartment, where.label("visible"))
            .where(Resource.type == type_, ~Resource.deleted, *conditions)
            .limit(most + 1)
        ).all()
    if not all(one.visible for one in found):
        raise NotPermitted(NEUTRAL)
    if len(found) > most:
        several = "several resources; name one" if most == 1 else f"more than {most} resources; narrow it"
        raise PreconditionFailed(f"The condition matches {several}.")
    return [Known(type_, one.id, one.compartment) for one in found]
