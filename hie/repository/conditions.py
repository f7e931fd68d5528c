"""Search parameters turned into SQL conditions over `Resource` (FHIR R4 search.html); one module per kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import or_

from esb.fhir.search_parameters import PARAMETERS, Parameter
from hie.errors import NotSupported, NotValid
from hie.repository.composite_conditions import by_composite
from hie.repository.date_conditions import at, by_date
from hie.repository.matching import MOST_VALUES, Condition, Manner, bad_value, has_any, refuse, split_values
from hie.repository.number_conditions import by_number, by_quantity
from hie.repository.reference_conditions import (
    LOGICAL_ID,
    REFERENCE,
    any_points_at,
    by_reference,
    is_within_patients,
    kept_with,
    points_at,
)
from hie.repository.special_conditions import by_absence, by_place
from hie.repository.text_conditions import by_string, by_uri
from hie.repository.token_conditions import by_id, by_token, token_modifiers
from hie.schema.repository import Resource

__all__ = [
    "LOGICAL_ID",
    "REFERENCE",
    "Condition",
    "Manner",
    "any_points_at",
    "bad_value",
    "check_effort",
    "condition",
    "has_any",
    "is_within_patients",
    "kept_with",
    "modifiers_of",
    "points_at",
    "split_values",
]

MOST_EFFORT = 3000
# What an alternative of a value costs to prepare, where it is more than a number in a list.
EFFORT = {"composite": 5, "special": 10, "quantity": 2, "number": 2}
EFFORT_OF_CHAINS = 5


def check_effort(types: Sequence[str], params: Sequence[tuple[str, str]]) -> None:
    """Refuse a search with so many alternatives that merely reading it would take long. Raises: NotValid."""
    effort = 0
    for name, value in params:
        parameter = PARAMETERS[types[0]].get(name.partition(":")[0]) if types else None
        each = EFFORT_OF_CHAINS if parameter is None else EFFORT.get(parameter.kind, 1)
        effort += each * (value.count(",") + 1)
    if effort > MOST_EFFORT:
        raise NotValid("The search names too many alternatives; ask for them in several searches.")


def condition(type_: str, parameter: Parameter, modifier: str, raw: str, how: Manner) -> Condition:
    """Return the condition of one search parameter; values separated by commas are alternatives.

    Args:
        modifier: what stood behind ':' in the name, '' if nothing.

    Raises: NotValid for a value that cannot be read; NotSupported for a modifier or kind not answered here.
    """
    if modifier == "missing":
        return by_absence(type_, parameter, raw)
    values = split_values(raw)
    if not values:
        raise bad_value(parameter.code, "it is empty")
    if len(values) > MOST_VALUES:
        raise bad_value(parameter.code, f"it has more than {MOST_VALUES} alternatives")
    if parameter.code == "_id":
        return by_id(type_, values, modifier)
    if parameter.code == "_lastUpdated":
        refuse(parameter.code, modifier)
        return or_(*(at(parameter, value, how, Resource.updated_at) for value in values))
    build = KINDS.get(parameter.kind)
    if build is None:
        raise NotSupported(f"{parameter.code}: {parameter.kind} parameters are not answered here.")
    return build(type_, parameter, modifier, values, how)


KINDS: dict[str, Callable[[str, Parameter, str, Sequence[str], Manner], Condition]] = {
    "token": by_token,
    "string": by_string,
    "uri": by_uri,
    "reference": by_reference,
    "date": by_date,
    "number": by_number,
    "quantity": by_quantity,
    "composite": by_composite,
    "special": by_place,
}

# What is answered behind ':' of each kind; of a token by what it is read from.
MODIFIERS: dict[str, tuple[str, ...]] = {
    "string": ("missing", "exact", "contains"),
    "reference": ("missing", "identifier", "[type]"),
    "uri": ("missing", "above", "below"),
}


def modifiers_of(parameter: Parameter) -> tuple[str, ...]:
    """Return the modifiers that a parameter takes."""
    if parameter.code == "_id":
        return ("missing", "not")
    if parameter.kind == "token":
        return ("missing", "not", *token_modifiers(parameter))
    return MODIFIERS.get(parameter.kind, ("missing",))
