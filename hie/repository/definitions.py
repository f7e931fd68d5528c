"""What can be asked for of each resource type (FHIR R4 SearchParameters) and how the index holds it."""

from __future__ import annotations

from functools import cache

from esb.fhir.definitions import load
from esb.fhir.search_parameters import PARAMETERS, Parameter, Path

# The kinds the index answers; quantity, number and composite need narrow tables of their own.
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
