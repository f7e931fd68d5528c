"""What of a resource an answer shows: `_summary` and `_elements` (FHIR R4 search.html#summary)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flask import request

from esb.fhir import lexemes
from esb.fhir.shapes import SUMMARIES, keys_named, summarised, with_elements
from hie.errors import NotValid


def shaped(content: bytes, summary: str, elements: Sequence[str] = ()) -> bytes:
    """Return the part of a stored resource that is asked for, digits kept; all of it, unparsed, if all is.

    Args:
        summary: true, text or data; anything else means whole resources.
        elements: names of elements; none means all.
    """
    if elements:
        return lexemes.dumps(with_elements(lexemes.loads_any(content), elements))
    if summary in SUMMARIES:
        return lexemes.dumps(summarised(lexemes.loads_any(content), summary))
    return content


def as_asked(content: bytes) -> bytes:
    """Return the part of a resource that a read asks for by `_summary` or `_elements`. Raises: NotValid."""
    return part_of(content, request.args)


def part_of(content: bytes, asked: Mapping[str, str]) -> bytes:
    """Return the part of a resource that `_summary` or `_elements` ask for. Raises: NotValid."""
    summary, elements = asked.get("_summary", "false"), asked.get("_elements")
    if summary not in (*SUMMARIES, "false"):
        raise NotValid("_summary of a read is true, text, data or false.")
    if elements is None:
        return shaped(content, summary)
    if summary != "false":
        raise NotValid("_summary and _elements both say what is shown; use one of them.")
    names = [name for name in elements.split(",") if name]
    resource = lexemes.loads_any(content)
    if not names or not all(keys_named(resource["resourceType"], name) for name in names):
        raise NotValid("_elements names elements of the type, separated by commas.")
    return lexemes.dumps(with_elements(resource, names))
