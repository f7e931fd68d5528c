"""The earlier versions of results and reports: what a correction replaced, what a withdrawal took away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from hie.schema.repository import Resource, ResourceHistory
from hie.services.lookup.sources import Holdings, Past, parse

TYPES = ("Observation", "DiagnosticReport", "DocumentReference")


def past_versions(session: Session, holdings: Holdings) -> dict[tuple[str, str], list[Past]]:
    """Return the earlier versions of the results and reports that have any, the newest first.

    Only resources beyond their first version are asked for, by key. A version that was filed with another
    patient is that patient's, and stays out.
    """
    compartments = [source.identity for source in holdings.sources]
    found: dict[tuple[str, str], list[Past]] = {}
    for type_ in TYPES:
        changed = [str(r["id"]) for r in holdings.of(type_) if _version(r) > 1]
        for start in range(0, len(changed), 1000):
            _collect(session, compartments, type_, changed[start : start + 1000], found)
    return found


def withdrawn(session: Session, compartments: Sequence[str]) -> list[Past]:
    """Return the last version of results and reports that their hospital deleted."""
    rows = session.execute(
        select(Resource.type, Resource.id).where(
            Resource.compartment.in_(compartments), Resource.type.in_(TYPES), Resource.deleted.is_(True)
        )
    ).all()
    found: dict[tuple[str, str], list[Past]] = {}
    for type_ in TYPES:
        ids = [id_ for row_type, id_ in rows if row_type == type_]
        if ids:
            _collect(session, compartments, type_, ids, found)
    return [versions[0] for versions in found.values() if versions]


def _collect(
    session: Session,
    compartments: Sequence[str],
    type_: str,
    ids: Sequence[str],
    found: dict[tuple[str, str], list[Past]],
) -> None:
    rows = session.execute(
        select(ResourceHistory.id, ResourceHistory.content, ResourceHistory.updated_at)
        .where(
            ResourceHistory.type == type_,
            ResourceHistory.id.in_(ids),
            ResourceHistory.compartment.in_(compartments),
            ResourceHistory.deleted.is_(False),
        )
        .order_by(ResourceHistory.source_at.desc(), ResourceHistory.epoch.desc(), ResourceHistory.seq.desc())
    )
    for id_, content, updated_at in rows:
        found.setdefault((type_, id_), []).append(Past(parse(content), updated_at))


def _version(resource: dict[str, Any]) -> int:
    text = str(resource.get("meta", {}).get("versionId", "1"))
    return int(text) if text.isdigit() else 1
