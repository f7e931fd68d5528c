"""Where two servers may differ: at most ten classes, each decided by a section of FHIR R4."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

from esb.fhir.search_parameters import PARAMETERS
from tests.foreign.two_servers import Atom, leaves, texts_of
from tests.hub_world import Json

SPECIFICATION = "http://hl7.org/fhir/R4/search.html"


@dataclass(frozen=True)
class Class:
    """One class of differences.

    section: of the specification's page on search, which decides it. hub, peer: what each does.
    """

    name: str
    section: str
    hub: str
    peer: str


CLASSES = (
    Class(
        "string-beginning",
        "string",
        "from the beginning; `:exact` the whole, case and all",
        "any part, always",
    ),
    Class(
        "string-parts", "string", "each part of a name or address; names as they are read", "one joined text"
    ),
    Class("token-case", "token", "codes in any case, systems as written", "systems in any case too"),
    Class("token-text", "token", "the codes; texts only by `:text`", "texts and displays too"),
    Class(
        "token-system", "token", "`|code` of elements whose system is implied", "no match: a system is there"
    ),
    Class("reference-id", "reference", "an id alone finds every type the parameter may point to", "no match"),
    Class(
        "date-range",
        "prefix",
        "ranges by their definitions; no value, no match",
        "any overlap; texts compared",
    ),
    Class("number", "number", "numbers and quantities, as precise as asked", "never a match"),
    Class("uri-whole", "uri", "the whole address", "any part"),
    Class(
        "missing-computed",
        "modifiers",
        "`:missing` asks for the element",
        "its expression always has a value",
    ),
)


def explain(atom: Atom, one: Json, is_ours: bool) -> str | None:
    """Return the class of the difference that one server alone finds a resource, None if it has none."""
    if atom.modifier == "missing":
        computed = any(path.exists for path in PARAMETERS[atom.type][atom.code].paths)
        return "missing-computed" if computed else None
    return BY_KIND[atom.kind](atom, one, is_ours)


def folded(text: str) -> str:
    """Return a text without case and accents."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in plain if not unicodedata.combining(c))


def _string(atom: Atom, one: Json, is_ours: bool) -> str | None:
    texts = [text for value in leaves(one, atom.code) for text in texts_of(value)]
    asked = folded(atom.value)
    matches = {
        "": any(folded(text).startswith(asked) for text in texts),
        "exact": atom.value in texts,
        "contains": any(asked in folded(text) for text in texts),
    }[atom.modifier]
    if not is_ours:
        return None if matches else "string-beginning"
    if matches:
        return "string-parts"
    if atom.modifier == "" and atom.code in ("name", "phonetic", "family", "given"):
        closed = asked.replace(" ", "")
        joined = (
            "".join(map(folded, some)).replace(" ", "") for n in (1, 2, 3) for some in permutations(texts, n)
        )
        if any("\u4e00" <= c <= "\u9fff" for text in texts for c in text):
            return "string-parts"
        return "string-parts" if any(text.startswith(closed) for text in joined) else None
    return None


def _codes(value: Any) -> list[tuple[str | None, str]]:
    """Return (system, code) of each coding; a ContactPoint's and a code's system is implied (None)."""
    if isinstance(value, bool):
        return [(None, str(value).lower())]
    if isinstance(value, str):
        return [(None, value)]
    if not isinstance(value, dict):
        return []
    if "coding" in value:
        return [(c.get("system", ""), c.get("code", "")) for c in value["coding"]]
    is_contact = "value" in value and value.get("system", "").isalpha()
    number = value.get("value", value.get("code"))
    return [] if number is None else [(None if is_contact else value.get("system", ""), str(number))]


def _has_code(one: Json, atom: Atom, fold: Callable[[str], str]) -> bool:
    system, bar, code = atom.value.rpartition("|")
    return any(
        code.lower() == there.lower() and (not bar or known is None or fold(known) == fold(system))
        for value in leaves(one, atom.code)
        for known, there in _codes(value)
    )


