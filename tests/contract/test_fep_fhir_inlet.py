"""The FHIR inlet as a hospital's system sees it: what is answered, and what it becomes for the hub."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from esb.envelope import inflate
from front_end_processor.app import Processor, create_web
from front_end_processor.cache.tables import outbox
from tests.fep_world import PASSWORD, ROOT, TOKEN, capture, processor, rows, sent

SYNTHEA = sorted((ROOT.parent / "shared" / "data" / "synthea").glob("*.json.gz"))
AUTH = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/fhir+json"}


@pytest.fixture
def fep(tmp_path: Path) -> Iterator[Processor]:
    """A processor of H03."""
    with processor(tmp_path, FEP_FACILITY="H03", FEP_PROFILE="h03", FEP_MAX_MESSAGE="2000000") as made:
        yield made


@pytest.fixture
def http(fep: Processor) -> FlaskClient:
    """Its HTTP side."""
    return create_web(fep.inlet, fep.console, PASSWORD).test_client()


def patient(id_: str = "p1", **more) -> dict:
    return {"resourceType": "Patient", "id": id_, "name": [{"text": "张三"}], **more}


def observation(subject: str, **more) -> dict:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "血糖"},
        "subject": {"reference": subject},
        **more,
    }


def bundle(*entries: dict, type_: str = "transaction") -> dict:
    return {"resourceType": "Bundle", "type": type_, "entry": list(entries)}


def post_of(resource: dict, full_url: str = "") -> dict:
    entry = {"resource": resource, "request": {"method": "POST", "url": resource["resourceType"]}}
    return {**entry, **({"fullUrl": full_url} if full_url else {})}


def sent_resources(fep: Processor) -> dict[str, dict]:
    """Type/id -> the resource, of all that waits for the hub."""
    entries = [entry for made in sent(fep) for entry in made["entry"]]
    return {e["request"]["url"]: e.get("resource", {}) for e in entries}


@pytest.mark.parametrize("address", ["/fhir", "/fhir/"])
def test_a_transaction_is_answered_with_an_id_for_each_entry(http, fep, address):
    body = bundle(
        post_of(patient(), "urn:uuid:11111111-1111-4111-8111-111111111111"),
        post_of(observation("urn:uuid:11111111-1111-4111-8111-111111111111")),
    )
    answer = http.post(address, json=body, headers=AUTH)
    assert (answer.status_code, answer.json["type"]) == (200, "transaction-response")
    targets = [entry["response"]["location"] for entry in answer.json["entry"]]
    assert [entry["response"]["status"] for entry in answer.json["entry"]] == ["201 Created"] * 2
    kept = sent_resources(fep)
    assert set(targets) == set(kept)
    assert kept[targets[1]]["subject"] == {"reference": targets[0]}


def test_numbers_keep_their_digits(http, fep):
    raw = json.dumps(observation("Patient/p1", valueQuantity={"value": 1})).replace(
        '"value": 1', '"value": 128.50'
    )
    answer = http.post("/fhir/Observation", data=raw, headers=AUTH)
    assert answer.status_code == 201
    assert '"value":128.50' in answer.text
    assert b'"value":128.50' in inflate(rows(fep, outbox)[0].payload)


def test_a_later_message_points_at_what_an_earlier_one_brought_however_it_is_called(http, fep):
    number = {"type": {"coding": [{"code": "MR"}]}, "system": "urn:hospital:mrn", "value": "M77"}
    created = http.put("/fhir/Patient/p1", json=patient(identifier=[number]), headers=AUTH)
    target = created.headers["Location"].partition("/fhir/")[2]
    assert target == f"Patient/{fep.ids.of('Patient', 'M77')}"
    for reference in (
        "Patient/p1",
        target,
        "http://his.example/fhir/Patient/p1",
        "Patient?identifier=urn:hospital:mrn|M77",
    ):
        answer = http.post("/fhir/Observation", json=observation(reference), headers=AUTH)
        resource = sent_resources(fep)[answer.headers["Location"].partition("/fhir/")[2]]
        assert resource["subject"]["reference"] == target


def test_a_hospitals_number_gives_the_id_that_hl7_and_files_give(http, fep):
    number = {"system": "urn:hie:H03:mrn", "value": "M1"}
    visit = {
        "resourceType": "Encounter",
        "status": "finished",
        "class": {"code": "AMB"},
        "identifier": [{"system": "urn:hie:H03:visit", "value": "V1"}],
        "subject": {"reference": "Patient/p1"},
    }
    body = bundle(post_of(patient(identifier=[number])), post_of(visit))
    answer = http.post("/fhir", json=body, headers=AUTH)
    assert [entry["response"]["location"] for entry in answer.json["entry"]] == [
        f"Patient/{fep.ids.of('Patient', 'M1')}",
        f"Encounter/{fep.ids.of('Encounter', 'V1')}",
    ]


MR = {"type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]}}


@pytest.mark.parametrize(
    ("sent_as", "kept_as"),
    [
        ([MR | {"value": "M1"}], [("urn:hie:H03:mrn", "M1")]),
        ([MR | {"system": "urn:hospital:mrn", "value": "M1"}], [("urn:hospital:mrn", "M1")]),
        ([{"value": "M1"}], [(None, "M1")]),
        (
            [MR | {"value": "M0", "use": "old"}, MR | {"value": "M1"}],
            [(None, "M0"), ("urn:hie:H03:mrn", "M1")],
        ),
        (
            [MR | {"value": "M1"}, {"system": "urn:hie:H03:mrn", "value": "M1"}],
            [(None, "M1"), ("urn:hie:H03:mrn", "M1")],
        ),
    ],
    ids=["no system", "another system", "no type", "an old one", "the own system too"],
)
def test_a_record_number_without_a_system_goes_out_under_the_hospitals_own(http, fep, sent_as, kept_as):
    body = {"resourceType": "Patient", "identifier": sent_as}
    assert http.post("/fhir/Patient", json=body, headers=AUTH).status_code == 201
    (kept,) = sent_resources(fep).values()
    assert [(each.get("system"), each["value"]) for each in kept["identifier"]] == kept_as


def test_a_record_number_that_was_sent_without_a_system_is_found_with_and_without_it(http, fep):
    number = MR | {"value": "M1"}
    http.put("/fhir/Patient/p1", json=patient(identifier=[number]), headers=AUTH)
    for reference in ("Patient?identifier=|M1", "Patient?identifier=urn:hie:H03:mrn|M1", "Patient/p1"):
        answer = http.post("/fhir/Observation", json=observation(reference), headers=AUTH)
        resource = sent_resources(fep)[answer.headers["Location"].partition("/fhir/")[2]]
        assert resource["subject"]["reference"] == f"Patient/{fep.ids.of('Patient', 'M1')}"


def numbers_of(resource: dict) -> set[tuple[str, str]]:
    return {(each["system"], each["value"]) for each in resource["identifier"]}


def test_readmes_bundle_leaves_the_patient_as_whole_as_its_hl7_message_made_it(tmp_path):
    examples = ROOT / "docs" / "examples"
    with processor(tmp_path) as fep:
        capture(fep, (examples / "admission.hl7").read_bytes().replace(b"\n", b"\r"))
        client = create_web(fep.inlet, fep.console, PASSWORD).test_client()
        raw = (examples / "bundle.json").read_bytes()
        assert client.post("/fhir", data=raw, headers=AUTH).status_code == 200
        admitted, sent_later = (
            entry["resource"]
            for made in sent(fep)
            for entry in made["entry"]
            if entry["resource"]["resourceType"] == "Patient"
        )
        times = [row.source_at for row in rows(fep)]
    assert sent_later["id"] == admitted["id"]
    assert set(admitted) <= set(sent_later)
    for element in ("active", "birthDate", "gender", "address"):
        assert sent_later[element] == admitted[element], element
    assert numbers_of(sent_later) == numbers_of(admitted)
    assert times[0] < times[1]


def test_a_bundle_of_several_patients_goes_out_as_one_entry_each(http, fep):
    doctor = {"resourceType": "Practitioner", "id": "d1", "name": [{"text": "李四"}]}
    body = bundle(
        *({"resource": each} for each in (patient("p1"), patient("p2"), doctor)),
        {"resource": observation("Patient/p2", id="o2", performer=[{"reference": "Practitioner/d1"}])},
        {"resource": observation("Patient/p1", id="o1")},
        type_="collection",
    )
    answer = http.post("/fhir", json=body, headers=AUTH)
    assert answer.json["type"] == "batch-response"
    types = [sorted(e["resource"]["resourceType"] for e in made["entry"]) for made in sent(fep)]
    assert types == [["Observation", "Patient"], ["Observation", "Patient", "Practitioner"]]
    (row,) = rows(fep)
    assert (row.entries, row.patient_key) == (2, None)


def test_the_same_request_id_again_is_not_doubled_and_answered_alike(http, fep):
    headers = AUTH | {"X-Request-Id": "r-1"}
    one = http.post("/fhir/Patient", json=patient(), headers=headers)
    two = http.post("/fhir/Patient", json=patient(), headers=headers)
    assert (one.status_code, one.headers["Location"]) == (two.status_code, two.headers["Location"])
    assert [row.repeats for row in rows(fep)] == [1]
    other = http.post("/fhir/Patient", json=patient("p2"), headers=headers)
    assert other.status_code == 409
    assert "Control id already used" in other.json["issue"][0]["diagnostics"]


def test_a_value_that_returns_to_what_it_was_is_not_taken_for_a_resend(http, fep):
    for name in ("张三", "张叁", "张三"):
        assert (
            http.put("/fhir/Patient/p1", json=patient(name=[{"text": name}]), headers=AUTH).status_code == 200
        )
    assert len(sent(fep)) == 3


def test_a_delete_becomes_a_delete_at_the_hub(http, fep):
    assert http.delete("/fhir/Observation/o1", headers=AUTH).status_code == 204
    (made,) = sent(fep)
    url = f"Observation/{fep.ids.of('Observation', 'o1')}"
    assert made["entry"] == [{"request": {"method": "DELETE", "url": url}}]


def visit(**more) -> dict:
    return {
        "resourceType": "Encounter",
        "status": "finished",
        "class": {"code": "AMB"},
        "subject": {"reference": "Patient/p1"},
        **more,
    }


NUMBERED = {
    "Encounter": visit(id="7", identifier=[{"system": "urn:hie:H03:visit", "value": "V1"}]),
    "Patient": patient("7", identifier=[{"type": {"coding": [{"code": "MR"}]}, "value": "M7"}]),
    "Practitioner": {
        "resourceType": "Practitioner",
        "id": "7",
        "identifier": [{"system": "urn:hie:H03:staff", "value": "D1"}],
    },
}


@pytest.mark.parametrize("type_", NUMBERED)
def test_what_came_under_a_number_is_updated_and_deleted_by_its_own_id(http, fep, type_):
    address, whole = f"/fhir/{type_}/7", NUMBERED[type_]
    target = http.put(address, json=whole, headers=AUTH).headers["Location"].partition("/fhir/")[2]
    without = {key: value for key, value in whole.items() if key != "identifier"}
    assert http.put(address, json=without, headers=AUTH).headers["Location"].endswith(target)
    assert http.delete(address, headers=AUTH).status_code == 204
    in_bundle = bundle({"request": {"method": "DELETE", "url": f"{type_}/7"}})
    assert http.post("/fhir", json=in_bundle, headers=AUTH).status_code == 200
    urls = [entry["request"]["url"] for made in sent(fep) for entry in made["entry"]]
    assert [url for url in urls if url.startswith(f"{type_}/")] == [target] * 4


def test_a_record_number_is_not_taken_for_another_patients_id(http, fep):
    number = {"system": "urn:hie:H03:mrn"}
    http.put("/fhir/Patient/100", json=patient("100", identifier=[number | {"value": "7"}]), headers=AUTH)
    http.put("/fhir/Patient/200", json=patient("200", identifier=[number | {"value": "100"}]), headers=AUTH)
    reference = "Patient?identifier=urn:hie:H03:mrn|100"
    answer = http.post("/fhir/Observation", json=observation(reference), headers=AUTH)
    resource = sent_resources(fep)[answer.headers["Location"].partition("/fhir/")[2]]
    assert resource["subject"]["reference"] == f"Patient/{fep.ids.of('Patient', '100')}"


def test_what_several_patients_share_goes_along_however_it_is_linked(http, fep):
    places = [
        {
            "resourceType": "Location",
            "id": f"l{n}",
            "managingOrganization": {"reference": f"Organization/o{n}"},
            "partOf": {"reference": f"Location/l{n - 1}"},
        }
        for n in range(1, 9)
    ]
    organisations = [{"resourceType": "Organization", "id": f"o{n}", "name": "院"} for n in range(1, 9)]
    points = [{"location": {"reference": f"Location/l{n}"}} for n in range(1, 9)]
    stay = visit(id="v1", location=points, serviceProvider={"reference": "Organization/o1"})
    everything = [patient("p1"), patient("p2"), *places, *organisations, stay]
    body = bundle(*({"resource": each} for each in everything), type_="collection")
    assert http.post("/fhir", json=body, headers=AUTH).status_code == 200
    assert [len(made["entry"]) for made in sent(fep)] == [18, 1]


BAD = {
    "no token": ({"Authorization": ""}, patient(), 401, "Bearer"),
    "another token": ({"Authorization": "Bearer x"}, patient(), 401, "Bearer"),
    "no JSON": ({}, '{"resourceType": "Pat', 400, "not JSON"),
    "not UTF-8": ({}, '{"resourceType":"Patient","name":[{"text":"张"}]}'.encode("gb18030"), 400, "UTF-8"),
    "XML": ({"Content-Type": "application/fhir+xml"}, "<Patient/>", 415, "fhir+json"),
    "an unknown element": ({}, patient(colour="red"), 400, "Patient.colour"),
    "a wrong code": ({}, patient(gender="M"), 400, "Patient.gender"),
    "a day that is none": ({}, patient(birthDate="2026-02-30"), 400, "Patient.birthDate"),
    "another type": ({}, {"resourceType": "Device"}, 400, "resourceType"),
    "too large": ({}, patient(text={"status": "generated", "div": "x" * 2_000_001}), 413, "over 2000000"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_answered_with_what_is_wrong_where(http, fep, case):
    headers, body, status, says = BAD[case]
    data = body if isinstance(body, (str, bytes)) else json.dumps(body)
    answer = http.post("/fhir/Patient", data=data, headers=AUTH | headers)
    assert answer.status_code == status
    assert answer.json["resourceType"] == "OperationOutcome"
    assert says in answer.text
    assert "张" not in answer.text
    assert http.post("/fhir/Patient", json=patient(), headers=AUTH).status_code == 201
    if status in (400, 413):
        assert [row.fate for row in rows(fep)] == ["set_aside", "captured"]


def test_a_bundle_names_the_entry_that_is_wrong(http):
    body = bundle(post_of(patient()), post_of(observation("Patient/p1", status="done")))
    answer = http.post("/fhir", json=body, headers=AUTH)
    assert answer.status_code == 400
    assert "Bundle.entry[1].resource" in answer.json["issue"][0]["expression"][0]


@pytest.mark.parametrize("path", ["Nothing", "Nothing/1", "Patient/1/2", "patient"])
def test_an_address_without_a_type_of_r4_is_not_found_and_told_what_addresses_there_are(http, fep, path):
    answer = http.put(f"/fhir/{path}", json=patient(), headers=AUTH)
    assert (answer.status_code, answer.json["issue"][0]["code"]) == (404, "not-found")
    assert "/fhir/<Type>/<id>" in answer.json["issue"][0]["diagnostics"]
    assert [row.fate for row in rows(fep)] == ["set_aside"]


@pytest.mark.parametrize(
    "entry",
    [
        {"resource": patient()},
        {"resource": patient(), "request": {"method": "PATCH", "url": "Patient/p1"}},
        {"resource": patient(), "request": {"method": "PUT", "url": "Patient"}},
        {"resource": patient(), "request": {"method": "POST", "url": "Nothing"}},
        {"request": {"method": "POST", "url": "Patient"}},
        "nothing",
    ],
)
def test_an_entry_that_asks_for_what_cannot_be_is_refused(http, entry):
    answer = http.post("/fhir", json=bundle(entry), headers=AUTH)
    assert answer.status_code == 400
    assert answer.json["issue"][0]["expression"][0].startswith("Bundle.entry[0]")


def test_two_entries_of_one_thing_with_different_content_are_refused(http):
    body = bundle(post_of(patient("p1")), post_of(patient("p1", gender="male")))
    assert http.post("/fhir", json=body, headers=AUTH).status_code == 400


@pytest.mark.parametrize(
    ("method", "address", "allow"),
    [
        ("GET", "/fhir/Patient/p1", "POST, PUT, DELETE"),
        ("PATCH", "/fhir/Patient/p1", "POST, PUT, DELETE"),
        ("GET", "/fhir", "POST"),
        ("PUT", "/fhir", "POST"),
    ],
)
def test_a_method_that_is_not_taken_is_answered_with_those_that_are(http, method, address, allow):
    answer = http.open(address, method=method, headers=AUTH, json={} if method != "GET" else None)
    assert (answer.status_code, answer.headers["Allow"]) == (405, allow)
    assert answer.json["resourceType"] == "OperationOutcome"


def test_the_inlet_says_what_it_can_without_a_token(http):
    answer = http.get("/fhir/metadata")
    assert (answer.status_code, answer.json["fhirVersion"]) == (200, "4.0.1")


def test_gzip_is_unpacked_and_bounded(http):
    body = gzip.compress(json.dumps(patient()).encode())
    assert (
        http.post("/fhir/Patient", data=body, headers=AUTH | {"Content-Encoding": "gzip"}).status_code == 201
    )
    cut = http.post("/fhir/Patient", data=body[:-4], headers=AUTH | {"Content-Encoding": "gzip"})
    assert (cut.status_code, "send it again whole" in cut.text) == (400, True)
    bomb = gzip.compress(b" " * 50_000_000)
    assert (
        http.post("/fhir/Patient", data=bomb, headers=AUTH | {"Content-Encoding": "gzip"}).status_code == 413
    )


@pytest.mark.skipif(not SYNTHEA, reason="../shared/data/synthea is not there")
def test_all_synthea_bundles_are_accepted(tmp_path):
    with processor(tmp_path, FEP_FACILITY="H03", FEP_PROFILE="h03") as fep:
        client = create_web(fep.inlet, fep.console, PASSWORD).test_client()
        answers = [client.post("/fhir", data=gzip.decompress(f.read_bytes()), headers=AUTH) for f in SYNTHEA]
        assert [answer.status_code for answer in answers] == [200] * len(SYNTHEA)
        assert len(rows(fep)) == len(SYNTHEA) == 40
