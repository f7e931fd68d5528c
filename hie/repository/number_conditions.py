"""Conditions of numbers and quantities: prefixes, significant digits, units (FHIR R4 search.html#number).

Without a prefix a number stands for all that are rounded to it: 100 for 99.5 to 100.5, 100.00 for 99.995 to
100.005, 1e2 - the standard's example - for 95 to 105. With gt, lt, ge, le, sa and eb it is meant exactly.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import and_, exists, or_

from esb.fhir.search_parameters import Parameter
from hie.repository import definitions, units
from hie.repository.matching import Condition, Manner, bad_value, refuse, split_bars
from hie.repository.tokens import token
from hie.schema.repository import Resource, SearchNumber

NUMBER = re.compile(
    r"(eq|ne|gt|lt|ge|le|sa|eb|ap)?([+-]?\d{1,40}(?:\.\d{1,40})?)([eE][+-]?\d{1,3})?", re.ASCII
)
NUMBERS = SearchNumber.c


class Asked(NamedTuple):
    """A number as asked for: itself, and the range [start, end) that is rounded to it."""

    prefix: str
    value: Decimal
    start: Decimal
    end: Decimal

    def times(self, factor: Decimal) -> Asked:
        """Return the same in another unit."""
        return Asked(self.prefix, self.value * factor, self.start * factor, self.end * factor)


def read_number(code: str, text: str) -> Asked:
    """Return a number with its prefix. Raises: NotValid."""
    # A '+' that was not escaped in the URL arrives as a space.
    found = NUMBER.fullmatch(text.replace(" ", "+"))
    if found is None:
        raise bad_value(code, "it is no number")
    prefix, digits, exponent = found.groups()
    value = Decimal(digits + (exponent or ""))
    last = value.as_tuple().exponent
    assert isinstance(last, int)
    if exponent and "." not in digits:
        last -= 1
    half = Decimal(5).scaleb(last - 1)
    if prefix == "ap":
        half = abs(value) / 10
    return Asked(prefix or "eq", value, value - half, value + half)


def by_number(
    type_: str, parameter: Parameter, modifier: str, values: Sequence[str], how: Manner
) -> Condition:
    """Return the condition of a number parameter."""
    refuse(parameter.code, modifier)
    asked = [read_number(parameter.code, value) for value in values]
    within = or_(*(compare(one, NUMBERS.low, NUMBERS.high) for one in asked))
    return any_number(element_names(type_, parameter), within)


def by_quantity(
    type_: str, parameter: Parameter, modifier: str, values: Sequence[str], how: Manner
) -> Condition:
    """Return the condition of a quantity parameter."""
    refuse(parameter.code, modifier)
    within = or_(*(quantity(parameter.code, value) for value in values))
    return any_number(element_names(type_, parameter), within)


def quantity(code: str, value: str) -> Condition:
    """Return the condition that a row is as `number`, `number|system|code` or `number||code` says."""
    parts = split_bars(value)
    if len(parts) not in (1, 3):
        raise bad_value(code, "it is a number, number|system|code or number||code")
    asked = read_number(code, parts[0])
    if len(parts) == 1 or not (parts[1] or parts[2]):
        return compare(asked, NUMBERS.low, NUMBERS.high)
    system, unit = parts[1:]
    simple = units.canonical(unit) if system == units.UCUM else None
    if simple:
        based = compare(asked.times(simple[0]), NUMBERS.base_low, NUMBERS.base_high)
        return and_(NUMBERS.base == token(simple[1]), based)
    conditions = [compare(asked, NUMBERS.low, NUMBERS.high)]
    if system:
        conditions.append(NUMBERS.unit_system == token(system))
        if unit:
            conditions.append(NUMBERS.unit == token(unit))
    else:
        conditions.append(or_(NUMBERS.unit == token(unit), NUMBERS.unit_text == token(unit)))
    return and_(*conditions)


def compare(asked: Asked, low: Any, high: Any) -> Condition:
    """Compare the range from low to high of a resource with the number asked for (search.html#prefix)."""
    return COMPARISONS[asked.prefix](float(asked.value), float(asked.start), float(asked.end), low, high)


COMPARISONS: dict[str, Callable[[float, float, float, Any, Any], Condition]] = {
    "eq": lambda value, start, end, low, high: and_(low >= start, low < end, high < end),
    "ne": lambda value, start, end, low, high: or_(low < start, high >= end),
    "gt": lambda value, start, end, low, high: high > value,
    "lt": lambda value, start, end, low, high: low < value,
    "ge": lambda value, start, end, low, high: high >= value,
    "le": lambda value, start, end, low, high: low <= value,
    "sa": lambda value, start, end, low, high: low > value,
    "eb": lambda value, start, end, low, high: high < value,
    "ap": lambda value, start, end, low, high: and_(low <= end, high >= start),
}


def element_names(type_: str, parameter: Parameter) -> list[int]:
    """Return the names under which the rows of a parameter stand."""
    return [token(definitions.path_name(type_, path)) for path in parameter.paths]


def any_number(names: Sequence[int], *within: Condition) -> Condition:
    """Return the condition that a resource has a row of some names that conditions hold for."""
    return exists().where(
        NUMBERS.compartment == Resource.compartment,
        NUMBERS.type == Resource.type,
        NUMBERS.id == Resource.id,
        NUMBERS.name.in_(names),
        *within,
    )
