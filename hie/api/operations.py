"""The FHIR operations answered here, as one table: name, levels, types, parameters (FHIR R4 operations.html).

The CapabilityStatement, the OpenAPI document, the routes and the texts about unknown operations are made
from `OPERATIONS`; `operations_of(level, type_)` gives the rows of one place. A new operation is a row here, a
view marked `@access("$name")`, and in `add_routes` of its module `add_operation(blueprint, "name", view)`,
which opens every address the row names; the view is called with the parts of the address that vary (`type_`
unless the row names one type, `id_` at instance level). What was asked is read by `hie.api.parameters.asked`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from flask import Blueprint, Response

from esb.fhir.types import RESOURCE_TYPES
from hie.api import asking
from hie.errors import HieError, NotFound
from hie.security.access import access

Level = Literal["system", "type", "instance"]
CORE = "http://hl7.org/fhir/OperationDefinition/"
OWN = "urn:hie:region:operation:"


class UnknownOperation(HieError):
    """There is no such operation here; see the CapabilityStatement at /fhir/metadata."""

    http = 404
    code = "not-supported"


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter that goes in.

    type: a FHIR type, `Resource`, or `token`, `reference` for what is written as in a search.
    least, most: how often it may stand; None for any number. longest: characters of a text; None for as
        many as a body has.
    """

    name: str
    type: str
    least: int = 0
    most: int | None = 1
    longest: int | None = 10_000


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation.

    types: the resource types it is of; empty for all that are kept. by_get: it may be asked by GET too,
    because it changes nothing and its parameters fit an address. title: what it gives, for statements.
    of_body: at type level it looks at what is sent alone, so that it is answered of what is never kept too.
    """

    name: str
    levels: tuple[Level, ...]
    types: tuple[str, ...]
    definition: str
    params: tuple[Param, ...]
    title: str
    by_get: bool = True
    of_body: bool = False

    def is_of(self, level: Level, type_: str | None) -> bool:
        """Say whether it is answered at a level, of a type."""
        if level not in self.levels or level == "system":
            return level in self.levels
        if type_ in asking.NEVER_KEPT and not self.types:
            return self.of_body and level == "type"
        return type_ in self.types if self.types else type_ not in asking.MADE_BY_THE_HUB


SINCE, TYPES, COUNT = (
    Param("_since", "instant"),
    Param("_type", "code", most=None),
    Param("_count", "integer"),
)
BULK = "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/"
EXPORTED = (
    Param("_outputFormat", "string"),
    SINCE,
    Param("_until", "instant"),
    Param("_type", "string", most=None),
    Param("_typeFilter", "string", most=None),
)
OF_PATIENTS = (*EXPORTED, Param("patient", "Reference", most=None))

IMPORTED = (
    Param("inputFormat", "code"),
    Param("inputSource", "uri"),
    Param("input", "BackboneElement", 1, None),
)
BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/OperationDefinition/backport-subscription-"

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "import",
        ("system",),
        (),
        "https://github.com/smart-on-fhir/bulk-import",
        IMPORTED,
        "Take in NDJSON files",
        by_get=False,
    ),
    Operation(
        "status",
        ("type", "instance"),
        ("Subscription",),
        BACKPORT + "status",
        (Param("id", "id", most=None), Param("status", "code", most=None)),
        "How subscriptions stand",
    ),
    Operation(
        "events",
        ("instance",),
        ("Subscription",),
        BACKPORT + "events",
        (
            Param("eventsSinceNumber", "string"),
            Param("eventsUntilNumber", "string"),
            Param("content", "code"),
        ),
        "What a subscription was, or is to be, told",
    ),
    Operation("export", ("system",), (), BULK + "export", EXPORTED, "Everything, as NDJSON files"),
    Operation(
        "export",
        ("type",),
        ("Patient",),
        BULK + "patient-export",
        OF_PATIENTS,
        "What belongs to patients, as NDJSON files",
    ),
    Operation(
        "export",
        ("instance",),
        ("Group",),
        BULK + "group-export",
        OF_PATIENTS,
        "What belongs to the members of a group, as NDJSON files",
    ),
    Operation(
        "everything",
        ("type", "instance"),
        ("Patient",),
        CORE + "Patient-everything",
        (Param("start", "date"), Param("end", "date"), SINCE, TYPES, COUNT),
        "All that the region holds of a person, of all hospitals",
    ),
    Operation(
        "everything",
        ("instance",),
        ("Encounter",),
        CORE + "Encounter-everything",
        (SINCE, TYPES, COUNT),
        "All that belongs to one encounter",
    ),
    Operation(
        "match",
        ("type",),
        ("Patient",),
        CORE + "Patient-match",
        (
            Param("resource", "Resource", least=1),
            Param("onlyCertainMatches", "boolean"),
            Param("count", "integer"),
        ),
        "Who this is: source Patients with a score and a grade",
        by_get=False,
    ),
    Operation(
        "summary",
        ("instance",),
        ("Patient",),
        "http://hl7.org/fhir/uv/ips/OperationDefinition/summary",
        (Param("profile", "canonical"),),
        "International Patient Summary of a person, of all hospitals",
    ),
    Operation(
        "summary",
        ("type",),
        ("Patient",),
        "http://hl7.org/fhir/uv/ips/OperationDefinition/summary",
        (Param("identifier", "token", least=1), Param("profile", "canonical")),
        "International Patient Summary of the person with an identifier, of all hospitals",
    ),
    Operation(
        "lastn",
        ("type",),
        ("Observation",),
        CORE + "Observation-lastn",
        (
            Param("max", "positiveInt"),
            Param("patient", "reference", most=None),
            Param("subject", "reference", most=None),
            Param("category", "token", most=None),
            Param("code", "token", most=None),
        ),
        "The newest results of each test",
    ),
    Operation(
        "meta",
        ("system", "type", "instance"),
        (),
        CORE + "Resource-meta",
        (),
        "Profiles, tags and security labels in use",
    ),
    Operation(
        "meta-add",
        ("instance",),
        (),
        CORE + "Resource-meta-add",
        (Param("meta", "Meta", least=1),),
        "Adds profiles, tags and security labels",
        by_get=False,
    ),
    Operation(
        "meta-delete",
        ("instance",),
        (),
        CORE + "Resource-meta-delete",
        (Param("meta", "Meta", least=1),),
        "Takes profiles, tags and security labels away",
        by_get=False,
    ),
    Operation(
        "validate",
        ("type", "instance"),
        (),
        CORE + "Resource-validate",
        (Param("resource", "Resource"), Param("mode", "code"), Param("profile", "uri")),
        "Checks a resource and says what is wrong with it",
        of_body=True,
    ),
    Operation(
        "document",
        ("instance",),
        ("Composition",),
        CORE + "Composition-document",
        (Param("persist", "boolean"), Param("graph", "uri")),
        "A document Bundle of a Composition and what it refers to",
    ),
)


def _params(*named: str) -> tuple[Param, ...]:
    """Return parameters written as name:type, with a * where they may stand any number of times."""
    split = [one.rstrip("*").split(":") for one in named]
    return tuple(
        Param(name, type_, most=None if one.endswith("*") else 1)
        for one, (name, type_) in zip(named, split, strict=True)
    )


OF_CODE = ("code:code", "system:uri", "coding:Coding", "displayLanguage:code")
OF_SET = ("url:uri", "valueSet:Resource", "valueSetVersion:string", "displayLanguage:code")
WITH_DISPLAY = ("display:string", "codeableConcept:CodeableConcept")
OPERATIONS += (
    Operation(
        "expand", ("type", "instance"), ("ValueSet",), CORE + "ValueSet-expand",
        _params(
            *OF_SET, "filter:string", "offset:unsignedInt", "count:unsignedInt", "activeOnly:boolean",
            "excludeNested:boolean", "excludeNotForUI:boolean", "includeDefinition:boolean",
            "exclude-system:canonical*",
        ),
        "The codes of a value set, in pages, found by Chinese, English, pinyin or code",
    ),
    Operation(
        "validate-code", ("type", "instance"), ("ValueSet",), CORE + "ValueSet-validate-code",
        _params(*OF_SET, *OF_CODE[:-1], *WITH_DISPLAY, "abstract:boolean"),
        "Whether a code is in a value set",
    ),
    Operation(
        "validate-code", ("type", "instance"), ("CodeSystem",), CORE + "CodeSystem-validate-code",
        _params("url:uri", *OF_CODE, *WITH_DISPLAY, "version:string"),
        "Whether a code is of a code system",
    ),
    Operation(
        "lookup", ("type",), ("CodeSystem",), CORE + "CodeSystem-lookup",
        _params(*OF_CODE, "version:string", "property:code*"),
        "What is known of one code",
    ),
    Operation(
        "subsumes", ("type", "instance"), ("CodeSystem",), CORE + "CodeSystem-subsumes",
        _params(
            "codeA:code", "codeB:code", "system:uri", "version:string", "codingA:Coding", "codingB:Coding"
        ),
        "How one code stands to another: above, below, the same, or neither",
    ),
    Operation(
        "translate", ("type", "instance"), ("ConceptMap",), CORE + "ConceptMap-translate",
        _params(
            "url:uri", "conceptMapVersion:string", *OF_CODE[:-1], "codeableConcept:CodeableConcept",
            "source:uri", "target:uri", "targetsystem:uri", "reverse:boolean",
        ),
        "What a code is in another code system",
    ),
    Operation(
        "unmapped", ("type",), ("ConceptMap",), OWN + "unmapped",
        _params("facility:code", "count:unsignedInt", "offset:unsignedInt"),
        "Hospitals' own codes that no map translates, the most frequent first; as CSV by _format=text/csv",
    ),
    Operation(
        "map", ("type",), ("ConceptMap",), OWN + "map", (Param("list", "string", least=1, longest=None),),
        "Takes in the filled list of $unmapped, as CSV in the body or in the parameter list", by_get=False,
    ),
)  # fmt: skip

# Where an operation stands: the level and the address, the varying parts in <>.
PLACES: dict[Level, str] = {
    "system": "/${name}",
    "type": "/{type}/${name}",
    "instance": "/{type}/<id_>/${name}",
}


def operations_of(level: Level, type_: str | None = None) -> list[Operation]:
    """Return the operations answered at a level, of a type."""
    return [operation for operation in OPERATIONS if operation.is_of(level, type_)]


def operation(name: str, level: Level, type_: str | None = None) -> Operation:
    """Return one operation. Raises: UnknownOperation, naming those that are answered there."""
    for known in operations_of(level, type_):
        if known.name == name:
            return known
    raise unknown(level, type_)


def unknown(level: Level, type_: str | None) -> UnknownOperation:
    """Return the error for an operation that is not answered at a place; it lists those that are."""
    names = sorted("$" + known.name for known in operations_of(level, type_))
    where = {"system": "of the whole server", "type": f"of {type_}", "instance": f"of one {type_}"}[level]
    listed = ", ".join(names) if names else "none"
    return UnknownOperation(f"There is no such operation {where}; known are: {listed}.")


def add_operation(blueprint: Blueprint, name: str, view: Callable[..., Response]) -> None:
    """Open all addresses of the operations of a name.

    A row of one type has the type in its address; where the rows of a name are of different types, or a row
    is of all, the view is told it as `type_`.
    """
    rows = [row for row in OPERATIONS if row.name == name]
    several = len(rows) > 1 or any(len(row.types) != 1 for row in rows)
    for row in rows:
        methods = ["GET", "POST"] if row.by_get else ["POST"]
        for level in row.levels:
            for rule, fixed in _rules(row, level):
                defaults = {"type_": fixed} if several and fixed else {}
                endpoint = f"{view.__name__}.{level}.{fixed or 'any'}"
                blueprint.add_url_rule(
                    rule, endpoint.replace(".", "-"), view, methods=methods, defaults=defaults
                )


def _rules(row: Operation, level: Level) -> Iterator[tuple[str, str | None]]:
    place = PLACES[level].replace("{name}", row.name)
    if level == "system":
        yield place, None
        return
    for type_ in row.types or (None,):
        yield place.replace("{type}", type_ or "<type_>"), type_


def add_routes(blueprint: Blueprint) -> None:
    """Open the addresses of all operations that are not answered, to say so."""
    for rule in ("/$<name>", "/<type_>/$<name>", "/<type_>/<id_>/$<name>"):
        blueprint.add_url_rule(rule, view_func=answer_unknown, methods=["GET", "POST"])
    for type_ in sorted(asking.MADE_BY_THE_HUB):  # whose own routes would take the name for an id
        rule, endpoint = f"/{type_}/$<name>", f"answer-unknown-{type_}"
        blueprint.add_url_rule(
            rule, endpoint, answer_unknown, methods=["GET", "POST"], defaults={"type_": type_}
        )


@access("operation")
def answer_unknown(name: str, type_: str | None = None, id_: str | None = None) -> Response:
    """Refuse an operation that is not answered here, or not in this way."""
    if type_ is not None and type_ not in RESOURCE_TYPES:
        raise NotFound("There is no such resource type in FHIR R4; see /fhir/metadata.")
    level: Level = "system" if type_ is None else "type" if id_ is None else "instance"
    found = operation(name, level, type_)
    raise UnknownOperation(f"${found.name} is asked by POST.")
