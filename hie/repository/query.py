"""Reads the parameters of a search: conditions, order, page size, totals, what was not understood."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import parse_qsl

from sqlalchemy import and_, or_, select

from esb.fhir.search_parameters import PARAMETERS
from hie.errors import NotValid
from hie.repository.chains import Reading, criterion
from hie.repository.conditions import check_effort, is_within_patients
from hie.repository.controls import CONTROLS
from hie.repository.matching import MOST_VALUES, Condition, Manner, bad_value, split_values
from hie.repository.unknown import INSTEAD, Unknown, WrongModifier, no_parameter, unknown
from hie.repository.wanted import Query, Target
from hie.schema.repository import Resource, ResourceKey

__all__ = ["FORM", "Query", "Reading", "Target", "Unknown", "check_few", "pairs", "parse", "unknown"]

MOST_PARAMETERS = 200
MOST_CHARACTERS = 1_000_000
TOO_MANY = f"A search has at most {MOST_PARAMETERS} parameters of {MOST_CHARACTERS} characters."
NO_TEXT = re.compile("[\x00\ud800-\udfff]")
# Parameters about the answer's form, which the API reads.
FORM = frozenset({"_format", "_pretty", "_cursor", "__explain"})


def pairs(words: str, errors: str = "replace") -> list[tuple[str, str]]:
    """Return the parameters of a form, or of an address behind its question mark.

    Raises: NotValid where they are more than any search has; UnicodeDecodeError under errors="strict".
    """
    check_few(words)
    return parse_qsl(words, keep_blank_values=True, errors=errors)


def check_few(words: str) -> None:
    """Check that a form has no more parameters than any search has, before it is read. Raises: NotValid."""
    if words.count("&") > MOST_PARAMETERS:
        raise NotValid(TOO_MANY)


def parse(target: Target | str, params: Sequence[tuple[str, str]], how: Reading) -> Query:
    """Return the query that parameters make.

    Raises: NotValid, NotSupported.
    """
    size = sum(len(name) + len(value) for name, value in params)
    if len(params) > MOST_PARAMETERS or size > MOST_CHARACTERS:
        raise NotValid(TOO_MANY)
    query = Query(Target(target, (target,)) if isinstance(target, str) else target)
    types = query.target.types
    check_effort(types, params)
    within = len(types) == 1 and any(_is_within_patients(types[0], *pair) for pair in params)
    manner = how.manner(within_patients=within)
    for name, value in params:
        check_text(name)
        check_text(value)
        if name in FORM or (name == "_type" and query.target.names_types):
            if name != "_cursor":
                query.used.append((name, value))
            continue
        control, _, modifier = name.partition(":")
        try:
            if control in CONTROLS:
                CONTROLS[control](query, modifier, value)
            else:
                query.conditions.append(_criterion(query, name, value, how, manner))
        except Unknown as error:
            if how.strict or isinstance(error, WrongModifier):
                raise
            query.remarks += error.issues
        else:
            # What was used: a page is never larger than the most that is given.
            query.used.append((name, str(query.count) if name == "_count" else value))
    return query


def check_text(text: str) -> None:
    """Refuse what no database can hold. Raises: NotValid."""
    if NO_TEXT.search(text):
        raise NotValid("A search parameter holds characters that are no text.")


def _is_within_patients(type_: str, name: str, value: str) -> bool:
    code, _, modifier = name.partition(":")
    parameter = PARAMETERS[type_].get(code)
    return parameter is not None and is_within_patients(type_, parameter, modifier, value)


def _criterion(query: Query, name: str, value: str, how: Reading, manner: Manner) -> Condition:
    """Return the condition of one parameter, which must be one of every type that is searched."""
    types = query.target.types
    code = name.partition(".")[0].partition(":")[0]
    if len(types) == 1:
        _note_patients(query, types[0], name, value)
        try:
            return criterion(types[0], name, value, how, manner)
        except Unknown as error:
            if code not in PARAMETERS[types[0]] and code not in ("_has", "_list"):
                raise no_parameter(code, types[0], (*PARAMETERS[types[0]], *CONTROLS, *OTHERS)) from None
            raise error
    if code not in ("_has", "_list") and any(code not in PARAMETERS[type_] for type_ in types):
        shared = set.intersection(*(set(PARAMETERS[type_]) for type_ in types))
        where = "a search over several types"
        raise no_parameter(code, where, (*shared, *CONTROLS, *OTHERS))
    if name == "_id":
        return _any_id(types, value)
    if name == "_lastUpdated":
        return criterion(types[0], name, value, how, manner)
    return or_(*(and_(Resource.type == type_, criterion(type_, name, value, how, manner)) for type_ in types))


def _note_patients(query: Query, type_: str, name: str, value: str) -> None:
    if name.partition(":")[0] in ("patient", "subject") or (type_ == "Patient" and name == "_id"):
        query.patients += [part.rpartition("/")[2] for part in value.split(",")]


def _any_id(types: Sequence[str], value: str) -> Condition:
    ids = split_values(value)
    if len(ids) > MOST_VALUES:
        raise bad_value("_id", f"it has more than {MOST_VALUES} alternatives")
    places = select(ResourceKey.compartment).where(ResourceKey.type.in_(types), ResourceKey.id.in_(ids))
    return and_(Resource.id.in_(ids), Resource.compartment.in_(places))


OTHERS = ("_has", "_list", *INSTEAD)
