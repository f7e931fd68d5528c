"""What a search asks for that is not known here: the error, and the name that was probably meant."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

from hie.errors import Issue, NotSupported

LONGEST_NAME = 64
# What may be repeated in an answer: a name, not what somebody put in its place.
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_:.-]{0,62}")
# What R4 knows and is not answered here, and what serves instead.
INSTEAD = {
    "_contained": "contained resources are shown within the resource that holds them; leave it out",
    "_containedType": "contained resources are shown within the resource that holds them; leave it out",
    "_query": "there are no named queries; use the search parameters of the type",
    "_text": "narrative is not searched; use the search parameters of the type, e.g. code or name",
    "_content": "content is not searched as a whole; use the search parameters of the type",
    "_filter": "filter expressions are not read; use search parameters, chains and _has",
    "_score": "matches are not scored; they can be sorted with _sort",
    "_maxresults": "a search gives all that matches; limit a page with _count",
}


class Unknown(NotSupported):
    """A search parameter is not known here; see the CapabilityStatement at /fhir/metadata."""


class WrongModifier(Unknown):
    """A modifier is not known here; a search without it would find something else (search.html#modifiers)."""


def unknown(name: str, why: str, kind: type[Unknown] = Unknown) -> Unknown:
    """Return the error for a parameter that is left aside under lenient handling."""
    shown = name if NAME.fullmatch(name) else "a parameter"
    return kind(f"{shown}: {why}", issues=[Issue(shown, f"{shown}: {why}", "not-supported")])


def wrong_modifier(name: str, why: str) -> Unknown:
    """Return the error for a modifier, which is refused under lenient handling too."""
    return unknown(name, why, WrongModifier)


def no_parameter(name: str, where: str, known: Iterable[str]) -> Unknown:
    """Return the error for a name that a type does not have, with the nearest one that it has."""
    if name in INSTEAD:
        return unknown(name, INSTEAD[name])
    return unknown(name, f"{where} has no such search parameter{meant(name, known)}")


def meant(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence that suggests the nearest known name, or nothing."""
    if len(name) >= LONGEST_NAME:
        return ""
    near = get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""
