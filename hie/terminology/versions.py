"""Finds the version of a code system, value set or map that a canonical names (FHIR R4 canonical)."""

from __future__ import annotations

from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from hie.schema import CodeSystem, ConceptMap, ValueSet

Kept = TypeVar("Kept", CodeSystem, ValueSet, ConceptMap)


def named(session: Session, table: type[Kept], canonical: str) -> Kept | None:
    """Return what `url` or `url|version` names, the current version where none is given; None if unknown."""
    url, _, version = canonical.partition("|")
    wanted = table.version == version if version else table.is_current
    return session.scalars(select(table).where(table.url == url, wanted)).one_or_none()


def by_id(session: Session, table: type[Kept], resource_id: str) -> Kept | None:
    """Return what is read under an id of the API; the newest where several versions share it."""
    found = select(table).where(table.resource_id == resource_id).order_by(table.id.desc()).limit(1)
    return session.scalars(found).one_or_none()
