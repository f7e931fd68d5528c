"""The table of docs/interfaces.md: every field that makes a difference is in it, and it is current."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from esb.errors import Rejected
from front_end_processor.normalise import profile
from front_end_processor.normalise.hl7v2 import normalise_hl7, summary
from front_end_processor.normalise.ids import Ids
from tests.samples import hl7v2_messages as samples

PAGE = Path(__file__).resolve().parents[2] / "docs" / "interfaces.md"
# What every message has whatever it is about: its header, and when the event was.
OF_EVERY_MESSAGE = ("MSH", "EVN")
IDS = Ids(b"k" * 32, "H02")


@pytest.fixture(scope="module")
def mapping() -> profile.Profile:
    return profile.load("h02", "H02", name="example")


def came_of(segments: list[str], mapping: profile.Profile) -> bytes | None:
    """Return the Bundle of a message, None where it is refused."""
    try:
        return normalise_hl7(("\r".join(segments) + "\r").encode(), mapping, IDS).bundle
    except Rejected:
        return None


def without_one(segments: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each field that holds something, and the message without it."""
    for place, segment in enumerate(segments):
        name, *fields = segment.split("|")
        if name in OF_EVERY_MESSAGE:
            continue
        for number, field in enumerate(fields, 1):
            if field:
                left = [*fields[: number - 1], "", *fields[number:]]
                yield f"{name}-{number}", [*segments[:place], "|".join([name, *left]), *segments[place + 1 :]]


@pytest.mark.parametrize("kind", summary.AGREED)
def test_every_field_whose_absence_changes_what_arises_is_in_the_table(kind: str, mapping: profile.Profile):
    segments = samples.example(kind, control="C1").decode().rstrip("\r").split("\r")
    whole = came_of(segments, mapping)
    assert whole is not None
    counts = {field for field, rest in without_one(segments) if came_of(rest, mapping) != whole}
    listed = {field for fields in summary.fields_of(kind).values() for field in fields}
    assert len(counts) > 5
    assert counts - listed == set()


def test_the_table_of_the_interfaces_page_is_current():
    text = PAGE.read_text(encoding="utf-8")
    assert text.count(summary.BEGIN) == text.count(summary.END) == 1
    assert text == summary.inserted(text), (
        "run: python -m front_end_processor.normalise.hl7v2.summary docs/interfaces.md"
    )