def _token(atom: Atom, one: Json, is_ours: bool) -> str | None:
    has_code, loose = _has_code(one, atom, str), _has_code(one, atom, str.lower)
    if (has_code != (atom.modifier == "not")) != is_ours:
        return None
    if has_code:
        return "token-system" if atom.value.startswith("|") else None
    if loose:
        return "token-case"
    texts = [
        text.lower()
        for value in leaves(one, atom.code)
        if isinstance(value, dict)
        for text in (value.get("text"), *(c.get("display") for c in value.get("coding", ())))
        if text
    ]
    return "token-text" if atom.value.rpartition("|")[2].lower() in texts else None


def _reference(atom: Atom, one: Json, is_ours: bool) -> str | None:
    pointed = [value.get("reference", "") for value in leaves(one, atom.code) if isinstance(value, dict)]
    found = any(reference.endswith(f"/{atom.value}") for reference in pointed)
    return "reference-id" if is_ours and found and "/" not in atom.value else None


Range = tuple[datetime, datetime]
FIRST, LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)


def span(text: str) -> Range:
    """Return the range [begin, end) that a FHIR date stands for, in UTC (search.html#date)."""
    if "T" in text:
        begin = datetime.fromisoformat(text.replace("Z", "+00:00"))
        begin = begin if begin.tzinfo else begin.replace(tzinfo=UTC)
        step = timedelta(milliseconds=1) if "." in text else timedelta(seconds=1)
        return begin, begin + step
    year, month, day = [*map(int, text.split("-")), 0, 0][:3]
    begin = datetime(year, month or 1, day or 1, tzinfo=UTC)
    if day:
        return begin, begin + timedelta(days=1)
    if month:
        return begin, datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    return begin, datetime(year + 1, 1, 1, tzinfo=UTC)


def _ranges(value: Any) -> list[Range]:
    if isinstance(value, str):
        return [span(value)]
    if isinstance(value, dict) and ("start" in value or "end" in value):
        begin = span(value["start"])[0] if "start" in value else FIRST
        return [(begin, span(value["end"])[1] if "end" in value else LAST)]
    return []


# Of the range asked for (begin, end) and a resource's (low, high), by prefix (search.html#prefix).
COMPARED: dict[str, Callable[[Any, Any, Any, Any], bool]] = {
    "eq": lambda begin, end, low, high: bool(begin <= low and high <= end),
    "ne": lambda begin, end, low, high: not (begin <= low and high <= end),
    "gt": lambda begin, end, low, high: bool(high > end),
    "lt": lambda begin, end, low, high: bool(low < begin),
    "ge": lambda begin, end, low, high: bool(high > end or (begin <= low and high <= end)),
    "le": lambda begin, end, low, high: bool(low < begin or (begin <= low and high <= end)),
    "sa": lambda begin, end, low, high: bool(low >= end),
    "eb": lambda begin, end, low, high: bool(high <= begin),
}


def _date(atom: Atom, one: Json, is_ours: bool) -> str | None:
    there = [found for value in leaves(one, atom.code) for found in _ranges(value)]
    if atom.prefix == "ap":
        # How near is near, the specification leaves to the server; only what has a date can be.
        return "date-range" if there else None
    compare, asked = COMPARED[atom.prefix or "eq"], span(atom.value)
    matches = any(compare(*asked, *found) for found in there)
    return "date-range" if matches == is_ours else None


def _number(atom: Atom, one: Json, is_ours: bool) -> str | None:
    # The other never finds one. Whether the hub is right, the second opinion says.
    return "number" if is_ours else None


def _uri(atom: Atom, one: Json, is_ours: bool) -> str | None:
    there = [value for value in leaves(one, atom.code) if isinstance(value, str)]
    is_part = any(atom.value in value for value in there)
    return "uri-whole" if not is_ours and is_part and atom.value not in there else None


BY_KIND: dict[str, Callable[[Atom, Json, bool], str | None]] = {
    "string": _string,
    "token": _token,
    "reference": _reference,
    "date": _date,
    "number": _number,
    "quantity": _number,
    "uri": _uri,
}
