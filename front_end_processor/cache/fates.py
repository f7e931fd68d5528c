"""What becomes of a message, given what the cache knows of its sender and control id: one pure function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Verdict(StrEnum):
    """The fate of a message at this processor."""

    CAPTURED = "captured"
    REPEATED = "repeated"
    SET_ASIDE = "set_aside"


@dataclass(frozen=True, slots=True)
class Known:
    """A message already in the cache under the same sender and control id."""

    seq: int
    content_hash: bytes
    captured: bool
    reason: str
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict; seq is the row it belongs to (0: a new one), reason why it is set aside or remarkable."""

    fate: Verdict
    seq: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a message: its fate, its capture sequence, and the reason if it was set aside."""

    fate: Verdict
    seq: int
    reason: str = ""


def decide(
    known: Sequence[Known], content_hash: bytes, refusal: str, *, may_reuse: bool, replaces: int | None
) -> Decision:
    """Return what becomes of a message.

    Args:
        known: what is there under the same sender and control id.
        refusal: why it cannot be normalised; empty if it can.
        may_reuse: whether a control id may be used again for other content.
        replaces: the set-aside row an engineer replays; then only the refusal counts.
    """
    same = [each for each in known if each.content_hash == content_hash]
    if replaces is not None:
        done = next((each.seq for each in same if each.captured), 0)
        if done:
            return Decision(Verdict.REPEATED, done)
        return Decision(Verdict.SET_ASIDE if refusal else Verdict.CAPTURED, replaces, refusal)
    for each in same:
        if each.captured:
            return Decision(Verdict.REPEATED, each.seq)
    earlier = same[0].seq if same else 0
    if refusal:
        return Decision(Verdict.SET_ASIDE, earlier, refusal)
    other = next((each for each in known if each.captured and each.content_hash != content_hash), None)
    if other is not None and not may_reuse:
        return Decision(Verdict.SET_ASIDE, earlier, reused(other) + REFUSE_REUSE)
    return Decision(Verdict.CAPTURED, earlier, reused(other) + KEEP_BOTH if other is not None else "")


REFUSE_REUSE = "send it under a new control id, or set control_id_reuse: accept in the profile."
KEEP_BOTH = "both are kept."


def reused(other: Known) -> str:
    """Return the sentence that tells where a control id (MSH-10) stands already."""
    when = other.received_at.isoformat(timespec="seconds")
    return f"Control id already used for other content (message {other.seq}, received {when}); "
