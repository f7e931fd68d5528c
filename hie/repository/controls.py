"""The parameters that say how a search is answered, not what is found (FHIR R4 search.html#control)."""

from __future__ import annotations

from collections.abc import Callable

from esb.fhir.search_parameters import PARAMETERS
from esb.fhir.types import RESOURCE_TYPES
from hie.errors import NotSupported
from hie.repository.conditions import bad_value
from hie.repository.unknown import meant, unknown
from hie.repository.wanted import MOST, Include, Query

ELEMENTS = "_elements is not answered yet; leave it out and whole resources are given."
MOST_SORTED = 10  # keys of an order
TOTALS = ("none", "accurate", "estimate")


def _count(query: Query, value: str) -> None:
    if not value.isascii() or not value.isdigit() or len(value) > 9:
        raise bad_value("_count", "it is no whole number")
    query.count = min(int(value), MOST)
    query.only_count = query.only_count or query.count == 0


def _summary(query: Query, value: str) -> None:
    if value == "count":
        query.only_count = True
    elif value != "false":
        raise unknown("_summary", "only count and false are answered here")


def _total(query: Query, value: str) -> None:
    if value not in TOTALS:
        raise bad_value("_total", "it is none, accurate or estimate")
    query.total = value != "none"


def _sort(query: Query, value: str) -> None:
    type_ = query.target.types[0]
    if value.count(",") >= MOST_SORTED:
        raise bad_value("_sort", f"it has more than {MOST_SORTED} keys")
    for item in value.split(","):
        code = item.removeprefix("-")
        parameter = PARAMETERS[type_].get(code)
        if parameter is None or (parameter.kind != "date" and code != "_id"):
            raise unknown("_sort", f"{type_} cannot be sorted so; dates, _lastUpdated and _id can")
        query.sort.append((parameter, item.startswith("-")))


def _include(query: Query, value: str, *, iterate: bool) -> None:
    found = _included("_include", value, iterate=iterate)
    if not iterate and found.source not in ("*", *query.target.types):
        raise unknown("_include", "it begins with a type that is searched for; _include:iterate goes further")
    query.includes.append(found)


def _revinclude(query: Query, value: str, *, iterate: bool) -> None:
    query.revincludes.append(_included("_revinclude", value, iterate=iterate))


def _included(name: str, value: str, *, iterate: bool) -> Include:
    """Return what `Type:parameter[:Target]`, `Type:*` or `*` brings along."""
    parts = value.split(":")
    source, code = parts[0], parts[1] if len(parts) > 1 else "*" if value == "*" else ""
    target = parts[2] if len(parts) > 2 else ""
    if len(parts) > 3 or not code or (source != "*" and source not in RESOURCE_TYPES):
        raise unknown(name, "it is Type:reference-parameter, Type:reference-parameter:Target, Type:* or *")
    if code != "*":
        codes = [c for c, p in PARAMETERS.get(source, {}).items() if p.kind == "reference"]
        if code not in codes:
            raise unknown(name, f"{source} has no such reference parameter{meant(code, codes)}")
    if target and target not in RESOURCE_TYPES:
        raise unknown(name, "its target is no resource type")
    return Include(source, code, target, iterate)


def _elements(query: Query, value: str) -> None:
    """Refuse, strict or not: who asks for parts may not be sent, unsaid, the whole."""
    raise NotSupported(ELEMENTS)


def _plain(name: str, read: Callable[[Query, str], None]) -> Callable[[Query, str, str], None]:
    def control(query: Query, modifier: str, value: str) -> None:
        if modifier:
            raise unknown(name, "it takes no modifier")
        read(query, value)

    return control


def _iterable(name: str, read: Callable[..., None]) -> Callable[[Query, str, str], None]:
    def control(query: Query, modifier: str, value: str) -> None:
        if modifier not in ("", "iterate"):
            raise unknown(name, f"its only modifier is :iterate{meant(modifier, ('iterate',))}")
        read(query, value, iterate=modifier == "iterate")

    return control


CONTROLS: dict[str, Callable[[Query, str, str], None]] = {
    "_count": _plain("_count", _count),
    "_summary": _plain("_summary", _summary),
    "_total": _plain("_total", _total),
    "_sort": _plain("_sort", _sort),
    "_include": _iterable("_include", _include),
    "_revinclude": _iterable("_revinclude", _revinclude),
    "_elements": _plain("_elements", _elements),
}
