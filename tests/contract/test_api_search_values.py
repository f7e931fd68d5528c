"""The clinical types are found, and not found, by each of the values they are asked by."""

from collections.abc import Iterator
from typing import Any

import pytest

from hie.api.metadata import search_parameters
from tests.hub_world import Caller, Json, created, ids, patient

TERMS = "http://terminology.hl7.org/CodeSystem"
ALLERGY = f"{TERMS}/allergyintolerance-clinical"
STRICT = {"Prefer": "handling=strict"}


def concept(code: str, system: str = "urn:x") -> Json:
    return {"coding": [{"system": system, "code": code}]}


# Type -> parameter -> (element, or several; its value in one resource; in the other; how each is asked for).
# `PATIENT` and `ENCOUNTER` are those of the resource.
PATIENT, ENCOUNTER = "(patient)", "(encounter)"
Case = tuple[str, Any, Any, str, str]
WHO = ("patient", "subject")
SUBJECT: dict[str, Case] = dict.fromkeys(WHO, ("subject", PATIENT, PATIENT, PATIENT, PATIENT))
OWNER: dict[str, Case] = dict.fromkeys(WHO, ("patient", PATIENT, PATIENT, PATIENT, PATIENT))
WITH: dict[str, Case] = {"encounter": ("encounter", ENCOUNTER, ENCOUNTER, ENCOUNTER, ENCOUNTER)}
CODE: dict[str, Case] = {"code": ("code", concept("a"), concept("b"), "urn:x|a", "urn:x|b")}
DAYS = ("2025-03-01", "2026-04-02")


def one_of(name: str, element: str, first: str, second: str) -> dict[str, Case]:
    return {name: (element, first, second, first, second)}


def concepts(name: str, element: str, first: str = "c1", second: str = "c2", *, system: str = "urn:x") -> Any:
    return {name: (element, concept(first, system), concept(second, system), first, second)}


def lists(name: str, element: str) -> dict[str, Case]:
    return {name: (element, [concept("c1")], [concept("c2")], "urn:x|c1", "urn:x|c2")}


CASES: dict[str, dict[str, Case]] = {
    "Observation": SUBJECT | WITH | CODE | lists("category", "category")
    | one_of("status", "status", "final", "preliminary") | one_of("date", "effectiveDateTime", *DAYS),
    "DiagnosticReport": SUBJECT | WITH | CODE | lists("category", "category")
    | one_of("status", "status", "final", "partial") | one_of("date", "effectiveDateTime", *DAYS),
    "Procedure": SUBJECT | WITH | CODE | concepts("category", "category")
    | one_of("status", "status", "completed", "stopped") | one_of("date", "performedDateTime", *DAYS),
    "MedicationRequest": SUBJECT | WITH | lists("category", "category")
    | concepts("code", "medicationCodeableConcept")
    | one_of("status", "status", "active", "stopped") | one_of("authoredon", "authoredOn", *DAYS),
    "Condition": SUBJECT | WITH | CODE | lists("category", "category")
    | concepts("status", "clinicalStatus", "active", "resolved", system=f"{TERMS}/condition-clinical")
    | one_of("date", "onsetDateTime", *DAYS),
    "ChargeItem": SUBJECT | {"encounter": ("context", ENCOUNTER, ENCOUNTER, ENCOUNTER, ENCOUNTER)} | {
        "code": ("code", concept("a", "urn:hie:charge-category"), concept("b"), "a", "b"),
        "category": ("code", concept("a", "urn:hie:charge-category"), concept("b"),
                     "urn:hie:charge-category|a", "urn:x|b"),
    } | one_of("status", "status", "billable", "billed") | one_of("date", "occurrenceDateTime", *DAYS),
    "Immunization": OWNER | WITH | concepts("code", "vaccineCode")
    | one_of("status", "status", "completed", "not-done") | one_of("date", "occurrenceDateTime", *DAYS),
    "AllergyIntolerance": OWNER | WITH | CODE
    | {"category": ("category", ["food"], ["medication"], "food", "medication")}
    | concepts("status", "clinicalStatus", "active", "inactive", system=ALLERGY)
    | one_of("date", "recordedDate", *DAYS),
    "DocumentReference": SUBJECT | concepts("code", "type") | lists("category", "category")
    | {"encounter": ("context", {"encounter": [ENCOUNTER]}, {"encounter": [ENCOUNTER]}, ENCOUNTER, ENCOUNTER)}
    | one_of("status", "status", "current", "superseded")
    | {"date": ("date", f"{DAYS[0]}T08:00:00+08:00", f"{DAYS[1]}T08:00:00+08:00", *DAYS)},
    "Encounter": SUBJECT | lists("code", "type") | one_of("status", "status", "finished", "planned")
    | {"date": ("period", {"start": DAYS[0], "end": DAYS[0]}, {"start": DAYS[1], "end": DAYS[1]}, *DAYS)},
}  # fmt: skip
NEEDED: dict[str, Json] = {
    "Encounter": {"class": {"system": f"{TERMS}/v3-ActCode", "code": "AMB"}},
    "MedicationRequest": {"intent": "order"},
    "DocumentReference": {"content": [{"attachment": {"contentType": "text/plain", "data": "eA=="}}]},
}
ASKED = [(type_, name) for type_, cases in CASES.items() for name in cases]


