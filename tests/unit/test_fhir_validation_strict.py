"""Faults that look right at first sight are refused at their element; what R4 allows is not."""

from typing import Any

import pytest

from esb.errors import NotValid
from esb.fhir.explanation import left_out
from esb.fhir.validation import COMMON_TYPES, check_resource, is_valid

Json = dict[str, Any]
XHTML = "http://www.w3.org/1999/xhtml"
PATIENT: Json = {"resourceType": "Patient", "id": "p"}
CONDITION: Json = {"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/p"}}
INVOICE: Json = {"resourceType": "Invoice", "id": "i", "status": "issued"}
REPORT: Json = {
    "resourceType": "MeasureReport",
    "status": "complete",
    "type": "summary",
    "measure": "urn:m",
    "period": {"start": "2026-01-01"},
}
RISK: Json = {"resourceType": "RiskAssessment", "status": "final", "subject": {"display": "x"}}
ORGANIZATION: Json = {"resourceType": "Organization", "id": "x", "name": "x"}


def _narrative(inner: str, attributes: str = f'xmlns="{XHTML}"') -> Json:
    return PATIENT | {"text": {"status": "generated", "div": f"<div {attributes}>{inner}</div>"}}


def _subject(**reference: str) -> Json:
    return CONDITION | {"subject": reference}


def _questionnaire(operator: str, **answer: Any) -> Json:
    when = {"question": "a", "operator": operator, **answer}
    items = [{"linkId": "a", "type": "boolean"}, {"linkId": "b", "type": "string", "enableWhen": [when]}]
    return {"resourceType": "Questionnaire", "status": "active", "item": items}


def _stratum(**stratum: Any) -> Json:
    return REPORT | {"group": [{"stratifier": [{"stratum": [stratum]}]}]}


def _capabilities(*types: str, **resource: Any) -> Json:
    rest = [{"mode": "server", "resource": [{"type": type_, **resource} for type_ in types]}]
    head = {"resourceType": "CapabilityStatement", "status": "active", "date": "2026", "kind": "requirements"}
    return head | {"description": "x", "fhirVersion": "4.0.1", "format": ["json"], "rest": rest}


PERCENT = {"value": 10, "unit": "%", "system": "http://unitsofmeasure.org", "code": "%"}
FAULTS: list[tuple[str, Json, str]] = [
    ("a picture of another kind", _narrative('<img src="data:text/html,x"/>'), "Patient.text"),
    ("a link with a document in it", _narrative('<a href="data:image/svg+xml,x">x</a>'), "Patient.text"),
    ("a style that acts", _narrative('<p style="width:expression(alert(1))">x</p>'), "Patient.text"),
    ("a style that acts, with blanks", _narrative('<p style="a:url(java\tscript:x)">x</p>'), "Patient.text"),
    ("an entity that XHTML does not have", _narrative("&bogus; x"), "Patient.text"),
    ("an instruction to a processor", _narrative("<?php x ?>x"), "Patient.text"),
    ("a narrative of another language", _narrative("x", 'xmlns="urn:other"'), "Patient.text"),
    ("another language within", _narrative('<p xmlns="http://www.w3.org/2000/svg">x</p>'), "Patient.text"),
    ("a currency that is none", INVOICE | {"totalNet": {"value": 1, "currency": "ZZZ"}},
     "Invoice.totalNet.currency"),
    ("an element id with a space", PATIENT | {"name": [{"id": "a b", "family": "x"}]}, "Patient.name[0].id"),
    ("an address with a space", _subject(reference="http://a b/Patient/1"), "Condition.subject.reference"),
    ("a type that is not the reference's", _subject(reference="Patient/x", type="Group"),
     "Condition.subject"),
    ("nor that of a full URL", _subject(reference="https://h/fhir/Group/x/_history/1", type="Patient"),
     "Condition.subject"),
    ("two contained resources of one id",
     PATIENT | {"contained": [ORGANIZATION, ORGANIZATION], "managingOrganization": {"reference": "#x"}},
     "Patient.contained"),
    ("mrp-2, both",
     _stratum(value={"text": "x"}, component=[{"code": {"text": "a"}, "value": {"text": "b"}}]),
     "MeasureReport.group[0].stratifier[0].stratum[0]"),
    ("mrp-2, none", _stratum(measureScore={"value": 1}), "MeasureReport.group[0].stratifier[0].stratum[0]"),
    ("ras-2", RISK | {"prediction": [{"probabilityDecimal": 101}]}, "RiskAssessment.prediction[0]"),
    ("ras-1", RISK | {"prediction": [{"probabilityRange": {"low": {"value": 1}}}]},
     "RiskAssessment.prediction"),
    ("que-7", _questionnaire("exists", answerString="x"), "Questionnaire.item"),
    ("rqg-1, both", {"resourceType": "RequestGroup", "status": "active", "intent": "plan",
     "action": [{"resource": {"display": "x"}, "action": [{"resource": {"display": "y"}}]}]},
     "RequestGroup.action[0]"),
    ("cpb-9", _capabilities("Patient", "Patient"), "CapabilityStatement.rest"),
    ("cpb-12", _capabilities("Patient", searchParam=[{"name": "a", "type": "token"}] * 2),
     "CapabilityStatement.rest"),
    ("nsd-1", {"resourceType": "NamingSystem", "name": "X", "status": "active", "kind": "root",
     "date": "2026", "uniqueId": [{"type": "uuid", "value": "x"}]}, "NamingSystem"),
    ("nsd-2", {"resourceType": "NamingSystem", "name": "X", "status": "active", "kind": "codesystem",
     "date": "2026", "uniqueId": [{"type": "uri", "value": v, "preferred": True} for v in "ab"]},
     "NamingSystem.uniqueId"),
    ("msq-6", {"resourceType": "MolecularSequence", "coordinateSystem": 0,
     "referenceSeq": {"genomeBuild": "a", "referenceSeqString": "b"}}, "MolecularSequence.referenceSeq"),
    ("md-1", {"resourceType": "MessageDefinition", "status": "active", "date": "2026",
     "eventUri": "urn:e", "focus": [{"code": "Patient", "min": 0, "max": "0"}]}, "MessageDefinition.focus"),
    ("tcp-1", {"resourceType": "TerminologyCapabilities", "status": "active", "date": "2026",
     "kind": "requirements", "description": "x",
     "codeSystem": [{"uri": "urn:c", "version": [{"code": "1"}, {"isDefault": True}]}]},
     "TerminologyCapabilities.codeSystem"),
]  # fmt: skip

