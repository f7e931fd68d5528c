"""__explain: an operator sees how a search runs, and no value of it."""

import pytest

from esb.fhir.validation import is_valid
from tests.hub_world import Caller, Json


def parts(answer: Json, name: str) -> list[str]:
    return [p["valueString"] for p in answer["parameter"] if p["name"] == name]


def understood(answer: Json) -> dict[str, str]:
    pairs = [p["part"] for p in answer["parameter"] if p["name"] == "understood"]
    return {one["valueString"]: other["valueString"] for one, other in pairs}


def test_the_plan_is_shown_without_any_value(call: Caller) -> None:
    answer = call(
        "GET",
        "/Observation?patient=pat-secret&code=http://loinc.org|secret-7&date=ge2026-03-01"
        "&subject:Patient.identifier=secret-id&_sort=-date&nonsense=secret&__explain=true",
    )
    assert answer.status_code == 200, answer.text
    found = answer.get_json()
    assert is_valid(found)
    assert "secret" not in answer.text
    assert "2026-03-01" not in answer.text
    assert understood(found) == {
        "patient": "reference at Observation.subject",
        "code": "token at Observation.code",
        "date": understood(found)["date"],
        "subject:Patient.identifier": "points by subject at Patient, found by: token at Patient.identifier",
        "_sort": "how the answer is made",
    }
    assert parts(found, "left-aside") == ["nonsense: Observation has no such search parameter"]
    (plan,) = parts(found, "plan")
    assert "cost=" in plan
    (statement,) = parts(found, "statement")
    assert statement.startswith("SELECT resource.type")


@pytest.mark.parametrize(
    ("path", "name", "told"),
    [
        ("/Patient?_has:Observation:patient:code=x", "_has:Observation:patient:code", "pointed at by"),
        ("/Patient?name:exact=x", "name:exact", "string at Patient.name, modifier exact"),
        ("/Patient?_list=x", "_list", "entries of a List"),
        ("?_type=Patient,Observation&_tag=x", "_tag", "share"),
        ("/Patient/x/Observation?code=x", "code", "token at Observation.code"),
        (
            "/Observation?encounter.subject:Patient.name=x",
            "encounter.subject:Patient.name",
            "points by encounter",
        ),
    ],
)
def test_every_kind_of_parameter_is_explained(call: Caller, path: str, name: str, told: str) -> None:
    answer = call("GET", f"{path}{'&' if '?' in path else '?'}__explain=true")
    assert told in understood(answer.get_json())[name]


def test_only_those_who_run_the_exchange_see_how_a_search_runs(call: Caller, h01: Caller) -> None:
    assert h01("GET", "/Patient?name=x&__explain=true").status_code == 403
    assert h01("GET", "/Patient?name=x&__explain=false").status_code == 200
    assert call("GET", "/Patient?name=x&__explain=false").get_json()["resourceType"] == "Bundle"
