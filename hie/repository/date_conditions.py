"""Conditions of date parameters: prefixes over ranges of instants (FHIR R4 search.html#date, #prefix)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, or_

from esb.fhir.search_parameters import Parameter
from hie.repository import definitions
from hie.repository.dates import EARLIEST, LATEST, Range, span
from hie.repository.matching import Condition, Manner, bad_value, refuse
from hie.repository.shaped import INSTANT, Shape, Shaped, any_of
from hie.schema.repository import Resource, SearchDate

PREFIXED = re.compile(r"(eq|ne|gt|lt|ge|le|sa|eb|ap)?(\d.*)")


def by_date(type_: str, parameter: Parameter, modifier: str, values: Sequence[str], how: Manner) -> Condition:
    """Return the condition of a date parameter; values are ranges, and so is what is asked for."""
    refuse(parameter.code, modifier)
    spans = [_widened(*_prefixed(parameter, value, how.zone), how.now) for value in values]
    if parameter.code == definitions.primary_date(type_):
        return any_of([Shaped(BY_MAIN_DATE[prefix], wanted) for prefix, wanted in spans])
    within = or_(*(COMPARISONS[prefix](*wanted, SearchDate.low, SearchDate.high) for prefix, wanted in spans))
    return exists_date(type_, parameter, within)


def exists_date(type_: str, parameter: Parameter, *within: Condition) -> Condition:
    """Return the condition that a resource has a date beside its main one that conditions hold for."""
    return exists().where(*dates_of(type_, parameter), *within)


def dates_of(type_: str, parameter: Parameter) -> tuple[Condition, ...]:
    """Return the conditions that a row of `search_date` belongs to a resource and a parameter."""
    return (
        SearchDate.compartment == Resource.compartment,
        SearchDate.type == type_,
        SearchDate.id == Resource.id,
        SearchDate.param == parameter.code,
    )


def _prefixed(parameter: Parameter, value: str, zone: tzinfo) -> tuple[str, Range]:
    # A '+' of an offset that was not escaped in the URL arrives as a space.
    found = PREFIXED.fullmatch(value.replace(" ", "+"))
    wanted = span(found[2], zone) if found else None
    if found is None or wanted is None:
        raise bad_value(parameter.code, "it is no FHIR date")
    return found[1] or "eq", wanted


def _widened(prefix: str, wanted: Range, now: datetime | None) -> tuple[str, Range]:
    """Return a prefix with its range; `ap` widens it at each end by a tenth of the days to now, or of itself.

    Within what a date can be; the same from page to page, as what a day adds is added once.
    """
    if prefix != "ap":
        return prefix, wanted
    start, end = wanted
    tenth = (end - start) / 10 if now is None else timedelta(days=abs(now - start).days) / 10
    return prefix, (start - min(tenth, start - EARLIEST), end + min(tenth, LATEST - end))


# Of the half-open range [low, high) of a resource and the one asked for (search.html#prefix).
COMPARISONS: dict[str, Callable[[Any, Any, Any, Any], ColumnElement[bool]]] = {
    "eq": lambda start, end, low, high: and_(low >= start, low < end, high <= end),
    "ne": lambda start, end, low, high: or_(low < start, high > end),
    "gt": lambda start, end, low, high: high > end,
    "lt": lambda start, end, low, high: low < start,
    "ge": lambda start, end, low, high: and_(high > start, or_(high > end, low >= start)),
    "le": lambda start, end, low, high: and_(low < end, or_(low < start, high <= end)),
    "sa": lambda start, end, low, high: low >= end,
    "eb": lambda start, end, low, high: high <= start,
    "ap": lambda start, end, low, high: and_(low < end, high > start),
}


def _by_main_date(prefix: str, start: Any, end: Any) -> ColumnElement[bool]:
    return COMPARISONS[prefix](start, end, Resource.date_low, Resource.date_high)


BY_MAIN_DATE = {prefix: Shape(_by_main_date, (prefix,), (INSTANT, INSTANT)) for prefix in COMPARISONS}


def at(parameter: Parameter, value: str, how: Manner, column: Any) -> Condition:
    """Return the condition that an instant in a column is as a date parameter's value says."""
    prefix, (start, end) = _widened(*_prefixed(parameter, value, how.zone), how.now)
    return {
        "eq": and_(column >= start, column < end),
        "ne": or_(column < start, column >= end),
        "gt": column >= end,
        "sa": column >= end,
        "lt": column < start,
        "eb": column < start,
        "ge": column >= start,
        "le": column < end,
        "ap": and_(column >= start, column < end),
    }[prefix]
