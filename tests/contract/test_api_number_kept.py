"""Numbers that no double holds: refused at their element; where one is kept already it stops no answer."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from hie.repository import store
from hie.repository.writes import Write
from tests.hub_world import Caller, Json, created, ids, is_outcome, patient

BEYOND = Decimal("1E+400")
TINY = Decimal("1E-390")
LOINC = {"coding": [{"system": "http://loinc.org", "code": "718-7"}]}
LABORATORY = "http://terminology.hl7.org/CodeSystem/observation-category"
NOTE = {"resourceType": "Observation", "status": "final", "code": LOINC}


def put(app: Flask, *resources: Json) -> None:
    """Keep resources as they came before such numbers were refused."""
    with Session(app.extensions["hie"].engine) as session, session.begin():
        for one in resources:
            store.write(session, [Write("put", one["resourceType"], one["id"], one)], datetime.now(UTC))


@pytest.fixture(scope="module")
def record(app: Flask, call: Caller) -> str:
    """A patient's id, in whose record numbers stand that no double holds."""
    id_ = str(created(call, patient("n1"))["id"])
    subject = {"reference": f"Patient/{id_}"}
    beyond: list[dict[str, Any]] = [{"url": "urn:x", "valueDecimal": BEYOND}]
    category = [{"coding": [{"system": LABORATORY, "code": "laboratory"}]}]
    measured = NOTE | {"subject": subject, "category": category, "effectiveDateTime": "2026-01-01"}
    put(
        app,
        patient("n1") | {"id": id_, "extension": beyond, "gender": "female"},
        measured | {"id": "n-beyond", "valueQuantity": {"value": BEYOND}},
        measured | {"id": "n-below", "valueQuantity": {"value": -BEYOND}},
        measured | {"id": "n-tiny", "valueQuantity": {"value": TINY}},
        measured | {"id": "n-one", "valueQuantity": {"value": 1}},
        {"resourceType": "List", "id": "n-list", "status": "current", "mode": "working", "extension": beyond}
        | {"entry": [{"item": {"reference": "Observation/n-one"}}]},
        {"resourceType": "Composition", "id": "n-document", "status": "final", "type": LOINC, "title": "x"}
        | {"date": "2026-01-01", "author": [subject], "subject": subject, "extension": beyond},
        {"resourceType": "Location", "id": "n-place", "name": "n"}
        | {"position": {"latitude": BEYOND, "longitude": TINY}},
        {"resourceType": "Basic", "id": "n-meta", "code": LOINC}
        | {"meta": {"tag": [{"system": "urn:t", "code": "n", "extension": beyond}]}},
    )
    return id_


@pytest.mark.parametrize(
    "path",
    [
        "/Observation?patient={id}&_sort=value-quantity",
        "/Observation?patient={id}&_sort=-combo-value-quantity&_count=1",
        "/Observation?patient={id}&_include=*&_include:iterate=*",
        "/Observation?patient={id}&_elements=valueQuantity",
        "/Observation?patient={id}&_pretty=true",
        "/Observation?patient={id}&_summary=true",
        "/Observation?value-quantity=gt5&patient={id}",
        "/Observation?patient.gender=female&patient={id}",
        "/Patient?_id={id}&_revinclude=*&_revinclude:iterate=*&_include:iterate=*",
        "/Patient?_has:Observation:patient:code=718-7&_id={id}",
        "/Observation?_list=n-list",
        "/Location?near=30|120|1|km",
        "/Observation/$lastn?patient={id}&category=laboratory",
        "/Composition/n-document/$document",
        "/Patient/{id}/$everything",
        "/Patient/{id}/$summary",
        "/Basic/$meta",
        "/Observation/n-beyond/_history",
    ],
)
def test_a_number_that_no_double_holds_stops_no_answer(call: Caller, record: str, path: str) -> None:
    answer = call("GET", path.format(id=record))
    assert answer.status_code == 200, answer.text


def test_such_numbers_stand_at_the_ends_of_an_order_and_pages_go_past_them(call: Caller, record: str) -> None:
    url, seen = f"/Observation?patient={record}&_count=1&_sort=value-quantity", []
    while url:
        bundle = call("GET", url)
        seen += ids(bundle)
        links = bundle.get_json()["link"]
        url = next((k["url"].partition("/fhir")[2] for k in links if k["relation"] == "next"), "")
    assert seen == ["n-below", "n-tiny", "n-one", "n-beyond"]


def test_what_is_kept_is_given_back_and_matched(call: Caller, record: str) -> None:
    assert b'"value":1E+400' in call("GET", "/Observation/n-beyond").data
    asked = {
        "resourceType": "Parameters",
        "parameter": [{"name": "resource", "resource": patient("n1") | {"gender": "female"}}],
    }
    assert record in ids(call("POST", "/Patient/$match", asked))


@pytest.mark.parametrize(
    ("raw", "element"),
    [
        ('{"resourceType":"Patient","multipleBirthInteger":1e1}', "Patient.multipleBirthInteger"),
        ('{"resourceType":"Patient","multipleBirthInteger":2.0}', "Patient.multipleBirthInteger"),
        (
            '{"resourceType":"Basic","code":{"text":"x"},"extension":[{"url":"urn:x","valueDecimal":1e309}]}',
            "Basic.extension[0].valueDecimal",
        ),
    ],
)
def test_a_number_that_cannot_be_kept_is_refused_at_its_element(call: Caller, raw: str, element: str) -> None:
    refused = call("POST", f"/{element.partition('.')[0]}", raw.encode())
    assert (refused.status_code, is_outcome(refused)) == (400, True)
    assert [issue["expression"] for issue in refused.get_json()["issue"]] == [[element]]
