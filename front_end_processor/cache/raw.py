"""How received bytes are stored: as they are where they are small, deflated where that makes them smaller."""

from __future__ import annotations

from esb.envelope import deflate, inflate

SMALL = 16 * 1024


def kept(raw: bytes) -> bytes:
    """Return received bytes in the form they are stored."""
    if len(raw) <= SMALL:
        return raw
    deflated = deflate(raw)
    return deflated if len(deflated) < len(raw) else raw


def as_received(stored: bytes, size: int, *, is_whole: bool = True) -> bytes:
    """Return the bytes that were received from their stored form and number; a stump is stored plain."""
    return stored if not stored or not is_whole or len(stored) == size else inflate(stored)
