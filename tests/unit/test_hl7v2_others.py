"""Orders, drugs, vaccinations, appointments, charges, documents, referrals, problems."""

from __future__ import annotations

import base64
from decimal import Decimal

import pytest

from tests.samples import hl7v2_messages as samples
from tests.samples.hl7v2_reading import IDS, entries, normalised, one, resources


@pytest.mark.parametrize(
    ("control", "state", "status"),
    [
        ("NW", "", "active"),
        ("NW", "IP", "active"),
        ("CA", "", "revoked"),
        ("DC", "IP", "revoked"),
        ("HD", "", "on-hold"),
        ("SC", "CM", "completed"),
        ("ZZ", "", "active"),
    ],
)
def test_the_state_of_an_order_is_the_senders(control: str, state: str, status: str) -> None:
    orc = samples.ORC.replace("ORC|NW", f"ORC|{control}").replace("|||IP|", f"|||{state}|")
    assert one("OML^O21", "ServiceRequest", samples.PID, orc, samples.OBR)["status"] == status


def test_an_order_is_known_by_the_placers_number_before_and_after_the_laboratory_has_one() -> None:
    before = samples.OBR.replace("|LIS900|", "||")
    first = one("OML^O21", "ServiceRequest", samples.PID, samples.ORC, before)
    later = one("OML^O21", "ServiceRequest", samples.PID, samples.ORC, samples.OBR)
    assert first["id"] == later["id"] == IDS.of("ServiceRequest", "ORD55")
    assert later["requester"]["display"] == "李医生"
    assert later["category"][0]["coding"][0]["code"] == "108252007"


def test_a_drug_order_says_what_how_much_how_often_and_how() -> None:
    found = one("RDE^O11", "MedicationRequest")
    dosage = found["dosageInstruction"][0]
    assert found["medicationCodeableConcept"]["text"] == "阿莫西林胶囊"
    assert dosage["timing"]["repeat"] == {"frequency": 2, "period": 1, "periodUnit": "d"}
    assert dosage["doseAndRate"][0]["doseQuantity"]["value"] == Decimal("0.50")
    assert dosage["route"]["text"] == "口服" and dosage["text"] == "饭后"
    assert found["dispenseRequest"]["quantity"] == {
        "value": 2,
        "unit": "盒",
        "system": "http://unitsofmeasure.org",
        "code": "{box}",
    }
    assert found["category"][0]["coding"][0]["code"] == "inpatient"


def test_a_stopped_drug_is_stopped() -> None:
    orc = samples.ORC.replace("NW", "DC")
    assert one("RDE^O11", "MedicationRequest", samples.PID, orc, samples.RXE)["status"] == "stopped"


@pytest.mark.parametrize(("sent", "status"), [("CP", "completed"), ("RE", "not-done"), ("", "completed")])
def test_a_drug_given_or_refused(sent: str, status: str) -> None:
    rxa = samples.RXA.removesuffix("CP") + sent
    found = one("RAS^O17", "MedicationAdministration", samples.PID, samples.ORC, rxa, samples.RXR)
    assert found["status"] == status
    assert found["effectivePeriod"]["start"] == "2026-04-01T12:00:00+08:00"
    assert found["dosage"]["dose"]["value"] == Decimal("0.5")


def test_a_drug_handed_over() -> None:
    found = one("RDS^O13", "MedicationDispense")
    assert found["whenHandedOver"] == "2026-04-01T11:30:00+08:00"
    assert found["quantity"]["value"] == 2


def test_a_vaccination() -> None:
    found = one("VXU^V04", "Immunization")
    assert found["vaccineCode"]["coding"][0] == {
        "system": "http://hl7.org/fhir/sid/cvx",
        "code": "08",
        "display": "乙肝疫苗",
    }
    assert (found["lotNumber"], found["expirationDate"]) == ("B2201", "2028-01-01")
    assert found["primarySource"] is True


