"""Conditions that no index answers: what is missing, what lies near (FHIR R4 search.html, location.html)."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from sqlalchemy import and_, false, func, not_, or_

from esb.fhir.search_parameters import Parameter, Path
from hie.repository import definitions
from hie.repository.date_conditions import exists_date
from hie.repository.jsonpaths import content, double_of, jsonpath, text_of
from hie.repository.matching import Condition, Manner, bad_value, refuse, split_bars
from hie.schema.repository import Resource

EARTH_KM = 6371.0
NEAR_KM = 50.0  # where no distance is asked for
IN_KM = {"": 1.0, "km": 1.0, "m": 0.001, "[mi_us]": 1.609347, "[mi_i]": 1.609344}


def by_absence(type_: str, parameter: Parameter, raw: str) -> Condition:
    """Return the condition of `:missing=true` or `false`."""
    if raw not in ("true", "false"):
        raise bad_value(parameter.code, ":missing takes true or false")
    is_missing = raw == "true"
    if parameter.code in ("_id", "_lastUpdated"):
        return false() if is_missing else not_(false())
    if parameter.kind == "date":
        if parameter.code == definitions.primary_date(type_):
            return Resource.date_low.is_(None) if is_missing else Resource.date_low.isnot(None)
        there = exists_date(type_, parameter)
    else:
        # Rarely asked, so not indexed: looked up in what the other parameters leave.
        there = or_(*(func.jsonb_path_exists(content(), jsonpath(one)) for one in _places(parameter)))
    return not_(there) if is_missing else there


def _places(parameter: Parameter) -> list[str]:
    """Return the jsonpaths of which one must lead somewhere; of a composite to all parts at once."""
    if parameter.components:
        parts = " && ".join(
            "(" + " || ".join(f"exists({_local(path)})" for path in component.paths) + ")"
            for component in parameter.components
        )
        return [f"{text_of(root)} ? ({parts})" for root in parameter.paths]
    return [_place(path) for path in parameter.paths]


def _place(path: Path) -> str:
    if path.exists:  # a choice: any key that begins so
        return f'$.keyvalue() ? (@."key" starts with "{path.steps[0]}")'
    return text_of(path)


def _local(path: Path) -> str:
    return text_of(path, begin="$" if path.from_resource else "@")


def by_place(
    type_: str, parameter: Parameter, modifier: str, values: Sequence[str], how: Manner
) -> Condition:
    """Return the condition of `near=latitude|longitude|distance|units`; 50 km if no distance is stated."""
    refuse(parameter.code, modifier)
    return or_(*(_near(parameter.code, value) for value in values))


def _near(code: str, value: str) -> Condition:
    latitude, longitude, distance, unit = (*split_bars(value), "", "", "", "")[:4]
    numbers = [_number(code, part) for part in (latitude, longitude)]
    reach = _number(code, distance) if distance else NEAR_KM
    if unit not in IN_KM or abs(numbers[0]) > 90 or abs(numbers[1]) > 180 or reach < 0:
        raise bad_value(code, "it is latitude|longitude|distance|units; units are km or m")
    reach *= IN_KM[unit] if distance else 1
    there = [func.radians(double_of(content()["position"][part])) for part in ("latitude", "longitude")]
    here = [func.radians(number) for number in numbers]
    half = func.power(func.sin((there[0] - here[0]) / 2), 2) + func.cos(here[0]) * func.cos(
        there[0]
    ) * func.power(func.sin((there[1] - here[1]) / 2), 2)
    return and_(2 * EARTH_KM * func.asin(func.sqrt(func.least(1.0, func.greatest(0.0, half)))) <= reach)


def _number(code: str, text: str) -> float:
    try:
        number = float(text) if len(text) <= 40 and text.isascii() else float("nan")
    except ValueError:
        number = float("nan")
    if not isfinite(number):
        raise bad_value(code, "it is latitude|longitude|distance|units, in degrees")
    return number
