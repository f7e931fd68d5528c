"""Reads the parameters of a search: conditions, order, page size, totals, what was not understood."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo

from esb.fhir.search_parameters import PARAMETERS, Parameter
from esb.fhir.types import RESOURCE_TYPES
from hie.errors import Issue, NotSupported, NotValid
from hie.repository.conditions import Condition, Manner, bad_value, condition, is_within_patients, points_at

COUNT, MOST = 50, 1000
MOST_LINKS = 3  # of a chain
NO_TEXT = re.compile("[\x00\ud800-\udfff]")
# Parameters about the answer's form, which the API reads.
FORM = frozenset({"_format", "_pretty", "_cursor"})
ELEMENTS = "_elements is not answered yet; leave it out and whole resources are given."
# (type, conditions) -> ids of what is found, within the actor's reach.
FindIds = Callable[[str, Sequence[Condition]], Sequence[str]]


@dataclass(slots=True)
class Query:
    """A search as understood.

    sort: (parameter, is descending). total: whether the number of all matches is asked for.
    only_count: no resources, just the number. includes, revincludes: (source type, parameter, target or '').
    remarks: what was not understood and left aside (lenient handling).
    used: the (name, value) pairs that were understood, for the self link.
    patients: ids of the patients that were named.
    """

    type: str
    conditions: list[Condition] = field(default_factory=list)
    sort: list[tuple[Parameter, bool]] = field(default_factory=list)
    count: int = COUNT
    total: bool = False
    only_count: bool = False
    includes: list[tuple[str, str, str]] = field(default_factory=list)
    revincludes: list[tuple[str, str, str]] = field(default_factory=list)
    remarks: list[Issue] = field(default_factory=list)
    used: list[tuple[str, str]] = field(default_factory=list)
    patients: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Reading:
    """How parameters are read.

    strict: refuse what is not understood (Prefer: handling=strict) instead of remarking on it.
    find_ids: answers the inner part of a chain.
    """

    zone: tzinfo
    strict: bool
    find_ids: FindIds


def parse(type_: str, params: Sequence[tuple[str, str]], how: Reading) -> Query:
    """Return the query that parameters make.

    Raises: NotValid, NotSupported.
    """
    query = Query(type_)
    manner = Manner(how.zone, any(_is_within_patients(type_, *pair) for pair in params))
    for name, value in params:
        check_text(name)
        check_text(value)
        if name in FORM:
            continue
        try:
            if name in CONTROLS:
                CONTROLS[name](query, value)
            else:
                _add_condition(query, name, value, how, manner)
        except Unknown as error:
            if how.strict:
                raise
            query.remarks += error.issues
        else:
            query.used.append((name, value))
    return query


def check_text(text: str) -> None:
    """Refuse what no database can hold. Raises: NotValid."""
    if NO_TEXT.search(text):
        raise NotValid("A search parameter holds characters that are no text.")


class Unknown(NotSupported):
    """A search parameter is not known here; see the CapabilityStatement at /fhir/metadata."""


def unknown(name: str, why: str) -> Unknown:
    """Return the error for a parameter that is left aside under lenient handling."""
    shown = name if len(name) < 64 and name.isprintable() else "a parameter"
    return Unknown(issues=[Issue(shown, f"{shown}: {why}", "not-supported")])


def _is_within_patients(type_: str, name: str, value: str) -> bool:
    code, _, modifier = name.partition(":")
    parameter = PARAMETERS[type_].get(code)
    return parameter is not None and is_within_patients(type_, parameter, modifier, value)


def _add_condition(query: Query, name: str, value: str, how: Reading, manner: Manner) -> None:
    first, dot, rest = name.partition(".")
    code, _, modifier = first.partition(":")
    parameter = PARAMETERS[query.type].get(code)
    if parameter is None:
        raise unknown(name, f"{query.type} has no such search parameter")
    try:
        if dot:
            found = _chain(query.type, parameter, modifier, (rest, value), how)
        else:
            found = condition(query.type, parameter, modifier, value, manner)
    except Unknown:
        raise
    except NotSupported as error:
        raise unknown(name, error.text) from None
    query.conditions.append(found)
    if not dot and (code in ("patient", "subject") or (query.type == "Patient" and code == "_id")):
        query.patients += [part.rpartition("/")[2] for part in value.split(",")]


def _chain(type_: str, parameter: Parameter, target: str, inner: tuple[str, str], how: Reading) -> Condition:
    """Return the condition of `reference[:Type].parameter=value`: what is pointed at, then who points."""
    if parameter.kind != "reference" or inner[0].count(".") >= MOST_LINKS:
        raise unknown(parameter.code, "it cannot be chained so")
    targets = [target] if target else _targets(parameter)
    if len(targets) != 1 or targets[0] not in RESOURCE_TYPES:
        raise unknown(parameter.code, "name the type that is meant, as in subject:Patient.name")
    strictly = Reading(how.zone, strict=True, find_ids=how.find_ids)
    ids = how.find_ids(targets[0], parse(targets[0], [inner], strictly).conditions)
    return points_at(type_, parameter, targets[0], ids)


def _targets(parameter: Parameter) -> list[str]:
    stated = {path.target for path in parameter.paths}
    return [t for t in stated if t] if None not in stated else list(parameter.targets)


def _count(query: Query, value: str) -> None:
    if not value.isascii() or not value.isdigit() or len(value) > 9:
        raise bad_value("_count", "it is no whole number")
    query.count = min(int(value), MOST)
    query.only_count = query.only_count or query.count == 0


def _summary(query: Query, value: str) -> None:
    if value == "count":
        query.only_count = True
    elif value != "false":
        raise unknown("_summary", "only count and false are answered here")


def _total(query: Query, value: str) -> None:
    if value not in ("none", "accurate", "estimate"):
        raise bad_value("_total", "it is none, accurate or estimate")
    query.total = value != "none"


def _sort(query: Query, value: str) -> None:
    for item in value.split(","):
        code = item.removeprefix("-")
        parameter = PARAMETERS[query.type].get(code)
        if parameter is None or (parameter.kind != "date" and code != "_id"):
            raise unknown("_sort", f"{query.type} cannot be sorted so; dates, _lastUpdated and _id can")
        query.sort.append((parameter, item.startswith("-")))


def _include(query: Query, value: str) -> None:
    query.includes.append(_included(value, query.type))


def _revinclude(query: Query, value: str) -> None:
    query.revincludes.append(_included(value, None))


def _included(value: str, source: str | None) -> tuple[str, str, str]:
    type_, _, rest = value.partition(":")
    code, _, target = rest.partition(":")
    known = PARAMETERS.get(type_, {}).get(code)
    if known is None or known.kind != "reference" or (source and type_ != source):
        raise unknown("_include", "it is Type:reference-parameter, of the type searched for")
    if target and target not in RESOURCE_TYPES:
        raise unknown("_include", "its target is no resource type")
    return type_, code, target


def _elements(query: Query, value: str) -> None:
    """Refuse, strict or not: who asks for parts may not be sent, unsaid, the whole."""
    raise NotSupported(ELEMENTS)


CONTROLS: dict[str, Callable[[Query, str], None]] = {
    "_count": _count,
    "_summary": _summary,
    "_total": _total,
    "_sort": _sort,
    "_include": _include,
    "_revinclude": _revinclude,
    "_elements": _elements,
}
