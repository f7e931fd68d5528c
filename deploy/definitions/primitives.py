"""The primitive types of FHIR R4 as JSON Schema (datatypes.html#primitive).

Stricter than the published patterns where those let nonsense through: days that no calendar has,
empty strings, control characters (datatypes.html#string), base64 of the wrong length.
"""

from __future__ import annotations

from typing import Any

_YEAR = "(?:[0-9](?:[0-9](?:[0-9][1-9]|[1-9]0)|[1-9]00)|[1-9]000)"
_LEAP_YEAR = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_MONTH_DAY = (
    "(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    "|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
_DAY = f"(?:{_YEAR}-{_MONTH_DAY}|{_LEAP_YEAR}-02-29)"
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
_OFFSET = r"(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_TEXT = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f]+$"
_BASE64 = r"(?:\s*[A-Za-z0-9+/])"

_PATTERNS = {
    "base64Binary": rf"^(?:{_BASE64}{{4}})*(?:{_BASE64}{{2}}\s*=\s*=|{_BASE64}{{3}}\s*=)?\s*$",
    "canonical": r"^\S+$",
    "code": r"^[^\s]+(\s[^\s]+)*$",
    "date": f"^(?:{_YEAR}(?:-(?:0[1-9]|1[0-2]))?|{_DAY})$",
    "dateTime": f"^(?:{_YEAR}(?:-(?:0[1-9]|1[0-2]))?|{_DAY}(?:T{_TIME}{_OFFSET})?)$",
    "id": r"^[A-Za-z0-9.\-]{1,64}$",
    "instant": f"^{_DAY}T{_TIME}{_OFFSET}$",
    "markdown": _TEXT,
    "oid": r"^urn:oid:[0-2](\.(0|[1-9][0-9]*))+$",
    "string": _TEXT,
    "time": f"^{_TIME}$",
    "uri": r"^\S+$",
    "url": r"^\S+$",
    "uuid": "^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
    "xhtml": r"^\s*<div[\s>]",
}
_LARGEST = 2_147_483_647
_WHOLE = {"type": "integer", "digits": True}

PRIMITIVES: dict[str, dict[str, Any]] = {
    name: {"type": "string", "pattern": pattern} for name, pattern in _PATTERNS.items()
} | {
    "boolean": {"type": "boolean"},
    "decimal": {"type": "number"},
    "integer": _WHOLE | {"minimum": -_LARGEST - 1, "maximum": _LARGEST},
    "positiveInt": _WHOLE | {"minimum": 1, "maximum": _LARGEST},
    "unsignedInt": _WHOLE | {"minimum": 0, "maximum": _LARGEST},
}
