"""Patient/$summary: an International Patient Summary of all hospitals, valid, whole and honest about gaps."""

import json
import re
from typing import Any
from xml.etree import ElementTree

import pytest
from fhir.resources.R4B.bundle import Bundle
from flask import Flask

from esb.fhir.validation import check_resource
from hie.services.summary.sections import SECTIONS
from tests.hub_world import RESIDENT, Caller, Json
from tests.operations_world import made, parameters, text_of

NUMBER = "110101198002030013"
REQUIRED = {"10160-0", "48765-2", "11450-4"}


def concept(system: str, code: str, text: str) -> Json:
    return {"coding": [{"system": system, "code": code}], "text": text}


def of_hl7(system: str, code: str) -> Json:
    return {"coding": [{"system": f"http://terminology.hl7.org/CodeSystem/{system}", "code": code}]}


def observed(id_: str, code: str, category: str | None = None, patient: str = "s-two", **more: Any) -> Json:
    """An Observation, of a category where one is given."""
    concepts: Json = {"code": concept("http://loinc.org", code, code)}
    if category:
        concepts["category"] = [of_hl7("observation-category", category)]
    return kept("Observation", id_, patient=patient, status="final", **concepts, **more)


def diagnosed(id_: str, code: str, text: str, **states: Any) -> Json:
    """A Condition with its clinical or verification status."""
    return kept("Condition", id_, code=concept("http://hl7.org/fhir/sid/icd-10", code, text), **states)


def kept(type_: str, id_: str, whose: str = "subject", patient: str = "s-two", **elements: Any) -> Json:
    """A resource of the person, at the second hospital unless another Patient is named."""
    return {"resourceType": type_, "id": id_, whose: {"reference": f"Patient/{patient}"}} | elements


LAB = observed("", "2823-3", "laboratory", "s-one")
ALLERGY = of_hl7("allergyintolerance-clinical", "active")
VACCINE: Json = {"status": "completed", "vaccineCode": {"text": "乙肝"}, "occurrenceDateTime": "2001-01-01"}
RECORD_OF_H02 = (
    observed("s-fever", "8310-5", "vital-signs", effectiveDateTime="2026-01-01T20:30:00Z"),
    observed("s-smoke", "72166-2", "social-history"),
    observed("s-preg", "82810-3"),
    diagnosed("s-dm", "E11", "糖尿病", clinicalStatus=of_hl7("condition-clinical", "active")),
    diagnosed("s-past", "A09", "腹泻", clinicalStatus=of_hl7("condition-clinical", "resolved")),
    diagnosed("s-wrong", "C34", "误", verificationStatus=of_hl7("condition-ver-status", "entered-in-error")),
    kept("Procedure", "s-op", status="completed", code={"text": "阑尾切除"}),
    kept("DeviceUseStatement", "s-dev", status="active", device={"display": "起搏器"}),
    kept("CarePlan", "s-plan", status="active", intent="plan", title="随访"),
    kept("AllergyIntolerance", "s-all", "patient", clinicalStatus=ALLERGY, code={"text": "青霉素"}),
    kept("Immunization", "s-vac", "patient", **VACCINE),
    kept(
        "MedicationRequest",
        "s-med",
        status="active",
        intent="order",
        medicationCodeableConcept={"text": "二甲双胍"},
        requester={"reference": "Practitioner/s-doctor"},
    ),
)


@pytest.fixture(scope="module")
def person(call: Caller, h01: Caller, h02: Caller) -> str:
    """A person with something for each section, at two hospitals."""
    who = {
        "resourceType": "Patient",
        "name": [{"text": "司马<清>"}],
        "birthDate": "1980-02-03",
        "identifier": [{"system": RESIDENT, "value": NUMBER}],
    }
    made(h01, who | {"id": "s-one"})
    made(h02, who | {"id": "s-two"})
    made(call, {"resourceType": "Practitioner", "id": "s-doctor"})
    for resource in (*RECORD_OF_H02, LAB | {"id": "s-k-old", "effectiveDateTime": "2025-01-01"}):
        made(h01 if resource["id"] == "s-k-old" else h02, resource)
    newest = LAB | {"id": "s-k-new", "effectiveDateTime": "2026-01-01"}
    body = json.dumps(newest)[:-1] + ',"valueQuantity":{"value":5.10,"unit":"mmol/L"}}'
    assert h01("PUT", "/Observation/s-k-new", body.encode()).status_code == 201
    return "s-one"


