"""A hospital's engineer asks over HTTP which own codes have no map, fills the list and sends it back."""

import csv
import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from hie.schema import AuditEventRow
from hie.terminology.loading import load_base
from hie.terminology.local_codes import gather
from tests.hub_world import Caller, is_outcome

Json = dict[str, Any]
LOINC = "http://loinc.org"
HOSPITAL, OTHER_HOSPITAL = "H01", "H02"


def _observed(call: Caller, facility: str, code: str, display: str, times: int = 1) -> None:
    coding = {"system": f"urn:hie:{facility}:item", "code": code, "display": display}
    body = {"resourceType": "Observation", "status": "final", "code": {"coding": [coding]}}
    for _ in range(times):
        assert call("POST", "/Observation", body).status_code == 201


@pytest.fixture(scope="module", autouse=True)
def _codes(app: Flask, h01: Caller, h02: Caller) -> None:
    with Session(app.extensions["hie"].engine) as session, session.begin():
        load_base(session)
    _observed(h01, HOSPITAL, "K", "钾", 3)
    _observed(h01, HOSPITAL, "=NA", "钠")
    _observed(h02, OTHER_HOSPITAL, "CL", "氯", 2)


def listed(answer: TestResponse) -> list[tuple[str, str, int]]:
    assert answer.status_code == 200, answer.text
    found = []
    for item in answer.get_json()["parameter"]:
        if item["name"] == "code":
            parts = {p["name"]: next(v for k, v in p.items() if k.startswith("value")) for p in item["part"]}
            assert parts["type"] == "Observation" and parts["firstSeen"] <= parts["lastSeen"]
            found.append((parts["facility"], parts["coding"]["code"], parts["count"]))
    return found


def total(answer: TestResponse) -> int:
    return next(p["valueInteger"] for p in answer.get_json()["parameter"] if p["name"] == "total")


def ask(call: Caller, **given: Any) -> TestResponse:
    return call("GET", "/ConceptMap/$unmapped?" + urlencode(given))


def test_the_region_sees_all_codes_and_a_hospital_its_h01(call: Caller, h01: Caller):
    everything = listed(ask(call))
    assert everything[0] == (HOSPITAL, "K", 3)
    assert (OTHER_HOSPITAL, "CL", 2) in everything
    mine = ask(h01)
    assert listed(mine) == [(HOSPITAL, "K", 3), (HOSPITAL, "=NA", 1)]
    assert total(mine) == 2


def test_another_hospitals_codes_are_absent(h01: Caller):
    answer = ask(h01, facility=OTHER_HOSPITAL)
    assert listed(answer) == [] and total(answer) == 0


def test_the_list_is_given_in_pages(call: Caller):
    whole = listed(ask(call, facility=HOSPITAL))
    assert listed(ask(call, facility=HOSPITAL, count=1)) == whole[:1]
    last = ask(call, facility=HOSPITAL, count=1, offset=1)
    assert listed(last) == whole[1:] and total(last) == 2


def test_nobody_waits_for_another_who_reads_a_whole_region(app: Flask, h01: Caller):
    engine = app.extensions["hie"].engine
    with ThreadPoolExecutor(1) as pool, Session(engine) as other, other.begin():
        gather(other)
        answer = pool.submit(ask, h01).result(timeout=30)
        assert listed(answer) == [(HOSPITAL, "K", 3), (HOSPITAL, "=NA", 1)]
        assert {"name": "complete", "valueBoolean": False} in answer.get_json()["parameter"]
    assert {"name": "complete", "valueBoolean": True} in ask(h01).get_json()["parameter"]


def test_each_question_leaves_one_audit_row(app: Flask, h01: Caller):
    counted = sa.select(sa.func.count()).select_from(AuditEventRow).where(
        AuditEventRow.operation == "$unmapped"
    )  # fmt: skip
    with Session(app.extensions["hie"].engine) as session:
        before = session.scalar(counted) or 0
        ask(h01)
        session.rollback()
        assert session.scalar(counted) == before + 1


@pytest.mark.parametrize(
    ("path", "headers"), [("?_format=text/csv", {}), ("?_format=csv", {}), ("", {"Accept": "text/csv"})]
)
def test_the_list_comes_as_csv_that_no_spreadsheet_executes(h01: Caller, path: str, headers: Json):
    answer = h01("GET", f"/ConceptMap/$unmapped{path}", **headers)
    assert answer.mimetype == "text/csv"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["facility"], row["code"], row["count"]) for row in rows] == [
        (HOSPITAL, "K", "3"),
        (HOSPITAL, "'=NA", "1"),
    ]


