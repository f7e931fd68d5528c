"""MLLP frames in bytes: whatever arrives, the next message is found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from front_end_processor.adapters.hl7v2.errors import SEGMENT_SEQUENCE, TOO_LONG
from front_end_processor.adapters.hl7v2.framing import END, HALF, KEPT, START, Framer, Piece, condition_of

A = b"MSH|^~\\&|A|1\rPID|1\r"
B = b"MSH|^~\\&|B|2\rPID|2\r"


def frame(raw: bytes) -> bytes:
    return START + raw + END


def pieces(data: bytes, limit: int = 10_000) -> list[Piece]:
    framer = Framer(limit)
    return framer.feed(data) + framer.rest(HALF)


@given(st.lists(st.integers(1, 40), max_size=10))
def test_frames_are_found_however_the_bytes_are_cut(cuts: list[int]) -> None:
    data, framer, found = frame(A) + frame(B) + frame(A), Framer(1000), []
    for size in cuts:
        found += framer.feed(data[:size])
        data = data[size:]
    found += framer.feed(data)
    assert [piece.raw for piece in found] == [A, B, A]
    assert not framer.rest(HALF)


@given(st.binary(max_size=300))
def test_any_bytes_before_a_frame_leave_the_frame_unharmed(noise: bytes) -> None:
    noise = noise.replace(START, b"").replace(b"\x1c", b"")
    found = pieces(noise + frame(A))
    assert found[-1] == Piece(A)
    assert all(piece.fault for piece in found[:-1])


def test_a_missing_start_byte_is_a_fault_and_the_next_message_is_taken() -> None:
    found = pieces(A + END + frame(B))
    assert [bool(piece.fault) for piece in found] == [True, False]
    assert "0x0B" in found[0].fault and found[0].raw == A
    assert found[1].raw == B


def test_a_missing_end_is_a_fault_and_the_next_message_is_taken() -> None:
    found = pieces(START + A + frame(B))
    assert "0x1C" in found[0].fault and found[0].raw == A
    assert found[1] == Piece(B)


def test_a_missing_carriage_return_after_the_end_is_forgiven_at_once() -> None:
    assert pieces(START + A + b"\x1c" + START + B + b"\x1c") == [Piece(A), Piece(B)]


def test_two_messages_in_one_frame_are_kept_together_as_a_fault() -> None:
    found = pieces(frame(A + B) + frame(A))
    assert "two messages" in found[0].fault and found[0].raw == A + B
    assert found[1] == Piece(A)


def test_an_empty_frame_is_a_fault() -> None:
    assert "empty" in pieces(START + b"\r\n" + END)[0].fault


def test_half_a_frame_at_the_end_is_a_fault() -> None:
    assert pieces(START + A[:9]) == [Piece(A[:9], HALF)]


def test_line_ends_between_frames_are_nothing() -> None:
    assert pieces(frame(A) + b"\r\n\r\n" + frame(B)) == [Piece(A), Piece(B)]


def test_a_vertical_tab_in_a_text_is_no_start() -> None:
    raw = A + b"NTE|1||a\x0bb\r"
    assert pieces(frame(raw)) == [Piece(raw)]


@pytest.mark.parametrize("step", [1000, 65536, 1_000_000])
def test_a_message_over_the_limit_is_dropped_without_filling_the_memory(step: int) -> None:
    framer, data, found = Framer(100_000), frame(A + b"x" * 900_000) + frame(B), []
    for start in range(0, len(data), step):
        found += framer.feed(data[start : start + step])
        assert len(framer._buffer) <= 100_000 + KEPT + step
    assert "limit of 100000 bytes" in found[0].fault
    assert found[0].raw.startswith(A) and len(found[0].raw) <= KEPT
    assert len(found[0].raw) + found[0].dropped == len(A) + 900_000
    assert found[1] == Piece(B)


def test_a_fault_of_a_frame_has_a_code_of_its_own() -> None:
    framer = Framer(10)
    pieces = [*framer.feed(b"\x0bMSH|0123456789\x1c\r"), *framer.feed(b"noise\x1c\r\x0bMSH|\x1c\r")]
    assert [condition_of(piece.fault) for piece in pieces if piece.fault] == [TOO_LONG, SEGMENT_SEQUENCE]
