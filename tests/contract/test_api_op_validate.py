"""$validate: our findings and a second opinion, which name elements and never what stands in them."""

import pytest
from flask import Flask

from esb.fhir.validation import is_valid
from tests.hub_world import Caller, Json, patient
from tests.operations_world import made, parameters, text_of

LABEL = "Second opinion"


def findings(call: Caller, place: str, body: Json | None = None, method: str = "POST") -> list[Json]:
    answer = call(method, f"/{place}", body)
    assert answer.status_code == 200, answer.text
    outcome = answer.get_json()
    assert is_valid(outcome)
    issues: list[Json] = outcome["issue"]
    return issues


def errors(issues: list[Json]) -> list[str]:
    return [
        path for issue in issues if issue["severity"] == "error" for path in issue.get("expression", [""])
    ]


def test_nothing_is_wrong_with_what_is_right(call: Caller) -> None:
    issues = findings(call, "Patient/$validate", patient("80"))
    assert [issue["severity"] for issue in issues] == ["information"]


def test_findings_name_elements_and_never_values(call: Caller) -> None:
    wrong = patient("81", "王隐私") | {"birthDate": "1980-13-77", "gender": "隐私", "王隐私": 1}
    issues = findings(call, "Patient/$validate", parameters(("resource", "resource", wrong)))
    assert {"Patient.birthDate", "Patient.gender"} <= set(errors(issues))
    second = [issue for issue in issues if issue["severity"] == "warning"]
    assert all(issue["diagnostics"].startswith(LABEL) for issue in second)
    assert "Patient.birthDate" in {path for issue in second for path in issue.get("expression", ())}
    said = str(issues)
    assert not [value for value in ("隐私", "1980-13-77", "王") if value in said]


def test_a_second_opinion_is_no_error(call: Caller) -> None:
    issues = findings(call, "Patient/$validate", patient("82") | {"birthDate": "1980-02-30"})
    assert errors(issues) == ["Patient.birthDate"]


def test_a_type_the_second_opinion_does_not_know_is_said_to_be_so(call: Caller) -> None:
    issues = findings(
        call,
        "MedicinalProductContraindication/$validate",
        {"resourceType": "MedicinalProductContraindication"},
    )
    assert errors(issues) == []
    assert [issue["diagnostics"] for issue in issues if issue["severity"] == "warning"] == [
        f"{LABEL} (fhir.resources, R4B): it does not know this type."
    ]


def test_the_type_and_the_id_must_be_those_of_the_address(call: Caller, h01: Caller) -> None:
    assert errors(findings(call, "Observation/$validate", patient("83"))) == ["resourceType"]
    made(h01, patient("84") | {"id": "val-1"})
    update = ("mode", "valueCode", "update")
    other = parameters(("resource", "resource", patient("84") | {"id": "val-2"}), update)
    assert errors(findings(h01, "Patient/val-1/$validate", other)) == ["Patient.id"]
    same = parameters(("resource", "resource", patient("84") | {"id": "val-1"}), update)
    assert errors(findings(h01, "Patient/val-1/$validate", same)) == []


def test_an_empty_body_is_no_resource(call: Caller) -> None:
    for body in ({}, parameters(("resource", "resource", {}))):
        assert errors(findings(call, "Patient/$validate", body)) == ["resourceType"]


def test_another_id_than_that_of_the_address_is_found_whatever_the_mode(call: Caller) -> None:
    place = f"Patient/{made(call, patient('88'))}/$validate"
    assert errors(findings(call, place, patient("88", id="another"))) == ["Patient.id"]
    assert errors(findings(call, place, patient("88"))) == []


def test_what_is_stored_can_be_validated(h01: Caller, h02: Caller) -> None:
    made(h01, patient("85") | {"id": "val-3"})
    assert errors(findings(h01, "Patient/val-3/$validate", method="GET")) == []
    assert h02("GET", "/Patient/val-3/$validate").status_code == 404
    assert h02("GET", "/Patient/never-there/$validate").data == h02("GET", "/Patient/val-3/$validate").data


def test_a_mode_asks_for_the_right_to_do_so(app: Flask, call: Caller, h01: Caller) -> None:
    made(h01, patient("86") | {"id": "val-4"})
    assert errors(findings(h01, "Patient/val-4/$validate?mode=delete", method="GET")) == []
    assert h01("GET", "/Patient/never-there/$validate?mode=delete").status_code == 404
    create = parameters(("resource", "resource", patient("87")), ("mode", "valueCode", "create"))
    assert errors(findings(call, "Patient/$validate", create)) == []
    reader = Caller(app, "reader")
    assert reader("POST", "/Patient/$validate", create).status_code == 403
    assert errors(findings(reader, "Patient/$validate", patient("87"))) == []


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("?profile=http://example.org/StructureDefinition/ward", "profile: the definition of R4 itself"),
        ("?mode=guess", "mode is one of"),
        ("?mode=update", "is asked of one resource"),
        ("?strict=true", "no such parameter"),
    ],
)
def test_what_is_not_answered_is_refused(call: Caller, query: str, said: str) -> None:
    answer = call("POST", f"/Patient/$validate{query}", patient("88"))
    assert (answer.status_code, said in text_of(answer)) == (400, True)


def test_the_definition_of_r4_itself_may_be_named(call: Caller) -> None:
    base = "http://hl7.org/fhir/StructureDefinition/Patient|4.0.1"
    assert errors(findings(call, f"Patient/$validate?profile={base}", patient("89"))) == []
    assert "needs the parameter resource" in text_of(call("POST", "/Patient/$validate"))


def test_deep_and_broken_content_is_bounded(call: Caller) -> None:
    nested: Json = {"url": "urn:x", "valueString": "x"}
    for _ in range(110):
        nested = {"url": "urn:x", "extension": [nested]}
    assert call("POST", "/Patient/$validate", patient("90") | {"extension": [nested]}).status_code == 200
    assert call("POST", "/Patient/$validate", b'{"resourceType":').status_code == 400
    assert (
        call("POST", "/Patient/$validate", b'{"resourceType":"Parameters","parameter":5}').status_code == 400
    )
