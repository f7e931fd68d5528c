"""UCUM units brought to base units, so that 5.4 mg is found as 0.0054 g (FHIR R4 search.html#quantity).

Simple units only: those that are a number times others. Degrees Celsius, logarithms, arbitrary units of
unknown size and units with an annotation (`{score}`) stay as they are written.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache

UCUM = "http://unitsofmeasure.org"
LONGEST = 60
MOST_EXPONENT = 12

PREFIXES = {
    "Y": 24, "Z": 21, "E": 18, "P": 15, "T": 12, "G": 9, "M": 6, "k": 3, "h": 2, "da": 1,
    "d": -1, "c": -2, "m": -3, "u": -6, "n": -9, "p": -12, "f": -15, "a": -18, "z": -21, "y": -24,
}  # fmt: skip

# unit: (factor, its base units with their exponents); one that is its own base is an arbitrary unit.
Dimensions = dict[str, int]
METRIC: dict[str, tuple[str, Dimensions]] = {
    "g": ("1", {"g": 1}), "m": ("1", {"m": 1}), "s": ("1", {"s": 1}), "mol": ("1", {"mol": 1}),
    "L": ("0.001", {"m": 3}), "l": ("0.001", {"m": 3}), "eq": ("1", {"eq": 1}), "osm": ("1", {"osm": 1}),
    "U": ("1", {"U": 1}), "[IU]": ("1", {"[IU]": 1}), "[iU]": ("1", {"[IU]": 1}), "K": ("1", {"K": 1}),
    "Pa": ("1000", {"g": 1, "m": -1, "s": -2}), "bar": ("1E+8", {"g": 1, "m": -1, "s": -2}),
    "m[Hg]": ("133322000", {"g": 1, "m": -1, "s": -2}), "m[H2O]": ("9806650", {"g": 1, "m": -1, "s": -2}),
    "J": ("1000", {"g": 1, "m": 2, "s": -2}), "cal": ("4184", {"g": 1, "m": 2, "s": -2}),
    "W": ("1000", {"g": 1, "m": 2, "s": -3}), "N": ("1000", {"g": 1, "m": 1, "s": -2}),
    "V": ("1", {"V": 1}), "A": ("1", {"A": 1}), "Hz": ("1", {"s": -1}), "Bq": ("1", {"Bq": 1}),
    "Gy": ("1", {"Gy": 1}), "Sv": ("1", {"Sv": 1}), "B": ("1", {"B": 1}), "t": ("1000000", {"g": 1}),
}  # fmt: skip
FIXED: dict[str, tuple[str, Dimensions]] = {
    "1": ("1", {}), "%": ("0.01", {}), "[ppm]": ("0.000001", {}), "[ppb]": ("1E-9", {}),
    "min": ("60", {"s": 1}), "h": ("3600", {"s": 1}), "d": ("86400", {"s": 1}), "wk": ("604800", {"s": 1}),
    "mo": ("2629800", {"s": 1}), "a": ("31557600", {"s": 1}), "deg": ("1", {"deg": 1}),
    "[in_i]": ("0.0254", {"m": 1}), "[ft_i]": ("0.3048", {"m": 1}), "[lb_av]": ("453.59237", {"g": 1}),
    "[oz_av]": ("28.349523125", {"g": 1}), "[diop]": ("1", {"m": -1}), "[pH]": ("1", {"[pH]": 1}),
}  # fmt: skip

TERM = re.compile(r"([./]?)(10[*^]|1|[A-Za-z%]*(?:\[[A-Za-z0-9_]+\])?)([+-]?\d{1,2})?")


@lru_cache(maxsize=5_000)
def canonical(code: str) -> tuple[Decimal, str] | None:
    """Return what to multiply a value with and the base units it then has, or None if that is not simple."""
    if not code or len(code) > LONGEST or not code.isascii():
        return None
    text = f"1{code}" if code[0] == "/" else code
    factor, dimensions, place = Decimal(1), dict[str, int](), 0
    while place < len(text):
        found = TERM.match(text, place)
        if found is None or found.end() == place or (place > 0) != bool(found[1]):
            return None
        unit = _unit(found[2])
        exponent = int(found[3] or 1) * (-1 if found[1] == "/" else 1)
        if unit is None or abs(exponent) > MOST_EXPONENT + 12 * (found[2] in ("10*", "10^")):
            return None
        factor *= unit[0] ** exponent
        for base, power in unit[1].items():
            dimensions[base] = dimensions.get(base, 0) + power * exponent
        place = found.end()
    return factor, ".".join(f"{base}{power}" for base, power in sorted(dimensions.items()) if power)


def _unit(text: str) -> tuple[Decimal, Dimensions] | None:
    if text in ("10*", "10^"):
        return Decimal(10), {}
    if text in FIXED or text in METRIC:
        factor, dimensions = FIXED.get(text) or METRIC[text]
        return Decimal(factor), dimensions
    for size in (1, 2):
        power = PREFIXES.get(text[:size])
        if power is not None and text[size:] in METRIC:
            factor, dimensions = METRIC[text[size:]]
            return Decimal(factor).scaleb(power), dimensions
    return None