def test_an_appointment_has_its_time_and_who_takes_part() -> None:
    found = one("SIU^S12", "Appointment")
    assert (found["start"], found["end"]) == ("2026-04-10T09:00:00+08:00", "2026-04-10T09:30:00+08:00")
    assert [each["actor"].get("display") for each in found["participant"]] == [None, "心内科门诊"]
    assert found["id"] == one("SIU^S15", "Appointment")["id"]


def test_an_appointment_without_a_time_is_only_proposed() -> None:
    sch = samples.SCH.replace("^^^20260410090000+0800", "")
    assert one("SIU^S12", "Appointment", sch, samples.PID)["status"] == "proposed"


def test_a_charge_line_keeps_its_amount_to_the_fen() -> None:
    raw = samples.example("DFT^P03")
    found = one("DFT^P03", "ChargeItem")
    assert b'"priceOverride":{"value":25.00,"currency":"CNY"}' in normalised(raw).bundle
    assert found["id"] == IDS.of("ChargeItem", "F9001")
    assert found["requestingOrganization"]["display"] == "心内科"


@pytest.mark.parametrize(
    ("type_", "sent", "value"),
    [("CD", "25.00", "-25.00"), ("CR", "-25.00", "-25.00"), ("CG", "-3.10", "-3.10"), ("CD", "0.00", "0.00")],
)
def test_money_given_back_is_negative_once(type_: str, sent: str, value: str) -> None:
    ft1 = samples.FT1.replace("|CG|", f"|{type_}|").replace("25.00&CNY|25", f"{sent}&CNY|25")
    found = one("DFT^P03", "ChargeItem", samples.PID, samples.PV1, ft1)
    assert str(found["priceOverride"]["value"]) == value


def test_a_refund_names_the_line_it_takes_back() -> None:
    ft1 = samples.FT1.replace("F9001", "F9002").replace(
        "|CG|LABCBC^血常规^L|||", "|CD|LABCBC^血常规^L||F9001|"
    )
    found = one("DFT^P03", "ChargeItem", samples.PID, samples.PV1, ft1)
    pointers = {each["url"]: each.get("valueReference") for each in found["extension"]}
    assert pointers["urn:hie:refund-of"] == {"reference": f"ChargeItem/{IDS.of('ChargeItem', 'F9001')}"}


@pytest.mark.parametrize(("settlement", "status"), [("", "billable"), ("J77", "billed")])
def test_a_line_is_billed_once_a_settlement_covers_it(settlement: str, status: str) -> None:
    ft1 = samples.FT1.replace("|F9001||", f"|F9001|{settlement}|")
    found = one("DFT^P03", "ChargeItem", samples.PID, samples.PV1, ft1)
    assert found["status"] == status
    pointers = [each["url"] for each in found["extension"]]
    assert ("urn:hie:settlement" in pointers) == bool(settlement)
    assert {"url": "urn:hie:accounting-date", "valueDate": "2026-04-01"} in found["extension"]


def test_a_charge_line_without_a_number_is_known_by_what_it_is() -> None:
    ft1 = samples.FT1.replace("F9001", "")
    ids = {one("DFT^P03", "ChargeItem", samples.PID, samples.PV1, ft1)["id"] for _ in range(2)}
    assert ids == {IDS.of("ChargeItem", "V2026001|CG|20260401093000|LABCBC|1")}


def test_the_category_of_a_line_stands_beside_its_code() -> None:
    ft1 = samples.FT1.replace("LABCBC^血常规^L", "LABCBC^血常规^L^07^化验费^FYLB")
    codings = one("DFT^P03", "ChargeItem", samples.PID, samples.PV1, ft1)["code"]["coding"]
    assert [each["code"] for each in codings] == ["LABCBC", "07"]
    assert codings[1]["system"] == "urn:hie:charge-category"


