"""The published search parameters stand ready as lists of element paths."""

from __future__ import annotations

import pytest

from esb.fhir.search_parameters import PARAMETERS, values
from esb.fhir.types import RESOURCE_TYPES

OBSERVATION = {
    "resourceType": "Observation",
    "meta": {"tag": [{"code": "t"}]},
    "code": {"text": "血压"},
    "effectiveDateTime": "2025-01-02",
    "subject": {"reference": "Patient/p"},
    "component": [{"code": {"text": "a"}, "valueQuantity": {"value": 1}}, {"code": {"text": "b"}}],
}


def found(resource, code):
    parameter = PARAMETERS[resource["resourceType"]][code]
    return [value for path in parameter.paths for value in values(resource, path)]


def test_every_resource_type_has_its_parameters_and_the_common_ones():
    assert set(PARAMETERS) == RESOURCE_TYPES
    for type_ in RESOURCE_TYPES:
        assert {"_id", "_lastUpdated", "_tag", "_profile", "_security", "_source"} <= set(PARAMETERS[type_])
    assert sum(len(PARAMETERS[type_]) - 6 for type_ in RESOURCE_TYPES) > 1_600


def test_every_parameter_leads_somewhere():
    for type_, parameters in PARAMETERS.items():
        for parameter in parameters.values():
            assert parameter.paths, (type_, parameter.code)
            if parameter.kind == "composite":
                assert len(parameter.components) >= 2
                assert all(component.paths for component in parameter.components)
            else:
                assert all(path.steps for path in parameter.paths)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("code", [{"text": "血压"}]),
        ("date", ["2025-01-02"]),
        ("_tag", [{"code": "t"}]),
        ("patient", [{"reference": "Patient/p"}]),
        ("combo-code", [{"text": "血压"}, {"text": "a"}, {"text": "b"}]),
        ("component-value-quantity", [{"value": 1}]),
        ("value-string", []),
    ],
)
def test_a_parameter_finds_its_values(code, expected):
    assert found(OBSERVATION, code) == expected


def test_a_cast_and_a_target_are_kept():
    assert {path.type for path in PARAMETERS["Observation"]["date"].paths} == {
        "dateTime",
        "Period",
        "Timing",
        "instant",
    }
    assert PARAMETERS["Observation"]["patient"].paths[0].target == "Patient"
    assert "Group" in PARAMETERS["Observation"]["subject"].targets


def test_a_filter_inside_an_expression_is_applied():
    telecom = [{"system": "phone", "value": "1"}, {"system": "email", "value": "2"}]
    assert found({"resourceType": "Patient", "telecom": telecom}, "phone") == [telecom[0]]


@pytest.mark.parametrize(
    ("patient", "expected"),
    [({}, False), ({"deceasedBoolean": False}, False), ({"deceasedDateTime": "2025"}, True)],
)
def test_a_patient_is_deceased_by_date_or_by_flag(patient, expected):
    assert found({"resourceType": "Patient"} | patient, "deceased") == [expected]


def test_a_composite_reads_both_parts_at_the_same_place():
    composite = PARAMETERS["Observation"]["component-code-value-quantity"]
    pairs = [
        [values(root, component.paths[0]) for component in composite.components]
        for root in values(OBSERVATION, composite.paths[0])
    ]
    assert pairs == [[[{"text": "a"}], [{"value": 1}]], [[{"text": "b"}], []]]
