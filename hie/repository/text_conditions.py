"""Conditions of string and uri parameters (FHIR R4 search.html#string, #uri)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlalchemy import and_, func, or_

from esb.fhir.search_parameters import Parameter
from hie.repository import definitions, tokens
from hie.repository.matching import Condition, Manner, bad_value, has_any, has_text_like, refuse, unescape
from hie.schema.repository import SearchText

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/]+")
MOST_SEGMENTS = 100


def by_string(
    type_: str, parameter: Parameter, modifier: str, values: Sequence[str], how: Manner
) -> Condition:
    """Return the condition of a string parameter: how a text begins, what it contains, what it exactly is."""
    refuse(parameter.code, modifier, "exact", "contains")
    names = [definitions.path_name(type_, path) for path in parameter.paths]
    wanted: list[int] = []
    within = []
    for value in map(unescape, values):
        text = tokens.folded(value)
        if not text:
            raise bad_value(parameter.code, "it has no letters or digits")
        if modifier == "contains":
            within.append(func.strpos(SearchText.c.text, text) > 0)
        elif modifier == "exact":
            wanted += [tokens.by_exact(name, value) for name in names]
        elif len(text) > tokens.PREFIX_LIMIT:
            raise bad_value(parameter.code, f"it is longer than {tokens.PREFIX_LIMIT} characters")
        else:
            wanted += [tokens.by_prefix(name, text) for name in names]
    if within:
        return has_text_like(parameter.code, names, or_(*within), how)
    return has_any(wanted, how)


def by_uri(type_: str, parameter: Parameter, modifier: str, values: Sequence[str], how: Manner) -> Condition:
    """Return the condition of a uri parameter: the same, above it or below it in the path of a URL."""
    refuse(parameter.code, modifier, "above", "below")
    names = [definitions.path_name(type_, path) for path in parameter.paths]
    asked = [unescape(value) for value in values]
    if modifier and not all(map(URL.match, asked)):
        raise bad_value(parameter.code, ":above and :below are for URLs, which have a path")
    if modifier == "below":
        below = [
            or_(
                SearchText.c.text == uri.rstrip("/"),
                func.starts_with(SearchText.c.text, uri.rstrip("/") + "/"),
            )
            for uri in asked
        ]
        return has_text_like(parameter.code, names, or_(*below), how)
    if modifier == "above":
        asked = [above for uri in asked for above in _above(parameter.code, uri)]
    found = has_any([tokens.by_reference(name, uri) for name in names for uri in asked], how)
    versions = [_of_version(type_, names, uri, how) for uri in asked if "|" in uri]
    return or_(found, *versions) if versions and parameter.code == "url" and not modifier else found


def _of_version(type_: str, names: Sequence[str], uri: str, how: Manner) -> Condition:
    """Return the condition of a canonical address with its business version, `url|version`."""
    address, _, version = uri.rpartition("|")
    is_there = has_any([tokens.by_reference(name, address) for name in names], how)
    return and_(is_there, has_any([tokens.by_code(f"{type_}.version", version)], how))


def _above(code: str, uri: str) -> list[str]:
    """Return a URL and those of the folders it lies in, with and without the stroke at the end."""
    found = URL.match(uri)
    root = found[0] if found else ""
    segments = uri[len(root) :].strip("/").split("/")
    if len(segments) > MOST_SEGMENTS:
        raise bad_value(code, f"its path has more than {MOST_SEGMENTS} parts")
    ends = [root] + ["/".join([root, *segments[: size + 1]]) for size in range(len(segments))]
    return [form for end in ends for form in (end, end + "/")]
