"""ER7: what python-hl7 reads, we read; and what it cannot."""

from __future__ import annotations

import hl7
import pytest
from hypothesis import given
from hypothesis import strategies as st

from front_end_processor.adapters.hl7v2 import er7
from front_end_processor.adapters.hl7v2.errors import Unreadable
from tests.samples import hl7v2_messages as samples

HEADER = "MSH|^~\\&|A|B|C|D|20260401||ADT^A01|1|P|2.5\r"


def read(body: str) -> er7.Message:
    return er7.Message(HEADER + body)


@pytest.mark.parametrize("kind", ["ADT^A01", "ORU^R01", "MDM^T02", "DFT^P03", "SIU^S12"])
def test_every_field_is_read_as_an_independent_reader_reads_it(kind: str) -> None:
    text = samples.example(kind).decode()
    message, oracle = er7.Message(text), hl7.parse(text)
    assert [segment.name for segment in message.segments] == [str(segment[0]) for segment in oracle]
    for segment, other in zip(message.segments, oracle, strict=True):
        for number in range(1, len(segment.fields)):
            assert segment.raw(number) == str(other[number]), f"{segment.name}-{number}"
        for number in range(3, len(segment.fields)):
            for place, repeat in enumerate(segment.repeats(number), start=1):
                for component in range(1, len(repeat) + 1):
                    try:
                        expected = other.extract_field(1, number, place, component, 1)
                    except LookupError:
                        expected = ""
                    assert repeat[component] == oracle.unescape(expected or "").replace("\r", "\n"), (
                        f"{segment.name}-{number}"
                    )


def test_nothing_is_lost_between_reading_and_writing() -> None:
    text = samples.example("ADT^A01").decode()
    assert er7.Message(text).encode() == text


@given(st.text(alphabet=st.characters(exclude_categories=("Cs", "Cc")), max_size=40))
def test_any_text_comes_back_from_a_written_field(text: str) -> None:
    written = er7.write([["MSH", "A", "B"], ["OBX", "1", "ST", ["", text]]])
    assert er7.Message(written).segments[1].get(3, 2) == text.strip()


def test_escapes_are_read_after_cutting() -> None:
    obx = read(
        "OBX|1|ST|a\\S\\b\\F\\c\\R\\d\\T\\e\\E\\f^\\X41\\\\H\\bold\\N\\||x\\.br\\y\\.sp2\\z\r"
    ).segments[1]
    assert obx.get(3) == "a^b|c~d&e\\f"
    assert obx.get(3, 2) == "Abold"
    assert obx.text(5) == "x\ny\n\nz"


def test_switches_of_character_set_and_unknown_escapes_do_no_harm() -> None:
    obx = read("OBX|1|ST|\\C2842\\甲\\M2642\\乙|C:\\dir\\file \\Q\\ 50\\\r").segments[1]
    assert obx.get(3) == "甲乙"
    assert obx.get(4) == "C:\\dir\\file \\Q\\ 50\\"


def test_null_is_told_from_what_was_not_sent() -> None:
    pid = read('PID|1||""^^""|""|\r').segments[1]
    assert pid.is_null(4)
    assert not pid.is_null(5)
    assert pid.get(4) == "" and pid.get(3) == "" and pid.get(99) == ""
    assert pid.repeats(4) == []


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_any_line_end_ends_a_segment(end: str) -> None:
    message = er7.Message((HEADER + "PID|1||7\rPV1|1|I\r").replace("\r", end))
    assert [segment.name for segment in message.segments] == ["MSH", "PID", "PV1"]


def test_an_unescaped_line_end_inside_a_text_does_not_break_the_message() -> None:
    message = read("OBX|1|TX|X||first line\nsecond | line\r\nOBX|2|NM|Y||5\r")
    assert [segment.name for segment in message.segments] == ["MSH", "OBX", "OBX"]
    assert message.segments[1].text(5) == "first line\nsecond"


def test_a_byte_order_mark_and_frame_bytes_around_a_message_are_passed_over() -> None:
    assert er7.Message("\ufeff\x0b" + HEADER + "\x1c\r").msh.get(9, 2) == "A01"


def test_five_delimiters_are_taken_and_the_fifth_marks_truncation() -> None:
    message = er7.Message("MSH|^~\\&#|A|B\rPID|1||7|ABC#|D\\P\\E\r")
    assert message.seps.truncation == "#"
    assert message.segments[1].is_truncated(4)
    assert not message.segments[1].is_truncated(3)
    assert message.segments[1].get(5) == "D#E"


def test_unusual_delimiters_are_taken_as_declared() -> None:
    message = er7.Message("MSH$%*!/$A$B%C\rPID$1$$7%x/y*8\r")
    assert message.msh.get(4, 2) == "C"
    assert [(r[1], r.sub(2, 2)) for r in message.segments[1].repeats(3)] == [("7", "y"), ("8", "")]


def test_z_segments_are_segments() -> None:
    assert read("ZPI|1|保健\r").first("ZPI").get(2) == "保健"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "text", ["", "PID|1", "MSH", "MSH|", "MSHA^~\\&|x", "MSH||||||||", "MSH|||~\\&|x", "hello", "\x00\x01"]
)
def test_what_declares_no_delimiters_is_refused(text: str) -> None:
    with pytest.raises(Unreadable) as refusal:
        er7.Message(text)
    assert refusal.value.ack == "AR"
