"""What normalising gives: one captured message as a transaction Bundle, and what the road must know of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Normalised:
    """One message, normalised.

    kind: what it was, e.g. `ADT^A01`. sender, control_id: by whom and under which number it was sent.
    source_at: the instant the source system gave it (aware). patient_key: the hospital's own patient number,
    which chooses the partition. bundle: the transaction Bundle, UTF-8 JSON. charset: what it was read in.
    warnings: what was left out or could not be mapped, by field and code, without a patient's data.
    resources: the resources that the bundle was written from, where they are at hand for validating.
    """

    kind: str
    sender: str
    control_id: str
    source_at: datetime
    patient_key: str
    bundle: bytes
    charset: str
    warnings: tuple[str, ...] = ()
    resources: Sequence[dict[str, Any]] = field(default=(), repr=False, compare=False)
