"""Takes from a resource what it can be found by: tokens, dates, numbers and quantities, composites."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import tzinfo
from functools import cache
from typing import Any

from esb.fhir.search_parameters import Parameter, Path, values
from hie.repository import definitions, numbers, tokens
from hie.repository.dates import span_of
from hie.repository.emitters import Emit, Index, emitter, han_name, present, subject

IN_THE_ROW = ("_id", "_lastUpdated")
MOST_PAIRED = 60  # keys of one side of a pair, three for each coding: what a resource holds may be hostile
NUMERIC = frozenset({"number", "quantity"})
# Elements of which "is it there" is asked, with the keys they have in JSON.
PRESENT = {"deceased": ("deceasedBoolean", "deceasedDateTime")}
NAMED = ("Patient", "Person", "Practitioner", "RelatedPerson")
# What to do with an element: top-level key -> (what makes it unique -> what it adds).
Plan = dict[str, dict[tuple[str, str], Emit]]


def index_of(resource: dict[str, Any], compartment: str, zone: tzinfo) -> Index:
    """Return what `resource` is found by.

    Args:
        compartment: id of the source patient it is kept with, or ''.
        zone: the region's zone, which days and local times without an offset are read in.
    """
    type_ = resource["resourceType"]
    found = Index(resource, f"Patient/{compartment}" if compartment else "", zone)
    plan = _plan(type_)
    for key in resource.keys() & plan.keys():
        value = resource[key]
        for emit in plan[key]:
            emit(value, found)
    owner = definitions.subject_path(type_)
    if owner and compartment and not _is_subject(resource, owner, found.subject):
        found.tokens.add(tokens.elsewhere(owner))
    return found


def _is_subject(resource: dict[str, Any], path: str, patient: str) -> bool:
    value = resource.get(path.split(".")[1])
    if isinstance(value, dict):
        return value.get("reference") == patient
    return isinstance(value, list) and any(
        isinstance(v, dict) and v.get("reference") == patient for v in value
    )


@cache
def _plan(type_: str) -> dict[str, list[Emit]]:
    """Return what to do with each top-level element of a type."""
    plan: Plan = {}
    for parameter in definitions.indexed_parameters(type_).values():
        if parameter.code in IN_THE_ROW:
            continue
        if parameter.kind == "composite":
            _plan_pairs(plan, type_, parameter)
        elif parameter.kind == "date":
            _plan_dates(plan, type_, parameter)
        elif parameter.kind in NUMERIC:
            for path in parameter.paths:
                _plan_numbers(plan, type_, parameter.kind, path)
        else:
            _plan_tokens(plan, type_, parameter)
    if type_ in NAMED:
        plan.setdefault("name", {})["name", "reading"] = _each(han_name(type_))
    return {key: list(emits.values()) for key, emits in plan.items()}


def _plan_tokens(plan: Plan, type_: str, parameter: Parameter) -> None:
    for path in parameter.paths:
        name = definitions.path_name(type_, path)
        if path.exists:
            emit = present(name)
        elif name == definitions.subject_path(type_):
            # A subject is found through the compartment: only one that lies elsewhere needs a token.
            emit = subject(name)
        else:
            emit = emitter(name, path.type, parameter.kind)
        is_text = path.type in ("string", "uri")
        key = name, parameter.kind if is_text or parameter.kind == "uri" else path.type
        for first in PRESENT.get(path.steps[0], (path.steps[0],)):
            plan.setdefault(first, {}).setdefault(key, _walker(path.steps, emit))


def _plan_dates(plan: Plan, type_: str, parameter: Parameter) -> None:
    is_primary = parameter.code == definitions.primary_date(type_)
    for path in parameter.paths:
        emit = _primary_date if is_primary else _other_date(parameter.code)
        key = definitions.path_name(type_, path), parameter.code
        plan.setdefault(path.steps[0], {}).setdefault(key, _walker(path.steps, emit))


def _plan_numbers(plan: Plan, type_: str, kind: str, path: Path) -> None:
    """Plan the rows of a number or quantity, with the code that a composite pairs it with."""
    name = definitions.path_name(type_, path)
    root, about = definitions.paired_codes(type_).get(path.steps, ((), None))
    steps = path.steps
    if about is None:
        emit = _rows(tokens.token(name), numbers.plain if kind == "number" else numbers.quantities)
    elif root:
        steps = root
        emit = _quantities_at(tokens.token(name), about, Path(path.steps[len(root) :], path.type))
    else:
        emit = _quantity_of(tokens.token(name), about)
    plan.setdefault(path.steps[0], {}).setdefault((name, "number"), _walker(steps, emit))


def _rows(name: int, read: Callable[[int, Any], list[numbers.Number]]) -> Emit:
    def emit(value: Any, found: Index) -> None:
        found.numbers.extend(read(name, value))

    return emit


def _quantity_of(name: int, about: Path) -> Emit:
    key = about.steps[0]

    def emit(value: Any, found: Index) -> None:
        found.numbers.extend(numbers.quantities(name, value, _abouts(found.resource.get(key))))

    return emit


def _quantities_at(name: int, about: Path, path: Path) -> Emit:
    key, step = path.steps[0], about.steps[0]

    def emit(node: Any, found: Index) -> None:
        if type(node) is dict and key in node:
            of = _abouts(node.get(step))
            for value in values(node, path):
                found.numbers.extend(numbers.quantities(name, value, of))

    return emit


def _abouts(concept: Any) -> Sequence[numbers.About]:
    """Return the codes of what a quantity is of, from a CodeableConcept or Coding."""
    if type(concept) is not dict:
        return numbers.NOTHING
    codings = concept.get("coding") or (concept,)
    found = [numbers.about(c.get("system"), c["code"]) for c in codings if type(c) is dict and "code" in c]
    return found or numbers.NOTHING


def _plan_pairs(plan: Plan, type_: str, parameter: Parameter) -> None:
    """Plan what a composite adds where its root repeats; else its parts are searched for apart."""
    for pair in definitions.pairs(type_, parameter):
        make = _number_pair if pair.kind == "number" else _token_pair
        emit = _walker(pair.root, make(pair.name, pair.first, pair.second))
        plan.setdefault(pair.root[0], {}).setdefault((pair.name, "pair"), emit)


def _token_pair(name: str, first: Path, second: Path) -> Emit:
    def emit(node: Any, found: Index) -> None:
        if type(node) is dict:
            for one in values(node, first):
                for other in values(node, second):
                    keys = tokens.local_keys(other)[:MOST_PAIRED]
                    for a in tokens.local_keys(one)[:MOST_PAIRED]:
                        found.tokens.update([tokens.paired(name, a, b) for b in keys])

    return emit


def _number_pair(name: str, first: Path, second: Path) -> Emit:
    number = tokens.token(name)

    def emit(node: Any, found: Index) -> None:
        if type(node) is dict:
            for one in values(node, first):
                for other in values(node, second):
                    found.numbers.extend(numbers.paired(number, one, other))

    return emit


def _walker(steps: tuple[str, ...], emit: Emit) -> Emit:
    """Return `emit` applied to everything found below the first key of a path."""
    rest = steps[1:]
    if rest and rest[0] == "[0]":
        first = _each(_descend(rest[1:], emit))
        return lambda value, found: first(value[:1] if type(value) is list else value, found)
    return _each(emit) if not rest else _each(_descend(rest, emit))


def _each(emit: Emit) -> Emit:
    def go(value: Any, found: Index) -> None:
        if type(value) is list:
            for item in value:
                emit(item, found)
        else:
            emit(value, found)

    return go


def _descend(steps: tuple[str, ...], emit: Emit) -> Emit:
    step = steps[0]
    inner = _each(emit) if len(steps) == 1 else _each(_descend(steps[1:], emit))
    if step.startswith("?"):
        key, _, wanted = step[1:].partition("=")
        only = emit if len(steps) == 1 else _descend(steps[1:], emit)

        def keep(value: Any, found: Index) -> None:
            if type(value) is dict and value.get(key) == wanted:
                only(value, found)

        return keep

    def follow(value: Any, found: Index) -> None:
        if type(value) is dict and step in value:
            inner(value[step], found)

    return follow


def _primary_date(value: Any, found: Index) -> None:
    span = span_of(value, found.zone)
    if span:
        known = found.primary
        found.primary = (min(span[0], known[0]), max(span[1], known[1])) if known else span


def _other_date(code: str) -> Emit:
    def emit(value: Any, found: Index) -> None:
        span = span_of(value, found.zone)
        if span:
            found.dates.add((code, span))

    return emit
