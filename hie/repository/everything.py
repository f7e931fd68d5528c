"""What is kept with patients or belongs to an encounter, whole or in pages, and what it refers to outside.

PostgreSQL writes the entries of the Bundle around the stored text; here they are joined, never parsed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Text, and_, any_, bindparam, func, or_, select, tuple_
from sqlalchemy.orm import Session

from esb.fhir.search_parameters import PARAMETERS
from esb.prepared import Prepared
from hie.repository import definitions, tokens
from hie.repository.conditions import Manner, has_any
from hie.repository.dates import UTC, Range
from hie.repository.sizes import Room, light
from hie.schema.driver import run
from hie.schema.repository import NO_COMPARTMENT, Resource

# Types outside the patients' compartments that a record is not complete without.
OUTSIDE = ("HealthcareService", "Location", "Medication", "Organization", "Practitioner", "PractitionerRole")
# Types whose own date is no date of care.
UNDATED = ("Patient", "Person", "RelatedPerson")
# Where encounters are pointed at: compartmentdefinition-encounter.html, and the like of other types.
OF_ENCOUNTER = ("encounter", "context")
WITHIN = any_(bindparam("compartments", type_=ARRAY(Text)))
# An entry of the Bundle: to write it here, row by row, would cost twice as much.
ENTRY: ColumnElement[str] = (
    bindparam("head", type_=Text)
    + Resource.type
    + "/"
    + Resource.id
    + '","resource":'
    + Resource.content
    + bindparam("mode", type_=Text)
)
KEPT = select(ENTRY, Resource.type, Resource.id, Resource.compartment).where(
    ~Resource.deleted, Resource.type != "AuditEvent"
)
WANTED = (
    func.unnest(bindparam("types", type_=ARRAY(Text)), bindparam("ids", type_=ARRAY(Text)))
    .table_valued("type", "id", name="wanted")
    .render_derived()
)
NAMED = (
    select(ENTRY)
    .join(WANTED, and_(Resource.type == WANTED.c.type, Resource.id == WANTED.c.id))
    .where(Resource.compartment == WITHIN, ~Resource.deleted)
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Which of it.

    types: only these, all if empty. since: only what was updated in or after it. start, end: only care in or
    between them; what has no date of care is always there.
    """

    types: tuple[str, ...] = ()
    since: Range | None = None
    start: Range | None = None
    end: Range | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the limits as conditions over `Resource`."""
        found: list[ColumnElement[bool]] = []
        if self.types:
            found.append(Resource.type.in_(self.types))
        if self.since:
            found.append(Resource.updated_at >= self.since[0])
        undated = or_(Resource.date_low.is_(None), Resource.type.in_(UNDATED))
        if self.start:
            found.append(or_(undated, Resource.date_high > self.start[0]))
        if self.end:
            found.append(or_(undated, Resource.date_low < self.end[1]))
        return found


def of_patients(compartments: Sequence[str]) -> ColumnElement[bool]:
    """Return the condition of being kept with one of some patients."""
    return Resource.compartment.in_(compartments)


def of_all_patients() -> ColumnElement[bool]:
    """Return the condition of being kept with any patient."""
    return Resource.compartment != NO_COMPARTMENT


def of_encounter(compartment: str, id_: str) -> ColumnElement[bool]:
    """Return the condition of being an encounter, or pointing at it, within its patient's record."""
    pointing = [tokens.by_reference(path, f"Encounter/{id_}") for path in _encounter_paths()]
    itself = and_(Resource.type == "Encounter", Resource.id == id_)
    return and_(
        Resource.compartment == compartment,
        or_(itself, has_any(pointing, Manner(UTC, within_patients=True))),
    )


