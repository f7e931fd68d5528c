"""What a resource is found by, kind by kind: tokens, texts, dates, numbers, quantities, pairs."""

from decimal import Decimal
from math import inf
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from esb.fhir.search_parameters import PARAMETERS
from hie.repository import definitions, numbers, tokens
from hie.repository.emitters import EMITTERS, Index
from hie.repository.extract import index_of

ZONE = ZoneInfo("Asia/Shanghai")
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"


def found(type_: str, **content: Any) -> Index:
    return index_of({"resourceType": type_, "id": "x"} | content, "", ZONE)


def quantities(**content: Any) -> list[numbers.Number]:
    return found("Observation", **content).numbers


HB = {"coding": [{"system": LOINC, "code": "718-7", "display": "Hemoglobin"}], "text": "血红蛋白"}


def test_a_code_is_found_with_and_without_its_system_and_by_what_is_shown() -> None:
    index = found("Observation", code=HB)
    name = "Observation.code"
    assert {
        tokens.by_code(name, "718-7"),
        tokens.by_system_and_code(name, LOINC, "718-7"),
        tokens.by_system(name, LOINC),
        tokens.described(name, "Hemoglobin").token,
        tokens.described(name, "血红蛋白").token,
    } <= index.tokens
    shown = {text.text for text in index.texts if text.path == tokens.texts_of(f"{name}:text")}
    assert shown == {"hemoglobin", "血红蛋白"}


def test_a_quantity_stands_once_with_its_code_and_in_base_units() -> None:
    value = {"value": Decimal("9.50"), "system": UCUM, "code": "g/dL", "unit": "克/分升"}
    (row,) = quantities(code=HB, valueQuantity=value)
    assert row.name == tokens.token("Observation.valueQuantity")
    assert (row.about, row.about_system) == (tokens.token("718-7"), tokens.token(LOINC))
    assert (row.low, row.high, row.base_low, row.base_high) == (9.5, 9.5, 95_000.0, 95_000.0)
    assert row.unit[:3] == (tokens.token("g/dL"), tokens.token(UCUM), tokens.token("克/分升"))


def test_a_quantity_of_two_codes_stands_under_each() -> None:
    codings = [*HB["coding"], {"system": "urn:local", "code": "HGB"}]
    rows = quantities(code={"coding": codings}, valueQuantity={"value": 1})
    assert {row.about for row in rows} == {tokens.token("718-7"), tokens.token("hgb")}


def test_a_part_of_a_panel_stands_under_its_own_code() -> None:
    part = {"code": {"coding": [{"code": "8480-6"}]}, "valueQuantity": {"value": 120}}
    (row,) = quantities(code=HB, component=[part])
    assert row.name == tokens.token("Observation.component.valueQuantity")
    assert row.about == tokens.token("8480-6")


@pytest.mark.parametrize(
    ("value", "ends"),
    [
        ({"value": 5}, (5, 5)),
        ({"value": Decimal("-0.5")}, (-0.5, -0.5)),
        ({"value": 5, "comparator": "<"}, (-inf, 5)),
        ({"value": 5, "comparator": ">="}, (5, inf)),
        ({"value": Decimal("1E+399")}, (inf, inf)),
    ],
)
def test_a_comparator_opens_an_end(value: dict[str, Any], ends: tuple[float, float]) -> None:
    (row,) = quantities(code=HB, valueQuantity=value)
    assert (row.low, row.high) == ends


@pytest.mark.parametrize(
    "value", [{}, {"unit": "mg"}, {"value": "5"}, {"value": True}, {"value": None}, [], "5", None]
)
def test_a_quantity_without_a_value_is_not_found_by_any(value: Any) -> None:
    assert quantities(code=HB, valueQuantity=value) == []


@pytest.mark.parametrize(
    ("sampled", "ends"),
    [
        ({"origin": {"value": 10}, "data": "-1 0 4"}, [(9, 14)]),
        ({"origin": {"value": 0}, "factor": Decimal("0.5"), "data": "E 2 8"}, [(1, 4)]),
        ({"origin": {"value": 0}, "data": "L 5 U", "lowerLimit": -9, "upperLimit": 20}, [(-9, 20)]),
        ({"origin": {"value": 0}, "data": "E"}, []),
        ({"origin": {"value": 0}, "data": "1e9 - + .. 0x1"}, []),
        ({"origin": {}, "data": "1"}, []),
        ({"origin": 5, "data": "1"}, []),
    ],
)
def test_a_recording_spans_its_samples(sampled: dict[str, Any], ends: list[tuple[float, float]]) -> None:
    assert [(row.low, row.high) for row in quantities(code=HB, valueSampledData=sampled)] == ends


def test_a_range_open_at_one_end_reaches_without_end() -> None:
    (row,) = found("Condition", onsetRange={"low": {"value": 65, "system": UCUM, "code": "a"}}).numbers
    assert (row.low, row.high, row.base_high) == (65, inf, inf)


def test_values_at_the_same_place_are_found_together_and_others_are_not() -> None:
    parts = [
        {"code": {"coding": [{"code": code}]}, "valueCodeableConcept": {"coding": [{"code": value}]}}
        for code, value in (("a", "pos"), ("b", "neg"))
    ]
    name = "Observation.component.(code)$(valueCodeableConcept)"
    carried = found("Observation", code=HB, component=parts).tokens
    assert tokens.paired(name, "a", "pos") in carried
    assert tokens.paired(name, "b", "neg") in carried
    assert tokens.paired(name, "a", "neg") not in carried


def test_thousands_of_codings_on_both_sides_make_no_millions_of_pairs() -> None:
    many = {"coding": [{"system": "urn:s", "code": str(n)} for n in range(5000)]}
    carried = found("Observation", component=[{"code": many, "valueCodeableConcept": many}]).tokens
    name = "Observation.component.(code)$(valueCodeableConcept)"
    assert tokens.paired(name, "7", "12") in carried
    assert len(carried) < 3600 + 2 * 15_000 + 10


def test_an_identifier_is_found_by_its_type_too() -> None:
    type_ = {"coding": [{"system": "urn:t", "code": "MR"}], "text": "病案号"}
    index = found("Patient", identifier=[{"type": type_, "system": "urn:a", "value": "7"}])
    assert tokens.of_type("Patient.identifier", "urn:t", "MR", "7") in index.tokens
    assert tokens.described("Patient.identifier", "病案号").token in index.tokens


def test_texts_are_listed_without_what_no_database_holds() -> None:
    index = found("Patient", name=[{"family": "a\x00b" + "c" * 2000}])
    assert all("\x00" not in text.text for text in index.texts)
    assert {len(text.text) <= tokens.TEXT_LIMIT for text in index.texts} == {True}


def test_every_published_parameter_can_be_extracted() -> None:
    for type_ in PARAMETERS:
        assert index_of({"resourceType": type_, "id": "x"}, "", ZONE).tokens == set()
        for parameter in definitions.indexed_parameters(type_).values():
            if parameter.kind in ("token", "string", "reference", "uri"):
                assert all(path.exists or path.type in EMITTERS for path in parameter.paths), parameter
