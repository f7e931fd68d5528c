"""Bad input: each gets a clear answer, and the answer holds nothing of the patient's."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from esb.errors import Rejected
from front_end_processor.adapters.hl7v2.errors import Unreadable, Unusable
from front_end_processor.normalise.hl7v2 import normalise_hl7
from tests.samples import hl7v2_messages as samples
from tests.samples.hl7v2_reading import IDS, NOW, PROFILE, entries, normalised


def refusal(raw: bytes) -> Unreadable:
    with pytest.raises(Unreadable) as caught:
        normalise_hl7(raw, PROFILE, IDS, now=NOW)
    return caught.value


@pytest.mark.parametrize(
    ("raw", "ack", "condition", "says"),
    [
        (b"", "AR", "100", "MSH"),
        (b"hello", "AR", "100", "MSH"),
        (b"PID|1||P1\r", "AR", "100", "MSH"),
        (samples.build("ADT^A99", samples.PID), "AR", "201", "ADT^A99"),
        (samples.build("XYZ^A01", samples.PID), "AR", "200", "XYZ"),
        (samples.build("QBP^Q11", samples.PID), "AR", "200", "QBP"),
        (samples.build("", samples.PID), "AR", "101", "MSH-9"),
        (samples.build("ADT^A08", samples.PID, version="3.0"), "AR", "203", "3.0"),
        (samples.build("ADT^A08", samples.PID, control=""), "AE", "101", "MSH-10"),
        (samples.build("ADT^A08", samples.PV1), "AE", "100", "PID"),
        (samples.build("ORU^R01", samples.OBR, samples.OBX), "AE", "100", "PID"),
        (samples.build("ADT^A08", "PID|1||||张三"), "AE", "101", "PID-3"),
        (samples.build("ADT^A08", 'PID|1||""||张三'), "AE", "101", "PID-3"),
        (samples.build("ADT^A40", samples.PID), "AE", "100", "MRG"),
        (samples.build("SIU^S12", samples.PID), "AE", "100", "SCH"),
        (samples.build("SIU^S12", "SCH|", samples.PID), "AE", "101", "SCH-1"),
        (samples.build("MDM^T02", samples.PID), "AE", "100", "TXA"),
        (samples.example("ADT^A08") + samples.example("ADT^A08"), "AR", "100", "second MSH"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_the_reason(
    raw: bytes, ack: str, condition: str, says: str
) -> None:
    error = refusal(raw)
    assert (error.ack, error.condition) == (ack, condition)
    assert says in error.text
    assert "张三" not in error.text


def test_a_refusal_is_a_rejection_of_the_one_error_family() -> None:
    assert issubclass(Unusable, Unreadable) and issubclass(Unreadable, Rejected)


def test_a_trigger_that_the_hospital_refuses_is_refused() -> None:
    own = type(PROFILE)(
        **{
            **{name: getattr(PROFILE, name) for name in PROFILE.__dataclass_fields__},
            "hl7v2": {**PROFILE.hl7v2, "refused": ["DFT^P03"]},
        }
    )
    with pytest.raises(Unreadable, match="not taken"):
        normalise_hl7(samples.example("DFT^P03"), own, IDS, now=NOW)


def test_an_impossible_date_in_a_field_that_is_not_needed_is_left_out_with_a_warning() -> None:
    raw = samples.example("ADT^A01").replace(b"20260401083000+0800", b"20261341993000")
    result = normalised(raw)
    assert "period" not in entries(result)[1]["resource"]
    assert "PV1-44: no such date or time, left out" in result.warnings


@pytest.mark.parametrize(
    ("at", "source_at"),
    [
        ("20260401103000+0800", datetime(2026, 4, 1, 2, 30, tzinfo=UTC)),
        ("20260401103000", datetime(2026, 4, 1, 2, 30, tzinfo=UTC)),
        ("20260401", datetime(2026, 3, 31, 16, 0, tzinfo=UTC)),
        ("", NOW),
        ("20269999", NOW),
        ("20990101000000", NOW),
    ],
)
def test_the_source_time_is_an_instant_in_the_hospitals_zone(at: str, source_at: datetime) -> None:
    result = normalised(samples.example("ADT^A08", at=at))
    assert result.source_at == source_at
    assert result.source_at.tzinfo is not None


def test_a_structure_name_in_msh_9_is_enough() -> None:
    assert normalised(samples.build("ADT_A08", samples.PID)).kind == "ADT^A08"


def test_an_unescaped_ampersand_and_line_end_do_no_harm() -> None:
    raw = samples.build("ORU^R01", samples.PID, samples.OBR, "OBX|1|TX|A&B^A&B^L||first\nsecond||||||F")
    assert len(entries(normalised(raw))) == 2


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(["ADT^A01", "ORU^R01", "RDE^O11", "DFT^P03", "MDM^T02", "SIU^S12", "VXU^V04", "OUL^R22"]),
    st.lists(
        st.tuples(
            st.integers(0, 3000),
            st.sampled_from([b"|", b"^", b"~", b"\\", b"&", b"\r", b"9", b"-", b'""', b" "]),
        ),
        max_size=12,
    ),
    st.integers(0, 3000),
)
def test_damaged_messages_are_refused_or_become_valid_resources(
    kind: str, damage: list[tuple[int, bytes]], end: int
) -> None:
    raw = bytearray(samples.example(kind))
    for place, byte in damage:
        at = place % len(raw)
        raw[at : at + 1] = byte
    raw = raw[: max(end % (len(raw) * 2), 1)]
    try:
        normalised(bytes(raw))
    except Unreadable as error:
        assert error.ack in ("AE", "AR")
