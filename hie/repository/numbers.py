"""Numbers and quantities of a resource as ranges, with what they are of and in which unit.

Source: FHIR R4 search.html#number, #quantity. A number is the range from itself to itself; how exactly it was
written does not matter, how exactly it is asked for does.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from math import inf
from typing import Any, NamedTuple

from hie.repository import units
from hie.repository.tokens import token

CURRENCY = "urn:iso:std:iso:4217"
MOST_SAMPLES = 100_000  # of a recording; a longer one is found by its limits


class Unit(NamedTuple):
    """A unit: hashes of its code, its system, the text beside the code, and of its base units."""

    code: int | None = None
    system: int | None = None
    text: int | None = None
    base: int | None = None


class Number(NamedTuple):
    """A number or quantity under a name. about: hashes of the code it is of, e.g. a laboratory test.

    base_low, base_high: the same range in the base units of its unit, where it has such.
    """

    name: int
    about: int | None
    about_system: int | None
    low: float
    high: float
    unit: Unit
    base_low: float | None
    base_high: float | None


NO_UNIT = Unit()
_made = tuple.__new__
About = tuple[int | None, int | None]
NOWHERE: About = (None, None)
NOTHING: Sequence[About] = (NOWHERE,)


def plain(name: int, value: Any) -> list[Number]:
    """Return the row of an integer, decimal or Range without units."""
    if type(value) is dict:
        return _ranges(name, NOTHING, *_limits(value), NO_UNIT, None)
    number = _decimal(value)
    return [] if number is None else _points(name, NOTHING, number, NO_UNIT, None)


def paired(name: int, first: Any, second: Any) -> list[Number]:
    """Return the row of two numbers that are searched for together, e.g. start and end of a variant."""
    low, high = _decimal(first), _decimal(second)
    if low is None or high is None:
        return []
    return [Number(name, None, None, float(low), float(high), NO_UNIT, None, None)]


def quantities(name: int, value: Any, abouts: Sequence[About] = NOTHING) -> list[Number]:
    """Return the rows of a Quantity, Money, Range of quantities or SampledData, one for each of `abouts`."""
    if type(value) is not dict:
        return []
    if "value" not in value:
        return _spread(name, value, abouts)
    get = value.get
    number = _decimal(get("value"))
    if number is None:
        return []
    unit, factor = _unit(get("system"), get("code"), get("unit"), get("currency"))
    if "comparator" in value:
        sign = get("comparator")
        low, high = (None if sign in ("<", "<=") else number), (None if sign in (">", ">=") else number)
        return _ranges(name, abouts, low, high, unit, factor)
    return _points(name, abouts, number, unit, factor)


def _spread(name: int, value: dict[str, Any], abouts: Sequence[About]) -> list[Number]:
    if "origin" in value:
        low, high = _samples(value)
        described = value["origin"]
    else:
        low, high = _limits(value)
        described = value.get("low") or value.get("high")
    if type(described) is not dict:
        return []
    unit, factor = _unit(described.get("system"), described.get("code"), described.get("unit"), None)
    return _ranges(name, abouts, low, high, unit, factor)


@lru_cache(maxsize=20_000)
def about(system: Any, code: Any) -> About:
    """Return what stands in a row for the code of what a quantity is of."""
    return token(code.lower()) if type(code) is str else None, token(system if type(system) is str else "")


@lru_cache(maxsize=20_000)
def _unit(system: Any, code: Any, text: Any, currency: Any) -> tuple[Unit, Decimal | None]:
    if type(currency) is str:
        return Unit(token(currency), token(CURRENCY), None, None), None
    simple = units.canonical(code) if system == units.UCUM and type(code) is str else None
    unit = Unit(
        token(code) if type(code) is str else None,
        token(system) if type(system) is str else None,
        token(text) if type(text) is str and text != code else None,
        token(simple[1]) if simple else None,
    )
    return unit, simple[0] if simple else None


def _points(
    name: int, abouts: Sequence[About], value: Any, unit: Unit, factor: Decimal | None
) -> list[Number]:
    point = float(value)
    based = None if factor is None else float(value * factor)
    # Most numbers come through here: made without the detour over keywords.
    return [_made(Number, (name, of, system, point, point, unit, based, based)) for of, system in abouts]


def _ranges(
    name: int, abouts: Sequence[About], low: Any, high: Any, unit: Unit, factor: Decimal | None
) -> list[Number]:
    if low is None and high is None:
        return []
    ends = -inf if low is None else float(low), inf if high is None else float(high)
    base_low = None if factor is None else -inf if low is None else float(low * factor)
    base_high = None if factor is None else inf if high is None else float(high * factor)
    return [Number(name, *about, *ends, unit, base_low, base_high) for about in abouts]


def _decimal(value: Any) -> Decimal | int | None:
    if type(value) is Decimal or type(value) is int:
        return value
    return Decimal(repr(value)) if type(value) is float else None


def _limits(value: dict[str, Any]) -> tuple[Any, Any]:
    low, high = value.get("low"), value.get("high")
    return (
        _decimal(low.get("value")) if type(low) is dict else None,
        _decimal(high.get("value")) if type(high) is dict else None,
    )


def _samples(value: dict[str, Any]) -> tuple[Any, Any]:
    """Return the least and the greatest value of a recording."""
    origin = value.get("origin")
    start = _decimal(origin.get("value")) if type(origin) is dict else None
    factor = _decimal(value.get("factor", 1))
    limits = [_decimal(value.get("lowerLimit")), _decimal(value.get("upperLimit"))]
    given = value.get("data")
    text = given if type(given) is str and len(given) <= MOST_SAMPLES else ""
    points: list[Decimal | int] = [
        Decimal(part) for part in text.split() if part.lstrip("-+.")[:1].isdigit() and _is_decimal(part)
    ]
    points += [limit for limit, sign in zip(limits, "LU", strict=True) if limit is not None and sign in text]
    if start is None or factor is None or not points:
        return None, None
    return start + min(points) * factor, start + max(points) * factor


def _is_decimal(part: str) -> bool:
    return part.isascii() and len(part) <= 40 and part.lstrip("-+").replace(".", "", 1).isdigit()