def placed(value: Any, own: dict[str, str]) -> Any:
    """Return a value with the own patient and encounter in it."""
    if isinstance(value, str) and value in own:
        return {"reference": own[value]}
    if isinstance(value, list):
        return [placed(one, own) for one in value]
    return {key: placed(one, own) for key, one in value.items()} if isinstance(value, dict) else value


@pytest.fixture(scope="module")
def kept(call: Caller) -> Iterator[dict[str, list[tuple[str, dict[str, str]]]]]:
    """Two resources of each type that differ in every value: their ids, and their patients and encounters."""
    visit = {"resourceType": "Encounter", "status": "finished"} | NEEDED["Encounter"]
    owns = []
    for number in range(2):
        who = f"Patient/{created(call, patient(f'values-{number}'))['id']}"
        visited = created(call, visit | {"subject": {"reference": who}})["id"]
        owns.append({PATIENT: who, ENCOUNTER: f"Encounter/{visited}"})
    made: dict[str, list[tuple[str, dict[str, str]]]] = {}
    for type_, cases in CASES.items():
        for number, own in enumerate(owns):
            elements = {case[0]: placed(case[1 + number], own) for case in cases.values()}
            body = {"resourceType": type_} | NEEDED.get(type_, {}) | elements
            made.setdefault(type_, []).append((created(call, body)["id"], own))
    yield made


@pytest.mark.parametrize(("type_", "name"), ASKED)
def test_a_type_is_found_and_not_found_by_value(
    call: Caller, kept: dict[str, list[tuple[str, dict[str, str]]]], type_: str, name: str
) -> None:
    asked = CASES[type_][name][3:]
    mine = {id_ for id_, _ in kept[type_]}
    for number, (id_, own) in enumerate(kept[type_]):
        value = own.get(asked[number], asked[number])
        found = ids(call("GET", f"/{type_}?{name}={value}&_count=1000", **STRICT))
        assert mine & set(found) == {id_}, value
    nowhere = {"date": "2024-01-01", "authoredon": "2024-01-01"}.get(name, "nowhere")
    assert ids(call("GET", f"/{type_}?{name}={nowhere}", **STRICT)) == []


def test_the_regions_own_parameters_are_stated_with_their_canonicals() -> None:
    own = {
        (type_, one["name"]): one["definition"]
        for type_ in CASES
        for one in search_parameters(type_)
        if "definition" in one
    }
    assert own[("Condition", "status")] == "urn:hie:SearchParameter/Condition-status"
    assert len(own) == 14
    assert "definition" not in next(
        one for one in search_parameters("Observation") if one["name"] == "status"
    )


def test_an_encounter_comes_with_the_allergies_and_immunizations_found_in_it(
    call: Caller, kept: dict[str, list[tuple[str, dict[str, str]]]]
) -> None:
    id_, own = kept["AllergyIntolerance"][0]
    answer = call("GET", f"/{own[ENCOUNTER]}/$everything").get_json()
    came = {(e["resource"]["resourceType"], e["resource"]["id"]) for e in answer["entry"]}
    assert {("AllergyIntolerance", id_), ("Immunization", kept["Immunization"][0][0])} <= came