def test_a_document_carries_its_text() -> None:
    found = one("MDM^T02", "DocumentReference")
    attachment = found["content"][0]["attachment"]
    assert base64.b64decode(attachment["data"]).decode() == "住院经过：\n病情好转。"
    assert (found["status"], found["docStatus"], found["date"]) == (
        "current",
        "final",
        "2026-04-05T10:05:00+08:00",
    )
    assert found["context"]["encounter"][0]["reference"] == f"Encounter/{IDS.of('Encounter', 'V2026001')}"


@pytest.mark.parametrize(("kind", "code"), [("MDM^T06", "appends"), ("MDM^T10", "replaces")])
def test_a_later_document_names_the_earlier_one(kind: str, code: str) -> None:
    (relation,) = one(kind, "DocumentReference")["relatesTo"]
    assert relation["code"] == code
    assert relation["target"] == {"reference": f"DocumentReference/{IDS.of('DocumentReference', 'DOC77')}"}


def test_a_referral_and_its_cancellation_are_one_request() -> None:
    asked, withdrawn = one("REF^I12", "ServiceRequest"), one("REF^I14", "ServiceRequest")
    assert asked["id"] == withdrawn["id"]
    assert (asked["status"], withdrawn["status"]) == ("active", "revoked")
    assert asked["reasonCode"][0]["text"] == "血压控制不佳"


def test_a_deleted_problem_is_entered_in_error() -> None:
    prb = samples.PRB.replace("PRB|AD", "PRB|DE")
    found = one("PPR^PC3", "Condition", samples.PID, prb)
    assert found["verificationStatus"]["coding"][0]["code"] == "entered-in-error"
    assert found["id"] == one("PPR^PC1", "Condition")["id"]


def test_everything_in_a_message_is_the_patients() -> None:
    for kind in ("ADT^A01", "ORU^R01", "RDE^O11", "DFT^P03", "MDM^T02", "VXU^V04"):
        reference = {"reference": f"Patient/{IDS.of('Patient', 'P0001')}"}
        for entry in entries(normalised(samples.example(kind))):
            found = entry["resource"]
            if found["resourceType"] not in ("Patient", "Binary"):
                assert reference in (found.get("subject"), found.get("patient"), found.get("beneficiary"))


def test_an_order_of_any_kind_may_hold_drugs_and_tests() -> None:
    raw = samples.example("ORM^O01")
    assert len(resources(raw, "ServiceRequest")) == 1
    assert len(resources(raw, "MedicationRequest")) == 1


def test_a_problem_and_a_diagnosis_of_one_code_are_two_conditions() -> None:
    problem = one("PPR^PC1", "Condition", samples.PID, "PRB|AD|20260401|I10^高血压^I10")
    diagnosis = one("ADT^A08", "Condition", samples.PID, "DG1|1||I10^高血压^I10|||F")
    assert problem["code"]["coding"] == diagnosis["code"]["coding"]
    assert problem["id"] != diagnosis["id"]


def test_a_working_diagnosis_is_no_chief_complaint() -> None:
    visit = one("ADT^A01", "Encounter", samples.PID, samples.PV1, "DG1|1||J18.9^肺炎^I10|||W")
    assert [set(link) for link in visit["diagnosis"]] == [{"condition"}]


@pytest.mark.parametrize(("first", "then"), [("DD", "AD"), ("F", "A"), ("O", "P")])
def test_the_diagnosis_at_discharge_wins_over_that_at_admission_however_they_are_coded(
    first: str, then: str
) -> None:
    rows = [f"DG1|{n}||J18.9^肺炎^I10|||{type_}" for n, type_ in enumerate((first, then), 1)]
    condition = one("ADT^A03", "Condition", samples.PID, samples.PV1, *rows)
    assert condition["verificationStatus"]["coding"][0]["code"] == "confirmed"


def test_an_appointment_that_lasts_for_ever_is_taken_without_its_length() -> None:
    sch = samples.SCH.split("|")
    sch[9:11] = ["1" + "0" * 15, "MIN"]
    appointment = one("SIU^S12", "Appointment", "|".join(sch), samples.PID)
    assert "start" in appointment and "minutesDuration" not in appointment
