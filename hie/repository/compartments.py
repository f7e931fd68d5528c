"""The patient compartment: what is about a patient, by the published definition (FHIR R4)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from sqlalchemy import and_, false, or_

from esb.fhir.definitions import load
from hie.errors import NotFound
from hie.repository import definitions, tokens
from hie.repository.conditions import LOGICAL_ID, Condition, has_any, kept_with
from hie.schema.repository import Resource

COMPARTMENT = "Patient"


def in_compartment(id_: str, types: Sequence[str]) -> Condition:
    """Return the condition of belonging to a patient's compartment, the Patient itself included.

    Raises: NotFound for what is no id.
    """
    if not LOGICAL_ID.fullmatch(id_):
        raise NotFound
    names = [name for type_ in types for name in _paths(type_) if name != definitions.subject_path(type_)]
    found: list[Condition] = [false()]
    if names:
        found.append(has_any([tokens.by_reference(name, f"{COMPARTMENT}/{id_}") for name in names]))
    found += [and_(Resource.type == type_, kept_with(type_, [id_])) for type_ in types if _has_subject(type_)]
    if COMPARTMENT in types:
        found.append(and_(Resource.type == COMPARTMENT, Resource.id == id_, Resource.compartment == id_))
    return or_(*found)


@lru_cache(maxsize=200)
def _paths(type_: str) -> tuple[str, ...]:
    published = load("patient_compartment").get(type_, ())
    return tuple(".".join((type_, *entry["steps"])) for entry in published)


def _has_subject(type_: str) -> bool:
    return definitions.subject_path(type_) in _paths(type_)
