"""Conditions of a search: one statement serves all that differ in their values alone."""

from datetime import UTC, datetime, tzinfo
from typing import Any

import pytest
import sqlalchemy as sa

from esb.fhir.search_parameters import PARAMETERS
from hie.repository.conditions import condition
from hie.repository.matching import Manner, has_any
from hie.repository.shaped import Shaped, any_of, places, values
from hie.schema.repository import Resource

ZONE: tzinfo = UTC


def shaped(type_: str, code: str, raw: str, modifier: str = "") -> Shaped:
    found = condition(type_, PARAMETERS[type_][code], modifier, raw, Manner(ZONE))
    assert isinstance(found, Shaped)
    return found


@pytest.mark.parametrize(
    ("type_", "code", "one", "other"),
    [
        ("Observation", "code", "718-7", "http://loinc.org|4548-4,a,b"),
        ("Observation", "subject", "Patient/a", "Patient/b"),
        ("Patient", "family", "zhang", "li,wang"),
        ("Patient", "birthdate", "1980", "1981-02-03"),
        ("Observation", "date", "ge2020", "ge2021-01-01T00:00:00Z"),
        ("Observation", "date", "ap2020,lt2019", "ap2021,lt2018-01"),
        ("ValueSet", "url", "http://a.example/b", "http://a.example/c"),
    ],
)
def test_values_of_a_kind_share_a_shape(type_: str, code: str, one: str, other: str) -> None:
    first, second = shaped(type_, code, one), shaped(type_, code, other)
    assert first.shape == second.shape
    assert hash(first.shape) == hash(second.shape)
    assert first.values != second.values


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("Observation", "date", "ge2020"), ("Observation", "date", "gt2020")),
        (("Observation", "date", "ge2020"), ("Observation", "date", "ge2020,ge2021")),
        (("Observation", "subject", "Patient/a"), ("Observation", "subject", "Patient/a,Patient/b")),
        (("Observation", "subject", "Patient/a"), ("Condition", "subject", "Patient/a")),
        (("Observation", "subject", "Patient/a"), ("Observation", "subject", "Group/a")),
    ],
)
def test_what_needs_other_sql_has_another_shape(one: Any, other: Any) -> None:
    assert shaped(*one).shape != shaped(*other).shape


def test_a_shape_with_its_values_says_what_the_condition_says() -> None:
    parts = [
        shaped("Observation", "code", "718-7"),
        shaped("Observation", "subject", "Patient/a"),
        shaped("Observation", "date", "ap2020,lt2019"),
    ]
    kept = sa.select(Resource.id).where(*places([part.shape for part in parts]))
    own = sa.select(Resource.id).where(*parts)
    told = kept.compile().construct_params(values(parts))
    assert list(told.values()) == list(own.compile().params.values())
    assert str(kept).replace(":v", ":param_").count("param_") == str(own).count("param_")


def test_an_alternative_that_has_no_shape_makes_plain_sql() -> None:
    found = any_of([has_any([1]), sa.true()])
    assert not isinstance(found, Shaped)


def test_a_range_about_a_date_is_widened_by_a_tenth() -> None:
    low, high = shaped("Observation", "date", "ap2020-01-11T00:00:00Z").values
    assert low < datetime(2020, 1, 11, tzinfo=UTC) < high