def summary_of(call: Caller, patient: str) -> Json:
    answer = call("GET", f"/Patient/{patient}/$summary")
    assert answer.status_code == 200, answer.text
    document: Json = answer.get_json()
    check_resource(document)
    Bundle.model_validate_json(answer.text)
    return document


def sections(document: Json) -> dict[str, Json]:
    return {s["code"]["coding"][0]["code"]: s for s in document["entry"][0]["resource"]["section"]}


def test_a_summary_is_a_valid_document_with_every_section(call: Caller, person: str) -> None:
    document = summary_of(call, person)
    composition = document["entry"][0]["resource"]
    assert (document["type"], composition["resourceType"]) == ("document", "Composition")
    assert composition["type"]["coding"][0]["code"] == "60591-5"
    assert sections(document).keys() == {section.loinc for section in SECTIONS}
    assert sections(document).keys() >= REQUIRED
    for section in sections(document).values():
        assert len(section["entry"]) == 1, section["title"]
        assert "emptyReason" not in section


def test_whatever_the_composition_refers_to_is_in_the_document(call: Caller, person: str) -> None:
    document = summary_of(call, person)
    known = {entry["fullUrl"] for entry in document["entry"]}
    composition = document["entry"][0]["resource"]
    named = [composition["subject"], *composition["author"], composition["custodian"]]
    named += [composition["attester"][0]["party"]]
    named += [entry for section in composition["section"] for entry in section["entry"]]
    assert {one["reference"] for one in named} <= known
    assert len(known) == len(document["entry"])
    assert any(url.endswith("/Practitioner/s-doctor") for url in known)


def test_each_item_names_its_hospital_and_the_one_patient(call: Caller, person: str) -> None:
    by_id = {e["resource"]["id"]: e["resource"] for e in summary_of(call, person)["entry"]}
    told = {
        id_: one["meta"]["tag"][-1]["code"]
        for id_, one in by_id.items()
        if id_.startswith("s-") and id_ != "s-doctor"
    }
    assert (told["s-k-new"], told["s-dm"]) == ("H01", "H02")
    assert "s-two" not in by_id
    assert by_id["s-dm"]["subject"]["reference"] == "Patient/s-one"


def test_the_newest_result_stands_for_its_test_with_every_digit(call: Caller, person: str) -> None:
    text = call("GET", f"/Patient/{person}/$summary").text
    assert '"value":5.10' in text
    assert "s-k-old" not in text
    assert "s-wrong" not in text


def test_the_narrative_is_chinese_and_english_and_well_formed(call: Caller, person: str) -> None:
    document = summary_of(call, person)
    composition = document["entry"][0]["resource"]
    for text in (composition["text"], *(section["text"] for section in composition["section"])):
        assert text["div"].startswith('<div xmlns="http://www.w3.org/1999/xhtml">')
        ElementTree.fromstring(text["div"])
    problems = sections(document)["11450-4"]
    assert problems["title"] == "健康问题 · Problem List"
    assert "糖尿病" in problems["text"]["div"]
    assert "2026-01-02 04:30" in sections(document)["8716-3"]["text"]["div"]
    assert "司马&lt;清&gt;" in composition["text"]["div"]


