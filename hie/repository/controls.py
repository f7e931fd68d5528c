"""The parameters that say how a search is answered, not what is found (FHIR R4 search.html#control)."""

from __future__ import annotations

from collections.abc import Callable

from esb.fhir.search_parameters import PARAMETERS
from esb.fhir.shapes import element_names, keys_named
from esb.fhir.types import RESOURCE_TYPES
from hie.errors import NotSupported
from hie.repository.conditions import bad_value
from hie.repository.definitions import EVERY_TYPE
from hie.repository.sorting import sort_column
from hie.repository.unknown import meant, unknown, wrong_modifier
from hie.repository.wanted import MOST, Include, Query, Sorting

MOST_INCLUDES = 40
MOST_SORTED = 10  # keys of an order
SUMMARIES = ("true", "text", "data", "count", "false")
TOTALS = ("none", "accurate", "estimate")


def _count(query: Query, value: str) -> None:
    if not value.isascii() or not value.isdigit() or len(value) > 9:
        raise bad_value("_count", "it is no whole number")
    query.count = min(int(value), MOST)
    query.only_count = query.only_count or query.count == 0


def _summary(query: Query, value: str) -> None:
    if value not in SUMMARIES:
        raise unknown("_summary", f"it is one of {', '.join(SUMMARIES)}{meant(value, SUMMARIES)}")
    if value == "count":
        query.only_count = True
    elif query.elements and value != "false":
        raise unknown("_summary", "_elements says already what is shown; use one of them")
    else:
        query.summary = value


def _elements(query: Query, value: str) -> None:
    if query.summary != "false":
        raise unknown("_elements", "_summary says already what is shown; use one of them")
    names = [name for name in value.split(",") if name]
    for name in names:
        types = query.target.types
        if not any(keys_named(type_, name) for type_ in types):
            known = {each for type_ in types for each in element_names(type_)}
            raise unknown("_elements", f"there is no such element{meant(name, known)}")
    if not names:
        raise unknown("_elements", "it names elements, separated by commas")
    query.elements += names


def _total(query: Query, value: str) -> None:
    if value not in TOTALS:
        raise bad_value("_total", "it is none, accurate or estimate")
    query.total = value != "none"


def _sort(query: Query, value: str) -> None:
    types = query.target.types
    if value.count(",") >= MOST_SORTED:
        raise bad_value("_sort", f"it has more than {MOST_SORTED} keys")
    for item in value.split(","):
        code = item.removeprefix("-")
        if len(types) > 1 and code not in ("_id", "_lastUpdated"):
            raise unknown("_sort", "a search over several types is sorted by _lastUpdated or _id")
        parameter = PARAMETERS[types[0]].get(code)
        if parameter is None:
            raise unknown(
                "_sort", f"{types[0]} has no such search parameter{meant(code, PARAMETERS[types[0]])}"
            )
        try:
            column = sort_column(types[0], parameter, descending=item.startswith("-"))
        except NotSupported as error:
            raise unknown("_sort", error.text) from None
        if code not in {key.code for key in query.sort}:
            query.sort.append(Sorting(code, column, item.startswith("-")))


def _include(query: Query, value: str, *, iterate: bool) -> None:
    found = _included("_include", value, iterate=iterate)
    if not iterate and found.source not in ("*", *query.target.types):
        raise unknown("_include", "it begins with a type that is searched for; _include:iterate goes further")
    _check_room(query)
    query.includes.append(found)


def _revinclude(query: Query, value: str, *, iterate: bool) -> None:
    found = _included("_revinclude", value, iterate=iterate)
    _check_room(query)
    query.revincludes.append(found)


def _check_room(query: Query) -> None:
    if len(query.includes) + len(query.revincludes) >= MOST_INCLUDES:
        raise unknown(
            "_include", f"a search has at most {MOST_INCLUDES} of them; Type:* brings all of a type"
        )


def _included(name: str, value: str, *, iterate: bool) -> Include:
    """Return what `Type:parameter[:Target]`, `Type:*` or `*` brings along."""
    parts = value.split(":")
    source, code = parts[0], parts[1] if len(parts) > 1 else "*" if value == "*" else ""
    target = parts[2] if len(parts) > 2 else ""
    if len(parts) > 3 or not code or (source != "*" and source not in EVERY_TYPE):
        raise unknown(name, "it is Type:reference-parameter, Type:reference-parameter:Target, Type:* or *")
    if code != "*":
        codes = [c for c, p in PARAMETERS.get(source, {}).items() if p.kind == "reference"]
        if code not in codes:
            raise unknown(name, f"{source} has no such reference parameter{meant(code, codes)}")
    if target and target not in RESOURCE_TYPES:
        raise unknown(name, "its target is no resource type")
    return Include(source, code, target, iterate)


def _plain(name: str, read: Callable[[Query, str], None]) -> Callable[[Query, str, str], None]:
    def control(query: Query, modifier: str, value: str) -> None:
        if modifier:
            raise wrong_modifier(name, "it takes no modifier")
        read(query, value)

    return control


def _iterable(name: str, read: Callable[..., None]) -> Callable[[Query, str, str], None]:
    def control(query: Query, modifier: str, value: str) -> None:
        if modifier not in ("", "iterate"):
            raise wrong_modifier(name, f"its only modifier is :iterate{meant(modifier, ('iterate',))}")
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
