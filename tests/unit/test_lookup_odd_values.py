"""Values that are valid FHIR and yet at the edge: no one of them takes a person's record away."""

from datetime import date
from typing import Any

import pytest

from hie.services.lookup.laboratory import trend
from hie.services.lookup.medications import medications
from hie.services.lookup.record import compose
from hie.services.lookup.reports import plain_text
from hie.services.lookup.sources import Source, gather
from hie.services.lookup.timeline import Filter, page
from tests.samples.record_parts import NOW, ZONE, glucose, hold, of

ODD_DATES = (
    "0001-01-01T00:00:00+08:00",
    "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59.999-12:00",
    "9999-12-31",
)


@pytest.mark.parametrize("odd", ODD_DATES)
def test_a_date_at_the_end_of_time_does_not_take_the_record_away(odd: str) -> None:
    period = {"start": odd, "end": odd}
    drug: dict[str, Any] = {"medicationCodeableConcept": {"text": "甲"}, "status": "active"}
    inpatient: dict[str, Any] = {"class": {"code": "IMP"}}
    holdings = hold(
        glucose(5.6, odd),
        of("Encounter", id="v", period=period, **inpatient),
        of("Condition", id="c", code={"text": "高血压"}, onsetDateTime=odd),
        of("MedicationRequest", id="m", authoredOn=odd, dispenseRequest={"validityPeriod": period}, **drug),
        of("DiagnosticReport", id="r", code={"text": "心电图"}, effectiveDateTime=odd, conclusion="正常"),
        {"resourceType": "Patient", "id": "a", "birthDate": odd[:10]},
    )
    record = compose(holdings, NOW)
    assert len(page(record.timeline, Filter(since=date(1, 1, 1)), ZONE).items) == 4
    assert [item.at_text for item in record.timeline] == [odd[:10]] * 4
    assert record.medications[0].current is odd.startswith("9999")


@pytest.mark.parametrize(("value", "unit"), [(9_999_999, "d"), (1e30, "a"), (-1e30, "d"), (1e300, "h")])
def test_a_supply_longer_than_a_life_does_not_take_the_record_away(value: float, unit: str) -> None:
    length = {"value": value, "code": unit}
    drug: dict[str, Any] = {"medicationCodeableConcept": {"text": "甲"}, "authoredOn": "2026-01-01"}
    holdings = hold(
        of("MedicationRequest", id="1", dispenseRequest={"expectedSupplyDuration": length}, **drug),
        of(
            "MedicationRequest",
            id="2",
            dosageInstruction=[{"timing": {"repeat": {"boundsDuration": length}}}],
            **drug,
        ),
    )
    (medication,) = compose(holdings, NOW).medications
    assert medication.current is (value > 0)


def test_an_amount_that_cannot_be_one_is_told_and_left_out_of_the_sum() -> None:
    whole = (
        b'{"resourceType":"ChargeItem","id":"x","subject":{"reference":"Patient/a"},"priceOverride":{"value":'
    )
    amounts = (b"86.50", b"1e27", b"1e400", b"-1e308")
    holdings = gather([Source("a", "H01")], [whole + amount + b"}}" for amount in amounts], ZONE)
    (line,) = compose(holdings, NOW).charges.by_facility
    assert (line.lines, line.amount_fen, line.unread) == (4, 8650, 3)


def test_a_result_that_no_chart_can_hold_is_shown_and_not_drawn() -> None:
    text = (
        b'{"resourceType":"Observation","id":"%s","subject":{"reference":"Patient/a"},"code":{"text":"x"},'
        b'"effectiveDateTime":"2026-01-01","valueQuantity":{"value":%s,"unit":"1"}}'
    )
    contents = [text % (str(n).encode(), value) for n, value in enumerate((b"1e400", b"1.5", b"2.5"))]
    (test,) = compose(gather([Source("a", "H01")], contents, ZONE), NOW).tests.values()
    assert {point.text for point in test.points} == {"1E+400", "1.5", "2.5"}
    assert sorted(point["value"] for point in trend(test)["points"]) == [1.5, 2.5]


@pytest.mark.parametrize("piece", ["<", "<script ", "<p ", "<!--"])
def test_mark_up_that_never_ends_is_read_as_fast_as_any_other(piece: str) -> None:
    """Read once for each of these pieces it would take minutes."""
    said = plain_text("肺部结节" + piece * (600_000 // len(piece)), "text/html")
    assert said.startswith("肺部结节")


def test_a_drug_named_by_brackets_only_is_read_as_fast_as_any_other() -> None:
    drug = {"text": "(" * 200_000}
    (medication,) = medications(hold(of("MedicationRequest", medicationCodeableConcept=drug)), NOW)
    assert medication.name == drug["text"]
