"""What a search brings along: _include and _revinclude, also :iterate (FHIR R4 search.html#include)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from esb.fhir import lexemes
from esb.fhir.search_parameters import PARAMETERS, Parameter, values
from hie.errors import Issue
from hie.repository import definitions, tokens
from hie.repository.chains import Reach
from hie.repository.conditions import Condition, any_points_at, has_any
from hie.repository.definitions import EVERY_TYPE
from hie.repository.sizes import MOST_BYTES, Room, light
from hie.repository.wanted import Include, Query
from hie.schema.repository import Resource, ResourceKey

MOST_INCLUDED = 1000  # resources that a page brings along
MOST_ROUNDS = 20  # of :iterate
MOST_LOOKUPS = 500  # statements; `*` takes about a hundred a round
MOST_SECONDS = 10  # that all of it may take, should the machine be very slow
CUT = Issue(
    "_include",
    f"_include: there is more than the {MOST_INCLUDED} resources, {MOST_BYTES >> 20} MB, {MOST_ROUNDS} "
    f"rounds, {MOST_LOOKUPS} look-ups and {MOST_SECONDS} seconds that a page brings along; the rest is left "
    "out. Ask for a smaller page with _count, or name what is needed.",
    "too-costly",
)
# As it is stored; what another server keeps is not brought along.
LOCAL_REFERENCE = re.compile(r"([A-Z][A-Za-z]+)/([A-Za-z0-9.-]{1,64})(?:/_history/[A-Za-z0-9.-]{1,64})?")
Match = tuple[str, str, bytes]
Key = tuple[str, str]


def included(
    session: Session,
    reach: Reach,
    query: Query,
    matches: Sequence[Match],
    clock: Callable[[], float] = time.monotonic,
) -> tuple[list[Match], list[Issue], set[str]]:
    """Return what a page brings along, each once and nothing of the page itself; a remark if it was cut; and
    whose records it is of.

    Args:
        reach: the policy's condition for a type.
        clock: tells seconds; after MOST_SECONDS nothing more is looked for.
    """
    bring = Bringing(session, reach, matches, clock)
    around = list(matches)
    forward, back = list(dict.fromkeys(query.includes)), list(dict.fromkeys(query.revincludes))
    for _ in range(MOST_ROUNDS):
        if not around or not (forward or back) or bring.is_cut:
            break
        before = len(bring.found)
        bring.what_is_pointed_at(around, forward)
        for include in back:
            bring.what_points(around, include)
        around = list(bring.found.values())[before:]
        forward = [include for include in forward if include.iterate]
        back = [include for include in back if include.iterate]
    else:
        bring.is_cut = bring.is_cut or bool(around)
    return list(bring.found.values()), [CUT] if bring.is_cut else [], bring.compartments


class Bringing:
    """What has been brought along so far.

    found: in the order it was found. compartments: whose records it is of. is_cut: there was more than may be
    brought.
    """

    def __init__(
        self, session: Session, reach: Reach, matches: Sequence[Match], clock: Callable[[], float]
    ) -> None:
        self._session = session
        self._clock = clock
        self._until = clock() + MOST_SECONDS
        self._lookups = 0
        self._reach = reach
        self._shown = {(type_, id_) for type_, id_, _ in matches}
        self._room = Room()
        self.found: dict[Key, Match] = {}
        self.compartments: set[str] = set()
        self.is_cut = False

    def what_is_pointed_at(self, around: Sequence[Match], includes: Sequence[Include]) -> None:
        """Bring what resources point at, by id or by canonical address."""
        keys: dict[Key, None] = {}
        urls: dict[Key, None] = {}
        plans = {type_: _plan(type_, includes) for type_ in {type_ for type_, _, _ in around}}
        for type_, _, content in around:
            if plans[type_]:
                resource = lexemes.loads_kept(content)
                for parameter, target in plans[type_]:
                    _follow(resource, parameter, target, keys, urls)
        wanted = [key for key in keys if key not in self._shown and key not in self.found]
        for type_ in sorted({type_ for type_, _ in wanted}.intersection(EVERY_TYPE)):
            places = select(ResourceKey.compartment, ResourceKey.type, ResourceKey.id).where(
                ResourceKey.type == type_, ResourceKey.id.in_([id_ for t, id_ in wanted if t == type_])
            )
            self._add(type_, tuple_(Resource.compartment, Resource.type, Resource.id).in_(places))
        for type_ in sorted({type_ for type_, _ in urls}):
            name = definitions.path_name(type_, PARAMETERS[type_]["url"].paths[0])
            self._add(type_, has_any([tokens.by_reference(name, url) for t, url in urls if t == type_]))

    def what_points(self, around: Sequence[Match], include: Include) -> None:
        """Bring what points at resources."""
        ids: dict[str, list[str]] = {}
        for type_, id_, _ in around:
            if include.target in ("", type_):
                ids.setdefault(type_, []).append(id_)
        for source in EVERY_TYPE if include.source == "*" else (include.source,):
            asked = [
                (parameter, type_)
                for parameter in _references(source, include.code)
                for type_ in ids
                if may_point(parameter, type_)
            ]
            if asked and not self.is_cut:
                self._add(source, any_points_at(source, asked, ids))

    def _add(self, type_: str, condition: Condition) -> None:
        room = MOST_INCLUDED - len(self.found)
        self._lookups += 1
        if room <= 0 or self._lookups > MOST_LOOKUPS or self._clock() > self._until:
            self.is_cut = True
            return
        rows: Iterable[Any] = self._session.execute(
            select(Resource.type, Resource.id, light(Resource), Resource.compartment)
            .where(Resource.type == type_, ~Resource.deleted, self._reach(type_), condition)
            .order_by(Resource.id)
            .limit(room + len(self._shown) + len(self.found) + 1)
        )
        brought: dict[Key, str] = {}
        for row in rows:
            key = row[0], row[1]
            if key in self._shown or key in self.found or key in brought:
                continue
            if len(brought) >= room or not self._room.takes(*row[:3]):
                self.is_cut = True
                break
            brought[key] = row[3]
        contents = self._room.drained(self._session)
        self.found |= {key: (*key, content) for key, content in zip(brought, contents, strict=True)}
        self.compartments.update(brought.values())


def _plan(type_: str, includes: Sequence[Include]) -> list[tuple[Parameter, str]]:
    """Return the parameters to follow from a type, each with the target that is meant or ''."""
    return [
        (parameter, include.target)
        for include in includes
        if include.source in ("*", type_)
        for parameter in _references(type_, include.code)
    ]


def _references(type_: str, code: str) -> list[Parameter]:
    found = PARAMETERS[type_].values() if code == "*" else [PARAMETERS[type_][code]]
    return [parameter for parameter in found if parameter.kind == "reference" and parameter.paths]


def may_point(parameter: Parameter, type_: str) -> bool:
    """Say whether a reference parameter may lead to a type."""
    stated = {path.target for path in parameter.paths} - {None}
    return type_ in (stated or parameter.targets or (type_,))


def _follow(
    resource: dict[str, Any], parameter: Parameter, target: str, keys: dict[Key, None], urls: dict[Key, None]
) -> None:
    for path in parameter.paths:
        for value in values(resource, path):
            if isinstance(value, str):
                for type_ in parameter.targets:
                    if target in ("", type_) and "url" in PARAMETERS[type_]:
                        urls[type_, value.partition("|")[0]] = None
                continue
            reference = value.get("reference") if isinstance(value, dict) else None
            found = LOCAL_REFERENCE.fullmatch(reference) if isinstance(reference, str) else None
            if (
                found
                and found[1] in EVERY_TYPE
                and target in ("", found[1])
                and path.target in (None, found[1])
            ):
                keys[found[1], found[2]] = None
