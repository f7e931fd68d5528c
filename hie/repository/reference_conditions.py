"""Conditions of references; a subject is found by whose record it lies in (FHIR R4 search.html#reference)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, and_, any_, cast, false, not_

from esb.fhir.search_parameters import Parameter, Path
from esb.fhir.types import RESOURCE_TYPES
from hie.errors import NotSupported
from hie.repository import definitions, tokens
from hie.repository.matching import Condition, Manner, has_any, refuse, split_values, unescape
from hie.repository.shaped import TEXT, TEXTS, Shape, Shaped, any_of
from hie.repository.token_conditions import coded
from hie.schema.repository import Resource

REFERENCE = re.compile(r"(?:.*/)?([A-Z][A-Za-z]+)/([A-Za-z0-9.-]{1,64})(?:/_history/[A-Za-z0-9.-]{1,64})?")
LOGICAL_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
NO_HIERARCHY = "no reference is part of a hierarchy here; follow it with _include:iterate or a chain instead."


def by_reference(
    type_: str, parameter: Parameter, modifier: str, values: Sequence[str], how: Manner
) -> Condition:
    """Return the condition of a reference parameter."""
    if modifier == "identifier":
        return _by_identifier(type_, parameter, values, how)
    if modifier in ("above", "below"):
        raise NotSupported(f"{parameter.code}:{modifier}: {NO_HIERARCHY}")
    if modifier not in RESOURCE_TYPES:
        refuse(parameter.code, modifier, "identifier", "[type]")
    wanted: list[int] = []
    patients: list[str] = []
    subject = definitions.subject_path(type_)
    for path in parameter.paths:
        name = definitions.path_name(type_, path)
        for value in map(unescape, values):
            for reference in pointed_at(parameter, path, modifier, value):
                kind, _slash, id_ = reference.partition("/")
                if name == subject and kind == "Patient" and LOGICAL_ID.fullmatch(id_):
                    patients.append(id_)
                else:
                    wanted.append(tokens.by_reference(name, reference))
            if "://" in value and name != subject:
                # As an absolute URL it may point to another server.
                wanted.append(tokens.by_reference(name, value.partition("/_history/")[0]))
    conditions: list[Condition] = [kept_with(type_, patients)] if patients else []
    if wanted:
        conditions.append(has_any(wanted, replace(how, within_patients=False)))
    return any_of(conditions) if conditions else false()


def is_within_patients(type_: str, parameter: Parameter, modifier: str, raw: str) -> bool:
    """Say whether a parameter confines a search to the records of patients it names."""
    subject = definitions.subject_path(type_)
    for path in parameter.paths:
        if parameter.kind == "reference" and definitions.path_name(type_, path) == subject:
            values = split_values(raw)
            pointed = (pointed_at(parameter, path, modifier, value) for value in values)
            return bool(values) and all(len(p) == 1 and p[0].startswith("Patient/") for p in pointed)
    return False


def kept_with(type_: str, patients: Sequence[str]) -> Condition:
    """Return the condition that the subject of a resource is one of some patients."""
    subject = definitions.subject_path(type_) or ""
    one, some = _kept_with(subject)
    return Shaped(one, (patients[0],)) if len(patients) == 1 else Shaped(some, (list(patients),))


@lru_cache(maxsize=1000)
def _kept_with(subject: str) -> tuple[Shape, Shape]:
    one = Shape(_kept_with_one, (subject,), (TEXT,), is_few=True)
    return one, Shape(_kept_with_some, (subject,), (TEXTS,), is_few=True)


def _kept_with_one(subject: str, patient: ColumnElement[str]) -> ColumnElement[bool]:
    return and_(Resource.compartment == patient, is_here(subject))


def _kept_with_some(subject: str, patients: ColumnElement[Any]) -> ColumnElement[bool]:
    return and_(Resource.compartment == any_(cast(patients, TEXTS)), is_here(subject))


def is_here(subject: str) -> ColumnElement[bool]:
    """Return the condition that a resource's subject is the patient it is kept with."""
    return not_(has_any([tokens.elsewhere(subject)], Manner(UTC, within_patients=True)))


def pointed_at(parameter: Parameter, path: Path, modifier: str, value: str) -> list[str]:
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
        wanted += [token for value in values for token in coded(name, path, value)]
    return has_any(wanted, how)


def points_at(type_: str, parameter: Parameter, target: str, ids: Sequence[str], how: Manner) -> Condition:
    """Return the condition that a reference points at one of some resources; used by chains."""
    return any_points_at(type_, [(parameter, target)], {target: ids}, how)


def any_points_at(
    type_: str,
    asked: Iterable[tuple[Parameter, str]],
    ids: Mapping[str, Sequence[str]],
    how: Manner | None = None,
) -> Condition:
    """Return the condition that one of some references points at one of some resources.

    Args:
        asked: each reference with a type it is to point at. ids: of the resources, by their type.
    """
    subjects: dict[str, None] = {}
    wanted: dict[int, None] = {}
    for parameter, target in asked:
        for path in parameter.paths:
            name = definitions.path_name(type_, path)
            if path.target not in (None, target):
                continue
            if name == definitions.subject_path(type_) and target == "Patient":
                subjects |= dict.fromkeys(ids[target])
            else:
                wanted |= dict.fromkeys(tokens.by_reference(name, f"{target}/{id_}") for id_ in ids[target])
    conditions: list[Condition] = [kept_with(type_, list(subjects))] if subjects else []
    if wanted:
        conditions.append(has_any(list(wanted), how))
    return any_of(conditions) if conditions else false()
