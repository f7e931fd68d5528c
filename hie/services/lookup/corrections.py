"""What became of a result: corrected with its old values kept, or withdrawn (FHIR R4 observation status)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from hie.services.lookup.sources import Json, Past

WITHDRAWN = frozenset({"entered-in-error", "cancelled"})
CORRECTED = frozenset({"corrected", "amended"})
# Statuses under which nobody relied on the value yet: a change from these is progress, no correction.
NOT_YET = frozenset({"registered", "preliminary", "partial"})


@dataclass(frozen=True, slots=True)
class OldValue:
    """A value that a hospital once gave, and the instant it was received."""

    text: str
    at: datetime


def fate(resource: Json, old: Sequence[OldValue]) -> str:
    """Return "withdrawn", "corrected", "preliminary" or "" (final)."""
    status = str(resource.get("status", ""))
    if status in WITHDRAWN:
        return "withdrawn"
    if status in CORRECTED or old:
        return "corrected"
    return "preliminary" if status in NOT_YET else ""


def old_values(now: str, past: Sequence[Past], say: Callable[[Json], str]) -> tuple[OldValue, ...]:
    """Return the earlier values that differ from the present one, the newest first, each once.

    Args:
        now: the present value in words.
        past: the earlier versions, the newest first.
        say: gives a version's value in words.
    """
    found: list[OldValue] = []
    for version in past:
        if version.resource.get("status") in NOT_YET:
            continue
        text = say(version.resource)
        if text and text != now and text not in {old.text for old in found}:
            found.append(OldValue(text, version.updated_at))
    return tuple(found)
