"""Transactions and batches as a foreign client sees them."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from hie.schema import AuditEventRow
from tests.hub_world import Caller, Json, created, entry, ids, observation, patient, transaction


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


def test_a_batch_asks_for_operations_histories_and_compartments_too(call: Caller) -> None:
    id_ = created(call, patient("15"))["id"]
    made = created(call, observation(f"Patient/{id_}"))["id"]
    invalid = {"resourceType": "Patient", "gender": "nonsense"}
    answer = call(
        "POST",
        "/",
        transaction(
            entry(None, "GET", f"Patient/{id_}/_history"),
            entry(None, "GET", f"/Patient/{id_}/$everything"),
            entry(None, "GET", f"Patient/{id_}/Observation?code=2823-3"),
            entry(invalid, "POST", "Patient/$validate"),
            entry(None, "POST", "Patient/_search?identifier=urn:hie:test%7C15"),
            entry(None, "GET", "?_type=Patient&_id=" + id_),
            entry(None, "GET", "metadata"),
            entry(None, "GET", f"Patient/{id_}/$nonsense"),
            entry(None, "GET", f"AuditEvent?patient=Patient/{id_}"),
            entry(None, "GET", f"Observation/{made}"),
            kind="batch",
        ),
    )
    assert answer.status_code == 200, answer.text
    done = answer.get_json()["entry"]
    statuses = [one["response"]["status"] for one in done]
    assert statuses == ["200 OK"] * 7 + ["404 Not Found"] + ["200 OK"] * 2
    kinds = [
        one["resource"].get("type", one["resource"]["resourceType"]) for one in done if "resource" in one
    ]
    assert kinds[:3] == ["history", "searchset", "searchset"]
    assert kinds[3:] == [
        "OperationOutcome",
        *["searchset"] * 2,
        "CapabilityStatement",
        "searchset",
        "Observation",
    ]
    assert [one["resource"]["id"] for one in done[2]["resource"]["entry"]] == [made]
    assert [one["resource"]["id"] for one in done[4]["resource"]["entry"]] == [id_]
    assert done[7]["response"]["outcome"]["resourceType"] == "OperationOutcome"


def test_what_a_batch_asks_for_apart_is_asked_by_its_sender_and_told_in_the_trail(
    call: Caller, h02: Caller
) -> None:
    id_ = created(call, patient("16"))["id"]
    urls = (f"Patient/{id_}/_history", f"Patient/{id_}/$everything")
    batch = transaction(*(entry(None, "GET", url) for url in urls), kind="batch")
    denied = h02("POST", "/", batch).get_json()["entry"]
    assert [one["response"]["status"] for one in denied] == ["404 Not Found"] * 2
    before = call("GET", f"/AuditEvent?patient=Patient/{id_}&_summary=count").get_json()["total"]
    assert call("POST", "/", batch).status_code == 200
    after = call("GET", f"/AuditEvent?patient=Patient/{id_}&_summary=count").get_json()["total"]
    assert after == before + 2


def test_a_transaction_takes_no_operation(call: Caller) -> None:
    answer = call("POST", "/", transaction(entry(None, "GET", "Patient/x/$everything")))
    assert (answer.status_code, "Bundle.entry[0].request.url" in answer.text) == (400, True)


def test_the_answers_of_a_batch_are_bounded_together(app: Flask, call: Caller) -> None:
    asked = transaction(*(entry(None, "GET", "metadata") for _ in range(3)), kind="batch")
    size = len(call("GET", "/metadata").get_data())
    hub = app.extensions["hie"]
    app.extensions["hie"] = replace(hub, config=replace(hub.config, max_body=2 * size + 100))
    try:
        done = call("POST", "/", asked).get_json()["entry"]
    finally:
        app.extensions["hie"] = hub
    assert [one["response"]["status"][:3] for one in done] == ["200", "200", "413"]


def in_batch(call: Caller, *asked: Json) -> list[Json]:
    """Return what becomes of the entries of a batch."""
    answer = call("POST", "/", transaction(*asked, kind="batch"))
    assert answer.status_code == 200, answer.text
    done: list[Json] = answer.get_json()["entry"]
    return done


@pytest.fixture
def nearly_full(app: Flask) -> Iterator[None]:
    """Batches that have no more room after one answer of any size."""
    hub = app.extensions["hie"]
    app.extensions["hie"] = replace(hub, config=replace(hub.config, max_body=1500))
    yield
    app.extensions["hie"] = hub


def test_beyond_the_limit_nothing_of_a_batch_is_done_any_more(
    app: Flask, call: Caller, nearly_full: None
) -> None:
    id_ = created(call, patient("17"))["id"]
    tag = {"name": "meta", "valueMeta": {"tag": [{"system": "urn:hie:test", "code": "late"}]}}
    adding = entry({"resourceType": "Parameters", "parameter": [tag]}, "POST", f"Patient/{id_}/$meta-add")
    with Session(app.extensions["hie"].engine) as session:
        last = session.scalar(sa.select(sa.func.max(AuditEventRow.id)))
    done = in_batch(call, entry(None, "GET", "metadata"), adding)
    assert [one["response"]["status"][:3] for one in done] == ["413", "413"]
    assert call("GET", f"/Patient/{id_}").get_json()["meta"]["versionId"] == "1"
    with Session(app.extensions["hie"].engine) as session:
        rows = session.execute(
            sa.select(AuditEventRow.operation, AuditEventRow.http)
            .where(AuditEventRow.id > last)
            .order_by(AuditEventRow.id)
        ).all()
    assert [tuple(row) for row in rows if row.operation not in ("token", "read")] == [("batch", 413)]


def test_what_a_batch_wrote_is_told_also_where_its_answer_has_no_room(
    call: Caller, nearly_full: None
) -> None:
    id_ = created(call, patient("18"))["id"]
    tags = [{"system": "urn:hie:test", "code": f"code-{number:03}"} for number in range(60)]
    given = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"tag": tags}}]}
    (done,) = in_batch(call, entry(given, "POST", f"Patient/{id_}/$meta-add"))
    assert (done["response"]["status"], "resource" in done) == ("200 OK", False)
    assert "This was done" in done["response"]["outcome"]["issue"][0]["diagnostics"]
    assert call("GET", f"/Patient/{id_}").get_json()["meta"]["versionId"] == "2"


def test_what_is_no_fhir_json_is_refused_in_its_entry_of_a_batch(call: Caller) -> None:
    listed = entry(None, "GET", "ConceptMap/$unmapped?_format=text/csv")
    first, second = in_batch(call, listed, entry(patient("19"), "POST", "Patient"))
    assert (first["response"]["status"][:3], second["response"]["status"][:3]) == ("406", "201")


@pytest.mark.parametrize("url", ["_job/x", "_job/x/1", "/_job/x/1", "%5Fjob/x/1", "_%6aob/x/1"])
def test_a_batch_reads_no_file_of_a_job(call: Caller, url: str) -> None:
    (done,) = in_batch(call, entry(None, "GET", url))
    assert done["response"]["status"][:3] == "400"


@pytest.mark.parametrize("tags", ["a\nb", "a\rb", "\t", "é", 7])
def test_an_if_none_match_that_is_no_header_is_refused_by_its_name(call: Caller, tags: Any) -> None:
    made = entry(None, "GET", "Patient/$meta") | {
        "request": {"method": "GET", "url": "Patient/$meta", "ifNoneMatch": tags}
    }
    (done,) = in_batch(call, made)
    assert done["response"]["status"][:3] == "400"
    assert "Bundle.entry[0].request.ifNoneMatch" in str(done["response"]["outcome"])
