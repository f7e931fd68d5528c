"""Writing ER7: escaping (v2.5 chapter 2.7) and joining fields."""

from __future__ import annotations

from collections.abc import Mapping

_SPECIAL = str.maketrans(
    {"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\", "\r": "", "\n": "\\.br\\"}
)


def escape(text: str) -> str:
    """Return a text with the delimiters escaped and line ends as `\\.br\\`."""
    return text.translate(_SPECIAL)


def components(*values: str) -> str:
    """Return escaped components joined, trailing empty ones left out."""
    return "^".join(map(escape, values)).rstrip("^")


def join(segment: str, fields: Mapping[int, str]) -> str:
    """Return a segment from its fields by number, which are escaped already."""
    last = max(number for number, value in fields.items() if value)
    return "|".join((segment, *(fields.get(n, "") for n in range(1, last + 1))))


def message(segments: list[str], encoding: str) -> bytes:
    """Return the bytes of a message: segments ended by carriage return, in the hospital's character set."""
    return ("\r".join(segments) + "\r").encode(encoding)