def test_a_line_of_another_hospital_is_refused_with_the_whole_list(h01: Caller, call: Caller):
    head = "facility,system,code,target_system,target_code\n"
    mine = f"{HOSPITAL},urn:hie:{HOSPITAL}:item,K,{LOINC},2823-3\n"
    theirs = f"{OTHER_HOSPITAL},urn:hie:{OTHER_HOSPITAL}:item,CL,{LOINC},2075-0\n"
    answer = h01("POST", "/ConceptMap/$map", (head + mine + theirs).encode(), Content_Type="text/csv")
    assert answer.status_code == 422 and is_outcome(answer)
    assert "line 3" in answer.text and "another one than yours" in answer.text
    assert (HOSPITAL, "K", 3) in listed(ask(call))


def test_a_filled_list_becomes_the_hospitals_map(h01: Caller, call: Caller):
    rows = list(csv.DictReader(io.StringIO(h01("GET", "/ConceptMap/$unmapped?_format=csv").text)))
    rows[0] |= {"target_system": LOINC, "target_code": "2823-3"}
    rows[1] |= {"equivalence": "unmatched"}
    written = io.StringIO()
    writer = csv.DictWriter(written, rows[0].keys())
    writer.writeheader()
    writer.writerows(rows)
    answer = h01("POST", "/ConceptMap/$map", written.getvalue().encode(), Content_Type="text/csv")
    assert answer.status_code == 200, answer.text
    (mapped,) = answer.get_json()["parameter"]
    assert {p["name"]: p.get("valueString", p.get("valueInteger")) for p in mapped["part"]} == {
        "facility": HOSPITAL,
        "codes": 2,
    }
    assert listed(ask(h01)) == []
    asked = urlencode({"system": f"urn:hie:{HOSPITAL}:item", "code": "K"})
    translated = h01("GET", f"/ConceptMap/$translate?{asked}")
    assert "2823-3" in translated.text
    shown = call("GET", f"/ConceptMap/map-{HOSPITAL.lower()}").get_json()
    assert shown["group"][0]["element"][0]["code"] in ("K", "=NA")


def test_a_list_may_be_a_parameter(h02: Caller):
    line = f"{OTHER_HOSPITAL},urn:hie:{OTHER_HOSPITAL}:item,CL,{LOINC},2075-0"
    text = f"facility,system,code,target_system,target_code\n{line}\n"
    body = {"resourceType": "Parameters", "parameter": [{"name": "list", "valueString": text}]}
    assert h02("POST", "/ConceptMap/$map", body).status_code == 200
    assert listed(ask(h02)) == []


def test_a_long_list_may_be_a_parameter_too(h02: Caller):
    lines = [f"{OTHER_HOSPITAL},urn:hie:{OTHER_HOSPITAL}:item,C{n},{LOINC},2075-0" for n in range(1000)]
    text = "\n".join(["facility,system,code,target_system,target_code", *lines])
    body = {"resourceType": "Parameters", "parameter": [{"name": "list", "valueString": text}]}
    answer = h02("POST", "/ConceptMap/$map", body)
    assert answer.status_code == 200, answer.text
    body["parameter"] = [{"name": "list", "valueString": text + " " * (5 << 20)}]
    answer = h02("POST", "/ConceptMap/$map", body)
    assert answer.status_code == 413 and "5 MB" in answer.text


@pytest.mark.parametrize(
    ("body", "media", "status"),
    [
        (b"", "text/csv", 422),
        (b"\xff\xff", "text/csv", 422),
        (b"facility,system\n", "text/csv", 422),
        (b"facility,system,code,target_system,target_code\n", "text/csv", 422),
        (b"{}", "application/fhir+json", 400),
        (b"a,b", "application/xml", 415),
    ],
)
def test_what_is_no_filled_list_is_refused(h01: Caller, body: bytes, media: str, status: int):
    answer = h01("POST", "/ConceptMap/$map", body, Content_Type=media)
    assert answer.status_code == status, answer.text
    assert is_outcome(answer)


def test_a_list_cannot_be_sent_by_get(h01: Caller):
    assert h01("GET", "/ConceptMap/$map?list=x").status_code == 404
