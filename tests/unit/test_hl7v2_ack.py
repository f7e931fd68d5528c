"""Acknowledgements: the sender's own words back, original and enhanced mode, errors by version."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from front_end_processor.adapters.hl7v2 import ack, er7
from front_end_processor.adapters.hl7v2.errors import EVENT_CODE, FIELD_MISSING, Unreadable, Unusable
from tests.samples import hl7v2_messages as samples

NOW = datetime(2026, 4, 1, 10, 30, tzinfo=ZoneInfo("Asia/Shanghai"))


def answer(raw: bytes, code: str = "AA", **more: object) -> er7.Message:
    return er7.Message(ack.acknowledge(raw, code, now=NOW, **more).raw.decode())  # type: ignore[arg-type]


def test_sender_and_receiver_change_places() -> None:
    msh = answer(samples.example("ADT^A01")).msh
    assert [msh.get(n) for n in (3, 4, 5, 6)] == ["HIE", "REGION", "HIS", "H02"]


def test_the_control_id_comes_back() -> None:
    message = answer(samples.example("ADT^A01", control="K-77"))
    assert message.segments[1].fields[:3] == ["MSA", "AA", "K-77"]


def test_the_type_names_the_event_and_from_2_5_the_structure() -> None:
    assert answer(samples.example("ADT^A01")).msh.raw(9) == "ACK^A01^ACK"
    assert answer(samples.example("ADT^A01", version="2.3.1")).msh.raw(9) == "ACK^A01"


def test_version_and_character_set_are_the_senders() -> None:
    raw = samples.example("ADT^A01", version="2.3.1", charset="GB 18030-2000", codec="gb18030")
    raw = raw.replace(b"|HIS|", "|医院系统|".encode("gb18030"))
    sent = ack.acknowledge(raw, "AA", default_charset="UTF-8", now=NOW).raw
    message = er7.Message(sent.decode("gb18030"))
    assert message.msh.get(12) == "2.3.1"
    assert message.msh.get(18) == "GB 18030-2000"
    assert message.msh.get(5) == "医院系统"


def test_delimiters_are_the_senders() -> None:
    sent = ack.acknowledge(b"MSH$%*!/$A$B$C$D$20260401$$ADT%A01$9$P$2.5\r", "AA", now=NOW).raw
    assert er7.Message(sent.decode()).msh.get(9, 2) == "A01"


@pytest.mark.parametrize(
    ("accept", "application", "outcome", "code"),
    [
        ("", "", "AA", "AA"),
        ("AL", "NE", "AA", "CA"),
        ("AL", "AL", "AE", "CE"),
        ("ER", "NE", "AR", "CR"),
        ("ER", "AL", "AA", "AA"),
        ("NE", "AL", "AE", "AE"),
        ("NE", "NE", "AA", "CA"),
        ("SU", "NE", "AA", "CA"),
    ],
)
def test_the_mode_the_sender_asks_for_decides_the_code(
    accept: str, application: str, outcome: str, code: str
) -> None:
    raw = samples.example("ADT^A01", accept=accept, answer=application)
    assert answer(raw, outcome).segments[1].get(1) == code


def test_an_error_tells_place_code_and_reason_from_2_5_on() -> None:
    error = Unusable("Send PID-3.", condition=FIELD_MISSING, location="PID^1^3")
    sent = ack.answer_to(samples.example("ADT^A01"), error, default_charset="UTF-8", now=NOW)
    message = er7.Message(sent.raw.decode())
    err = message.first("ERR")
    assert sent.code == "AE"
    assert message.segments[1].get(3) == "Send PID-3."
    assert err is not None
    assert [err.raw(2), err.raw(3), err.get(4), err.get(8)] == [
        "PID^1^3",
        "101^Required field missing^HL70357",
        "E",
        "Send PID-3.",
    ]


def test_an_error_before_2_5_uses_the_old_segment() -> None:
    error = Unreadable("Not taken.", condition=EVENT_CODE, location="MSH^1^9")
    raw = samples.example("ADT^A01", version="2.3.1")
    message = er7.Message(ack.answer_to(raw, error, default_charset="UTF-8", now=NOW).raw.decode())
    assert message.first("ERR").raw(1) == "MSH^1^9^201&Unsupported event code"  # type: ignore[union-attr]


@pytest.mark.parametrize("raw", [b"", b"garbage", b"MSH", b"MSH|", b"\xff\xfeM\x00", b"PID|1\rMSH|^~\\&|A"])
def test_even_garbage_is_answered(raw: bytes) -> None:
    message = er7.Message(ack.acknowledge(raw, "AR", "Not HL7.", facility="H01", now=NOW).raw.decode())
    assert message.segments[1].get(1) == "AR"


def test_a_reason_cannot_break_the_answer() -> None:
    message = answer(samples.example("ADT^A01"), "AE", text="a|b^c\r\nMSH|")
    assert len(message.segments) == 2
    assert message.segments[1].get(3) == "a|b^c\nMSH|"
