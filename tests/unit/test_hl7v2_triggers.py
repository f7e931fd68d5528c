"""Each row of docs/interfaces-hl7v2.md: the trigger gives the resources it promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from front_end_processor.normalise.hl7v2 import page
from front_end_processor.normalise.hl7v2.triggers import TRIGGERS
from tests.samples import hl7v2_messages as samples
from tests.samples.hl7v2_reading import entries, normalised, resources

PAGE = Path(__file__).parents[2] / "docs" / "interfaces-hl7v2.md"
# what a message only mentions is kept where nothing is known yet
OWN_THE_PATIENT = ("ADT^A60",)


@pytest.mark.parametrize("kind", TRIGGERS)
def test_each_trigger_gives_exactly_the_resources_of_its_row(kind: str) -> None:
    found = {entry["resource"]["resourceType"] for entry in entries(normalised(samples.example(kind)))}
    assert found == set(TRIGGERS[kind].resources)


@pytest.mark.parametrize("kind", TRIGGERS)
def test_the_same_message_twice_gives_the_same_bundle(kind: str) -> None:
    raw = samples.example(kind)
    assert normalised(raw).bundle == normalised(raw).bundle


@pytest.mark.parametrize("kind", TRIGGERS)
def test_only_messages_about_patients_overwrite_the_patient(kind: str) -> None:
    made = entries(normalised(samples.example(kind)))
    patched = {entry["request"]["url"] for entry in made if entry["request"]["method"] == "PATCH"}
    for entry in made:
        is_about = entry["resource"]["resourceType"] in ("Patient", "Encounter")
        if is_about and entry["request"]["url"] not in patched:
            mentions = entry["request"].get("ifNoneMatch") == "*"
            owns_patient = kind.startswith("ADT") and kind not in OWN_THE_PATIENT
            is_person = kind in ("ADT^A28", "ADT^A31") and entry["resource"]["resourceType"] == "Encounter"
            assert mentions == (not owns_patient or is_person)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("ADT^A01", "in-progress"),
        ("ADT^A02", "in-progress"),
        ("ADT^A03", "finished"),
        ("ADT^A04", "in-progress"),
        ("ADT^A05", "planned"),
        ("ADT^A08", "in-progress"),
        ("ADT^A11", "cancelled"),
        ("ADT^A13", "in-progress"),
        ("ADT^A14", "planned"),
        ("ADT^A21", "onleave"),
        ("ADT^A23", "entered-in-error"),
        ("ADT^A27", "cancelled"),
    ],
)
def test_the_event_decides_the_state_of_the_visit(kind: str, status: str) -> None:
    (visit,) = resources(samples.example(kind), "Encounter")
    assert visit["status"] == status


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("SIU^S12", "booked"),
        ("SIU^S13", "booked"),
        ("SIU^S14", "booked"),
        ("SIU^S15", "cancelled"),
        ("SIU^S16", "cancelled"),
        ("SIU^S17", "entered-in-error"),
        ("SIU^S26", "noshow"),
    ],
)
def test_the_event_decides_the_state_of_the_appointment(kind: str, status: str) -> None:
    (appointment,) = resources(samples.example(kind), "Appointment")
    assert appointment["status"] == status


def test_all_triggers_agreed_with_the_hospitals_are_there() -> None:
    agreed = ["A01", "A02", "A03", "A04", "A08", "A11", "A13", "A28", "A31", "A40"]
    others = ["ORU^R01", "OML^O21", "ORM^O01", "RDE^O11", "RAS^O17", "DFT^P03", "MDM^T02"]
    assert TRIGGERS.keys() >= {f"ADT^{event}" for event in agreed} | set(others)
    assert TRIGGERS.keys() >= {f"SIU^S{number}" for number in range(12, 16)}


def test_the_page_of_the_interface_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page.render(), (
        "run: python -m front_end_processor.normalise.hl7v2.page"
    )
