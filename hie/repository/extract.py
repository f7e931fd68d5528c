"""Takes from a resource what it can be found by: tokens, and the dates of its date parameters."""

from __future__ import annotations

from collections.abc import Callable
from datetime import tzinfo
from functools import cache
from typing import Any

from esb.fhir.search_parameters import Path
from hie.repository import definitions, names, tokens
from hie.repository.dates import Range, span_of

IN_THE_ROW = ("_id", "_lastUpdated")
# Elements of which "is it there" is asked, with the keys they have in JSON.
PRESENT = {"deceased": ("deceasedBoolean", "deceasedDateTime")}


class Index:
    """What one resource is found by.

    tokens: numbers of `hie.repository.tokens`. primary: range of the type's own date.
    dates: (parameter, range) of its other dates.
    """

    __slots__ = ("dates", "primary", "subject", "tokens", "zone")

    def __init__(self, subject: str, zone: tzinfo) -> None:
        self.tokens: set[int] = set()
        self.primary: Range | None = None
        self.dates: set[tuple[str, Range]] = set()
        self.subject = subject
        self.zone = zone


Emit = Callable[[Any, Index], None]


def index_of(resource: dict[str, Any], compartment: str, zone: tzinfo) -> Index:
    """Return what `resource` is found by.

    Args:
        compartment: id of the source patient it is kept with, or ''.
        zone: the region's zone, which days and local times without an offset are read in.
    """
    type_ = resource["resourceType"]
    found = Index(f"Patient/{compartment}" if compartment else "", zone)
    plan = _plan(type_)
    for key in resource.keys() & plan.keys():
        value = resource[key]
        for emit in plan[key]:
            emit(value, found)
    subject = definitions.subject_path(type_)
    if subject and compartment and not _is_subject(resource, subject, found.subject):
        found.tokens.add(tokens.elsewhere(subject))
    return found


def _is_subject(resource: dict[str, Any], subject: str, patient: str) -> bool:
    value = resource.get(subject.split(".")[1])
    if isinstance(value, dict):
        return value.get("reference") == patient
    return isinstance(value, list) and any(
        isinstance(v, dict) and v.get("reference") == patient for v in value
    )


@cache
def _plan(type_: str) -> dict[str, list[Emit]]:
    """Return what to do with each top-level element of a type."""
    plan: dict[str, dict[tuple[str, str], Emit]] = {}
    primary = definitions.primary_date(type_)
    for parameter in definitions.indexed_parameters(type_).values():
        if parameter.code in IN_THE_ROW:
            continue
        for path in parameter.paths:
            name = definitions.path_name(type_, path)
            if parameter.kind == "date":
                emit = _primary_date if parameter.code == primary else _other_date(parameter.code)
                key = (name, parameter.code)
            else:
                emit = _emitter(name, path, is_subject=name == definitions.subject_path(type_))
                key = (name, path.type)
            for first in PRESENT.get(path.steps[0], (path.steps[0],)):
                plan.setdefault(first, {}).setdefault(key, _walker(path, emit))
    if type_ in ("Patient", "Person", "Practitioner", "RelatedPerson"):
        plan.setdefault("name", {})["name", "reading"] = _each(_han_name(type_))
    return {key: list(emits.values()) for key, emits in plan.items()}


def _emitter(name: str, path: Path, *, is_subject: bool) -> Emit:
    if path.exists:
        return _present(name)
    # A subject is found through the compartment: only one that lies elsewhere needs a token.
    return _subject(name) if is_subject else EMITTERS[path.type](name)


def _walker(path: Path, emit: Emit) -> Emit:
    """Return `emit` applied to everything found below the first key of a path."""
    rest = path.steps[1:]
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
    if step.startswith("["):
        # The first entry of a document or message Bundle: nothing of it is searched for here.
        return lambda value, found: None

    def follow(value: Any, found: Index) -> None:
        if type(value) is dict and step in value:
            inner(value[step], found)

    return follow


def _concept(path: str) -> Emit:
    coding = _coding(path)

    def emit(value: Any, found: Index) -> None:
        if type(value) is dict:
            for item in value.get("coding") or ():
                coding(item, found)

    return emit


def _coding(path: str) -> Emit:
    def emit(value: Any, found: Index) -> None:
        if type(value) is dict:
            found.tokens.update(tokens.coded(path, value.get("system"), value.get("code")))

    return emit


def _code(path: str) -> Emit:
    def emit(value: Any, found: Index) -> None:
        if type(value) is str:
            found.tokens.add(tokens.by_code(path, value))

    return emit


def _boolean(path: str) -> Emit:
    def emit(value: Any, found: Index) -> None:
        if type(value) is bool:
            found.tokens.add(tokens.by_code(path, "true" if value else "false"))

    return emit