GOOD: list[Json] = [
    _narrative('<img src="data:image/png;base64,AA=="/><p style="color:red">a&nbsp;&copy;b</p>'),
    _narrative("x", f'xmlns="{XHTML}" xml:lang="zh"'),
    _subject(reference="Patient/x", type="Patient"),
    _subject(reference="Patient/x", type="http://hl7.org/fhir/StructureDefinition/Patient"),
    _subject(reference="https://h/fhir/Patient/x", type="Patient"),
    _subject(reference="urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0", type="Patient"),
    _subject(type="Patient", display="x"),
    INVOICE | {"totalNet": {"value": 1, "currency": "CNY"}},
    PATIENT | {"contained": [ORGANIZATION, ORGANIZATION | {"id": "y"}],
               "managingOrganization": {"reference": "#x"}, "generalPractitioner": [{"reference": "#y"}]},
    _stratum(value={"text": "x"}),
    RISK | {"prediction": [{"probabilityDecimal": 99.5}, {"probabilityRange": {"low": PERCENT}}]},
    _questionnaire("exists", answerBoolean=True),
    _capabilities("Patient", "Condition", searchParam=[{"name": "a", "type": "token"}]),
]  # fmt: skip


@pytest.mark.parametrize(("resource", "element"), [fault[1:] for fault in FAULTS], ids=[f[0] for f in FAULTS])
def test_a_fault_is_refused_at_its_element(resource: Json, element: str):
    assert not is_valid(resource)
    with pytest.raises(NotValid) as error:
        check_resource(resource)
    paths = [issue.path for issue in error.value.issues]
    assert any(path.startswith(element) for path in paths), paths


@pytest.mark.parametrize("resource", GOOD, ids=range(len(GOOD)))
def test_what_r4_allows_is_taken(resource: Json):
    check_resource(resource)


def test_a_control_total_is_checked_like_all_that_the_road_carries():
    assert "MeasureReport" in COMMON_TYPES
    kept_out = {name.partition(" ")[0].partition(".")[0] for name in left_out()}
    assert kept_out.isdisjoint(COMMON_TYPES)


def test_only_authors_of_definitions_have_invariants_left_out():
    kept_out = {name.partition(" ")[0].partition(".")[0] for name in left_out()}
    assert kept_out == {
        "ElementDefinition", "ImplementationGuide", "StructureDefinition", "TestScript", "string",
    }  # fmt: skip
