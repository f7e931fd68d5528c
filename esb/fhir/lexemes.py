"""Reads and writes JSON with every number as it was written (FHIR R4 json.html#primitive, decimal precision).

A decimal becomes a `Decimal`, which keeps 128.50 apart from 128.5, can be compared and searched, and is
accepted by the validator: one parse serves all. An integer of up to 18 digits becomes an `int`.
"""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

import orjson

from esb.errors import Issue, Malformed
from esb.fhir.misfits import place_of_misfit

MAX_NUMBER_LENGTH = 100
MAX_EXPONENT = 400
LARGEST = Decimal("1.7976931348623157E+308")  # that a double holds
MAX_NESTING = 254  # what orjson writes
TOO_DEEP = "The content nests too deeply; flatten it."


class Beyond(Decimal):
    """A number that no double holds: it is kept where it is already, and no valid resource has one."""


def loads(raw: bytes | str) -> dict[str, Any]:
    """Return the JSON object of a text, decimals as `Decimal`.

    Raises: Malformed if it is no JSON object in UTF-8, nests too deeply, names a key twice, or holds a text
        or a number that cannot be kept; it names the element.
    """
    parsed = loads_any(raw)
    if not isinstance(parsed, dict):
        raise Malformed("A JSON object is expected here; send one resource or Bundle.")
    return parsed


def loads_any(raw: bytes | str) -> Any:
    """Return the JSON value of a text (a JSON Patch is an array); as `loads` otherwise."""
    try:
        text = raw if isinstance(raw, str) else str(raw, "utf-8")
    except UnicodeDecodeError:
        raise Malformed("The content is not UTF-8; FHIR JSON is always sent in UTF-8.") from None
    if text.startswith("\ufeff"):
        text = text[1:]
    try:
        return _decoded(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise Malformed(f"The content is not JSON ({place}); check that it was sent whole.") from None
    except RecursionError:
        raise Malformed(TOO_DEEP) from None
    except Malformed as error:
        place = "" if error.text == TOO_DEEP else place_of_misfit(text, is_number)
        said = f"{place}: {error.text}" if place else error.text
        raise Malformed(said, issues=[Issue(place, said, error.code)]) from None


def loads_kept(content: bytes | str) -> Any:
    """Return the JSON value of a text that is kept: decimals as floats, all as `Decimal` if one is beyond."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return _KEPT.decode(content if isinstance(content, str) else content.decode())


def _decoded(text: str) -> Any:
    parsed = _DECODER.decode(text)
    written = dumps(parsed)
    # Each member has one colon outside strings; a key named twice leaves fewer behind.
    if text.count(":") != written.count(b":") or "\\u003" in text:
        _check_unique_keys(text)
    if b"\\u0000" in written and _has_nul(parsed):
        raise Malformed("A text holds the character U+0000; leave it out.")
    return parsed


def _has_nul(parsed: Any) -> bool:
    """Say whether a text or key holds a NUL, which no database keeps; what looks like one is often not."""
    queue = [parsed]
    for node in queue:  # grows while it is read
        if isinstance(node, dict):
            queue += [*node, *node.values()]
        elif isinstance(node, list):
            queue += node
        elif isinstance(node, str) and "\0" in node:
            return True
    return False


def dumps(obj: Any) -> bytes:
    """Return compact UTF-8 JSON with the digits of every decimal.

    Raises: Malformed if a text holds half a character (a lone surrogate) or the nesting is too deep.
    """
    try:
        return orjson.dumps(obj, _number)
    except TypeError as error:
        if "surrogates" in str(error):
            raise Malformed("A text holds half a character (lone surrogate); send it whole.") from None
        if "ecursion" in str(error):
            raise Malformed(TOO_DEEP) from None
        raise


def dumps_pretty(obj: Any) -> bytes:
    """Return indented JSON for `_pretty`, with the digits of every decimal."""
    return orjson.dumps(obj, _number, orjson.OPT_INDENT_2)


def _number(value: object) -> orjson.Fragment:
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value))
    raise TypeError(f"{type(value).__name__} is not JSON")


def is_number(lexeme: str) -> bool:
    """Say whether a number can be kept: of up to 100 characters, its exponent within reason."""
    try:
        _decimal(lexeme)
    except Malformed:
        return False
    return True


def _decimal(lexeme: str) -> Decimal:
    if len(lexeme) <= MAX_NUMBER_LENGTH:
        try:
            number = Decimal(lexeme)
        except InvalidOperation:  # an exponent beyond what can be held
            pass
        else:
            exponent = number.adjusted()
            if -MAX_EXPONENT <= exponent < 308:
                return number
            if 308 <= exponent <= MAX_EXPONENT:
                return number if abs(number) <= LARGEST else Beyond(number)
    raise Malformed("A number is longer than any system can keep; FHIR decimals have up to 18 digits.")


def _integer(lexeme: str) -> int | Decimal:
    return int(lexeme) if len(lexeme) <= 18 and lexeme != "-0" else _decimal(lexeme)


def _long_integer(lexeme: str) -> int | Decimal:
    return int(lexeme) if len(lexeme) <= 18 else Decimal(lexeme)


def _constant(_: str) -> NoReturn:
    raise Malformed("NaN and Infinity are no JSON numbers; leave the element out.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Malformed("An object names the same key twice; which one holds cannot be known.")
    return members


def _check_unique_keys(text: str) -> None:
    json.loads(text, object_pairs_hook=_unique, parse_int=_integer, parse_float=_decimal)


_DECODER = json.JSONDecoder(parse_float=_decimal, parse_int=_integer, parse_constant=_constant)
_KEPT = json.JSONDecoder(parse_float=Decimal, parse_int=_long_integer)
