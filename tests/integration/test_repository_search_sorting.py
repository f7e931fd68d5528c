"""Sorting by every kind of search parameter: Han names by pinyin, codes, numbers, quantities, references."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from esb.fhir.search_parameters import PARAMETERS
from hie.errors import NotSupported
from hie.repository import store
from hie.repository.sorting import sort_column
from hie.repository.writes import Write
from hie.schema.repository import Resource

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)


def kept(session: Session, *resources: dict[str, Any]) -> None:
    store.write(session, [Write("put", r["resourceType"], r["id"], r, "H01") for r in resources], NOW)


def in_order(session: Session, type_: str, code: str, *, descending: bool = False) -> list[str]:
    key = sort_column(type_, PARAMETERS[type_][code], descending=descending)
    order = key.column.desc() if descending else key.column.asc()
    statement = select(Resource.id).where(Resource.type == type_)
    return list(session.scalars(statement.order_by(order.nulls_last(), Resource.id)))


@pytest.fixture
def people(session: Session) -> Session:
    names = {"a": "赵敏", "b": "陈静", "c": "Baker", "d": "李强"}
    for id_, name in names.items():
        kept(
            session,
            {
                "resourceType": "Patient",
                "id": id_,
                "name": [{"family": name}],
                "gender": "female" if id_ in "ab" else "male",
                "generalPractitioner": [{"reference": f"Practitioner/{9 - ord(id_) + 97}"}],
            },
        )
    kept(session, {"resourceType": "Patient", "id": "nameless"})
    return session


def test_han_names_are_sorted_by_pinyin_and_who_has_no_name_comes_last(people: Session) -> None:
    han = [id_ for id_ in in_order(people, "Patient", "family") if id_ != "c"]
    assert han == ["b", "d", "a", "nameless"]
    assert in_order(people, "Patient", "family", descending=True)[-1] == "nameless"


def test_names_are_sorted_by_surname_and_within_it_by_given_name(session: Session) -> None:
    names: dict[str, dict[str, Any]] = {
        "a": {"text": "李祥平", "family": "李", "given": ["祥平"]},
        "b": {"text": "李林凤"},
        "c": {"text": "李英", "family": "李"},
        "d": {"family": "李", "given": ["鹏国"]},
        "e": {"text": "Zoe Bakerman", "family": "Bakerman", "given": ["Zoe"]},
        "f": {"family": "Baker", "given": ["Zoe", "Maria"]},
        "g": {"text": "Zoe Anna Baker", "family": "Baker", "given": ["Zoe", "Anna"]},
        "h": {"given": ["Cher"]},
        "i": {"family": "陈"},
        "j": {"text": 'q"]', "family": "Dee", "given": ['a"b', "c]"]},
    }
    kept(session, *({"resourceType": "Patient", "id": id_, "name": [name]} for id_, name in names.items()))
    expected = [*"ibdac", *"gfehj"]
    found = in_order(session, "Patient", "name")
    assert [one for one in found if one in "abcdi"] == [one for one in expected if one in "abcdi"]
    assert [one for one in found if one not in "abcdi"] == [one for one in expected if one not in "abcdi"]
    assert in_order(session, "Patient", "name", descending=True) == found[::-1]


def test_codes_and_references_are_sorted(people: Session) -> None:
    assert in_order(people, "Patient", "gender") == ["a", "b", "c", "d", "nameless"]
    assert in_order(people, "Patient", "general-practitioner") == ["d", "c", "b", "a", "nameless"]


def test_quantities_are_sorted_as_numbers_and_the_first_in_the_order_counts(session: Session) -> None:
    base = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
    kept(
        session,
        base | {"id": "nine", "valueQuantity": {"value": 9}},
        base | {"id": "ten", "valueQuantity": {"value": 10}},
        base
        | {
            "id": "both",
            "component": [
                {"code": {"text": "y"}, "valueQuantity": {"value": 1}},
                {"code": {"text": "z"}, "valueQuantity": {"value": 99}},
            ],
        },
        base | {"id": "none"},
    )
    assert in_order(session, "Observation", "value-quantity") == ["nine", "ten", "both", "none"]
    assert in_order(session, "Observation", "combo-value-quantity") == ["both", "nine", "ten", "none"]
    down = in_order(session, "Observation", "combo-value-quantity", descending=True)
    assert down == ["both", "ten", "nine", "none"]


def test_numbers_are_sorted_and_a_text_with_the_character_no_jsonb_takes_is_no_failure(
    session: Session,
) -> None:
    for id_, chance in (("a", "0.5"), ("b", "0.25")):
        prediction = {"probabilityDecimal": float(chance), "rationale": "\u0000 and \\u0000"}
        kept(
            session,
            {
                "resourceType": "RiskAssessment",
                "id": id_,
                "status": "final",
                "subject": {"reference": "Patient/p"},
                "prediction": [prediction],
            },
        )
    assert in_order(session, "RiskAssessment", "probability") == ["b", "a"]


def test_a_composite_has_no_order() -> None:
    with pytest.raises(NotSupported):
        sort_column("Observation", PARAMETERS["Observation"]["code-value-quantity"])


@pytest.mark.parametrize("type_", ["Patient", "Observation", "Location", "MolecularSequence", "ValueSet"])
def test_every_other_parameter_makes_an_order_that_the_database_understands(
    session: Session, type_: str
) -> None:
    for parameter in PARAMETERS[type_].values():
        if parameter.kind not in ("composite", "special"):
            assert in_order(session, type_, parameter.code) == []
