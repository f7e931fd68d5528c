"""What was charged, by hospital (FHIR ChargeItem); money is integer fen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from hie.services.lookup.sources import Holdings

NOT_CHARGED = frozenset({"entered-in-error", "aborted", "not-billable", "planned"})
MOST_YUAN = Decimal(10) ** 12


@dataclass(frozen=True, slots=True)
class Line:
    """The charges of one hospital; `unread` lines have an amount that cannot be one, and are in no sum."""

    facility: str
    lines: int
    amount_fen: int
    unread: int


@dataclass(frozen=True, slots=True)
class Charges:
    """The charges of a person; refunds count as what they are, negative lines."""

    by_facility: Sequence[Line]


def charges(holdings: Holdings) -> Charges:
    """Return the sums by hospital."""
    amounts: dict[str, list[int | None]] = {}
    for item in holdings.of("ChargeItem"):
        if item.get("status") not in NOT_CHARGED:
            amounts.setdefault(holdings.facility_of(item), []).append(amount_fen(item))
    return Charges(
        [
            Line(facility, len(found), sum(amount or 0 for amount in found), found.count(None))
            for facility, found in sorted(amounts.items())
        ]
    )


def amount_fen(item: dict[str, Any]) -> int | None:
    """Return a charge line's amount in fen: the price stated for the whole line (priceOverride).

    Returns: 0 where no price is stated, None where it is too large to be one.
    """
    value = (item.get("priceOverride") or {}).get("value")
    if value is None:
        return 0
    amount = Decimal(str(value))
    if not amount.is_finite() or abs(amount) > MOST_YUAN:
        return None
    return int((amount * 100).quantize(Decimal(1), ROUND_HALF_UP))
