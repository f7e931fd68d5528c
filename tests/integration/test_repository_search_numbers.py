"""Search by number and quantity: significant digits, prefixes, units, ranges, recordings."""

from decimal import Decimal

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from hie.errors import HieError, NotValid
from hie.repository import store
from hie.repository.writes import Write
from hie.schema.repository import SearchNumber
from tests.integration.search_world import NOW, UCUM, ids, keep, observation, quantity

MG = f"{UCUM}|mg"


@pytest.fixture
def measured(session: Session) -> Session:
    keep(
        session,
        observation("mg535", "a", valueQuantity=quantity(Decimal("5.35"), "mg")),
        observation("mg540", "a", valueQuantity=quantity(Decimal("5.40"), "mg")),
        observation("mg545", "a", valueQuantity=quantity(Decimal("5.45"), "mg")),
        observation("g", "a", valueQuantity=quantity(Decimal("0.0054"), "g")),
        observation("tablets", "a", valueQuantity=quantity(Decimal("5.4"), "tbl", "urn:local")),
        observation("said", "a", valueQuantity={"value": Decimal("5.4"), "unit": "mg"}),
        observation("below", "a", valueQuantity=quantity(Decimal("5"), "mg", comparator="<")),
        observation("minus", "a", valueQuantity=quantity(Decimal("-3"), "Cel")),
        observation("nothing", "a"),
    )
    return session


MG_LIKE = {"mg535", "mg540", "g", "tablets", "said"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (f"5.4|{MG}", {"mg535", "mg540", "g"}),
        (f"5.40|{MG}", {"mg540", "g"}),
        (f"5.4000|{MG}", {"mg540", "g"}),
        (f"5.5|{MG}", {"mg545"}),
        (f"0.0054|{UCUM}|g", {"mg535", "mg540", "g"}),
        (f"5400|{UCUM}|ug", {"mg540", "g"}),
        ("5.4||mg", {"mg535", "mg540", "said"}),
        ("5.4|urn:local|tbl", {"tablets"}),
        ("5.4|urn:local|", {"tablets"}),
        ("5.4|urn:other|tbl", set()),
        (f"5.4|{UCUM}|mL", set()),
        ("5.4", {"mg535", "mg540", "tablets", "said"}),
        ("5.4e0", {"mg535", "mg540", "tablets", "said"}),
        (f"ne5.40|{MG}", {"mg535", "mg545", "below"}),
        (f"gt5.40|{MG}", {"mg545"}),
        (f"ge5.40|{MG}", {"mg540", "mg545", "g"}),
        (f"lt5.40|{MG}", {"mg535", "below"}),
        (f"le5.40|{MG}", {"mg535", "mg540", "below", "g"}),
        (f"sa5.40|{MG}", {"mg545"}),
        (f"eb5.40|{MG}", {"mg535", "below"}),
        (f"ap5|{MG}", {"mg535", "mg540", "mg545", "below", "g"}),
        (f"ap50|{MG}", set()),
        ("-3", {"minus"}),
        ("lt0", {"minus", "below"}),
        (f"9|{MG},-3||Cel", {"minus"}),
        ("1e999", set()),
        ("gt1e999", set()),
        ("lt1e999", {*MG_LIKE, "mg545", "below", "minus"}),
    ],
)
def test_a_quantity_is_found_by(measured: Session, value: str, expected: set[str]) -> None:
    assert ids(measured, "Observation", ("value-quantity", value)) == expected


@pytest.mark.parametrize("missing", ["true", "false"])
def test_a_quantity_may_be_missing(measured: Session, missing: str) -> None:
    found = ids(measured, "Observation", ("value-quantity:missing", missing))
    assert ("nothing" in found, "g" in found) == (missing == "true", missing == "false")


@pytest.mark.parametrize(
    ("asked", "there"),
    [
        ("100", {"99.5", "100", "100.4"}),
        ("100.00", {"100"}),
        ("1e2", {"95", "99.5", "100", "100.4", "100.5", "104"}),
        ("1.00e2", {"99.5", "100", "100.4"}),
        ("100.5", {"100.5"}),
    ],
)
def test_what_is_written_says_how_exactly_it_is_meant(session: Session, asked: str, there: set[str]) -> None:
    values = ("94.9", "95", "99.5", "100", "100.4", "100.5", "104", "105")
    keep(session, *(observation(v, "a", valueQuantity=quantity(Decimal(v))) for v in values))
    assert ids(session, "Observation", ("value-quantity", asked)) == there


def test_ranges_and_recordings_are_found_by_what_they_span(session: Session) -> None:
    sampled = {"origin": quantity(10, "mV"), "period": 1, "factor": 2, "dimensions": 1, "data": "-1 E 0 4"}
    keep(
        session,
        {
            "resourceType": "Condition",
            "id": "forties",
            "subject": {"reference": "Patient/p1"},
            "onsetRange": {"low": quantity(40, "a"), "high": quantity(49, "a")},
        },
        {
            "resourceType": "Condition",
            "id": "old",
            "subject": {"reference": "Patient/p1"},
            "onsetRange": {"low": quantity(65, "a")},
        },
        observation("ecg", "a", valueSampledData=sampled),
    )
    assert ids(session, "Condition", ("onset-age", "gt45")) == {"forties", "old"}
    assert ids(session, "Condition", ("onset-age", "sa45")) == {"old"}
    assert ids(session, "Condition", ("onset-age", "eb50")) == {"forties"}
    assert ids(session, "Condition", ("onset-age", f"lt600|{UCUM}|mo")) == {"forties"}
    assert ids(session, "Observation", ("value-quantity", "gt17")) == {"ecg"}
    assert ids(session, "Observation", ("value-quantity", "gt18")) == set()
    assert ids(session, "Observation", ("value-quantity", f"lt0.009|{UCUM}|V")) == {"ecg"}


