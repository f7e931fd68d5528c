"""What was charged, by hospital (FHIR ChargeItem); money is integer fen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from hie.services.lookup.sources import Holdings

NOT_CHARGED = frozenset({"entered-in-error", "aborted", "not-billable", "planned"})


@dataclass(frozen=True, slots=True)
class Line:
    """The charges of one hospital."""

    facility: str
    lines: int
    amount_fen: int


@dataclass(frozen=True, slots=True)
class Charges:
    """The charges of a person; refunds count as what they are, negative lines."""

    by_facility: Sequence[Line]


def charges(holdings: Holdings) -> Charges:
    """Return the sums by hospital."""
    sums: dict[str, tuple[int, int]] = {}
    for item in holdings.of("ChargeItem"):
        if item.get("status") in NOT_CHARGED:
            continue
        facility = holdings.facility_of(item)
        lines, amount = sums.get(facility, (0, 0))
        sums[facility] = (lines + 1, amount + amount_fen(item))
    return Charges([Line(facility, lines, amount) for facility, (lines, amount) in sorted(sums.items())])


def amount_fen(item: dict[str, Any]) -> int:
    """Return a charge line's amount in fen: the price stated for the whole line (priceOverride)."""
    value = (item.get("priceOverride") or {}).get("value")
    if value is None:
        return 0
    return int((Decimal(str(value)) * 100).quantize(Decimal(1), ROUND_HALF_UP))
