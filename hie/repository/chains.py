"""One search parameter as a condition: plain, chained or reversed by _has (FHIR R4 search.html#chaining).

Every hop goes through the policy of its type. A hop that finds few resources is put into the statement as
their ids, which PostgreSQL plans best; one that finds more becomes a subquery of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    Text,
    and_,
    any_,
    cast,
    exists,
    false,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, BIT, JSONB
from sqlalchemy.orm import Session

from esb.fhir import lexemes
from esb.fhir.search_parameters import PARAMETERS, Parameter, Path, values
from hie.errors import NotSupported
from hie.repository import definitions, tokens
from hie.repository.conditions import LOGICAL_ID, REFERENCE, Condition, Manner, condition, has_any, points_at
from hie.repository.definitions import EVERY_TYPE
from hie.repository.frequency import frequent_tokens
from hie.repository.reference_conditions import is_here
from hie.repository.shaped import any_of
from hie.repository.unknown import Unknown, WrongModifier, no_parameter, unknown, wrong_modifier
from hie.schema.repository import Resource, ResourceKey

MOST_HOPS = 32  # of one search, all chains together
MOST_TARGETS = 8  # types that a chain may try where it names none
MOST_LISTS = 100  # that one `_list` names
FEW = 500  # resources that a hop may find to be put into the statement as ids
Reach = Callable[[str], ColumnElement[bool]]


@dataclass(slots=True)
class Reading:
    """How parameters are read.

    strict: refuse what is not understood (Prefer: handling=strict) instead of remarking on it.
    reach: the policy's condition for a type that a chain goes through. now: see `Manner`. hops: made so far.
    """

    zone: tzinfo
    strict: bool
    reach: Reach
    session: Session
    now: datetime | None = None
    hops: int = field(default=0)

    def manner(self, *, within_patients: bool = False) -> Manner:
        """Return how conditions are made."""
        return Manner(self.zone, within_patients, self.session, frequent_tokens(self.session), self.now)

    def hop(self, name: str) -> None:
        """Count a hop. Raises: Unknown if the search has too many."""
        self.hops += 1
        if self.hops > MOST_HOPS:
            raise unknown(name, f"a search follows at most {MOST_HOPS} references; shorten its chains")


def criterion(type_: str, name: str, value: str, how: Reading, manner: Manner) -> Condition:
    """Return the condition that one (name, value) of a search makes for a type.

    Raises: Unknown for what is not understood; NotValid for a value that cannot be read.
    """
    if name.startswith("_has:"):
        return _has(type_, name, value, how)
    if name == "_list":
        return _in_list(type_, value, how)
    first, dot, rest = name.partition(".")
    code, _, modifier = first.partition(":")
    parameter = PARAMETERS[type_].get(code)
    if parameter is None:
        raise no_parameter(code, type_, (*PARAMETERS[type_], "_has", "_list"))
    if dot:
        return _chain(type_, parameter, modifier, (rest, value), how)
    try:
        return condition(type_, parameter, modifier, value, manner)
    except Unknown:
        raise
    except NotSupported as error:
        raise (wrong_modifier if modifier else unknown)(first, error.text) from None


def _chain(type_: str, parameter: Parameter, target: str, inner: tuple[str, str], how: Reading) -> Condition:
    """Return the condition of `reference[:Type].parameter=value`: what is pointed at, then who points."""
    code = parameter.code
    if parameter.kind != "reference":
        raise unknown(code, "it is no reference, so nothing can be chained to it")
    if target and target not in EVERY_TYPE:
        raise wrong_modifier(code, "behind ':' stands the type that is meant, as in subject:Patient.name")
    targets = [target] if target else [each for each in _targets(parameter) if each in EVERY_TYPE]
    if not targets or len(targets) > MOST_TARGETS:
        raise unknown(code, "name the type that is meant, as in subject:Patient.name")
    how.hop(code)
    found: list[Condition] = []
    refused: list[Unknown] = []
    for each in targets:
        try:
            matching = criterion(each, *inner, how, how.manner())
        except Unknown as error:
            refused.append(error)
        else:
            found.append(_pointing(type_, parameter, each, matching, how))
    if not found:
        wrong = (error for error in refused if isinstance(error, WrongModifier))
        raise next(wrong, next((error for error in refused if "did you mean" in error.text), refused[0]))
    return any_of(found)


def _targets(parameter: Parameter) -> list[str]:
    stated = {path.target for path in parameter.paths}
    return sorted(t for t in stated if t) if None not in stated else list(parameter.targets)


def _within(type_: str, matching: Condition, how: Reading) -> tuple[Condition, ...]:
    return Resource.type == type_, ~Resource.deleted, how.reach(type_), matching


def _pointing(type_: str, parameter: Parameter, target: str, matching: Condition, how: Reading) -> Condition:
    """Return the condition of pointing, by a parameter, at what a condition matches."""
    if any(path.type == "canonical" for path in parameter.paths):
        return _by_canonical(type_, parameter, target, matching, how)
    inner = select(Resource.id).where(*_within(target, matching, how)).correlate(None)
    few = how.session.scalars(inner.limit(FEW + 1)).all()
    if len(few) <= FEW:
        return points_at(type_, parameter, target, few, how.manner())
    found: list[Condition] = [false()]
    for path in parameter.paths:
        name = definitions.path_name(type_, path)
        if path.target not in (None, target):
            continue
        if name == definitions.subject_path(type_) and target == "Patient":
            found.append(and_(_is_one_of(Resource.compartment, inner), is_here(name)))
        else:
            found.append(_carries_one_of(_token_of(name, target, Resource.id), inner))
    return or_(*found)


def _token_of(path: str, type_: str, id_: Any) -> ColumnElement[int]:
    """Return `tokens.by_reference(path, "Type/id")` as PostgreSQL makes it."""
    text = literal(f"{path}{tokens.SEPARATOR}{type_}/").concat(id_)
    return cast(cast(literal_column("'x'").concat(func.left(func.md5(text), 16)), BIT(64)), BigInteger)


def _is_one_of(column: Any, inner: Select[Any]) -> ColumnElement[bool]:
    """Return the condition of being one of very many ids: a hash of them, made once.

    IS TRUE keeps PostgreSQL from making a join of it that it would begin anew for every resource.
    """
    found: ColumnElement[bool] = column.in_(inner).is_(true())
    return found


def _carries_one_of(token: ColumnElement[int], inner: Select[Any]) -> Condition:
    """Return the condition of carrying one of very many tokens: a hash of them, asked for each token."""
    wanted = inner.with_only_columns(token).correlate(None)
    carried = func.unnest(Resource.tokens).column_valued("carried")
    return exists(select(carried).where(_is_one_of(carried, wanted)).correlate(Resource))


def _by_canonical(
    type_: str, parameter: Parameter, target: str, matching: Condition, how: Reading
) -> Condition:
    url = func.nullif(Resource.content, "").cast(JSONB)["url"].astext
    inner = select(url).where(*_within(target, matching, how), url.isnot(None)).correlate(None)
    urls = how.session.scalars(inner.limit(FEW + 1)).all()
    if len(urls) > FEW:
        raise unknown(parameter.code, f"the chained part matches more than {FEW} resources; narrow it")
    names = [definitions.path_name(type_, path) for path in parameter.paths if path.type == "canonical"]
    numbers = [tokens.by_reference(name, each) for name in names for each in urls]
    return has_any(numbers) if numbers else false()


def _has(type_: str, name: str, value: str, how: Reading) -> Condition:
    """Return the condition of `_has:Type:reference:parameter=value`: who points here, and is as asked."""
    parts = name.split(":", 3)
    if len(parts) < 4 or not parts[3]:
        raise unknown("_has", "it is _has:Type:reference:parameter, as in _has:Observation:patient:code")
    _, source, code, rest = parts
    if source not in EVERY_TYPE:
        raise unknown("_has", "its first part is no resource type of R4 that can be gone through")
    parameter = PARAMETERS[source].get(code)
    if parameter is None:
        raise no_parameter(code, source, (c for c, p in PARAMETERS[source].items() if p.kind == "reference"))
    if parameter.kind != "reference" or type_ not in (_targets(parameter) or [type_]):
        raise unknown("_has", f"{source}:{code} is no reference to {type_}")
    how.hop("_has")
    matching = criterion(source, rest, value, how, how.manner())
    paths = [path for path in parameter.paths if path.target in (None, type_) and path.type == "Reference"]
    return or_(false(), *(_pointed_at(type_, source, path, matching, how) for path in paths))


def _pointed_at(type_: str, source: str, path: Path, matching: Condition, how: Reading) -> Condition:
    name = definitions.path_name(source, path)
    pointing = _within(source, matching, how)
    if type_ == "Patient" and name == definitions.subject_path(source):
        inner = select(Resource.compartment).where(*pointing, is_here(name)).distinct().correlate(None)
        few = how.session.scalars(inner.limit(FEW + 1)).all()
        return _by_ids(type_, few) if len(few) <= FEW else _is_one_of(Resource.id, inner)
    some = select(Resource.content).where(*pointing).limit(FEW + 1).correlate(None)
    contents = how.session.scalars(some).all()
    if len(contents) <= FEW:
        return _by_ids(type_, _named(type_, path, contents))
    carried = func.unnest(Resource.tokens).label("carried")
    inner = select(carried).where(*pointing).correlate(None)
    return _token_of(name, type_, Resource.id).in_(inner).is_(true())


def _named(type_: str, path: Path, contents: Any) -> list[str]:
    """Return the ids of a type that resources name at a path."""
    ids = set()
    for content in contents:
        for value in values(lexemes.loads_kept(content), path):
            reference = value.get("reference") if isinstance(value, dict) else None
            found = REFERENCE.fullmatch(reference) if isinstance(reference, str) else None
            if found and found[1] == type_:
                ids.add(found[2])
    return sorted(ids)


def _by_ids(type_: str, ids: Any) -> Condition:
    """Return the condition of having one of some ids, found through their keys."""
    if not ids:
        return false()
    given = any_(cast(literal(list(ids), ARRAY(Text)), ARRAY(Text)))
    places = select(ResourceKey.compartment).where(ResourceKey.type == type_, ResourceKey.id == given)
    return and_(Resource.id == given, Resource.compartment.in_(places.correlate(None)))


def _in_list(type_: str, value: str, how: Reading) -> Condition:
    """Return the condition of being an entry of one of some Lists, each named by its id."""
    ids = value.split(",", MOST_LISTS)
    if len(ids) > MOST_LISTS:
        raise unknown("_list", f"it takes at most {MOST_LISTS} Lists")
    if any(each.startswith("$") for each in ids):
        raise unknown("_list", "lists like $current-allergies are not kept; name a List by its id")
    if not all(LOGICAL_ID.fullmatch(each) for each in ids):
        raise unknown("_list", "it takes the id of a List")
    how.hop("_list")
    matching = Resource.id.in_(ids)
    places = select(ResourceKey.compartment).where(ResourceKey.type == "List", ResourceKey.id.in_(ids))
    lists = select(Resource.content).where(
        *_within("List", and_(matching, Resource.compartment.in_(places)), how)
    )
    named: set[str] = set()
    for content in how.session.scalars(lists):
        for entry in lexemes.loads_kept(content).get("entry") or ():
            reference = (entry.get("item") or {}).get("reference")
            found = REFERENCE.fullmatch(reference) if isinstance(reference, str) else None
            if found and found[1] == type_ and not entry.get("deleted"):
                named.add(found[2])
    return _by_ids(type_, sorted(named))
