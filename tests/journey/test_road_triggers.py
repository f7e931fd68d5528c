"""Each row of the trigger table (docs/interfaces-hl7v2.md), seen at the hub."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from front_end_processor.normalise import profile
from front_end_processor.normalise.hl7v2 import normalise_hl7
from front_end_processor.normalise.hl7v2.triggers import TRIGGERS
from front_end_processor.normalise.ids import Ids
from tests.journey.road import Fep, Hub, code_of, element
from tests.samples import hl7v2_messages as samples

# Numbers of the examples that must be another's in each message of this file.
OWN = (
    "P0001",
    "P0000",
    "V2026001",
    "ORD55",
    "LIS900",
    "S778",
    "RX66",
    "F9001",
    "AP77",
    "DOC88",
    "REF55",
    "PRB9",
)
PERSON = "11010519491231002X"


def message(number: int, kind: str) -> bytes:
    """Return the example of a trigger about a patient, a visit, an order of its own."""
    text = samples.example(kind, control=f"TRIG{number:03}").decode().replace(PERSON, "")
    text = text.replace("YB778899", f"YB{number:06}")
    if "(v2.3)" in TRIGGERS[kind].title:
        text = text.replace("|P|2.5|", "|P|2.3|")
    for own in OWN:
        text = text.replace(own, f"{own}{number:03}")
    return text.encode()


MESSAGES = {kind: message(number, kind) for number, kind in enumerate(TRIGGERS)}


@pytest.fixture(scope="module")
def fep(region: dict[str, Any]) -> Fep:
    """The front-end processor of H02, after it took every example."""
    made = Fep(region["hospitals"][1])
    with made.mllp() as sender:
        for kind, raw in MESSAGES.items():
            answer = sender.send(raw)
            assert code_of(answer) == "AA", (kind, answer)
    return made


@pytest.fixture(scope="module")
def hub(region: dict[str, Any]) -> Hub:
    return Hub(region)


def expected(raw: bytes, fep: Fep) -> list[dict[str, Any]]:
    """Return the entries the hospital sends, under the ids it really gives."""
    ids = Ids((fep.keys / "id.key").read_bytes(), fep.code)
    made = normalise_hl7(raw, profile.load("h02", fep.code, name=fep.hospital["name"]), ids)
    entries: list[dict[str, Any]] = json.loads(made.bundle)["entry"]
    return entries


def without_meta(resource: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in resource.items() if key != "meta"}


@pytest.mark.parametrize("kind", TRIGGERS)
def test_what_a_trigger_says_is_at_the_hub(kind: str, fep: Fep, hub: Hub):
    number = list(TRIGGERS).index(kind)
    row = fep.wait_settled(f"TRIG{number:03}")
    assert (row["receipt"], row["kind"]) == ("stored", kind)
    patches: dict[str, list[dict[str, Any]]] = {}
    written: dict[str, dict[str, Any]] = {}
    for entry in expected(MESSAGES[kind], fep):
        url = entry["request"]["url"]
        if entry["request"]["method"] == "PATCH":
            patches[url] = json.loads(base64.b64decode(entry["resource"]["data"]))
        elif entry["request"]["method"] == "PUT":
            written[url] = entry["resource"]
    assert written
    for url, resource in written.items():
        found = hub.read(url)
        assert found is not None, f"{kind}: {url} is not at the hub"
        if url not in patches:
            assert without_meta(found) == without_meta(resource)
    for url, operations in patches.items():
        found = hub.read(url)
        assert found is not None
        for operation in operations:
            assert found[operation["path"].split("/")[1]] is not None
        assert found["active"] is False
        assert found["link"][0]["type"] == "replaced-by"


HIGH_PRESSURE = ("Condition", "code.coding.0.code", "I10.x00")
PENICILLIN = ("AllergyIntolerance", "code.text", "青霉素")
BED = ("Encounter", "location.0.location.display", "内科 101 12")
BEGIN = ("Encounter", "period.start", "2026-04-01T08:30:00+08:00")
WHITE_CELLS = ("Observation", "valueQuantity.value", "12.50")
# What a person reads in the example (tests/samples/hl7v2_messages.py) and expects at the hub: of each trigger
# the (type, element, value); numbers by the character.
READ: dict[str, list[tuple[str, str, Any]]] = {
    "ADT^A01": [
        ("Encounter", "status", "in-progress"),
        ("Encounter", "class.code", "IMP"),
        BED,
        HIGH_PRESSURE,
    ],
    "ADT^A02": [("Encounter", "status", "in-progress"), BED, ("Patient", "name.0.text", "欧阳晓燕")],
    "ADT^A03": [("Encounter", "status", "finished"), BEGIN, PENICILLIN, HIGH_PRESSURE],
    "ADT^A04": [
        BEGIN,
        ("Coverage", "period.end", "2026-12-31"),
        ("Procedure", "code.coding.0.code", "47.0900"),
    ],
    "ADT^A08": [
        ("Patient", "birthDate", "1949-12-31"),
        ("Patient", "telecom.0.value", "13912345678"),
        ("Encounter", "serviceType.text", "心内科"),
        ("AllergyIntolerance", "reaction.0.severity", "severe"),
    ],
    "ADT^A11": [("Encounter", "status", "cancelled"), BEGIN],
    "ADT^A13": [("Encounter", "status", "in-progress"), BEGIN, ("Encounter", "period.end", None)],
    "ADT^A28": [("Patient", "gender", "female"), ("Patient", "address.0.postalCode", "650000"), PENICILLIN],
    "ADT^A31": [
        ("Patient", "contact.0.name.text", "欧阳明"),
        ("Patient", "maritalStatus.coding.0.code", "M"),
        ("Observation", "valueQuantity.value", "172"),
    ],
    "ADT^A40": [
        ("Patient", "active", True),
        ("Patient", "name.0.text", "欧阳晓燕"),
        ("Patient", "link", None),
    ],
    "ORU^R01": [
        WHITE_CELLS,
        ("Observation", "code.coding.1.code", "6690-2"),
        ("Observation", "referenceRange.0.high.value", "9.5"),
        ("Observation", "interpretation.0.coding.0.code", "H"),
        ("DiagnosticReport", "issued", "2026-04-01T10:15:00+08:00"),
        ("DiagnosticReport", "status", "final"),
        ("DiagnosticReport", "code.text", "血常规"),
    ],
    "OML^O21": [
        ("ServiceRequest", "code.text", "血常规"),
        ("ServiceRequest", "status", "active"),
        ("ServiceRequest", "authoredOn", "2026-04-01T09:10:00+08:00"),
        ("Specimen", "type.text", "血液"),
    ],
    "ORM^O01": [
        ("ServiceRequest", "requester.display", "李医生"),
        ("MedicationRequest", "medicationCodeableConcept.text", "阿莫西林胶囊"),
        ("ChargeItem", "priceOverride.value", "25.00"),
    ],
    "RDE^O01": [
        ("MedicationRequest", "medicationCodeableConcept.text", "阿莫西林胶囊"),
        ("MedicationRequest", "dosageInstruction.0.doseAndRate.0.doseQuantity.value", "0.50"),
        ("MedicationRequest", "dosageInstruction.0.doseAndRate.0.doseQuantity.unit", "g"),
        ("MedicationRequest", "dosageInstruction.0.route.coding.0.code", "PO"),
        ("MedicationRequest", "authoredOn", "2026-04-01T09:10:00+08:00"),
        ("MedicationRequest", "requester.display", "李医生"),
        ("MedicationRequest", "dispenseRequest.quantity.unit", "盒"),
    ],
    "RDE^O11": [
        ("MedicationRequest", "medicationCodeableConcept.coding.0.code", "A01"),
        ("MedicationRequest", "dosageInstruction.0.doseAndRate.0.doseQuantity.value", "0.50"),
        ("MedicationRequest", "dosageInstruction.0.route.text", "口服"),
        ("MedicationRequest", "dispenseRequest.quantity.value", "2"),
    ],
    "RAS^O01": [
        ("MedicationAdministration", "status", "completed"),
        ("MedicationAdministration", "medicationCodeableConcept.text", "阿莫西林胶囊"),
        ("MedicationAdministration", "effectivePeriod.start", "2026-04-01T12:00:00+08:00"),
        ("MedicationAdministration", "effectivePeriod.end", "2026-04-01T12:05:00+08:00"),
        ("MedicationAdministration", "dosage.dose.value", "0.5"),
        ("MedicationAdministration", "dosage.dose.unit", "g"),
        ("MedicationAdministration", "dosage.route.text", "口服"),
        ("MedicationAdministration", "performer.0.actor.display", "赵护士"),
    ],
    "RAS^O17": [
        ("MedicationAdministration", "status", "completed"),
        ("MedicationAdministration", "effectivePeriod.start", "2026-04-01T12:00:00+08:00"),
        ("MedicationAdministration", "dosage.dose.value", "0.5"),
    ],
    "SIU^S12": [
        ("Appointment", "status", "booked"),
        ("Appointment", "start", "2026-04-10T09:00:00+08:00"),
        ("Appointment", "minutesDuration", "30"),
    ],
    "SIU^S13": [("Appointment", "status", "booked"), ("Appointment", "end", "2026-04-10T09:30:00+08:00")],
    "SIU^S14": [("Appointment", "reasonCode.0.text", "复诊"), ("Appointment", "minutesDuration", "30")],
    "SIU^S15": [
        ("Appointment", "status", "cancelled"),
        ("Appointment", "start", "2026-04-10T09:00:00+08:00"),
    ],
    "DFT^P03": [
        ("ChargeItem", "priceOverride.value", "25.00"),
        ("ChargeItem", "priceOverride.currency", "CNY"),
        ("ChargeItem", "quantity.value", "1"),
        ("ChargeItem", "code.text", "血常规"),
        ("ChargeItem", "occurrenceDateTime", "2026-04-01T09:30:00+08:00"),
    ],
    "MDM^T02": [
        ("DocumentReference", "type.text", "出院小结"),
        ("DocumentReference", "docStatus", "final"),
        ("DocumentReference", "author.0.display", "李医生"),
        ("DocumentReference", "content.0.attachment.contentType", "text/plain; charset=utf-8"),
    ],
}


@pytest.mark.parametrize("kind", READ)
def test_what_a_person_reads_in_a_message_is_read_at_the_hub(kind: str, fep: Fep, hub: Hub):
    number = list(TRIGGERS).index(kind)
    fep.wait_settled(f"TRIG{number:03}")
    patient = hub.found(f"Patient?identifier=P0001{number:03}")
    found = {"Patient": patient}
    for type_ in {type_ for type_, _, _ in READ[kind]} - {"Patient"}:
        found[type_] = hub.found(f"{type_}?patient={patient['id']}")
    assert [(type_, path, element(found[type_], path)) for type_, path, _ in READ[kind]] == READ[kind]


def test_the_text_of_a_document_is_the_one_that_was_written(fep: Fep, hub: Hub):
    number = list(TRIGGERS).index("MDM^T02")
    fep.wait_settled(f"TRIG{number:03}")
    patient = hub.found(f"Patient?identifier=P0001{number:03}")
    document = hub.found(f"DocumentReference?patient={patient['id']}")
    data = base64.b64decode(document["content"][0]["attachment"]["data"])
    assert data.decode() == "住院经过：\n病情好转。"


def test_a_merged_number_is_no_longer_active_and_names_the_one_that_lives_on(fep: Fep, hub: Hub):
    number = list(TRIGGERS).index("ADT^A40")
    fep.wait_settled(f"TRIG{number:03}")
    merged = hub.found(f"Patient?identifier=P0000{number:03}")
    survivor = hub.found(f"Patient?identifier=P0001{number:03}")
    assert merged["active"] is False
    assert merged["link"] == [{"other": {"reference": f"Patient/{survivor['id']}"}, "type": "replaced-by"}]


def test_a_merge_makes_two_numbers_one_person(fep: Fep, hub: Hub):
    number = list(TRIGGERS).index("ADT^A40")
    fep.wait_settled(f"TRIG{number:03}")
    (merged,) = hub.search("Patient", identifier=f"P0000{number:03}")
    (survivor,) = hub.search("Patient", identifier=f"P0001{number:03}")
    found = hub.search(f"Patient/{survivor['id']}/$everything")
    assert {merged["id"], survivor["id"]} <= {resource["id"] for resource in found}
