"""The filters of a value set's compose as conditions of the query (FHIR R4 valueset-filter-operator)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, and_, any_, func, not_, or_, select

from hie.errors import NotValid
from hie.schema import Concept

Condition = ColumnElement[bool]

CODE_NAMES = frozenset({"concept", "code"})
OWN_COLUMNS = {"display": Concept.display, "definition": Concept.definition}
LONGEST_PATTERN = 200
# A reference back, or a quantifier over a group that ends in one, takes time without bound.
UNBOUNDED = re.compile(r"\\[1-9]|[*+}]\)[*+{]|\(\?|\{,|\x00")


def condition(filter_: dict[str, Any], system_id: int) -> Condition:
    """Return a filter of `compose.include` as a condition over `Concept`.

    Raises: NotValid for an unknown operator, a missing part, or a pattern that is no bounded pattern.
    """
    name, operator, value = (filter_.get(part) for part in ("property", "op", "value"))
    if not all(isinstance(part, str) and part for part in (name, operator, value)):
        raise NotValid("A filter of a value set names a property, an op and a value.")
    if operator not in OPERATORS:
        raise NotValid(f"The filter operator is not one of {', '.join(sorted(OPERATORS))}.")
    return OPERATORS[operator](str(name), str(value), system_id)


def _is_a(name: str, value: str, _: int) -> Condition:
    _only_concept(name)
    return or_(Concept.code == value, Concept.ancestors.contains([value]))


def _descendent_of(name: str, value: str, _: int) -> Condition:
    _only_concept(name)
    return Concept.ancestors.contains([value])


def _is_not_a(name: str, value: str, system_id: int) -> Condition:
    return not_(_is_a(name, value, system_id))


def _generalizes(name: str, value: str, system_id: int) -> Condition:
    _only_concept(name)
    above = select(func.unnest(Concept.ancestors)).where(
        Concept.system_id == system_id, Concept.code == value
    )
    return or_(Concept.code == value, Concept.code.in_(above.correlate(None)))


def _equals(name: str, value: str, _: int) -> Condition:
    return _among(name, [value])


def _in(name: str, value: str, _: int) -> Condition:
    return _among(name, [one.strip() for one in value.split(",")])


def _not_in(name: str, value: str, _: int) -> Condition:
    return not_(_among(name, [one.strip() for one in value.split(",")]))


def _regex(name: str, value: str, _: int) -> Condition:
    check_pattern(value)
    pattern = f"^(?:{value})$"
    if name in CODE_NAMES:
        return Concept.code.op("~")(pattern)
    if name in OWN_COLUMNS:
        return func.coalesce(OWN_COLUMNS[name], "").op("~")(pattern)
    return _property(name, lambda text: text.op("~")(pattern))


def _exists(name: str, value: str, _: int) -> Condition:
    if value not in ("true", "false"):
        raise NotValid("The filter operator exists takes true or false.")
    if name in ("parent", "child"):
        found = func.cardinality(Concept.parents) > 0 if name == "parent" else _has_child()
    elif name in OWN_COLUMNS:
        found = OWN_COLUMNS[name].is_not(None)
    else:
        found = _property(name, lambda text: text.is_not(None))
    return found if value == "true" else not_(found)


OPERATORS: dict[str, Callable[[str, str, int], Condition]] = {
    "=": _equals,
    "is-a": _is_a,
    "descendent-of": _descendent_of,
    "is-not-a": _is_not_a,
    "generalizes": _generalizes,
    "in": _in,
    "not-in": _not_in,
    "regex": _regex,
    "exists": _exists,
}


def check_pattern(pattern: str) -> None:
    """Refuse a pattern whose time is not bounded; the database tells a wrong one. Raises: NotValid."""
    if len(pattern) > LONGEST_PATTERN or UNBOUNDED.search(pattern):
        raise NotValid(
            f"A pattern has at most {LONGEST_PATTERN} characters, no reference back, no (?...) and no"
            " repeated group that itself ends in a repetition."
        )


def _only_concept(name: str) -> None:
    if name not in CODE_NAMES:
        raise NotValid("A filter by hierarchy names the property concept.")


def _among(name: str, values: list[str]) -> Condition:
    if name in CODE_NAMES:
        return Concept.code.in_(values)
    if name in OWN_COLUMNS:
        return OWN_COLUMNS[name].in_(values)
    if name == "parent":
        return or_(*(Concept.parents.contains([value]) for value in values))
    if name in ("inactive", "status") and set(values) <= {"true", "false", "active", "inactive", "retired"}:
        wanted = [(value in ("false", "active")) for value in values]
        return or_(Concept.active.in_(wanted), _property(name, lambda text: text.in_(values)))
    return _property(name, lambda text: text.in_(values))


def _property(name: str, holds: Callable[[ColumnElement[str]], Condition]) -> Condition:
    """Return the condition that a property of the concept holds; its value is in its one value[x]."""
    one = func.jsonb_array_elements(func.coalesce(Concept.properties, func.jsonb_build_array())).table_valued(
        "value", name="property"
    )
    values = [
        one.c.value.op("->>")(key)
        for key in (
            "valueCode",
            "valueString",
            "valueInteger",
            "valueBoolean",
            "valueDecimal",
            "valueDateTime",
        )
    ]
    coding = one.c.value.op("->")("valueCoding").op("->>")("code")
    found = func.coalesce(*values, coding)
    return (
        select(1).select_from(one).where(and_(one.c.value.op("->>")("code") == name, holds(found))).exists()
    )


def _has_child() -> Condition:
    child = Concept.__table__.alias("child")
    return (
        select(child.c.code)
        .where(child.c.system_id == Concept.system_id, Concept.code == any_(child.c.parents))
        .exists()
    )
