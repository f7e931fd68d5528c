"""What breaks R4 is refused with the element named; what only looks odd is accepted."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from esb.errors import NotValid
from esb.fhir import lexemes
from esb.fhir.types import RESOURCE_TYPES
from esb.fhir.validation import check_resource, is_valid

CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
SUBJECT = {"reference": "Patient/p1"}
SECRET = "机密-44010619600307123X"

PATIENT = {
    "resourceType": "Patient",
    "id": "p1",
    "identifier": [{"system": "urn:hie:H01:mrn", "value": "000123"}],
    "name": [{"text": "张三", "family": "张", "given": ["三"]}],
    "gender": "female",
    "birthDate": "1960-03-07",
}
OBSERVATION = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"text": "血压"},
    "subject": SUBJECT,
    "effectiveDateTime": "2025-03-01T08:00:00+08:00",
    "valueQuantity": {
        "value": 128.5,
        "unit": "mmHg",
        "system": "http://unitsofmeasure.org",
        "code": "mm[Hg]",
    },
}
ENCOUNTER = {
    "resourceType": "Encounter",
    "status": "finished",
    "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
    "subject": SUBJECT,
    "period": {"start": "2025-03-01", "end": "2025-03-05T10:00:00+08:00"},
}
CONDITION = {
    "resourceType": "Condition",
    "clinicalStatus": {"coding": [{"system": CLINICAL, "code": "active"}]},
    "code": {"text": "高血压"},
    "subject": SUBJECT,
}
MEDICATION_REQUEST = {
    "resourceType": "MedicationRequest",
    "status": "active",
    "intent": "order",
    "medicationCodeableConcept": {"text": "阿司匹林"},
    "subject": SUBJECT,
}
BUNDLE: dict[str, Any] = {
    "resourceType": "Bundle",
    "type": "transaction",
    "entry": [{"resource": PATIENT, "request": {"method": "PUT", "url": "Patient/p1"}}],
}
REPORT = {
    "resourceType": "DiagnosticReport",
    "contained": [{"resourceType": "Observation", "id": "o", "status": "final", "code": {"text": "x"}}],
    "status": "final",
    "code": {"text": "胸片"},
    "result": [{"reference": "#o"}],
}


def changed(resource, **changes):
    """Return a copy with elements replaced; None takes one away. `a__0__b` reaches inside."""
    copied = copy.deepcopy(resource)
    for path, value in changes.items():
        *steps, last = [int(step) if step.isdigit() else step for step in path.split("__")]
        node = copied
        for step in steps:
            node = node[step]
        if value is None:
            del node[last]
        else:
            node[last] = value
    return copied


def nested(depth):
    extension = {"url": "u", "valueString": "x"}
    for _ in range(depth):
        extension = {"url": "u", "extension": [extension]}
    return extension


# name: (resource, element that must be named, a word of the reason)
FAULTS = {
    "no resource type": ({"id": "x"}, "", "resourceType"),
    "a type of no standard": ({"resourceType": "Person2"}, "", "resourceType"),
    "a type of R5": ({"resourceType": "SubscriptionStatus"}, "", "resourceType"),
    "a list": ([PATIENT], "", "resourceType"),
    "an unknown element": (changed(PATIENT, nickname="x"), "Patient.nickname", "no element"),
    "an unknown element inside": (changed(PATIENT, name__0__nick="x"), "Patient.name[0].nick", "no element"),
    "an element of R5": (
        changed(ENCOUNTER, actualPeriod={"start": "2025"}),
        "Encounter.actualPeriod",
        "no element",
    ),
    "an id with a space": (changed(PATIENT, id="a b"), "Patient.id", "id"),
    "an id of 65 characters": (changed(PATIENT, id="a" * 65), "Patient.id", "id"),
    "a code outside its binding": (changed(PATIENT, gender="M"), "Patient.gender", "male | other"),
    "a status outside its binding": (changed(OBSERVATION, status="done"), "Observation.status", "final"),
    "a required concept outside its binding": (
        changed(CONDITION, clinicalStatus={"coding": [{"system": CLINICAL, "code": "present"}]}),
        "Condition.clinicalStatus.coding",
        "remission",
    ),
    "a required concept without a coding": (
        changed(CONDITION, clinicalStatus={"text": "active"}),
        "Condition.clinicalStatus.coding",
        "required",
    ),
    "30 February": (changed(PATIENT, birthDate="2025-02-30"), "Patient.birthDate", "exists"),
    "29 February of a common year": (changed(PATIENT, birthDate="1900-02-29"), "Patient.birthDate", "exists"),
    "a date with slashes": (changed(PATIENT, birthDate="1960/03/07"), "Patient.birthDate", "YYYY"),
    "a birth date with a time": (
        changed(PATIENT, birthDate="1960-03-07T01:00:00Z"),
        "Patient.birthDate",
        "YYYY",
    ),
    "a time without an offset": (
        changed(OBSERVATION, effectiveDateTime="2025-03-01T08:00:00"),
        "Observation.effectiveDateTime",
        "offset",
    ),
    "a time without seconds": (
        changed(OBSERVATION, effectiveDateTime="2025-03-01T08:00+08:00"),
        "Observation.effectiveDateTime",
        "ss",
    ),
    "25 o'clock": (changed(OBSERVATION, issued="2025-03-01T25:00:00Z"), "Observation.issued", "offset"),
    "a boolean as text": (changed(PATIENT, active="true"), "Patient.active", "true or false"),
    "a number as text": (
        changed(OBSERVATION, valueQuantity__value="12.3"),
        "Observation.valueQuantity.value",
        "number",
    ),
    "text as a number": (changed(PATIENT, name__0__family=5), "Patient.name[0].family", "text"),
    "a list where one is meant": (changed(PATIENT, gender=["female"]), "Patient.gender", ""),
    "one where a list is meant": (changed(PATIENT, name={"text": "张三"}), "Patient.name", "array"),
    "an empty list": (changed(PATIENT, name=[]), "Patient.name", "empty list"),
    "an empty object": (changed(PATIENT, name=[{}]), "Patient.name[0]", "ele-1"),
    "an object of an id alone": (changed(PATIENT, name=[{"id": "a"}]), "Patient.name[0]", "ele-1"),
    "an empty text": (changed(PATIENT, name__0__text=""), "Patient.name[0].text", "empty"),
    "a control character": (changed(PATIENT, name__0__text="张\x00三"), "Patient.name[0].text", "control"),
    "null for a value": (changed(PATIENT) | {"gender": None}, "Patient.gender", ""),
    "null in a list without a companion": (
        changed(PATIENT, name__0__given=[None, "三"]),
        "Patient.name[0].given[0]",
        "",
    ),
    "no status": (changed(OBSERVATION, status=None), "Observation.status", "required"),
    "no code": (changed(OBSERVATION, code=None), "Observation.code", "required"),
    "no class": (changed(ENCOUNTER, **{"class": None}), "Encounter.class", "required"),
    "no medication": (
        changed(MEDICATION_REQUEST, medicationCodeableConcept=None),
        "MedicationRequest.medication[x]",
        "required",
    ),
    "two values": (changed(OBSERVATION, valueString="x"), "Observation.value", "only one of value[x]"),
    "two values, one by its companion": (
        changed(OBSERVATION, _valueString={"extension": [{"url": "u", "valueCode": "x"}]}),
        "Observation.value",
        "only one of value[x]",
    ),
    "a reference as text": (changed(OBSERVATION, subject="Patient/p1"), "Observation.subject", "object"),
    "a reference without a type": (
        changed(OBSERVATION, subject__reference="p1"),
        "Observation.subject",
        "Patient",
    ),
    "a reference to the wrong type": (
        changed(OBSERVATION, subject={"reference": "Practitioner/d"}),
        "Observation.subject.reference",
        "Patient",
    ),
    "an extension without url": (
        changed(PATIENT, extension=[{"valueString": "x"}]),
        "Patient.extension[0].url",
        "req",
    ),
    "an extension with value and extensions": (
        changed(
            PATIENT,
            extension=[{"url": "u", "valueString": "x", "extension": [{"url": "v", "valueCode": "c"}]}],
        ),
        "Patient.extension[0]",
        "ext-1",
    ),
    "an extension with nothing": (
        changed(PATIENT, extension=[{"url": "u"}]),
        "Patient.extension[0]",
        "ext-1",
    ),
    "an extension with two values": (
        changed(PATIENT, extension=[{"url": "u", "valueString": "x", "valueCode": "c"}]),
        "Patient.extension[0]",
        "ext-1",
    ),
    "a fraction for a whole number": (
        changed(PATIENT, multipleBirthInteger=1.5),
        "Patient.multipleBirthInteger",
        "whole number",
    ),
    "a telecom without system": (changed(PATIENT, telecom=[{"value": "1"}]), "Patient.telecom[0]", "cpt-2"),
    "a contact without details": (
        changed(PATIENT, contact=[{"relationship": [{"text": "妻"}]}]),
        "Patient.contact[0]",
        "pat-1",
    ),
    "a unit code without system": (
        changed(OBSERVATION, valueQuantity={"value": 1, "code": "mm[Hg]"}),
        "Observation.valueQuantity",
        "qty-3",
    ),
    "a value and a reason for none": (
        changed(OBSERVATION, dataAbsentReason={"text": "x"}),
        "Observation",
        "obs-6",
    ),
    "a component with the same code": (
        changed(
            OBSERVATION,
            code={"coding": [{"system": "s:a", "code": "1"}]},
            component=[{"code": {"coding": [{"system": "s:a", "code": "1"}]}}],
        ),
        "Observation.value[x]",
        "obs-7",
    ),
    "an empty reference range": (
        changed(OBSERVATION, referenceRange=[{"age": {"low": {"value": 1}}}]),
        "Observation.referenceRange[0]",
        "obs-3",
    ),
    "a range upside down": (
        changed(OBSERVATION, valueQuantity=None, valueRange={"low": {"value": 2}, "high": {"value": 1}}),
        "Observation.valueRange",
        "rng-2",
    ),
    "a period that ends before it starts": (
        changed(ENCOUNTER, period={"start": "2025-03-05", "end": "2025-03-01"}),
        "Encounter.period",
        "per-1",
    ),
    "a period that ends before it starts, by offset": (
        changed(ENCOUNTER, period={"start": "2025-03-05T08:00:00+08:00", "end": "2025-03-05T07:00:00+09:00"}),
        "Encounter.period",
        "per-1",
    ),
    "an allergy without clinical status": (
        {"resourceType": "AllergyIntolerance", "patient": SUBJECT, "code": {"text": "青霉素"}},
        "AllergyIntolerance",
        "ait-1",
    ),
    "a condition over and active": (changed(CONDITION, abatementDateTime="2025"), "Condition", "con-4"),
    "a mistaken condition with a clinical status": (
        changed(
            CONDITION, verificationStatus={"coding": [{"system": VERIFICATION, "code": "entered-in-error"}]}
        ),
        "Condition",
        "con-5",
    ),
    "an organization of no name": ({"resourceType": "Organization", "active": True}, "Organization", "org-1"),
    "an organization at home": (
        {
            "resourceType": "Organization",
            "name": "x",
            "telecom": [{"system": "phone", "value": "1", "use": "home"}],
        },
        "Organization.telecom[0]",
        "org-3",
    ),
    "an attachment of unknown kind": (
        changed(PATIENT, photo=[{"data": "AAAA"}]),
        "Patient.photo[0]",
        "att-1",
    ),
    "an attachment of no MIME type": (
        changed(PATIENT, photo=[{"contentType": "png", "url": "https://h.example/1"}]),
        "Patient.photo[0].contentType",
        "MIME",
    ),
    "a currency of no standard": (
        {
            "resourceType": "ChargeItem",
            "status": "billable",
            "code": {"text": "床位费"},
            "subject": SUBJECT,
            "priceOverride": {"value": 30, "currency": "元"},
        },
        "ChargeItem.priceOverride.currency",
        "CNY",
    ),
    "base64 cut short": (
        changed(PATIENT, photo=[{"contentType": "image/png", "data": "AAA"}]),
        "Patient.photo[0].data",
        "base64",
    ),
    "an appointment booked without a time": (
        {
            "resourceType": "Appointment",
            "status": "booked",
            "participant": [{"status": "accepted", "actor": SUBJECT}],
        },
        "Appointment",
        "app-3",
    ),
    "handed over before prepared": (
        {
            "resourceType": "MedicationDispense",
            "status": "completed",
            "medicationCodeableConcept": {"text": "x"},
            "whenPrepared": "2025-03-02",
            "whenHandedOver": "2025-03-01",
        },
        "MedicationDispense.whenHandedOver",
        "mdd-1",
    ),
    "a script hidden in a link's scheme": (
        changed(
            PATIENT,
            text={
                "status": "generated",
                "div": '<div><a href="java&#9;script:alert(1)">x</a></div>',
            },
        ),
        "Patient.text",
        "txt-1",
    ),
    "a period that begins without an offset": (
        changed(ENCOUNTER, period={"start": "2020-01-01T00:00:00", "end": "2020-01-01T00:00:00Z"}),
        "Encounter.period.start",
        "offset",
    ),
    "a range whose low is no Quantity": (
        changed(OBSERVATION, valueQuantity=None, valueRange={"low": 3, "high": {"value": 2}}),
        "Observation.valueRange.low",
        "",
    ),
    "a range whose low is text": (
        changed(OBSERVATION, valueQuantity=None, valueRange={"low": {"value": "a"}, "high": {"value": 2}}),
        "Observation.valueRange.low.value",
        "number",
    ),
    "a timing whose when is a number": (
        changed(MEDICATION_REQUEST, dosageInstruction=[{"timing": {"repeat": {"offset": 1, "when": 5}}}]),
        "MedicationRequest.dosageInstruction[0].timing.repeat.when",
        "array",
    ),
    "a script in the narrative": (
        changed(
            PATIENT,
            text={"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x<script/></div>'},
        ),
        "Patient.text",
        "txt-1",
    ),
    "an event handler in the narrative": (
        changed(PATIENT, text={"status": "generated", "div": '<div><p onclick="x()">x</p></div>'}),
        "Patient.text",
        "txt-1",
    ),
    "narrative that is not closed": (
        changed(PATIENT, text={"status": "generated", "div": "<div>x"}),
        "Patient.text",
        "",
    ),
    "a local reference to nothing": (
        changed(OBSERVATION, subject={"reference": "#p"}),
        "Observation.subject",
        "",
    ),
    "a local reference to another": (
        changed(REPORT, result__0__reference="#x"),
        "DiagnosticReport.contained",
        "ref-1",
    ),
    "a contained resource nobody uses": (changed(REPORT, result=None), "DiagnosticReport.contained", "dom-3"),
    "a contained resource in a contained one": (
        changed(REPORT, contained__0__contained=[PATIENT]),
        "DiagnosticReport.contained[0]",
        "dom-2",
    ),
    "a fault in a contained resource": (
        changed(REPORT, contained__0__status="done"),
        "DiagnosticReport.contained[0].status",
        "final",
    ),
    "a fault in an entry": (
        changed(BUNDLE, entry__0__resource__gender="M"),
        "Bundle.entry[0].resource.gender",
        "female",
    ),
    "an entry of no resource": (
        changed(BUNDLE, entry__0__resource={"resourceType": "Foo"}),
        "Bundle.entry[0].resource",
        "resourceType",
    ),
    "an entry without request": (changed(BUNDLE, entry__0__request=None), "Bundle.entry", "bdl-3"),
    "a Bundle without type": (changed(BUNDLE, type=None), "Bundle.type", "required"),
    "two entries of one address": (
        changed(BUNDLE, entry=[BUNDLE["entry"][0] | {"fullUrl": "urn:uuid:1"}] * 2),
        "Bundle.entry",
        "bdl-7",
    ),
    "a total in a transaction": (changed(BUNDLE, total=1), "Bundle", "bdl-1"),
}

TRICKY = {
    "a partial birth date": changed(PATIENT, birthDate="1960-03"),
    "29 February of a leap year": changed(PATIENT, birthDate="2000-02-29"),
    "a birth time by extension": changed(
        PATIENT, _birthDate={"extension": [{"url": "u", "valueDateTime": "1960-03-07T03:00:00+08:00"}]}
    ),
    "a value only by its companion": changed(
        PATIENT, birthDate=None, _birthDate={"extension": [{"url": "u", "valueCode": "unknown"}]}
    ),
    "a required status only by its companion": changed(
        OBSERVATION, status=None, _status={"extension": [{"url": "u", "valueCode": "unknown"}]}
    ),
    "null where the companion speaks": changed(
        PATIENT,
        name__0__given=[None, "三"],
        name__0___given=[{"extension": [{"url": "u", "valueCode": "masked"}]}, None],
    ),
    "nothing but companions": changed(
        PATIENT, name__0__given=[None], name__0___given=[{"extension": [{"url": "u", "valueCode": "masked"}]}]
    ),
    "rare characters": changed(PATIENT, name__0__text="𠮷䶮·阿卜杜拉"),
    "an extension in an extension": changed(PATIENT, extension=[nested(100)]),
    "an extension with an id": changed(PATIENT, extension=[{"id": "e", "url": "u", "valueString": "x"}]),
    "a modifier extension": changed(PATIENT, modifierExtension=[{"url": "u", "valueBoolean": True}]),
    "a contained resource": REPORT,
    "a contained resource that points at its container": changed(
        REPORT, result=None, contained__0__focus=[{"reference": "#"}]
    ),
    "a reference by identifier": changed(OBSERVATION, subject={"identifier": {"value": "1"}, "display": "x"}),
    "a reference by urn": changed(
        OBSERVATION, subject={"reference": "urn:uuid:4c1c1b32-0000-4000-8000-000000000000"}
    ),
    "a conditional reference": changed(
        OBSERVATION, subject={"reference": "Patient?identifier=urn:hie:H01:mrn|1 2"}
    ),
    "a reference to a version elsewhere": changed(
        OBSERVATION, subject={"reference": "https://h.example/fhir/Patient/p/_history/2"}
    ),
    "no value but a reason": changed(OBSERVATION, valueQuantity=None, dataAbsentReason={"text": "溶血"}),
    "an exponent": changed(OBSERVATION, valueQuantity__value=1.2e-7),
    "a comparator": changed(OBSERVATION, valueQuantity__comparator="<"),
    "a moment with fractions": changed(OBSERVATION, issued="2025-03-01T08:00:00.123456+08:00"),
    "a leap second": changed(OBSERVATION, issued="2016-12-31T23:59:60Z"),
    "a period of one day, less precise at its end": changed(
        ENCOUNTER, period={"start": "2025-03-01T08:00:00+08:00", "end": "2025-03-01"}
    ),
    "a concept with a second coding of ours": changed(
        CONDITION,
        clinicalStatus__coding=[
            {"system": "urn:hie:H01:x", "code": "1"},
            {"system": CLINICAL, "code": "active"},
        ],
    ),
    "a mistaken allergy": {
        "resourceType": "AllergyIntolerance",
        "patient": SUBJECT,
        "verificationStatus": {
            "coding": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification",
                    "code": "entered-in-error",
                }
            ]
        },
    },
    "narrative with a table and an entity": changed(
        PATIENT,
        text={"status": "generated", "div": "<div><table><tr><td>a&nbsp;b</td></tr></table></div>"},
    ),
    "a transaction": BUNDLE,
    "a delete without a resource": changed(
        BUNDLE, entry=[{"request": {"method": "DELETE", "url": "Patient/p1"}}]
    ),
    "an empty searchset": {"resourceType": "Bundle", "type": "searchset", "total": 0},
    "a resource in a parameter": {
        "resourceType": "Parameters",
        "parameter": [{"name": "a", "part": [{"name": "b", "resource": PATIENT}]}],
    },
    "base64 with line breaks": {
        "resourceType": "Binary",
        "contentType": "text/plain",
        "data": "QUJD\r\nREVG",
    },
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_refused_and_its_element_named(name):
    resource, element, word = FAULTS[name]
    assert not is_valid(resource)
    with pytest.raises(NotValid) as refusal:
        check_resource(resource)
    issues = refusal.value.issues
    assert any(issue.path.startswith(element) and word in issue.text for issue in issues), issues
    assert all(issue.code for issue in issues)


@pytest.mark.parametrize("name", TRICKY)
def test_what_only_looks_odd_is_accepted(name):
    check_resource(TRICKY[name])
    assert is_valid(TRICKY[name])


@pytest.mark.parametrize("name", TRICKY)
def test_numbers_kept_as_written_change_nothing(name):
    assert is_valid(lexemes.loads(json.dumps(TRICKY[name])))


def test_every_type_has_rules_that_compile_and_are_used():
    for type_ in sorted(RESOURCE_TYPES):
        with pytest.raises(NotValid) as refusal:
            check_resource({"resourceType": type_, "noSuchElement": 1})
        assert f"{type_}.noSuchElement" in {issue.path for issue in refusal.value.issues}


def test_a_refusal_never_tells_what_stood_there():
    wrong = {
        "resourceType": "Patient",
        "id": SECRET,
        "gender": SECRET,
        "birthDate": SECRET,
        "active": SECRET,
        "name": [{"family": {SECRET: SECRET}}],
        "contact": [{"gender": SECRET}],
        "maritalStatus": SECRET,
        SECRET: SECRET,
        "extension": [{"url": SECRET + " ", "valueString": ""}],
        "generalPractitioner": [{"reference": SECRET}],
    }
    with pytest.raises(NotValid) as refusal:
        check_resource(wrong)
    told = refusal.value.text + "".join(issue.path + issue.text for issue in refusal.value.issues)
    assert "机密" not in told and "44010619600307123X" not in told
    assert len(refusal.value.issues) >= 8


def test_the_place_in_a_bundle_is_named():
    with pytest.raises(NotValid) as refusal:
        check_resource(changed(PATIENT, gender="M"), "Bundle.entry[7].resource")
    assert refusal.value.issues[0].path == "Bundle.entry[7].resource.gender"


def test_a_thousand_faults_are_told_in_twenty():
    with pytest.raises(NotValid) as refusal:
        check_resource(changed(PATIENT, name=[{"use": "x"}] * 1000))
    assert len(refusal.value.issues) <= 20
