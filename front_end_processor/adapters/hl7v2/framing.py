"""MLLP frames found in a stream of bytes (HL7 v2 Transport Specification, MLLP release 1).

Searching bytes is safe in every character set that is taken: 0x0B, 0x1C and 0x0D are never part of one of
its characters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from front_end_processor.adapters.hl7v2.errors import SEGMENT_SEQUENCE, TOO_LONG

START = b"\x0b"
END = b"\x1c\x0d"
_END_MARK = 0x1C
_NEXT_FRAME = b"\x0bMSH"
_SECOND_HEADER = re.compile(rb"[\r\n]MSH[^A-Za-z0-9\s]")
_BLANK = b"\r\n\x00 "
KEPT = 65536  # bytes kept of what is too large or stands outside of frames


@dataclass(frozen=True, slots=True)
class Piece:
    """What was found in the bytes: a message, or a fault with the first bytes it concerns.

    dropped: how many more bytes there were.
    """

    raw: bytes
    fault: str = ""
    dropped: int = 0


NO_START = "bytes outside of a frame; begin each message with the byte 0x0B"
NO_END = "a frame began before the last one ended; end each message with the bytes 0x1C 0x0D"
TWO_MESSAGES = "two messages in one frame; send each in a frame of its own"
TOO_LARGE = "the message is over the size limit of {limit} bytes"
EMPTY = "an empty frame"
HALF = "the connection ended in the middle of a frame; send the message again"
STALLED = "the rest of a frame did not come in time; send the message again"


def condition_of(fault: str) -> str:
    """Return the code of HL7 table 0357 that fits a fault of a frame: segments not whole, or too long."""
    return TOO_LONG if fault.startswith(TOO_LARGE.partition("{")[0]) else SEGMENT_SEQUENCE


class Framer:
    """Finds frames in a stream of bytes. After any fault it goes on at the next start byte."""

    def __init__(self, max_message: int) -> None:
        self._limit = max_message
        self._buffer = bytearray()
        self._scanned = 0
        self._shed_bytes = 0

    @property
    def has_rest(self) -> bool:
        """Has a frame begun that has not ended?"""
        return self._buffer.startswith(START) or bool(self._buffer.strip(_BLANK))

    def feed(self, data: bytes) -> list[Piece]:
        """Return what the bytes complete."""
        self._buffer += data
        pieces: list[Piece] = []
        while self._buffer:
            if self._buffer[0] != START[0]:
                if not self._skip_outside(pieces):
                    break
                continue
            end = self._buffer.find(_END_MARK, max(self._scanned, 1))
            stop = end if end >= 0 else len(self._buffer)
            again = self._buffer.find(_NEXT_FRAME, max(self._scanned, 1), stop)
            if again >= 0:
                pieces.append(self._cut(bytes(self._buffer[1:again]), NO_END))
                self._drop(again)
            elif end >= 0:
                self._complete(pieces, end)
            else:
                self._scanned = len(self._buffer) - len(_NEXT_FRAME)
                self._shed()
                break
        return pieces

    def _complete(self, pieces: list[Piece], end: int) -> None:
        """Take the frame that ends at a 0x1C; the 0x0D may be late or missing and is passed over."""
        raw = bytes(self._buffer[1:end])
        if self._shed_bytes or len(raw) > self._limit:
            pieces.append(self._cut(raw, TOO_LARGE.format(limit=self._limit)))
        elif not raw.strip():
            pieces.append(Piece(raw, EMPTY))
        elif _SECOND_HEADER.search(raw):
            pieces.append(Piece(raw, TWO_MESSAGES))
        else:
            pieces.append(Piece(raw))
        self._drop(end + 1)

    def _skip_outside(self, pieces: list[Piece]) -> bool:
        """Drop bytes before a start byte, keeping them as a fault if they say something; is there a start?"""
        start = self._buffer.find(START)
        outside = bytes(self._buffer[: start if start >= 0 else len(self._buffer)])
        ended = self._buffer.find(END)
        if start < 0 and ended < 0 and len(outside) < KEPT and outside.strip(_BLANK):
            return False  # wait: it may go on, or end
        if outside.strip(_BLANK + b"\x1c"):
            pieces.append(Piece(outside.removesuffix(END), NO_START))
        self._drop(len(outside))
        return start >= 0

    def _shed(self) -> None:
        """Keep only the beginning of a frame that is over the limit; it is reported when it ends."""
        if len(self._buffer) > self._limit + KEPT:
            self._shed_bytes += len(self._buffer) - KEPT
            del self._buffer[KEPT:]
            self._scanned = len(self._buffer)

    def _cut(self, raw: bytes, reason: str) -> Piece:
        """Return the beginning of a frame that is not taken."""
        fault = TOO_LARGE.format(limit=self._limit) if self._shed_bytes else reason
        return Piece(raw[:KEPT], fault, len(raw[KEPT:]) + self._shed_bytes)

    def _drop(self, count: int) -> None:
        del self._buffer[:count]
        self._scanned = 0
        self._shed_bytes = 0

    def rest(self, reason: str) -> list[Piece]:
        """Return what is left when nothing more will come, and forget it."""
        left = bytes(self._buffer)
        outside = not left.startswith(START)
        cut = self._cut(left[1:], reason)
        self._drop(len(left))
        if not left.strip(_BLANK + b"\x0b\x1c"):
            return []
        return [Piece(left.removesuffix(END), NO_START) if outside else cut]
