"""Transactions and batches as a foreign client sees them."""

import json

import pytest

from tests.hub_world import Caller, created, entry, ids, observation, patient, transaction


def test_a_transaction_resolves_references_in_any_order(call: Caller) -> None:
    body = json.loads(observation("urn:uuid:0c2a1d5e-0000-4000-8000-000000000001"))
    answer = call(
        "POST",
        "/",
        transaction(
            entry(body, "POST", "Observation", "urn:uuid:0c2a1d5e-0000-4000-8000-000000000002"),
            entry(patient("10"), "POST", "Patient", "urn:uuid:0c2a1d5e-0000-4000-8000-000000000001"),
        ),
    )
    assert answer.status_code == 200, answer.text
    places = [e["response"]["location"] for e in answer.get_json()["entry"]]
    stored = call("GET", "/" + places[0]).get_json()
    assert stored["subject"]["reference"] == places[1].partition("/_history")[0]


@pytest.mark.parametrize("path", ["", "/"])
def test_a_transaction_is_taken_with_and_without_the_slash(call: Caller, path: str) -> None:
    answer = call("POST", path, transaction(entry(patient("11"), "POST", "Patient")))
    assert answer.status_code == 200
    assert answer.get_json()["type"] == "transaction-response"


@pytest.mark.parametrize("url", ["Patient", "/Patient", "Patient/", "/Patient/"])
def test_an_address_of_an_entry_is_taken_with_and_without_slashes(call: Caller, url: str) -> None:
    made = entry(patient("1"), "POST", url)
    answer = call("POST", "/", transaction(made, entry(None, "GET", f"{url}?_count=1"), kind="batch"))
    assert [one["response"]["status"][:3] for one in answer.get_json()["entry"]] == ["201", "200"]


def test_a_transaction_with_one_bad_entry_leaves_nothing_behind(call: Caller) -> None:
    answer = call(
        "POST",
        "/",
        transaction(
            entry(patient("12"), "POST", "Patient"),
            entry({"resourceType": "Observation"}, "POST", "Observation"),
        ),
    )
    assert answer.status_code == 400
    assert "Bundle.entry[1]" in answer.text
    assert ids(call("GET", "/Patient?identifier=urn:hie:test|12")) == []


def test_a_batch_does_what_it_can(call: Caller) -> None:
    answer = call(
        "POST",
        "/",
        transaction(
            entry(patient("13"), "POST", "Patient"),
            entry({"resourceType": "Observation"}, "POST", "Observation"),
            entry(None, "GET", "Patient?identifier=urn:hie:test|13"),
            entry(None, "GET", "Patient/never-there"),
            kind="batch",
        ),
    )
    assert answer.status_code == 200, answer.text
    done = answer.get_json()["entry"]
    assert [e["response"]["status"][:3] for e in done] == ["201", "400", "200", "404"]
    assert len(done[2]["resource"]["entry"]) == 1


def test_conditional_references_and_creates_find_what_is_there(call: Caller) -> None:
    known = created(call, patient("14"))["id"]
    body = json.loads(observation("Patient?identifier=urn:hie:test|14"))
    answer = call(
        "POST",
        "/",
        transaction(
            entry(body, "POST", "Observation"),
            entry(patient("14"), "POST", "Patient", ifNoneExist="identifier=urn:hie:test|14"),
        ),
    )
    assert answer.status_code == 200, answer.text
    places = [e["response"]["location"] for e in answer.get_json()["entry"]]
    assert places[1] == f"Patient/{known}/_history/1"
    stored = call("GET", "/" + places[0]).get_json()
    assert stored["subject"]["reference"] == f"Patient/{known}"
    missing = json.loads(observation("Patient?identifier=urn:hie:test|nobody"))
    assert call("POST", "/", transaction(entry(missing, "POST", "Observation"))).status_code == 412


def test_two_entries_for_one_resource_are_refused(call: Caller) -> None:
    one = patient("15") | {"id": "twice"}
    answer = call(
        "POST", "/", transaction(entry(one, "PUT", "Patient/twice"), entry(one, "PUT", "Patient/twice"))
    )
    assert answer.status_code == 400
    same = "identifier=urn:hie:test|16"
    answer = call(
        "POST",
        "/",
        transaction(*(entry(patient("16"), "POST", "Patient", ifNoneExist=same) for _ in range(2))),
    )
    assert answer.status_code == 400
