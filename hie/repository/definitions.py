"""The published R4 SearchParameters, read once: what can be asked for of each type, and where it is found."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from esb.fhir.definitions import load

INDEXED = frozenset({"token", "string", "reference", "date", "uri"})

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


@dataclass(frozen=True, slots=True)
class Path:
    """One place a parameter looks at.

    name: identifies the element in tokens; parameters over one element share it.
    steps: keys to follow; `?key=value` keeps parts, `[0]` the first one.
    type: FHIR type of what is found there. target: the type a reference must point at.
    """

    name: str
    steps: tuple[str, ...]
    type: str
    target: str | None = None
    exists: bool = False


@dataclass(frozen=True, slots=True)
class Parameter:
    """A search parameter of one resource type."""

    code: str
    kind: str
    paths: tuple[Path, ...]
    targets: tuple[str, ...] = ()

    @property
    def is_indexed(self) -> bool:
        """Whether the index answers it."""
        return self.kind in INDEXED and bool(self.paths)


@cache
def parameters_of(type_: str) -> dict[str, Parameter]:
    """Return the search parameters of a type by code, those of every resource included."""
    published: dict[str, Any] = load("search_parameters")
    found = {}
    for code, entry in {**published.get("Resource", {}), **published.get(type_, {})}.items():
        paths = tuple(
            Path(
                ".".join((type_, *path["steps"])),
                tuple(path["steps"]),
                path["type"],
                path.get("target"),
                path.get("exists", False),
            )
            for path in entry["paths"]
        )
        found[code] = Parameter(code, entry["kind"], paths, tuple(entry.get("targets", ())))
    return found


@cache
def primary_date(type_: str) -> str | None:
    """Return the code of the date parameter kept in the row itself, or None."""
    parameters = parameters_of(type_)
    code = PRIMARY_DATES.get(type_, "date")
    return code if code in parameters and parameters[code].kind == "date" else None


@cache
def subject_path(type_: str) -> str | None:
    """Return the path whose patient is always the compartment, or None where several may be."""
    published = load("patient_compartment").get(type_, ())
    owners = [".".join((type_, *entry["steps"])) for entry in published if entry["owner"]]
    return owners[0] if len(owners) == 1 else None
