"""What an operation is asked with: a query, or a Parameters resource (FHIR R4 operations.html#request)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from flask import request

from esb.fhir import lexemes
from esb.fhir.validation import check_resource
from hie.api import asking
from hie.api.operations import Operation, Param
from hie.errors import Issue, Malformed, NotValid
from hie.repository.query import FORM, check_text

Values = dict[str, list[Any]]
DATE = re.compile(r"\d{4}(-\d\d(-\d\d(T.+)?)?)?")
WHOLE = re.compile(r"[+-]?\d{1,9}")
SHOWN = FORM - {"__explain", "_cursor"}  # of the answer's form, of every operation


def asked(operation: Operation) -> Values:
    """Return the values of each parameter that was given, by name, in the order given.

    Raises: NotValid for an unknown parameter, a wrong type or number; Malformed, UnsupportedMedia, TooLarge.
    """
    known = {param.name: param for param in operation.params}
    found: Values = {}
    for name, value in _given(operation):
        if name not in known:
            raise _wrong(name, _unknown(operation))
        found.setdefault(name, []).append(_read(known[name], value))
    for param in operation.params:
        number = len(found.get(param.name, ()))
        if number < param.least:
            raise _wrong(param.name, f"${operation.name} needs the parameter {param.name}.")
        if param.most is not None and number > param.most:
            raise _wrong(param.name, f"{param.name} may be given once only.")
    return found


def one(values: Values, name: str, default: Any = None) -> Any:
    """Return the only value of a parameter, or the default."""
    return values[name][0] if name in values else default


def _given(operation: Operation) -> Iterator[tuple[str, Any]]:
    for name, value in request.args.items(multi=True):
        if name not in SHOWN and not (name == "_cursor" and operation.name == "everything"):
            check_text(value)
            yield name, value
    if request.method != "POST":
        return
    raw = asking.body_text()
    if not raw.strip():
        return
    resource = lexemes.loads(raw)
    if resource.get("resourceType") == "Parameters":
        params = {param.name: param for param in operation.params}
        for item in _items(resource):
            yield item["name"], _value(item, params.get(item["name"]))
    elif any(param.type == "Resource" for param in operation.params):
        # The only parameter that is a resource may be the body itself.
        yield next(param.name for param in operation.params if param.type == "Resource"), resource
    else:
        raise Malformed("The body of an operation is a Parameters resource.")


def _items(parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the parts of a Parameters resource; what is wrong inside a resource is its own matter."""
    items = parameters.get("parameter", [])
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise Malformed("Parameters.parameter is a list of parameters.")
    bare = [{k: v for k, v in item.items() if k != "resource"} for item in items]
    shown = [one if len(one) > 1 else one | {"valueBoolean": True} for one in bare]
    check_resource(parameters | {"parameter": shown} if shown else parameters)
    return items


def _value(item: dict[str, Any], param: Param | None) -> Any:
    """Return the value of a parameter. Only what stands under its own type was checked as that type."""
    if "resource" in item and (param is None or param.type == "Resource"):
        return item["resource"]
    values = [(key, value) for key, value in item.items() if key.startswith("value")]
    if len(values) != 1:
        raise _wrong(item["name"], "A parameter has one value or one resource.")
    key, value = values[0]
    if param is not None and READERS.get(param.type) is _complex and key != f"value{param.type}":
        raise _wrong(param.name, f"{param.name} is no {param.type}.")
    return value


def _unknown(operation: Operation) -> str:
    names = ", ".join(param.name for param in operation.params)
    return f"${operation.name} has no such parameter; known are: {names or 'none'}."


def _wrong(name: str, text: str) -> NotValid:
    shown = name if len(name) < 64 and name.isprintable() else "a parameter"
    return NotValid(text, issues=[Issue(shown, text, "invalid")])


def _read(param: Param, value: Any) -> Any:
    if isinstance(value, str) and param.longest is not None and len(value) > param.longest:
        raise _wrong(param.name, f"{param.name} has more than {param.longest:,} characters; shorten it.")
    reader = READERS.get(param.type, _text)
    try:
        return reader(value)
    except ValueError:
        raise _wrong(param.name, f"{param.name} is no {KINDS.get(param.type, param.type)}.") from None


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError
    check_text(value)
    return value


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not WHOLE.fullmatch(str(value)):
        raise ValueError
    return int(value)


def _at_least(least: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        number = _whole(value)
        if number < least:
            raise ValueError
        return number

    return read


def _boolean(value: Any) -> bool:
    if value in (True, "true"):
        return True
    if value in (False, "false"):
        return False
    raise ValueError


def _date(value: Any) -> str:
    # A '+' of an offset that was not escaped in the URL arrives as a space.
    text = _text(value).replace(" ", "+")
    if not DATE.fullmatch(text):
        raise ValueError
    return text


def _complex(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError
    return value


KINDS = {
    "integer": "integer above 0",
    "positiveInt": "integer above 0",
    "unsignedInt": "integer from 0",
}
READERS: dict[str, Callable[[Any], Any]] = {
    "integer": _at_least(1),
    "positiveInt": _at_least(1),
    "unsignedInt": _at_least(0),
    "boolean": _boolean,
    "date": _date,
    "dateTime": _date,
    "instant": _date,
    "Meta": _complex,
    "Coding": _complex,
    "CodeableConcept": _complex,
    "Resource": _complex,
}
