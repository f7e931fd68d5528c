"""Takes back what the package changed in R4 (4.0.1), as a comparison with the standard's own found.

Its corrections of known errata stay: app-4 (`noshow`), tim-9, bdl-8.
"""

from __future__ import annotations

from typing import Any

_PROFILE = "http://hl7.org/fhir/StructureDefinition/"
_VARIABLE = "EvidenceVariable.characteristic"

# Types and elements, with all below them, that 4.0.1 does not have.
NOT_R4_TYPES = frozenset({"SubscriptionStatus"})
_NOT_R4_ELEMENTS = tuple(
    f"{parent}.{name}"
    for parent, names in {
        "Meta": "project author onBehalfOf account accounts compartment",
        "Binary": "url",
        "DeviceDefinition": "classification bodySite",
        _VARIABLE: """linkId note definitionReference definitionCanonical definitionCodeableConcept
            definitionExpression definitionId definitionByTypeAndValue definitionByCombination instances[x]
            duration[x] timeFromEvent""",
        "ObservationDefinition": "publisher",
        "ResearchStudy": """name label studyDesign region descriptionSummary classifier associatedParty
            progressStatus whyStopped recruitment comparisonGroup outcomeMeasure result""",
        "ResearchStudy.objective": "description",
    }.items()
    for name in names.split()
)
# Parameters of elements that 4.0.1 does not have, or does not search by.
NOT_R4_PARAMETERS = frozenset(
    {("DetectedIssue", "status"), ("DeviceDefinition", "classification"), ("ServiceRequest", "order-detail")}
)

# Expressions of composites' parts that 4.0.1 has exchanged, by type and part.
COMPONENTS = {("DocumentReference", "relatesto"): "target", ("DocumentReference", "relation"): "code"}


def _references(*targets: str) -> list[dict[str, Any]]:
    return [{"code": "Reference", "targetProfile": [_PROFILE + target for target in targets]}]


# Path -> what 4.0.1 says there instead.
_CHANGED: dict[str, dict[str, Any]] = {
    "AuditEvent.source.observer": {
        "type": _references(
            "PractitionerRole", "Practitioner", "Organization", "Device", "Patient", "RelatedPerson"
        )
    },
    "Bundle.entry.response.outcome": {"type": [{"code": "Resource"}]},
    "DetectedIssue.status": {
        "binding": {
            "strength": "required",
            "valueSet": "http://hl7.org/fhir/ValueSet/observation-status|4.0.1",
        }
    },
    _VARIABLE: {"min": 1, "constraint": []},
    f"{_VARIABLE}.description": {"type": [{"code": "string"}]},
    "MeasureReport.subject": {
        "type": _references(
            "Patient", "Practitioner", "PractitionerRole", "Location", "Device", "RelatedPerson", "Group"
        )
    },
    "ResearchStudy.site": {"type": _references("Location")},
}
# Type -> elements that 4.0.1 has and the package has not.
_RESTORED: dict[str, list[dict[str, Any]]] = {
    "EvidenceVariable": [
        {
            "path": f"{_VARIABLE}.definition[x]",
            "min": 1,
            "max": "1",
            "type": [
                *_references("Group"),
                *({"code": code} for code in ("canonical", "CodeableConcept", "Expression")),
                *({"code": code} for code in ("DataRequirement", "TriggerDefinition")),
            ],
        },
        {"path": f"{_VARIABLE}.usageContext", "min": 0, "max": "*", "type": [{"code": "UsageContext"}]},
        {
            "path": f"{_VARIABLE}.participantEffective[x]",
            "min": 0,
            "max": "1",
            "type": [{"code": code} for code in ("dateTime", "Period", "Duration", "Timing")],
        },
        {"path": f"{_VARIABLE}.timeFromStart", "min": 0, "max": "1", "type": [{"code": "Duration"}]},
        {
            "path": f"{_VARIABLE}.groupMeasure",
            "min": 0,
            "max": "1",
            "type": [{"code": "code"}],
            "binding": {
                "strength": "required",
                "valueSet": "http://hl7.org/fhir/ValueSet/group-measure|4.0.1",
            },
        },
    ]
}


def elements_of(structure: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the elements of a StructureDefinition's snapshot as 4.0.1 has them."""
    kept = [
        element | _CHANGED.get(element["path"], {})
        for element in structure["snapshot"]["element"]
        if not any(
            element["path"] == gone or element["path"].startswith(f"{gone}.") for gone in _NOT_R4_ELEMENTS
        )
    ]
    return kept + _RESTORED.get(structure["name"], [])
