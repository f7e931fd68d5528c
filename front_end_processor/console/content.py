"""A message's content for the eye: HL7 v2 a segment a line, a Bundle as its resources."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MAX_SHOWN = 512 * 1024
_SEGMENT = re.compile(r"([A-Z][A-Z0-9]{2})(\W.*|)", re.DOTALL)
_NUMBER = re.compile(r'"\\u0000([^"\\]*)\\u0000"')


@dataclass(frozen=True, slots=True)
class Shown:
    """The content of one message: its lines as (segment name, rest), and its resources."""

    lines: Sequence[tuple[str, str]]
    resources: Sequence[tuple[str, str]]
    is_cut: bool = False


def show(raw: bytes, charset: str, bundles: Sequence[bytes], *, is_all: bool = True) -> Shown:
    """Return what the page shows of a message's bytes and of the Bundles they became (all of them or not)."""
    text = readable(raw[:MAX_SHOWN], charset)
    resources: list[tuple[str, str]] = []
    size = 0
    for bundle in bundles:
        for entry in json.loads(bundle, parse_float=_mark).get("entry", ()):
            asked = entry.get("request", {})
            name = f"{asked.get('method', '')} {asked.get('url', '')}".strip()
            body = pretty(entry.get("resource", entry))
            size += len(body)
            if size > MAX_SHOWN:
                return Shown(_segments(text), resources, is_cut=True)
            resources.append((name, body))
    return Shown(_segments(text), resources, is_cut=not is_all or len(raw) > MAX_SHOWN)


def readable(raw: bytes, charset: str) -> str:
    """Return bytes as text, whatever the sender called its character set."""
    try:
        text = raw.decode(charset or "utf-8", "replace")
    except LookupError:
        text = raw.decode("utf-8", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def pretty(content: Any) -> str:
    """Return JSON in lines; numbers keep the digits they were written with."""
    return _NUMBER.sub(r"\1", json.dumps(content, ensure_ascii=False, indent=2))


def _mark(digits: str) -> str:
    # The encoder would write a float its own way; a marked text is unmarked after it.
    return f"\0{digits}\0"


def _segments(text: str) -> list[tuple[str, str]]:
    lines = text.rstrip("\n").split("\n")
    if not lines[0].lstrip("\ufeff\x0b").startswith(("MSH", "FHS", "BHS")):
        return [("", line) for line in lines]
    found = (_SEGMENT.fullmatch(line) for line in lines)
    return [(match[1], match[2]) if match else ("", line) for match, line in zip(found, lines, strict=True)]
