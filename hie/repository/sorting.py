"""What a search is sorted by: a column or expression for each kind of search parameter (search.html#sort).

Dates and instants are at hand; the rest is taken from the content of what the search found, so that no write
pays for it. Where a resource has several values the one that comes first in the order counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Text, case, cast, collate, func, select
from sqlalchemy.dialects.postgresql import JSONB

from esb.fhir.search_parameters import Parameter
from hie.errors import NotSupported
from hie.repository import definitions
from hie.repository.jsonpaths import content, double_of, jsonpath, text_of
from hie.schema.repository import Resource, SearchDate

# Han text in the order of its pinyin, other text without regard to case.
COLLATION = "zh-x-icu"

# What of an element is compared; the first of these that a resource has.
LEAVES: dict[str, tuple[str, ...]] = {
    "CodeableConcept": (".coding[*].code", ".text"),
    "Coding": (".code", ".display"),
    "Identifier": (".value",),
    "ContactPoint": (".value",),
    "Reference": (".reference",),
    "Address": (".text", ".state", ".city", ".district", ".line[*]"),
    "Range": (".low.value", ".high.value"),
    **dict.fromkeys(("Quantity", "Age", "Duration", "Count", "Distance", "Money"), (".value",)),
    "SampledData": (".origin.value",),
}
NUMBERS = frozenset({"number", "quantity"})


@dataclass(frozen=True, slots=True)
class SortColumn:
    """A column of an order.

    is_instant: its values are datetimes. may_miss: a resource may have none. is_read: they are read for
    each resource by itself.
    """

    column: Any
    is_instant: bool = False
    may_miss: bool = True
    is_read: bool = False


@lru_cache(maxsize=2000)
def sort_column(type_: str, parameter: Parameter, *, descending: bool = False) -> SortColumn:
    """Return what resources of a type are sorted by under a search parameter.

    It is the same object for the same arguments. Its values are datetimes, texts, numbers or None, and stand
    on a page link as JSON.

    Raises: NotSupported for a composite or a special one, which have no order.
    """
    if parameter.code == "_id":
        return SortColumn(Resource.id, may_miss=False)
    if parameter.code == "_lastUpdated":
        return SortColumn(Resource.updated_at, is_instant=True, may_miss=False)
    if parameter.kind not in SORTED:
        raise NotSupported(f"{parameter.code}: nothing can be sorted by a {parameter.kind} parameter.")
    return SORTED[parameter.kind](type_, parameter, descending)


def _date(type_: str, parameter: Parameter, descending: bool) -> SortColumn:
    if parameter.code == definitions.primary_date(type_):
        return SortColumn(Resource.date_low, is_instant=True)
    first = func.max(SearchDate.low) if descending else func.min(SearchDate.low)
    column = select(first).where(
        SearchDate.compartment == Resource.compartment,
        SearchDate.type == type_,
        SearchDate.id == Resource.id,
        SearchDate.param == parameter.code,
    )
    return SortColumn(column.scalar_subquery(), is_instant=True, is_read=True)


def _text(type_: str, parameter: Parameter, descending: bool) -> SortColumn:
    is_name = all(path.type == "HumanName" for path in parameter.paths)
    return SortColumn(_first_of(parameter, descending, _as_name if is_name else _as_text), is_read=True)


def _number(type_: str, parameter: Parameter, descending: bool) -> SortColumn:
    return SortColumn(_first_of(parameter, descending, _as_number), is_read=True)


def _first_of(parameter: Parameter, descending: bool, read: Callable[[Any], Any]) -> Any:
    """Return the value that comes first, by the first leaf that any path of the parameter has."""
    leaves = [LEAVES.get(path.type, ("",)) for path in parameter.paths]
    found = []
    for rank in range(max(map(len, leaves))):
        paths = [
            text_of(path, own[rank])
            for path, own in zip(parameter.paths, leaves, strict=True)
            if rank < len(own)
        ]
        found.append(_extreme(paths, descending, read))
    return found[0] if len(found) == 1 else func.coalesce(*found)


def _extreme(paths: list[str], descending: bool, read: Callable[[Any], Any]) -> Any:
    most = func.max if descending else func.min
    each = []
    for path in paths:
        value = func.jsonb_path_query(content(), jsonpath(path)).column_valued("found")
        each.append(select(most(read(value))).scalar_subquery())
    if len(each) == 1:
        return each[0]
    return func.greatest(*each) if descending else func.least(*each)


def _as_text(value: Any) -> Any:
    return collate(cast(func.jsonb_build_array(value).op("->>")(0), Text), COLLATION)


def _as_name(value: Any) -> Any:
    """Return a name as it is sorted: the surname, then the given names; as a whole where it has no parts."""
    name = cast(value, JSONB)
    family, text, given = name["family"].astext, name["text"].astext, name["given"].astext
    gap = case((func.octet_length(family) == func.length(family), " "), else_="")
    parted = family + gap + func.translate(given, '[]"', "")
    alone = case((func.starts_with(text, family), text), else_=family)
    return collate(func.coalesce(parted, alone, text, func.translate(given, '[]"', "")), COLLATION)


def _as_number(value: Any) -> Any:
    is_number = func.jsonb_typeof(value) == "number"
    return case((is_number, double_of(cast(value, JSONB))))


SORTED: dict[str, Callable[[str, Parameter, bool], SortColumn]] = {
    "date": _date,
    "token": _text,
    "string": _text,
    "reference": _text,
    "uri": _text,
    "number": _number,
    "quantity": _number,
}
