"""Interactions with one resource as a foreign client sees them: codes, headers, versions, forms."""

import gzip
import json

import pytest

from tests.hub_world import JSON, Caller, created, entry, ids, is_outcome, observation, patient, transaction


def test_a_created_resource_is_read_back_digit_for_digit(call: Caller) -> None:
    subject = created(call, patient("1"))
    answer = call("POST", "/Observation", observation(f"Patient/{subject['id']}", "5.10"))
    assert answer.status_code == 201
    assert answer.headers["ETag"] == 'W/"1"'
    found = call("GET", answer.headers["Location"].partition("/fhir")[2])
    assert b'"value":5.10' in found.data
    read = call("GET", f"/Observation/{found.get_json()['id']}")
    assert read.data == found.data == answer.data
    assert read.headers["Content-Type"].startswith(JSON)
    assert read.headers["Last-Modified"]


def test_a_resource_has_versions_and_a_history(call: Caller) -> None:
    first = created(call, patient("2"))
    path = f"/Patient/{first['id']}"
    second = call("PUT", path, first | {"gender": "female"}, If_Match='W/"1"')
    assert (second.status_code, second.headers["ETag"]) == (200, 'W/"2"')
    assert call("PUT", path, first | {"gender": "male"}, If_Match='W/"1"').status_code == 412
    assert call("PUT", path, first | {"gender": "female"}).headers["ETag"] == 'W/"2"'
    assert "gender" not in call("GET", f"{path}/_history/1").get_json()
    history = call("GET", f"{path}/_history").get_json()
    assert [e["response"]["etag"] for e in history["entry"]] == ['W/"2"', 'W/"1"']
    assert call("GET", path, If_None_Match='W/"2"').status_code == 304
    assert call("GET", f"{path}/_history/9").status_code == 404


def test_a_deleted_resource_is_gone_but_its_past_is_not(call: Caller) -> None:
    made = created(call, patient("3"))
    path = f"/Patient/{made['id']}"
    assert call("DELETE", path).status_code == 204
    assert call("GET", path).status_code == 410
    assert ids(call("GET", "/Patient?identifier=urn:hie:test|3")) == []
    assert call("GET", f"{path}/_history/1").status_code == 200
    assert call("GET", f"{path}/_history/2").status_code == 410
    assert call("DELETE", path).status_code == 204
    assert call("DELETE", "/Patient/never-there").status_code == 204


def test_what_was_deleted_is_created_anew(call: Caller) -> None:
    made = created(call, patient("3a"))
    path = f"/Patient/{made['id']}"
    assert call("DELETE", path).headers.get("Content-Type") is None
    again = call("PUT", path, made)
    assert (again.status_code, again.headers["ETag"]) == (201, 'W/"3"')
    assert call("GET", path).status_code == 200
    assert call("GET", f"{path}/_history/2").status_code == 410
    call("DELETE", path)
    answer = call("POST", "/", transaction(entry(made, "PUT", path[1:]))).get_json()
    assert answer["entry"][0]["response"]["status"] == "201 Created"


@pytest.mark.parametrize(
    ("method", "path", "methods"),
    [
        ("POST", "/Patient/x", {"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"}),
        ("PUT", "/AuditEvent/x", {"GET", "HEAD"}),
        ("POST", "/Parameters", set()),
        ("GET", "/Person/x/_history", set()),
    ],
)
def test_a_method_that_is_not_offered_is_answered_with_those_that_are(
    call: Caller, method: str, path: str, methods: set[str]
) -> None:
    answer = call(method, path, patient("3b") if method != "GET" else None)
    assert answer.status_code == 405
    assert {one for one in answer.headers["Allow"].split(", ") if one} == methods


def test_update_creates_under_the_askers_own_id(call: Caller) -> None:
    body = patient("4") | {"id": "own-id"}
    assert call("PUT", "/Patient/own-id", body).status_code == 201
    assert call("PUT", "/Patient/own-id", body, If_None_Match="*").status_code == 412
    assert call("PUT", "/Patient/other-id", body).status_code == 400
    assert call("PUT", "/Observation/own-id", body).status_code == 400


def test_a_patch_changes_one_element(call: Caller) -> None:
    made = created(call, patient("5"))
    patch = [{"op": "add", "path": "/birthDate", "value": "1980-01-02"}]
    kind = "application/json-patch+json"
    answer = call("PATCH", f"/Patient/{made['id']}", json.dumps(patch).encode(), Content_Type=kind)
    assert (answer.status_code, answer.get_json()["birthDate"]) == (200, "1980-01-02")
    bad = [{"op": "add", "path": "/birthDate", "value": "soon"}]
    assert call("PATCH", f"/Patient/{made['id']}", bad, Content_Type=kind).status_code == 400
    assert call("GET", f"/Patient/{made['id']}").get_json()["birthDate"] == "1980-01-02"
    assert call("PATCH", "/Patient/never-there", patch, Content_Type=kind).status_code == 404


def test_forms_of_the_answer_follow_the_asker(call: Caller) -> None:
    made = created(call, patient("21"))["id"]
    path = f"/Patient/{made}"
    assert b'\n  "resourceType"' in call("GET", f"{path}?_pretty=true").data
    assert call("GET", path, Accept="application/json").status_code == 200
    assert call("GET", path, Accept="application/fhir+xml").status_code == 406
    assert call("GET", f"{path}?_format=json", Accept="text/html").status_code == 200
    assert call("POST", "/Patient", b"<Patient/>", Content_Type="application/fhir+xml").status_code == 415
    assert call("POST", "/Patient", patient("22"), Prefer="return=minimal").data == b""
    packed = gzip.compress(json.dumps(patient("23")).encode())
    assert call("POST", "/Patient", packed, Content_Encoding="gzip").status_code == 201
    assert call("POST", "/Patient", b"nonsense", Content_Encoding="gzip").status_code == 400
    answer = call("GET", "/metadata", Accept_Encoding="gzip")
    assert json.loads(gzip.decompress(answer.data))["fhirVersion"] == "4.0.1"


def test_what_a_read_does_not_know_is_refused_under_strict(call: Caller) -> None:
    address = f"/Patient/{created(call, patient('i-strict'))['id']}"
    for path in (address, f"{address}/_history/1"):
        assert call("GET", f"{path}?foo=bar").status_code == 200
        refused = call("GET", f"{path}?foo=bar", Prefer="handling=strict")
        assert (refused.status_code, is_outcome(refused)) == (400, True)
        known = call("GET", f"{path}?_format=json&_pretty=true&_elements=name", Prefer="handling=strict")
        assert known.status_code == 200


@pytest.mark.parametrize(
    "path", ["/Patient?__explain=1", "/Patient/$everything?__explain=true", "/Patient/x/$summary?_cursor=x"]
)
def test_what_an_address_asks_for_in_vain_is_refused(call: Caller, path: str) -> None:
    refused = call("GET", path)
    assert (refused.status_code, is_outcome(refused)) == (400, True)
