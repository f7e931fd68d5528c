"""Histories of a resource, a type and the whole system, as a foreign client pages through them."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from esb.fhir.lexemes import loads
from esb.fhir.validation import is_valid
from hie.repository import store
from hie.repository.writes import Write
from hie.schema import AuditEventRow
from tests.hub_world import Caller, created, entry, observation, patient, transaction

Json = dict[str, Any]


def pages(call: Caller, url: str) -> list[list[Json]]:
    """Return the entries of each page, following the links."""
    found = []
    while url:
        answer = call("GET", url)
        assert answer.status_code == 200, answer.text
        bundle = answer.get_json()
        assert is_valid(bundle)
        found.append(bundle.get("entry", []))
        links = {link["relation"]: link["url"] for link in bundle["link"]}
        url = links.get("next", "").partition("/fhir")[2]
    return found


def shown(entries: list[Json]) -> list[tuple[str, str]]:
    return [(e["fullUrl"].partition("/fhir/")[2], e["response"]["etag"]) for e in entries]


def test_the_history_of_a_type_holds_every_version_once_deletions_among_them(call: Caller) -> None:
    made = [created(call, {"resourceType": "Flag", **FLAG, "code": {"text": str(n)}}) for n in range(3)]
    call("PUT", f"/Flag/{made[0]['id']}", made[0] | {"code": {"text": "new"}})
    call("DELETE", f"/Flag/{made[1]['id']}")
    found = pages(call, "/Flag/_history?_count=2")
    assert [len(page) for page in found] == [2, 2, 1]
    entries = [entry for page in found for entry in page]
    expected = {(f"Flag/{m['id']}", 'W/"1"') for m in made}
    expected |= {(f"Flag/{made[0]['id']}", 'W/"2"'), (f"Flag/{made[1]['id']}", 'W/"2"')}
    assert len(entries) == len(expected)
    assert set(shown(entries)) == expected
    instants = [e["response"]["lastModified"] for e in entries]
    assert instants == sorted(instants, reverse=True)
    gone = [e for e in entries if "resource" not in e]
    assert shown(gone) == [(f"Flag/{made[1]['id']}", 'W/"2"')]
    assert gone[0]["request"] == {"method": "DELETE", "url": f"Flag/{made[1]['id']}"}


FLAG: Json = {"status": "active", "subject": {"reference": "Organization/o"}}


@pytest.fixture(autouse=True)
def organization(call: Caller) -> None:
    """What the flags are about."""
    call("PUT", "/Organization/o", {"resourceType": "Organization", "id": "o", "name": "一院"})


def test_pages_of_a_history_stay_whole_while_versions_are_replaced(call: Caller) -> None:
    made = [
        created(call, {"resourceType": "Basic", "code": {"text": str(n)}, "created": "2026-03-01"})
        for n in range(6)
    ]
    first = call("GET", "/Basic/_history?_count=2").get_json()
    for resource in made:
        call("PUT", f"/Basic/{resource['id']}", resource | {"created": "2026-03-02"})
    following = first["link"][1]["url"].partition("/fhir")[2]
    seen = shown(first["entry"]) + [s for page in pages(call, following) for s in shown(page)]
    assert sorted(seen) == sorted((f"Basic/{m['id']}", 'W/"1"') for m in made)


def test_since_gives_what_was_stored_from_then_on(call: Caller) -> None:
    created(call, {"resourceType": "Library", "status": "draft", "type": {"text": "a"}})
    second = created(call, {"resourceType": "Library", "status": "draft", "type": {"text": "b"}})
    since = second["meta"]["lastUpdated"]
    found = pages(call, f"/Library/_history?_since={since}")
    assert (f"Library/{second['id']}", 'W/"1"') in shown(found[0])
    later = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert pages(call, f"/Library/_history?_since={later}") == [[]]
    assert pages(call, f"/_history?_since={later}") == [[]]
    assert call("GET", "/Library/_history?_since=soon").status_code == 400


def test_who_asks_again_since_the_time_of_the_bundle_misses_no_late_commit(app: Flask, call: Caller) -> None:
    engine = app.extensions["hie"].engine
    with Session(engine) as late, late.begin():
        resource = loads(b'{"resourceType":"Measure","id":"late","status":"draft"}')
        store.write(late, [Write("put", "Measure", "late", resource)], datetime.now(UTC))
        created(call, {"resourceType": "Measure", "status": "draft"})
        first = call("GET", "/Measure/_history").get_json()
        assert "Measure/late" not in json.dumps(first)
    found = pages(call, f"/Measure/_history?_since={first['meta']['lastUpdated']}")
    assert ("Measure/late", 'W/"1"') in shown(found[0])


def test_at_gives_what_was_the_present_version_then(app: Flask, call: Caller) -> None:
    engine = app.extensions["hie"].engine
    days = [datetime(2026, 1, day, 8, tzinfo=UTC) for day in (1, 5, 9)]
    for number, day in enumerate(days):
        resource = loads(b'{"resourceType":"Questionnaire","id":"q","status":"draft"}')
        resource["title"] = str(number)
        with Session(engine) as session, session.begin():
            store.write(session, [Write("put", "Questionnaire", "q", resource)], day)
    for path in ("/Questionnaire/_history", "/Questionnaire/q/_history"):
        assert shown(pages(call, f"{path}?_at=2026-01-03")[0]) == [("Questionnaire/q", 'W/"1"')]
        assert shown(pages(call, f"{path}?_at=2026")[0]) == [
            ("Questionnaire/q", f'W/"{n}"') for n in (3, 2, 1)
        ]
        assert pages(call, f"{path}?_at=2025-12-01") == [[]]
        assert shown(pages(call, f"{path}?_at=2026-02-01")[0]) == [("Questionnaire/q", 'W/"3"')]
        expected = {
            "_at=ge2026-01-06": [3, 2],
            "_at=gt2026-01-09": [3],
            "_at=le2026-01-05": [2, 1],
            "_at=lt2026-01-05": [1],
            "_at=ge2026-01-02&_at=lt2026-01-05": [1],
            "_at=ge2026-01-06&_at=le2026-01-02": [],
        }
        for query, numbers in expected.items():
            found = shown(pages(call, f"{path}?{query}")[0])
            assert found == [("Questionnaire/q", f'W/"{n}"') for n in numbers], query
        for query in ("_at=ne2026", "_at=ap2026", "_at=ge", "_at=", "_at=ge2026&_at=x"):
            assert call("GET", f"{path}?{query}").status_code == 400, query


def test_the_history_of_a_resource_comes_in_pages_too(call: Caller) -> None:
    made = created(call, patient("h1"))
    for number in range(4):
        call(
            "PUT",
            f"/Patient/{made['id']}",
            patient("h1", birthDate=f"198{number}-01-01") | {"id": made["id"]},
        )
    found = pages(call, f"/Patient/{made['id']}/_history?_count=2")
    assert [etag for page in found for _, etag in shown(page)] == [f'W/"{n}"' for n in (5, 4, 3, 2, 1)]
    assert call("GET", f"/Patient/{made['id']}/_history?_count=2").get_json()["total"] == 5
    assert call("GET", f"/Patient/{made['id']}/_history?_count=0").status_code == 400


def test_the_history_of_the_system_goes_over_all_types(call: Caller) -> None:
    subject = created(call, patient("h2"))["id"]
    result = created(call, observation(f"Patient/{subject}"))["id"]
    newest = pages(call, "/_history?_count=1000")[0]
    assert shown(newest)[:2] == [(f"Observation/{result}", 'W/"1"'), (f"Patient/{subject}", 'W/"1"')]


def test_a_hospital_sees_in_no_history_what_another_keeps(call: Caller, h01: Caller, h02: Caller) -> None:
    mine = created(h01, patient("h3"))["id"]
    result = created(h01, observation(f"Patient/{mine}"))
    h01("DELETE", f"/Observation/{result['id']}")
    for path in ("/_history", "/Patient/_history", "/Observation/_history"):
        own = json.dumps(pages(h01, path + "?_count=1000"))
        foreign = json.dumps(pages(h02, path + "?_count=1000"))
        wanted = mine if "Patient" in path else result["id"]
        assert wanted in own
        assert wanted not in foreign
    absent, denied = h02("GET", "/Patient/never/_history"), h02("GET", f"/Patient/{mine}/_history")
    assert (absent.status_code, denied.status_code) == (404, 404)
    assert absent.data == denied.data


def test_a_version_filed_with_another_patient_is_for_who_may_read_that_patient(
    app: Flask, call: Caller, h01: Caller, h02: Caller
) -> None:
    theirs, own = created(h02, patient("h4"))["id"], created(h01, patient("h4"))["id"]
    made = created(call, observation(f"Patient/{theirs}"))
    call("PUT", f"/Observation/{made['id']}", made | {"subject": {"reference": f"Patient/{own}"}})
    found = [s for page in pages(h01, "/Observation/_history?_count=1000") for s in shown(page)]
    mine = [etag for path, etag in found if path == f"Observation/{made['id']}"]
    assert 'W/"1"' not in mine
    whole = [s for page in pages(call, "/Observation/_history?_count=1000") for s in shown(page)]
    assert {etag for path, etag in whole if path == f"Observation/{made['id']}"} == {'W/"1"', 'W/"2"'}


def test_a_link_of_a_history_holds_for_that_history_alone(call: Caller) -> None:
    for number in range(2):
        created(call, {"resourceType": "Library", "status": "draft", "type": {"text": str(number)}})
    url = call("GET", "/Library/_history?_count=1").get_json()["link"][1]["url"].partition("/fhir")[2]
    assert call("GET", url).status_code == 200
    assert call("GET", url.replace("/Library/", "/Measure/")).status_code == 400
    assert call("GET", url[:-2]).status_code == 400


def test_what_a_history_does_not_know_is_refused_under_strict_and_left_out_of_its_link(call: Caller) -> None:
    assert call("GET", "/Library/_history?_sort=x", Prefer="handling=strict").status_code == 400
    answer = call("GET", "/Library/_history?_sort=x")
    assert answer.status_code == 200
    assert "_sort" not in answer.get_json()["link"][0]["url"]
    assert call("GET", "/AuditEvent/1/_history").status_code == 405
    assert call("GET", "/Cat/_history").status_code == 404


def test_a_history_leaves_one_audit_row(app: Flask, call: Caller) -> None:
    count = sa.select(sa.func.count()).select_from(AuditEventRow)
    with app.extensions["hie"].engine.connect() as connection:
        before = connection.execute(count).scalar_one()
        for path in ("/_history?_count=1", "/Flag/_history", "/Patient/never/_history"):
            call("GET", path)
        assert connection.execute(count).scalar_one() == before + 3


def test_a_transaction_shows_in_the_history_as_its_writes(call: Caller) -> None:
    body = transaction(entry({"resourceType": "Slot", **SLOT}, "POST", "Slot"))
    place = call("POST", "/", body).get_json()["entry"][0]["response"]["location"]
    assert shown(pages(call, "/Slot/_history")[0]) == [(place.partition("/_history")[0], 'W/"1"')]


SLOT = {
    "schedule": {"display": "门诊"},
    "status": "free",
    "start": "2026-03-01T09:00:00Z",
    "end": "2026-03-01T09:15:00Z",
}
