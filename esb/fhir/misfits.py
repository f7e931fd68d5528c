"""Where in a JSON text stands what cannot be kept: a number, half a character, a NUL, a key named twice."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

NAME = re.compile(r"_?[A-Za-z][A-Za-z0-9]{0,63}")
NO_TEXT = re.compile("[\x00\ud800-\udfff]")


class _Misfit:
    """Stands for a number that cannot be kept."""


class _Twice(dict[str, Any]):
    """An object that names a key twice."""

    key = ""


def place_of_misfit(text: str, is_number: Callable[[str], bool]) -> str:
    """Return the path of the first misfit, as in `Patient.name[0].text`; the type alone if none is found.

    Args:
        is_number: says whether a number can be kept.
    """

    def number(lexeme: str) -> object:
        return 0 if is_number(lexeme) else _Misfit()

    try:
        parsed = json.loads(
            text,
            parse_int=number,
            parse_float=number,
            parse_constant=lambda _: _Misfit(),
            object_pairs_hook=_object,
        )
    except (ValueError, RecursionError):
        return ""
    return _search(parsed)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    seen: set[str] = set()
    twice = _Twice(members)
    for name, _ in pairs:
        if name in seen:
            twice.key = name
            break
        seen.add(name)
    return twice


def _search(parsed: Any) -> str:
    root = parsed.get("resourceType") if isinstance(parsed, dict) else None
    start = root if isinstance(root, str) and NAME.fullmatch(root) else ""
    queue: list[tuple[str, Any]] = [(start, parsed)]
    for path, node in queue:  # grows while it is read
        if isinstance(node, _Misfit) or (isinstance(node, str) and NO_TEXT.search(node)):
            return path
        if isinstance(node, _Twice):
            return _under(path, node.key)
        if isinstance(node, dict):
            if any(NO_TEXT.search(key) for key in node):
                return path
            queue += [(_under(path, key), inner) for key, inner in node.items()]
        elif isinstance(node, list):
            queue += [(f"{path}[{number}]", inner) for number, inner in enumerate(node)]
    return start


def _under(path: str, key: str) -> str:
    """Return the path of a member; a key that is no element's name could be a value, and is not shown."""
    shown = key if NAME.fullmatch(key) else "?"
    return f"{path}.{shown}" if path else shown
