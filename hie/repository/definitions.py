"""What can be asked for of each resource type (FHIR R4 SearchParameters) and how the index holds it."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from esb.fhir.definitions import load
from esb.fhir.search_parameters import PARAMETERS, Parameter, Path
from esb.fhir.types import RESOURCE_TYPES

# The kinds the index answers: all but `special` (Location.near).
INDEXED = frozenset({"token", "string", "reference", "date", "uri", "number", "quantity", "composite"})
PAIRED = frozenset({"token", "reference"})  # kinds whose pairs stand among the tokens

# The date of each type that stands in its row: the one it is sorted and most often searched by.
PRIMARY_DATES = {
    "AllergyIntolerance": "date", "ChargeItem": "occurrence", "Claim": "created", "Communication": "sent",
    "Condition": "recorded-date", "ExplanationOfBenefit": "created", "Goal": "start-date",
    "ImagingStudy": "started", "MedicationAdministration": "effective-time",
    "MedicationDispense": "whenhandedover", "MedicationRequest": "authoredon",
    "MedicationStatement": "effective", "Patient": "birthdate", "Person": "birthdate",
    "Provenance": "recorded", "QuestionnaireResponse": "authored", "RelatedPerson": "birthdate",
    "ServiceRequest": "authored", "Slot": "start", "Specimen": "collected", "Task": "authored-on",
}  # fmt: skip


# Rendered by the hub when asked for by themselves: no other search finds them or goes through them.
APART = frozenset({"AuditEvent", "Person"})
EVERY_TYPE = tuple(sorted(RESOURCE_TYPES - APART))


@cache
def indexed_parameters(type_: str) -> dict[str, Parameter]:
    """Return the parameters of a type that the index answers, by code."""
    return {code: p for code, p in PARAMETERS[type_].items() if p.kind in INDEXED and p.paths}


@cache
def path_name(type_: str, path: Path) -> str:
    """Return the name of an element in tokens; parameters over one element share it."""
    return ".".join((type_, *path.steps))


@cache
def primary_date(type_: str) -> str | None:
    """Return the code of the date parameter kept in the row itself, or None."""
    parameters = indexed_parameters(type_)
    code = PRIMARY_DATES.get(type_, "date")
    return code if code in parameters and parameters[code].kind == "date" else None


@cache
def subject_path(type_: str) -> str | None:
    """Return the path whose patient is always the compartment, or None where several may be."""
    published = load("patient_compartment").get(type_, ())
    owners = [".".join((type_, *entry["steps"])) for entry in published if entry["owner"]]
    return owners[0] if len(owners) == 1 else None


class Pair(NamedTuple):
    """Two components of a composite that are found together at a root that may repeat.

    kind: token (a token of both) or number (a row of both). first, second: paths below the root.
    """

    name: str
    kind: str
    root: tuple[str, ...]
    first: Path
    second: Path


@cache
def pairs(type_: str, parameter: Parameter) -> tuple[Pair, ...]:
    """Return the pairs of a composite that have a token or row of their own."""
    found = []
    for root in parameter.paths:
        local = [c for c in parameter.components if not any(path.from_resource for path in c.paths)]
        for kind in ("token", "number"):
            kinds = PAIRED if kind == "token" else {"number"}
            two = [c for c in local if c.kind in kinds]
            if root.steps and len(two) == 2:
                found += [
                    Pair(pair_name(type_, root, first, second), kind, root.steps, first, second)
                    for first in two[0].paths
                    for second in two[1].paths
                ]
    return tuple(found)


def pair_name(type_: str, root: Path, first: Path, second: Path) -> str:
    """Return the name of two elements below a root; composites over the same two share it."""
    return f"{path_name(type_, root)}.({'.'.join(first.steps)})$({'.'.join(second.steps)})"


@cache
def paired_codes(type_: str) -> dict[tuple[str, ...], tuple[tuple[str, ...], Path]]:
    """Return, for quantities that composites pair with a code: steps -> (root's steps, code's path)."""
    found = {}
    for parameter in indexed_parameters(type_).values():
        if [component.kind for component in parameter.components] == ["token", "quantity"]:
            code, quantity = parameter.components
            for root in parameter.paths:
                for path in quantity.paths:
                    found[*root.steps, *path.steps] = (root.steps, code.paths[0])
    return found
