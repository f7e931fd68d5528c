"""Asks a condition of a search of one resource's index: the SQL of conditions, done in Python."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sqlalchemy import Select
from sqlalchemy.sql import elements, operators
from sqlalchemy.sql.visitors import iterate

from hie.repository.emitters import Index
from hie.repository.numbers import Number
from hie.repository.shaped import Condition, Shaped

Row = Mapping[str, Any]
Tables = Mapping[str, Iterable[Row]]

COMPARED: dict[Any, Callable[[Any, Any], bool]] = {
    operators.eq: operator.eq,
    operators.ne: operator.ne,
    operators.lt: operator.lt,
    operators.le: operator.le,
    operators.gt: operator.gt,
    operators.ge: operator.ge,
    operators.in_op: lambda value, listed: value in listed,
}


def is_found(condition: Condition, index: Index, compartment: str = "") -> bool:
    """Say whether a condition holds for a resource of an index, kept with a patient or with nobody."""
    type_, id_ = index.resource["resourceType"], index.resource["id"]
    own = {"compartment": compartment, "type": type_, "id": id_}
    low, high = index.primary or (None, None)
    row = {**own, "tokens": index.tokens, "date_low": low, "date_high": high}
    tables = {
        "search_date": [{**own, "param": param, "low": a, "high": b} for param, (a, b) in index.dates],
        "search_number": [{**own, **_columns(number)} for number in index.numbers],
    }
    return _holds(condition, {"resource": row}, tables)


def _columns(number: Number) -> Row:
    unit = number.unit
    units = {"unit": unit.code, "unit_system": unit.system, "unit_text": unit.text, "base": unit.base}
    return number._asdict() | units


def _holds(condition: Any, rows: Mapping[str, Row], tables: Tables) -> bool:
    if isinstance(condition, Shaped):
        condition = condition.__clause_element__()
    match condition:
        case elements.Grouping():
            return _holds(condition.element, rows, tables)
        case elements.BooleanClauseList():
            every = all if condition.operator is operators.and_ else any
            return every(_holds(inner, rows, tables) for inner in condition.clauses)
        case elements.False_():
            return False
        case elements.UnaryExpression() if condition.operator is operators.exists:
            return _exists(condition, rows, tables)
        case elements.AsBoolean():
            return _holds(condition.element, rows, tables) is (condition.operator is operators.is_true)
        case elements.BinaryExpression():
            return _compared(condition, rows)
    raise NotImplementedError(type(condition))


def _exists(condition: Any, rows: Mapping[str, Row], tables: Tables) -> bool:
    select = next(part for part in iterate(condition) if isinstance(part, Select))
    (name,) = {str(table) for table in select.get_final_froms()} - rows.keys()
    return any(_holds(select.whereclause, {**rows, name: row}, tables) for row in tables[name])


def _compared(condition: Any, rows: Mapping[str, Row]) -> bool:
    left, right = _value(condition.left, rows), _value(condition.right, rows)
    if getattr(condition.operator, "opstring", "") == "&&":
        return not set(left).isdisjoint(right)
    if isinstance(condition.right, elements.CollectionAggregate):
        return left in right
    return left is not None and right is not None and COMPARED[condition.operator](left, right)


def _value(element: Any, rows: Mapping[str, Row]) -> Any:
    match element:
        case elements.BindParameter():
            return element.value
        case elements.Grouping() | elements.CollectionAggregate():
            return _value(element.element, rows)
        case elements.Cast():
            return _value(element.clause, rows)
        case elements.ColumnElement() if element.__visit_name__ == "column":
            return rows[element.table.name][element.name]
        case elements.ColumnElement() if element.__visit_name__ == "function":
            return _value(next(iter(element.clauses)), rows)
    raise NotImplementedError(type(element))
