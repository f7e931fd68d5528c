"""The terminology's operations on code systems and maps (FHIR R4 terminology-service.html)."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response
from sqlalchemy.orm import Session

from hie.api import asking, terminology_sets
from hie.api.operations import add_operation, operation
from hie.api.parameters import Values, asked, one
from hie.api.terminology_asking import answer_parameters, audited, coded, coding_of, refused, version_named
from hie.errors import NotValid
from hie.schema import CodeSystem, ConceptMap
from hie.security.access import access
from hie.terminology import concepts, translating, ucum
from hie.terminology.concepts import Found
from hie.terminology.errors import NotKnown

UNKNOWN_CODE = "The code system does not have this code; correct the code or its version."
ASKED_ALWAYS = frozenset({"code", "display", "system", "version", "name", "designation"})


def add_routes(blueprint: Blueprint) -> None:
    """Open the routes of this module."""
    add_operation(blueprint, "lookup", lookup)
    add_operation(blueprint, "subsumes", subsumes)
    add_operation(blueprint, "translate", translate)
    add_operation(blueprint, "validate-code", validate_code)
    add_operation(blueprint, "expand", terminology_sets.expand)


@access("$lookup")
def lookup() -> Response:
    """Answer what is known of one code."""
    asking.check_accept()
    asking.permitted("read", "CodeSystem")
    given = asked(operation("lookup", "type", "CodeSystem"))
    system_url, code, version, _ = _one_code(given)
    with asking.hub().begin() as session:
        system = version_named(session, CodeSystem, system_url, version)
        found = concepts.find(session, system, code)
        if found is None:
            raise NotKnown(UNKNOWN_CODE)
        below = concepts.children(session, system, code)
        audited(session, "$lookup", "CodeSystem", None, system=system.url)
    return answer_parameters(_told(found, below, given))


def _one_code(given: Values) -> tuple[str, str, str | None, str | None]:
    """Return system, code, version and display of the one code asked about. Raises: NotValid."""
    found = coded(given)
    if len(found) != 1 or not found[0].system:
        raise NotValid("Name one code: system and code, or a coding with both.")
    first = found[0]
    return first.system or "", first.code, first.version or one(given, "version"), first.display


def _told(found: Found, below: list[str], given: Values) -> list[dict[str, Any]]:
    """Return what `$lookup` says of a concept."""
    language = one(given, "displayLanguage")
    wanted = set(given.get("property", ()))
    told: list[dict[str, Any]] = [{"name": "name", "valueString": found.name}]
    if found.version:
        told.append({"name": "version", "valueString": found.version})
    told.append({"name": "display", "valueString": found.shown(language)})
    if not wanted or "designation" in wanted:
        told += [_designation(word, value) for word, value in _words(found)]
    properties: list[dict[str, Any]] = []
    if found.definition:
        properties.append(_property("definition", {"valueString": found.definition}))
    properties.append(_property("inactive", {"valueBoolean": not found.active}))
    properties += [_property("parent", {"valueCode": parent}) for parent in found.parents]
    properties += [_property("child", {"valueCode": child}) for child in below]
    properties += [
        _property(str(known.get("code")), {name: value})
        for known in found.properties
        if known.get("code") not in ("parent", "child", "inactive")
        for name, value in known.items()
        if name.startswith("value")
    ]
    if found.system == ucum.SYSTEM:
        properties.append(_property("canonical", {"valueString": _canonical(found.code)}))
    return told + [one_ for one_ in properties if not wanted or one_["part"][0]["valueCode"] in wanted]


def _words(found: Found) -> list[tuple[str, str]]:
    named = [("zh", found.display_zh), ("en", found.display_en)]
    named += [(str(d.get("language", "")), d.get("value")) for d in found.designations]
    return list(dict.fromkeys((language, value) for language, value in named if value))


def _designation(language: str, value: str) -> dict[str, Any]:
    parts = [{"name": "language", "valueCode": language}] if language else []
    return {"name": "designation", "part": [*parts, {"name": "value", "valueString": value}]}


def _property(code: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"name": "property", "part": [{"name": "code", "valueCode": code}, {"name": "value", **value}]}


def _canonical(unit: str) -> str:
    """Return a unit in base units: mm[Hg] is 133322 g.m-1.s-2."""
    read = ucum.parse(unit)
    powers = ".".join(name + (str(power) if power != 1 else "") for name, power in read.powers)
    factor = read.factor
    number = str(factor.numerator) if factor.denominator == 1 else f"{float(factor):.12g}"
    return f"{number} {powers or '1'}"


@access("$subsumes")
def subsumes(id_: str | None = None) -> Response:
    """Answer how one code stands to another: above, below, the same, or neither."""
    asking.check_accept()
    asking.permitted("read", "CodeSystem")
    given = asked(operation("subsumes", "instance" if id_ else "type", "CodeSystem"))
    pair = [_side(given, side) for side in ("A", "B")]
    systems = {url for _, url in pair if url} | set(given.get("system", ()))
    if len(systems) > 1:
        raise NotValid("Both codes are of one code system.")
    with asking.hub().begin() as session:
        system = version_named(session, CodeSystem, next(iter(systems), None), one(given, "version"), id_)
        outcome = concepts.subsumes(session, system, pair[0][0], pair[1][0])
        audited(session, "$subsumes", "CodeSystem", id_, system=system.url)
    return answer_parameters([{"name": "outcome", "valueCode": outcome}])


def _side(given: Values, side: str) -> tuple[str, str | None]:
    if coding := one(given, f"coding{side}"):
        read = coding_of(coding)
        return read.code, read.system
    code = one(given, f"code{side}")
    if not code:
        raise NotValid(f"Name both codes: code{side}, or coding{side}.")
    return str(code), None


@access("$validate-code")
def validate_code(type_: str, id_: str | None = None) -> Response:
    """Answer whether a code is in a value set, or of a code system, and whether its display is right."""
    if type_ == "ValueSet":
        return terminology_sets.validate_code(id_)
    asking.check_accept()
    asking.permitted("read", "CodeSystem")
    given = asked(operation("validate-code", "instance" if id_ else "type", "CodeSystem"))
    url = one(given, "url")
    with asking.hub().begin() as session:
        codes = coded(given)
        system_url = url or (codes[0].system if len(codes) == 1 else None)
        system = version_named(session, CodeSystem, system_url, one(given, "version"), id_)
        for code in codes:
            if code.system not in (None, "", system.url):
                message = "The coding names another code system."
                continue
            found = concepts.find(session, system, code.code)
            message = "" if found else _not_in(system)
            if found:
                break
        else:
            found = None
        audited(session, "$validate-code", "CodeSystem", id_, system=system.url, result=found is not None)
    if found is None:
        return answer_parameters(refused(message))
    return answer_parameters(terminology_sets.agreed(found, code.display, one(given, "displayLanguage")))


def _not_in(system: CodeSystem) -> str:
    if system.content == "complete":
        return UNKNOWN_CODE
    return "The code is not in the part of the code system that is loaded here."


@access("$translate")
def translate(id_: str | None = None) -> Response:
    """Answer what a code is in another code system, by one map or all that fit; backwards with `reverse`."""
    asking.check_accept()
    asking.permitted("read", "ConceptMap")
    given = asked(operation("translate", "instance" if id_ else "type", "ConceptMap"))
    codes = [code for code in coded(given) if code.system]
    if not codes:
        raise NotValid("Name what to translate: code with system, a coding, or a codeableConcept.")
    with asking.hub().begin() as session:
        url, version = one(given, "url"), one(given, "conceptMapVersion")
        map_ = version_named(session, ConceptMap, url, version, id_) if url or id_ else None
        matches = [
            match for code in codes for match in _translated(session, given, code.system, code.code, map_)
        ]
        audited(session, "$translate", "ConceptMap", id_, matches=len(matches))
    is_found = any(match.is_match for match in matches)
    told: list[dict[str, Any]] = [{"name": "result", "valueBoolean": is_found}]
    if not matches:
        text = "No map here translates this code; see the work list (ConceptMap/$unmapped)."
        told.append({"name": "message", "valueString": text})
    return answer_parameters([*told, *map(_match, matches)])


def _translated(
    session: Session, given: Values, system: str | None, code: str, map_: ConceptMap | None
) -> list[translating.Match]:
    question = translating.Question(
        system or "",
        code,
        one(given, "source"),
        one(given, "target"),
        one(given, "targetsystem"),
        one(given, "reverse", False),
    )
    return translating.translate(session, question, map_)


def _match(match: translating.Match) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"name": "equivalence", "valueCode": match.equivalence}]
    if match.code:
        coding = {"system": match.system, "code": match.code}
        coding |= {"display": match.display} if match.display else {}
        parts.append({"name": "concept", "valueCoding": coding})
    return {"name": "match", "part": [*parts, {"name": "source", "valueUri": match.map_url}]}
