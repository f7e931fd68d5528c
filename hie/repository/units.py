"""UCUM units brought to base units, so that 5.4 mg is found as 0.0054 g (FHIR R4 search.html#quantity).

Those that are a number times base units. Degrees, logarithms and units with an annotation (`{score}`) stay
as they are written. What a unit is, the terminology knows.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from functools import lru_cache

from hie.terminology import ucum

UCUM = ucum.SYSTEM
LONGEST = 60
MOST_EXPONENT = 12
MOST_DIGITS = 60  # of a factor: what a search compares are doubles


@lru_cache(maxsize=5_000)
def canonical(code: str) -> tuple[Decimal, str] | None:
    """Return what to multiply a value with and the base units it then has, or None if that is not simple."""
    if not code or len(code) > LONGEST or not code.isascii() or "{" in code:
        return None
    try:
        unit = ucum.parse(code)
    except ucum.NotAUnit:
        return None
    if unit.special or any(abs(power) > MOST_EXPONENT for _, power in unit.powers):
        return None
    with localcontext(prec=40):
        factor = Decimal(unit.factor.numerator) / Decimal(unit.factor.denominator)
    if abs(factor.adjusted()) > MOST_DIGITS:
        return None
    return factor, ".".join(f"{base}{power}" for base, power in unit.powers)