def test_the_same_content_gives_the_same_document(call: Caller, h02: Caller, person: str) -> None:
    first, second = summary_of(call, person), summary_of(call, person)
    assert first["identifier"] == second["identifier"]
    assert [e["fullUrl"] for e in first["entry"]] == [e["fullUrl"] for e in second["entry"]]
    plan = call("GET", "/CarePlan/s-plan").get_json()
    assert h02("PUT", "/CarePlan/s-plan", plan | {"description": "三个月一次"}).status_code == 200
    assert summary_of(call, person)["identifier"] != first["identifier"]


def test_a_person_of_whom_nothing_is_known_has_every_section_empty_and_says_so(call: Caller) -> None:
    made(call, {"resourceType": "Patient", "id": "s-nobody"})
    document = summary_of(call, "s-nobody")
    by_url = {entry["fullUrl"]: entry["resource"] for entry in document["entry"]}
    for code, section in sections(document).items():
        if code in REQUIRED:
            said = by_url[section["entry"][0]["reference"]]
            stated = said.get("code") or said.get("medicationCodeableConcept")
            assert stated["coding"][0]["system"].endswith("absent-unknown-uv-ips")
            assert re.fullmatch("no-(allergy|medication|problem)-info", stated["coding"][0]["code"])
        else:
            assert section["emptyReason"]["coding"][0]["code"] == "unavailable"
            assert "entry" not in section


def test_a_summary_holds_only_what_its_asker_may_see(call: Caller, h01: Caller, person: str) -> None:
    own = h01("GET", f"/Patient/{person}/$summary").text
    assert "s-k-new" in own
    assert "s-dm" not in own
    assert h01("GET", "/Patient/s-two/$summary").status_code == 404
    assert call("GET", "/Patient/never-there/$summary").status_code == 404


def test_a_summary_is_asked_for_by_an_identifier(call: Caller, h01: Caller, h02: Caller, person: str) -> None:
    for asked in (f"{RESIDENT}|{NUMBER}", NUMBER):
        found = call("GET", f"/Patient/$summary?identifier={asked}")
        assert found.status_code == 200, found.text
        assert sections(found.get_json()).keys() == sections(summary_of(call, person)).keys()
        assert "s-k-new" in found.text
    body = parameters(("identifier", "valueString", f"{RESIDENT}|{NUMBER}"))
    own = h01("POST", "/Patient/$summary", body)
    assert ("s-k-new" in own.text, "s-dm" in own.text) == (True, False)
    assert call("GET", "/Patient/$summary?identifier=nobody-has-this").status_code == 404
    assert call("GET", "/Patient/$summary").status_code == 400


def test_an_identifier_of_several_people_gives_no_summary(call: Caller) -> None:
    shared = [{"system": "urn:hie:shared-desk", "value": "17"}]
    for number, name in enumerate(("欧阳甲", "端木乙")):
        who = {"resourceType": "Patient", "name": [{"text": name}], "birthDate": f"19{number + 4}0-01-01"}
        made(call, who | {"id": f"s-shared-{number}", "identifier": shared})
    assert call("GET", "/Patient/$summary?identifier=urn:hie:shared-desk|17").status_code == 412


def test_a_token_that_hides_types_gets_no_summary(reader: Caller, person: str) -> None:
    answer = reader("GET", f"/Patient/{person}/$summary")
    assert answer.status_code == 403
    assert "system/*.r" in text_of(answer)


def test_only_the_profile_of_the_summary_is_made(call: Caller, person: str) -> None:
    ips = "http://hl7.org/fhir/uv/ips/StructureDefinition/Bundle-uv-ips|1.1.0"
    assert call("GET", f"/Patient/{person}/$summary?profile={ips}").status_code == 200
    assert call("POST", f"/Patient/{person}/$summary").status_code == 200
    refused = call("GET", f"/Patient/{person}/$summary?profile=http://example.org/other")
    assert (refused.status_code, "alone" in text_of(refused)) == (400, True)


@pytest.fixture
def reader(app: Flask) -> Caller:
    """A client that may read Patients and nothing else."""
    return Caller(app, "reader")