def test_money_is_found_by_its_currency(session: Session) -> None:
    keep(
        session,
        {
            "resourceType": "Invoice",
            "id": "i",
            "status": "issued",
            "totalNet": {"value": Decimal("128.50"), "currency": "CNY"},
        },
    )
    assert ids(session, "Invoice", ("totalnet", "128.50|urn:iso:std:iso:4217|CNY")) == {"i"}
    assert ids(session, "Invoice", ("totalnet", "128.5||CNY")) == {"i"}
    assert ids(session, "Invoice", ("totalnet", "128.50||USD")) == set()


def test_numbers_without_units_are_found(session: Session) -> None:
    chance = {
        "resourceType": "RiskAssessment",
        "status": "final",
        "subject": {"reference": "Patient/p1"},
    }
    keep(
        session,
        chance | {"id": "half", "prediction": [{"probabilityDecimal": Decimal("0.5")}]},
        chance | {"id": "some", "prediction": [{"probabilityRange": {"low": {"value": 10}}}]},
    )
    assert ids(session, "RiskAssessment", ("probability", "0.5")) == {"half"}
    assert ids(session, "RiskAssessment", ("probability", "gt0.4")) == {"half", "some"}
    assert ids(session, "RiskAssessment", ("probability", "eb0.6")) == {"half"}
    assert ids(session, "RiskAssessment", ("probability", "0.6")) == set()


def test_what_is_replaced_or_deleted_leaves_no_number_behind(session: Session) -> None:
    keep(session, observation("o", "a", valueQuantity=quantity(1)))
    keep(session, observation("o", "a", valueQuantity=quantity(2)))
    assert ids(session, "Observation", ("value-quantity", "1")) == set()
    assert ids(session, "Observation", ("value-quantity", "2")) == {"o"}
    store.write(session, [Write("delete", "Observation", "o", facility="H01")], NOW)
    assert session.execute(select(SearchNumber).where(SearchNumber.c.id == "o")).all() == []


def test_what_moves_to_another_patient_takes_its_numbers_along(session: Session) -> None:
    keep(session, observation("o", "a", valueQuantity=quantity(1)))
    keep(session, observation("o", "a", valueQuantity=quantity(1), subject={"reference": "Patient/p2"}))
    assert ids(session, "Observation", ("value-quantity", "1"), ("patient", "p2")) == {"o"}
    assert ids(session, "Observation", ("value-quantity", "1"), ("patient", "p1")) == set()
    assert len(session.execute(select(SearchNumber).where(SearchNumber.c.id == "o")).all()) == 1


HOSTILE = [
    "", "five", "\\", "gt", "5.4|", "5.4|a", "5.4|a|b|c", "1e9999999", "5" * 100, "NaN", "Infinity", "0x10",
    "1_000", "٥", "5.4.3", "|||", "5\x00", "\ud800", "' OR 1=1 --", "(.*)*", "$", "$$", "1$2", "a$b$c",
    "1e999|http://unitsofmeasure.org|Ym99", ",".join(map(str, range(65_536))), "$" * 5000, "5|\\", "a$gt\\",
]  # fmt: skip


@pytest.mark.parametrize("value", HOSTILE, ids=lambda v: ascii(v)[:20])
@pytest.mark.parametrize(
    ("type_", "name"),
    [
        ("Observation", "value-quantity"),
        ("Observation", "code-value-quantity"),
        ("Observation", "combo-code-value-concept"),
        ("Observation", "code-value-date"),
        ("Observation", "code:of-type"),
        ("Observation", "code:in"),
        ("Observation", "code:below"),
        ("Observation", "code:text"),
        ("Observation", "value-string:contains"),
        ("Observation", "value-quantity:missing"),
        ("Observation", "performer"),
        ("Patient", "identifier:of-type"),
        ("RiskAssessment", "probability"),
        ("MolecularSequence", "chromosome-variant-coordinate"),
        ("DocumentReference", "relationship"),
        ("Location", "near"),
        ("ValueSet", "url:below"),
        ("ValueSet", "url:above"),
    ],
)
def test_hostile_values_are_answered_or_refused_never_a_failure(
    session: Session, type_: str, name: str, value: str
) -> None:
    try:
        ids(session, type_, (name, value))
    except HieError as refused:
        assert 400 <= refused.http < 500
        assert value not in refused.text or len(value) < 3


@pytest.mark.parametrize(
    ("type_", "params"),
    [
        ("Observation", [("combo-code-value-quantity", ",".join(["a$1"] * 900))]),
        ("Location", [("near", ",".join(["1|1"] * 400))]),
        ("Observation", [("value-quantity", ",".join(["1"] * 100))] * 100),
        ("Patient", [("_has:Observation:patient:code-value-quantity", ",".join(["a$1"] * 900))]),
        ("Observation", [("code", ",".join(["a"] * 900))] * 9),
    ],
)
def test_a_search_of_endless_alternatives_is_refused_before_it_is_prepared(
    session: Session, type_: str, params: list[tuple[str, str]]
) -> None:
    with pytest.raises(NotValid):
        ids(session, type_, *params)
