"""Bundles and OperationOutcomes are composed as the standard wants them."""

from __future__ import annotations

import base64

from esb.errors import Issue, NotNow, NotValid
from esb.fhir import bundles, lexemes

PATIENT = {"resourceType": "Patient", "id": "p"}
STORED = b'{"resourceType":"Observation","valueQuantity":{"value":1.50}}'


def test_a_snapshot_and_a_placeholder_are_told_apart():
    assert bundles.entry(PATIENT)["request"] == {"method": "PUT", "url": "Patient/p"}
    assert bundles.entry(PATIENT, if_none_match=True)["request"]["ifNoneMatch"] == "*"
    assert bundles.entry({"resourceType": "Patient"}, "POST")["request"]["url"] == "Patient"


def test_a_patch_travels_as_a_binary():
    entry = bundles.patch_entry("Patient", "p", [{"op": "replace", "path": "/active", "value": False}])
    assert entry["resource"]["contentType"] == "application/json-patch+json"
    assert b"/active" in base64.b64decode(entry["resource"]["data"])


def test_a_searchset_passes_stored_bytes_through():
    bundle = bundles.searchset(
        [
            (
                "http://h.example/fhir/Observation/o",
                STORED,
            )
        ],
        self_url="http://h.example/fhir/Observation?_count=1",
        next_url="http://h.example/fhir?page=2",
        total=2,
    )
    written = lexemes.dumps(bundle)
    assert b'"value":1.50' in written and b'"total":2' in written and b'"next"' in written


def test_an_empty_searchset_has_no_entry_and_no_total_unless_asked():
    assert {"entry", "total"}.isdisjoint(bundles.searchset([], self_url="http://h.example/fhir/Patient"))


def test_an_outcome_names_each_element():
    outcome = bundles.outcome_of(NotValid(issues=[Issue("Patient.gender", "is no allowed code")]))
    assert outcome["issue"][0]["expression"] == ["Patient.gender"]
    assert outcome["issue"][0]["severity"] == "error"


def test_an_error_without_issues_says_its_text():
    outcome = bundles.outcome_of(NotNow())
    assert outcome["issue"][0] | {"diagnostics": ""} == {
        "severity": "fatal",
        "code": "transient",
        "diagnostics": "",
    }
