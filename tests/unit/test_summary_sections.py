"""What of a record a summary shows: nothing that matters is left out, and what is left out is counted."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from hie.services.summary.narrative import narrative
from hie.services.summary.sections import MOST, SECTIONS, Item, chosen, showable

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Shanghai")
BY_KEY = {section.key: section for section in SECTIONS}


def item(type_: str, number: int = 1, **elements: Any) -> Item:
    resource = {"resourceType": type_, "id": f"r{number:03}", "status": "completed"} | elements
    return Item("H01", resource)


def test_no_allergy_is_left_out_however_many_there_are() -> None:
    many = [item("AllergyIntolerance", n, status="", code={"text": f"药{n}"}) for n in range(MOST + 20)]
    shown, left_out = chosen(BY_KEY["allergies"], many, NOW, ZONE)
    assert (len(shown), left_out) == (MOST + 20, 0)


def test_what_is_left_out_of_another_section_is_counted_and_told() -> None:
    many = [item("Procedure", n, code={"text": f"操作{n}"}) for n in range(MOST + 7)]
    section = BY_KEY["procedures"]
    shown, left_out = chosen(section, many, NOW, ZONE)
    assert (len(shown), left_out) == (MOST, 7)
    assert "另有 7 项未列出" in narrative(section, shown, left_out, {}, ZONE)["div"]
    assert "未列出" not in narrative(section, shown, 0, {}, ZONE)["div"]


def test_of_a_long_record_no_more_is_kept_in_hand_than_some_section_may_show() -> None:
    lab = {"status": "final", "category": [{"coding": [{"code": "laboratory"}]}]}
    read = [
        item(
            "Observation",
            n,
            **lab,
            code={"coding": [{"system": "urn:lab", "code": f"t{n % 7}"}]},
            effectiveDateTime=f"20{n % 20 + 10}-0{n % 9 + 1}-01",
        )
        for n in range(900)
    ]
    read += [item("Procedure", n, code={"text": f"操作{n}"}) for n in range(MOST + 7)]
    read += [item("Observation", n, status="entered-in-error") for n in range(900, 950)]
    kept = showable(iter(read), NOW, ZONE)
    assert len(kept) == 7 + MOST + 7
    for section in SECTIONS:
        assert chosen(section, kept, NOW, ZONE) == chosen(section, read, NOW, ZONE), section.key


def day(back: int) -> str:
    return (NOW - timedelta(days=back)).date().isoformat()


COURSES: dict[str, tuple[str, dict[str, Any], bool]] = {
    "three years, ended yesterday": (
        "MedicationStatement",
        {"effectivePeriod": {"start": day(1100), "end": day(1)}},
        True,
    ),
    "ended two years ago": ("MedicationStatement", {"effectivePeriod": {"end": day(730)}}, False),
    "began years ago, no end written": (
        "MedicationStatement",
        {"effectivePeriod": {"start": day(1100)}, "dateAsserted": day(5)},
        False,
    ),
    "only the year": ("MedicationStatement", {"effectiveDateTime": "2025"}, True),
    "written down last month": ("MedicationRequest", {"authoredOn": day(30)}, True),
    "written down long ago, valid until last month": (
        "MedicationRequest",
        {"authoredOn": day(600), "dispenseRequest": {"validityPeriod": {"end": day(30)}}},
        True,
    ),
    "taken until last week": (
        "MedicationRequest",
        {
            "authoredOn": day(600),
            "dosageInstruction": [{"timing": {"repeat": {"boundsPeriod": {"end": day(7)}}}}],
        },
        True,
    ),
    "no date at all": ("MedicationRequest", {}, False),
}


@pytest.mark.parametrize(("type_", "elements", "is_shown"), COURSES.values(), ids=COURSES.keys())
def test_a_completed_course_is_shown_by_when_it_ended(
    type_: str, elements: dict[str, Any], is_shown: bool
) -> None:
    shown, _ = chosen(BY_KEY["medications"], [item(type_, **elements)], NOW, ZONE)
    assert bool(shown) is is_shown