def _present(path: str) -> Emit:
    """Patient.deceased: true where it is stated and is not false."""
    return lambda value, found: found.tokens.add(tokens.by_code(path, "false" if value is False else "true"))


def _identifier(path: str) -> Emit:
    def emit(value: Any, found: Index) -> None:
        if type(value) is dict and type(value.get("value")) is str:
            found.tokens.update(tokens.coded(path, value.get("system"), value["value"]))

    return emit


def _contact(path: str) -> Emit:
    def emit(value: Any, found: Index) -> None:
        if type(value) is dict and type(value.get("value")) is str:
            found.tokens.add(tokens.by_code(path, value["value"]))

    return emit


def _reference(path: str) -> Emit:
    by_identifier = path + ":identifier"

    def emit(value: Any, found: Index) -> None:
        if type(value) is not dict:
            return
        reference = value.get("reference")
        if type(reference) is str:
            found.tokens.add(tokens.by_reference(path, reference.partition("/_history/")[0]))
        identifier = value.get("identifier")
        if type(identifier) is dict and type(identifier.get("value")) is str:
            found.tokens.update(tokens.coded(by_identifier, identifier.get("system"), identifier["value"]))

    return emit


def _subject(path: str) -> Emit:
    reference = _reference(path)

    def emit(value: Any, found: Index) -> None:
        if type(value) is dict and (value.get("reference") != found.subject or "identifier" in value):
            reference(value, found)

    return emit


def _uri(path: str) -> Emit:
    def emit(value: Any, found: Index) -> None:
        if type(value) is str:
            found.tokens.add(tokens.by_reference(path, value))
            if "|" in value:
                found.tokens.add(tokens.by_reference(path, value.partition("|")[0]))

    return emit


def _string(path: str) -> Emit:
    def emit(value: Any, found: Index) -> None:
        if type(value) is str:
            _add_text(path, value, found)

    return emit


def _add_text(path: str, text: str, found: Index) -> None:
    found.tokens.add(tokens.by_exact(path, text))
    found.tokens.update(tokens.prefixes(path, tokens.folded(text)))


def _parts(path: str, keys: tuple[str, ...]) -> Emit:
    def emit(value: Any, found: Index) -> None:
        if type(value) is dict:
            for key in keys:
                part = value.get(key)
                for text in part if type(part) is list else (part,):
                    if type(text) is str:
                        _add_text(path, text, found)

    return emit


def _human_name(path: str) -> Emit:
    return _parts(path, ("text", "family", "given", "prefix", "suffix"))


def _address(path: str) -> Emit:
    return _parts(path, ("text", "line", "city", "district", "state", "postalCode", "country"))


def _han_name(type_: str) -> Emit:
    """Names as people type them: in one piece either way round, by surname, in pinyin, by initials."""
    name, family_path, given_path = f"{type_}.name", f"{type_}.name.family", f"{type_}.name.given"

    def emit(value: Any, found: Index) -> None:
        if type(value) is not dict:
            return
        text = tokens.folded(str(value.get("text") or ""))
        family = tokens.folded(str(value.get("family") or ""))
        parts = [tokens.folded(part) for part in value.get("given") or () if type(part) is str]
        given = "".join(parts)
        if text and not family and names.is_han(text):
            family, given = names.split_han(text)
            found.tokens.update(tokens.prefixes(family_path, family), tokens.prefixes(given_path, given))
        for each in {given, *parts[:1]} - {""}:
            found.tokens.update(tokens.prefixes(name, family + each), tokens.prefixes(name, each + family))
        if family and names.is_han(family + given):
            for spelt_family, spelt_given, initials in names.readings(family, given):
                for path, spelt in (
                    (name, spelt_family + spelt_given),
                    (name, spelt_given + spelt_family),
                    (name, initials),
                    (name, spelt_family + initials[len(family) :]),
                    (family_path, spelt_family),
                    (given_path, spelt_given),
                ):
                    found.tokens.update(tokens.prefixes(path, spelt))

    return emit


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


def _nothing(path: str) -> Emit:
    return lambda value, found: None


EMITTERS: dict[str, Callable[[str], Emit]] = {
    "CodeableConcept": _concept,
    "Coding": _coding,
    "code": _code,
    "id": _code,
    "boolean": _boolean,
    "Identifier": _identifier,
    "ContactPoint": _contact,
    "Reference": _reference,
    "canonical": _uri,
    "uri": _uri,
    "url": _uri,
    "string": _string,
    "markdown": _string,
    "HumanName": _human_name,
    "Address": _address,
    "Resource": _nothing,
}
