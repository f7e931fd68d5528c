"""Search parameters turned into SQL conditions over `Resource` (FHIR R4 search.html)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    and_,
    cast,
    exists,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, JSONPATH

from esb.fhir.search_parameters import Parameter, Path
from esb.fhir.types import RESOURCE_TYPES
from hie.errors import Issue, NotSupported, NotValid
from hie.repository import definitions, tokens
from hie.repository.dates import Range, span
from hie.schema.repository import Resource, ResourceKey, SearchDate

MOST_VALUES = 1000
PREFIXED = re.compile(r"(eq|ne|gt|lt|ge|le|sa|eb|ap)?(\d.*)")
REFERENCE = re.compile(r"(?:.*/)?([A-Z][A-Za-z]+)/([A-Za-z0-9.-]{1,64})(?:/_history/[A-Za-z0-9.-]{1,64})?")
LOGICAL_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
Condition = ColumnElement[bool]
EMPTY = text("'{}'::bigint[]")


@dataclass(frozen=True, slots=True)
class Manner:
    """How conditions are made.

    zone: what a day means.
    within_patients: the search is within a few patients' records: they are gone through one by one, for the
        list of everything with a frequent code, which the token index would read, grows with the region.
    """

    zone: tzinfo
    within_patients: bool = False


def condition(type_: str, parameter: Parameter, modifier: str, raw: str, how: Manner) -> Condition:
    """Return the condition of one search parameter; values separated by commas are alternatives.

    Args:
        modifier: what stood behind ':' in the name, '' if nothing.

    Raises: NotValid for a value that cannot be read; NotSupported for a modifier or kind not answered here.
    """
    if modifier == "missing":
        return _missing(type_, parameter, raw)
    values = split_values(raw)
    if not values:
        raise bad_value(parameter.code, "it is empty")
    if len(values) > MOST_VALUES:
        raise bad_value(parameter.code, f"it has more than {MOST_VALUES} alternatives")
    if parameter.code == "_id":
        return _by_id(type_, values, modifier)
    if parameter.code == "_lastUpdated":
        _refuse(parameter, modifier)
        return or_(*(at(parameter, value, how.zone, Resource.updated_at) for value in values))
    build = KINDS.get(parameter.kind)
    if build is None:
        raise NotSupported(f"{parameter.code}: {parameter.kind} parameters are not answered here yet.")
    return build(type_, parameter, modifier, values, how)


def split_values(raw: str) -> list[str]:
    r"""Return the alternatives of a value, still escaped; `\,` is no separator."""
    if "\\" not in raw:
        return [part for part in raw.split(",") if part]
    return [part for part in re.findall(r"(?:[^,\\]|\\.?)+", raw) if part]


def unescape(text: str) -> str:
    r"""Return a value without the backslashes before `,` `|` `$` and the backslash itself."""
    return re.sub(r"\\([,|$\\])", r"\1", text) if "\\" in text else text


def bad_value(code: str, why: str) -> NotValid:
    """Return the error for a value that cannot be read; it never repeats the value."""
    text = f"The value of {code} cannot be searched for: {why}."
    return NotValid(text, issues=[Issue(code, text, "value")])


def has_any(numbers: Sequence[int], how: Manner | None = None) -> Condition:
    """Return the condition that a resource carries at least one of some tokens."""
    carried: Any = Resource.tokens
    if how is not None and how.within_patients:
        # An expression that no index is built on.
        carried = func.coalesce(Resource.tokens, EMPTY)
    return carried.bool_op("&&")(cast(literal(list(numbers), ARRAY(BigInteger)), ARRAY(BigInteger)))


def is_within_patients(type_: str, parameter: Parameter, modifier: str, raw: str) -> bool:
    """Say whether a parameter confines a search to the records of patients it names."""
    subject = definitions.subject_path(type_)
    for path in parameter.paths:
        if parameter.kind == "reference" and definitions.path_name(type_, path) == subject:
            values = split_values(raw)
            pointed = (_pointed_at(parameter, path, modifier, value) for value in values)
            return bool(values) and all(len(p) == 1 and p[0].startswith("Patient/") for p in pointed)
    return False


def _refuse(parameter: Parameter, modifier: str, *known: str) -> None:
    if modifier and modifier not in known:
        raise NotSupported(f"{parameter.code}:{modifier} is not answered here.")


def _by_id(type_: str, values: Sequence[str], modifier: str) -> Condition:
    if modifier not in ("", "not"):
        raise NotSupported(f"_id:{modifier} is not answered here.")
    places = select(ResourceKey.compartment).where(ResourceKey.type == type_, ResourceKey.id.in_(values))
    found = and_(Resource.id.in_(values), Resource.compartment.in_(places))
    return not_(Resource.id.in_(values)) if modifier == "not" else found


def _token(type_: str, parameter: Parameter, modifier: str, values: Sequence[str], how: Manner) -> Condition:
    _refuse(parameter, modifier, "not")
    wanted: list[int] = []
    for path in parameter.paths:
        name = definitions.path_name(type_, path)
        for value in values:
            if path.exists and value == "false":
                is_there = has_any([tokens.by_code(name, "true")], how)
                return is_there if modifier == "not" else not_(is_there)
            wanted.append(_coded(name, path, value))
    found = has_any(wanted, how)
    return not_(found) if modifier == "not" else found


def _coded(name: str, path: Path, value: str) -> int:
    system, bar, code = _split_bar(value)
    if not bar:
        return tokens.by_code(name, code)
    if path.type in ("code", "ContactPoint", "boolean", "id", "string"):
        # Their system is implied by the element.
        return tokens.by_code(name, code)
    if not code:
        return tokens.by_system(name, system)
    return tokens.by_system_and_code(name, system, code)


def _split_bar(value: str) -> tuple[str, str, str]:
    found = re.match(r"((?:[^|\\]|\\.?)*)(\|?)(.*)", value, re.DOTALL)
    if found is None or not found[2]:
        return "", "", unescape(value)
    return unescape(found[1]), "|", unescape(found[3])


def _string(type_: str, parameter: Parameter, modifier: str, values: Sequence[str], how: Manner) -> Condition:
    _refuse(parameter, modifier, "exact")
    wanted = []
    for value in map(unescape, values):
        text = tokens.folded(value)
        if not text:
            raise bad_value(parameter.code, "it has no letters or digits")
        if len(text) > tokens.PREFIX_LIMIT and modifier != "exact":
            raise bad_value(parameter.code, f"it is longer than {tokens.PREFIX_LIMIT} characters")
        for path in parameter.paths:
            name = definitions.path_name(type_, path)
            wanted.append(
                tokens.by_exact(name, value) if modifier == "exact" else tokens.by_prefix(name, text)
            )
    return has_any(wanted, how)


def _uri(type_: str, parameter: Parameter, modifier: str, values: Sequence[str], how: Manner) -> Condition:
    _refuse(parameter, modifier)
    names = [definitions.path_name(type_, path) for path in parameter.paths]
    return has_any([tokens.by_reference(name, unescape(value)) for name in names for value in values], how)


def _reference(
    type_: str, parameter: Parameter, modifier: str, values: Sequence[str], how: Manner
) -> Condition:
    if modifier == "identifier":
        return _by_identifier(type_, parameter, values, how)
    _refuse(parameter, modifier, *RESOURCE_TYPES)
    wanted: list[int] = []
    patients: list[str] = []
    subject = definitions.subject_path(type_)
    for path in parameter.paths:
        name = definitions.path_name(type_, path)
        for value in map(unescape, values):
            for reference in _pointed_at(parameter, path, modifier, value):
                kind, _slash, id_ = reference.partition("/")
                if name == subject and kind == "Patient" and LOGICAL_ID.fullmatch(id_):
                    patients.append(id_)
                else:
                    wanted.append(tokens.by_reference(name, reference))
    conditions = [kept_with(type_, patients)] if patients else []
    if wanted:
        conditions.append(has_any(wanted))
    return or_(false(), *conditions)


def kept_with(type_: str, patients: Sequence[str]) -> Condition:
    """Return the condition that the subject of a resource is one of some patients."""
    subject = definitions.subject_path(type_) or ""
    within = Resource.compartment.in_(patients) if len(patients) > 1 else Resource.compartment == patients[0]
    return and_(within, not_(has_any([tokens.elsewhere(subject)], Manner(UTC, within_patients=True))))


def _pointed_at(parameter: Parameter, path: Path, modifier: str, value: str) -> list[str]:
    """Return what the value may look like in a resource."""
    targets = [path.target] if path.target else list(parameter.targets)
    if modifier:
        targets = [modifier] if not targets or modifier in targets else []
    found = REFERENCE.fullmatch(value)
    if found and found[1] in RESOURCE_TYPES:
        local = f"{found[1]}/{found[2]}"
        if modifier and found[1] != modifier:
            return []
        return [local] if path.target in (None, found[1]) else []
    if LOGICAL_ID.fullmatch(value):
        return [f"{target}/{value}" for target in targets] or [value]
    return [value]


def _by_identifier(type_: str, parameter: Parameter, values: Sequence[str], how: Manner) -> Condition:
    wanted = []
    for path in parameter.paths:
        name = definitions.path_name(type_, path) + ":identifier"
        wanted += [_coded(name, path, value) for value in values]
    return has_any(wanted, how)


def points_at(type_: str, parameter: Parameter, target: str, ids: Sequence[str]) -> Condition:
    """Return the condition that a reference points at one of some resources; used by chains."""
    if not ids:
        return false()
    conditions = []
    wanted = []
    for path in parameter.paths:
        name = definitions.path_name(type_, path)
        if path.target not in (None, target):
            continue
        if name == definitions.subject_path(type_) and target == "Patient":
            conditions.append(kept_with(type_, ids))
        else:
            wanted += [tokens.by_reference(name, f"{target}/{id_}") for id_ in ids]
    if wanted:
        conditions.append(has_any(wanted))
    return or_(false(), *conditions)


def _date(type_: str, parameter: Parameter, modifier: str, values: Sequence[str], how: Manner) -> Condition:
    _refuse(parameter, modifier)
    spans = [_prefixed(parameter, value, how.zone) for value in values]
    if parameter.code == definitions.primary_date(type_):
        return or_(
            *(_compare(prefix, wanted, Resource.date_low, Resource.date_high) for prefix, wanted in spans)
        )
    within = or_(*(_compare(prefix, wanted, SearchDate.low, SearchDate.high) for prefix, wanted in spans))
    return exists().where(*_dates_of(type_, parameter), within)


def _dates_of(type_: str, parameter: Parameter) -> tuple[Condition, ...]:
    return (
        SearchDate.compartment == Resource.compartment,
        SearchDate.type == type_,
        SearchDate.id == Resource.id,
        SearchDate.param == parameter.code,
    )


def _prefixed(parameter: Parameter, value: str, zone: tzinfo) -> tuple[str, Range]:
    # A '+' of an offset that was not escaped in the URL arrives as a space.
    found = PREFIXED.fullmatch(value.replace(" ", "+"))
    wanted = span(found[2], zone) if found else None
    if found is None or wanted is None:
        raise bad_value(parameter.code, "it is no FHIR date")
    return found[1] or "eq", wanted


def _compare(prefix: str, wanted: Range, low: Any, high: Any) -> Condition:
    """Compare the half-open range [low, high) of a resource with the one asked for (search.html#prefix)."""
    start, end = wanted
    return COMPARISONS[prefix](start, end, low, high)


COMPARISONS: dict[str, Callable[[datetime, datetime, Any, Any], Condition]] = {
    "eq": lambda start, end, low, high: and_(low >= start, low < end, high <= end),
    "ne": lambda start, end, low, high: or_(low < start, high > end),
    "gt": lambda start, end, low, high: high > end,
    "lt": lambda start, end, low, high: low < start,
    "ge": lambda start, end, low, high: and_(high > start, or_(high > end, low >= start)),
    "le": lambda start, end, low, high: and_(low < end, or_(low < start, high <= end)),
    "sa": lambda start, end, low, high: low >= end,
    "eb": lambda start, end, low, high: high <= start,
    "ap": lambda start, end, low, high: and_(
        low < end + (end - start) / 10, high > start - (end - start) / 10
    ),
}


def at(parameter: Parameter, value: str, zone: tzinfo, column: Any) -> Condition:
    """Return the condition that an instant in a column is as a date parameter's value says."""
    prefix, (start, end) = _prefixed(parameter, value, zone)
    return {
        "eq": and_(column >= start, column < end),
        "ne": or_(column < start, column >= end),
        "gt": column >= end,
        "sa": column >= end,
        "lt": column < start,
        "eb": column < start,
        "ge": column >= start,
        "le": column < end,
        "ap": and_(column >= start, column < end),
    }[prefix]


def _missing(type_: str, parameter: Parameter, raw: str) -> Condition:
    if raw not in ("true", "false"):
        raise bad_value(parameter.code, ":missing takes true or false")
    is_missing = raw == "true"
    if parameter.code in ("_id", "_lastUpdated"):
        return false() if is_missing else not_(false())
    if parameter.kind == "date":
        if parameter.code == definitions.primary_date(type_):
            return Resource.date_low.is_(None) if is_missing else Resource.date_low.isnot(None)
        is_there = exists().where(*_dates_of(type_, parameter))
        return not_(is_there) if is_missing else is_there
    if any(step[0] in "?[" for path in parameter.paths for step in path.steps):
        raise NotSupported(f"{parameter.code}:missing is not answered here.")
    # Rarely asked, so not indexed: looked up in the content of what the other parameters leave over.
    there = or_(
        *(
            func.jsonb_path_exists(
                func.nullif(Resource.content, "").cast(JSONB), cast("$." + ".".join(path.steps), JSONPATH)
            )
            for path in parameter.paths
        )
    )
    return not_(there) if is_missing else there


KINDS: dict[str, Callable[[str, Parameter, str, Sequence[str], Manner], Condition]] = {
    "token": _token,
    "string": _string,
    "uri": _uri,
    "reference": _reference,
    "date": _date,
}
