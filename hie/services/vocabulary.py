"""Shows what was loaded from tables as CodeSystem and ConceptMap resources, which clients find and read."""

from __future__ import annotations

from datetime import datetime, tzinfo
from itertools import groupby
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hie.repository import store
from hie.repository.writes import Outcome, Write
from hie.schema import CodeSystem, Concept, ConceptMap, ConceptMapRow

MOST_CONCEPTS = 500  # of a larger table only the head is shown; $expand gives its codes
MOST_PAIRS = 5000  # of a larger map likewise; $translate answers by it
HIDDEN = "not-present"


def publish(session: Session, now: datetime, zone: tzinfo) -> list[Outcome]:
    """Write a resource for each table and map that was loaded; one that is there unchanged stays as it is."""
    writes = [_write(_code_system(session, row)) for row in _loaded(session, CodeSystem)]
    writes += [_write(_concept_map(session, row)) for row in _loaded(session, ConceptMap)]
    return store.write(session, writes, now, zone)


def _write(resource: dict[str, Any]) -> Write:
    return Write("put", resource["resourceType"], resource["id"], resource)


def _loaded(session: Session, table: Any) -> list[Any]:
    wanted = select(table).where(table.is_written.is_(False), table.resource_id.is_not(None))
    return list(session.scalars(wanted.order_by(table.resource_id)))


def _code_system(session: Session, row: CodeSystem) -> dict[str, Any]:
    is_shown = row.concepts <= MOST_CONCEPTS
    resource = _head("CodeSystem", row) | {
        "title": row.title,
        "description": row.source,
        "caseSensitive": row.is_case_sensitive,
        "content": row.content if is_shown else HIDDEN,
        "count": row.concepts,
    }
    if row.value_set:
        resource["valueSet"] = row.value_set
    if is_shown:
        resource["concept"] = [_concept(one) for one in _concepts(session, row)]
    return resource


def _head(type_: str, row: CodeSystem | ConceptMap) -> dict[str, Any]:
    head = {"resourceType": type_, "id": row.resource_id, "url": row.url}
    if row.version:
        head["version"] = row.version
    return head | {"name": row.name, "status": row.status}


def _concepts(session: Session, row: CodeSystem) -> list[Concept]:
    wanted = select(Concept).where(Concept.system_id == row.id).order_by(Concept.ordinal)
    return list(session.scalars(wanted))


def _concept(one: Concept) -> dict[str, Any]:
    shown: dict[str, Any] = {"code": one.code, "display": one.display}
    if one.display_en:
        shown["designation"] = [{"language": "en", "value": one.display_en}]
    properties = [{"code": "parent", "valueCode": parent} for parent in one.parents]
    if not one.active:
        properties.append({"code": "inactive", "valueBoolean": True})  # type: ignore[dict-item]
    if properties := [*properties, *(one.properties or ())]:
        shown["property"] = properties
    return shown


def _concept_map(session: Session, row: ConceptMap) -> dict[str, Any]:
    wanted = select(ConceptMapRow).where(ConceptMapRow.map_id == row.id)
    size = session.scalar(select(func.count()).select_from(wanted.subquery())) or 0
    if size > MOST_PAIRS:
        return _head("ConceptMap", row) | {"description": f"{size} rows, by $translate"}
    rows = session.scalars(
        wanted.order_by(
            ConceptMapRow.source_system, ConceptMapRow.target_system.nulls_last(), ConceptMapRow.ordinal
        )
    )
    groups = groupby(rows, key=lambda one: (one.source_system, one.target_system))
    return _head("ConceptMap", row) | {"group": [_group(*systems, list(of)) for systems, of in groups]}


def _group(source: str, target: str | None, rows: list[ConceptMapRow]) -> dict[str, Any]:
    elements = []
    for code, of in groupby(rows, key=lambda one: (one.source_code, one.source_display)):
        element: dict[str, Any] = {"code": code[0]} | ({"display": code[1]} if code[1] else {})
        elements.append(element | {"target": [_target(one) for one in of]})
    return {"source": source} | ({"target": target} if target else {}) | {"element": elements}


def _target(row: ConceptMapRow) -> dict[str, Any]:
    named = {"code": row.target_code, "display": row.target_display, "comment": row.comment}
    return {name: value for name, value in named.items() if value} | {"equivalence": row.equivalence}
