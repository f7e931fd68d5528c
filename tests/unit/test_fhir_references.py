"""Every resource finds its patient, and references can be followed and rewritten."""

from __future__ import annotations

import pytest

from esb.fhir import references


@pytest.mark.parametrize(
    ("resource", "patient"),
    [
        ({"resourceType": "Patient", "id": "p"}, "Patient/p"),
        ({"resourceType": "Observation", "subject": {"reference": "Patient/p"}}, "Patient/p"),
        ({"resourceType": "Observation", "subject": {"reference": "Patient/p/_history/3"}}, "Patient/p"),
        (
            {"resourceType": "Observation", "subject": {"reference": "http://h.example/Patient/p"}},
            "Patient/p",
        ),
        ({"resourceType": "Observation", "subject": {"reference": "Group/g"}}, None),
        ({"resourceType": "AllergyIntolerance", "patient": {"reference": "urn:uuid:1"}}, "urn:uuid:1"),
        (
            {
                "resourceType": "Coverage",
                "policyHolder": {"reference": "Patient/parent"},
                "beneficiary": {"reference": "Patient/child"},
            },
            "Patient/child",
        ),
        (
            {
                "resourceType": "Appointment",
                "participant": [
                    {"actor": {"reference": "urn:uuid:doctor"}},
                    {"actor": {"reference": "Practitioner/d"}},
                    {"actor": {"reference": "Patient/p"}},
                ],
            },
            "Patient/p",
        ),
        ({"resourceType": "Task", "for": {"reference": "Patient/p"}}, "Patient/p"),
        ({"resourceType": "Provenance", "target": [{"reference": "Patient/p"}]}, "Patient/p"),
        ({"resourceType": "Group", "member": [{"entity": {"reference": "Patient/p"}}]}, None),
        ({"resourceType": "Practitioner", "id": "d"}, None),
        ({"resourceType": "Observation", "subject": {"identifier": {"value": "1"}}}, None),
        ({"resourceType": "Observation", "subject": "Patient/p"}, None),
        ({}, None),
    ],
)
def test_a_resource_belongs_to_its_patient(resource, patient):
    assert references.patient_of(resource) == patient


def test_every_reference_is_found_in_contained_resources_and_extensions_too():
    resource = {
        "resourceType": "MedicationRequest",
        "contained": [{"resourceType": "Medication", "manufacturer": {"reference": "Organization/o"}}],
        "medicationReference": {"reference": "#m"},
        "extension": [{"url": "u", "valueReference": {"reference": "Device/d"}}],
        "subject": {"reference": "Patient/p"},
    }
    assert {value for _, value in references.references(resource)} == {
        "Organization/o",
        "#m",
        "Device/d",
        "Patient/p",
    }


def test_a_plain_address_called_reference_is_no_reference():
    immunization = {"resourceType": "Immunization", "education": [{"reference": "http://leaflet.example/1"}]}
    issue = {"resourceType": "DetectedIssue", "reference": "http://guide.example"}
    assert not list(references.references(immunization)) and not list(references.references(issue))


def test_a_transaction_rewrites_references_and_urn_addresses_but_no_identifiers():
    resource = {
        "resourceType": "DocumentReference",
        "identifier": [{"system": "urn:ietf:rfc:3986", "value": "urn:uuid:2"}],
        "subject": {"reference": "urn:uuid:1"},
        "content": [{"attachment": {"url": "urn:uuid:2"}}],
    }
    assert references.rewrite(resource, {"urn:uuid:1": "Patient/p", "urn:uuid:2": "Binary/b"}) == 2
    assert resource["subject"]["reference"] == "Patient/p"
    assert resource["content"][0]["attachment"]["url"] == "Binary/b"
    assert resource["identifier"][0]["value"] == "urn:uuid:2"