@cache
def _encounter_paths() -> tuple[str, ...]:
    found: dict[str, None] = {}
    for type_, parameters in PARAMETERS.items():
        for code in OF_ENCOUNTER:
            parameter = parameters.get(code)
            if parameter is not None and parameter.kind == "reference" and "Encounter" in parameter.targets:
                found |= {definitions.path_name(type_, path): None for path in parameter.paths}
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for: a condition over `Resource`, the policy's condition, limits, and the API's address.

    by_patient: one patient after the other, along the primary key.
    """

    within: ColumnElement[bool]
    where: ColumnElement[bool]
    limits: Limits
    base: str
    by_patient: bool = False


def record(session: Session, asked: Asked, compartments: Sequence[str]) -> list[bytes]:
    """Return the entries of all that is kept with some patients, without limits: the hot path."""
    words = _words(asked.base, "match") | {"compartments": list(compartments)}
    return _sent(run(session, _of_record(asked.where), words).pgresult)


@lru_cache(maxsize=1000)
def _of_record(where: ColumnElement[bool]) -> Prepared:
    """Return the query within a reach, which the policy gives as the same object again."""
    return Prepared(KEPT.with_only_columns(ENTRY).where(Resource.compartment == WITHIN, where))


@lru_cache(maxsize=1000)
def _of_outside(where: ColumnElement[bool]) -> Prepared:
    return Prepared(NAMED.where(where))


def whole(session: Session, asked: Asked) -> list[bytes]:
    """Return the entries of all that is asked for, unsorted: to sort them costs twice as much as to read."""
    wanted = KEPT.with_only_columns(ENTRY).where(asked.within, asked.where, *asked.limits.conditions())
    return _entries(session, wanted, _words(asked.base, "match"))


def page(
    session: Session, asked: Asked, count: int, after: Sequence[str]
) -> tuple[list[bytes], list[str], set[str]]:
    """Return the entries of a page in the order of their names; where the next begins, empty at the end; and
    whose records they are.

    Names do not change: whatever is written meanwhile, nothing is shown twice or left out.

    Args:
        count: at most so many. after: where the page before ended.
    """
    order: list[Any] = [Resource.type, Resource.id]
    if asked.by_patient:
        order.insert(0, Resource.compartment)
    columns = (Resource.type, Resource.id, light(Resource), Resource.compartment)
    wanted = KEPT.with_only_columns(*columns).where(asked.within, asked.where, *asked.limits.conditions())
    if after:
        wanted = wanted.where(tuple_(*order) > tuple_(*after))
    wanted = wanted.order_by(*order).limit(count + 1)
    found = session.execute(wanted).all()
    room = Room()
    shown = [row for row in found[:count] if room.takes(*row[:3])]
    contents = room.drained(session)
    head, tail = (word.encode() for word in _words(asked.base, "match").values())
    entries = [
        b'%b%b/%b","resource":%b%b' % (head, type_.encode(), id_.encode(), content, tail)
        for (type_, id_, *_), content in zip(shown, contents, strict=True)
    ]
    compartments = {row[3] for row in shown}
    if len(found) == len(shown):
        return entries, [], compartments
    type_, id_, _, compartment = shown[-1]
    return entries, [compartment, type_, id_] if asked.by_patient else [type_, id_], compartments


def outside(session: Session, joined: bytes, asked: Asked, *, patients: Sequence[str] = ()) -> list[bytes]:
    """Return the entries of what others refer to outside the patients' records: who, where, what medication.

    The references are found in the bytes. What the policy does not reach is not there.

    Args:
        joined: the entries that refer. patients: who count as outside too, for an encounter.
    """
    possible = (*OUTSIDE, "Patient") if patients else OUTSIDE
    types = tuple(type_ for type_ in possible if not asked.limits.types or type_ in asked.limits.types)
    named = set(_pattern(types).findall(joined)) if types else set()
    keys = sorted({tuple(one.decode().split("/")[:2]) for one in named})
    if not keys:
        return []
    given = {
        "types": [type_ for type_, _ in keys],
        "ids": [id_ for _, id_ in keys],
        "compartments": [NO_COMPARTMENT, *patients],
    }
    words = _words(asked.base, "include") | given
    if not asked.limits.since:
        return _sent(run(session, _of_outside(asked.where), words).pgresult)
    return _entries(session, NAMED.where(asked.where, Resource.updated_at >= asked.limits.since[0]), words)


@cache
def _pattern(types: tuple[str, ...]) -> re.Pattern[bytes]:
    """One group and no more: the search through a record of 1,000 resources takes a third of the time."""
    named = "|".join(types).encode()
    return re.compile(rb'"reference":"((?:' + named + rb')/[A-Za-z0-9.-]{1,64}(?:/_history/[^"]{1,64})?)"')


def _words(base: str, mode: str) -> dict[str, Any]:
    return {"head": f'{{"fullUrl":"{base}/', "mode": f',"search":{{"mode":"{mode}"}}}}'}


def _entries(session: Session, wanted: Any, given: dict[str, Any]) -> list[bytes]:
    with session.connection().execute(wanted, given) as result:
        return _sent(result.cursor.pgresult)


def _sent(result: Any) -> list[bytes]:
    """Return the UTF-8 that PostgreSQL sent; to decode and encode it would double the cost of a row."""
    value = result.get_value
    return [value(row, 0) for row in range(result.ntuples)]
