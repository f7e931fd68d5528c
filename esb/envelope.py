"""One message on the bus: captured entries of one partition, each with its place in the sender's order.

An entry's body is the FHIR Bundle that its message became. It is compressed once, when it is captured; the
envelope strings the compressed bodies together behind one-line headers and nothing is parsed on the way out.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from esb.errors import Malformed, TooLarge

PARTITIONS = 64
TYPE = "hie.entries"
VERSION = "1"
CONTENT_TYPE = "application/jose"
MAX_BODY = 64 * 1024 * 1024
COMPRESSION_LEVEL = 1
MAX_EPOCH, MAX_SEQ = 2**31 - 1, 2**63 - 1


@dataclass(frozen=True, slots=True)
class Entry:
    """What one captured message became.

    epoch, seq: place in the sender's own order; (facility, epoch, seq) is the inbox key.
    source_at: the instant the source system gave (UTC). kind: e.g. `ADT^A01`, `receipts`.
    payload: the body, UTF-8 JSON (towards the hub one transaction Bundle), deflated.
    """

    epoch: int
    seq: int
    source_at: datetime
    kind: str
    payload: bytes

    def body(self) -> bytes:
        """Return the body as JSON. Raises: Malformed, TooLarge."""
        return inflate(self.payload)


def deflate(body: bytes) -> bytes:
    """Return a body in the form that is stored in the outbox and travels."""
    return zlib.compress(body, COMPRESSION_LEVEL)


def inflate(payload: bytes) -> bytes:
    """Return the body of a payload. Raises: Malformed if it is not deflated; TooLarge over MAX_BODY bytes."""
    try:
        stream = zlib.decompressobj()
        body = stream.decompress(payload, MAX_BODY)
    except zlib.error:
        raise Malformed("The body is not compressed as agreed.") from None
    if stream.unconsumed_tail:
        raise TooLarge(f"The body holds more than {MAX_BODY} bytes once unpacked.")
    if not stream.eof:
        raise Malformed("The body ends too early.")
    return body


def partition_of(patient_key: str) -> int:
    """Return the partition (0..63) of a patient's key; the same for ever, on every machine."""
    return hashlib.sha256(patient_key.encode()).digest()[0] % PARTITIONS


def pack(entries: Sequence[Entry]) -> bytes:
    """Return the plain text of an envelope that carries the entries, in order."""
    parts: list[bytes] = []
    for entry in entries:
        head = {
            "epoch": entry.epoch,
            "seq": entry.seq,
            "at": entry.source_at.astimezone(UTC).isoformat(),
            "kind": entry.kind,
            "length": len(entry.payload),
        }
        parts += (orjson.dumps(head), b"\n", entry.payload, b"\n")
    return b"".join(parts)


def unpack(plain: bytes) -> list[Entry]:
    """Return the entries of a text made by `pack`; bodies stay deflated. Raises: Malformed."""
    entries, at = [], 0
    try:
        while at < len(plain):
            end = plain.index(b"\n", at)
            head = orjson.loads(plain[at:end])
            start, stop = end + 1, end + 1 + int(head["length"])
            if stop < start or plain[stop : stop + 1] != b"\n":
                raise ValueError
            entries.append(_entry(head, plain[start:stop]))
            at = stop + 1
    except (ValueError, KeyError, TypeError, OverflowError):
        raise Malformed("The entries of the envelope cannot be read.") from None
    return entries


def _entry(head: dict[str, Any], payload: bytes) -> Entry:
    """Return an entry as the tables of the receiver can keep it. Raises: ValueError if they cannot."""
    epoch, seq, kind = int(head["epoch"]), int(head["seq"]), str(head["kind"])
    source_at = datetime.fromisoformat(head["at"]).astimezone(UTC)
    if not 0 <= epoch <= MAX_EPOCH or not 0 <= seq <= MAX_SEQ or "\0" in kind:
        raise ValueError
    return Entry(epoch, seq, source_at, kind, payload)
