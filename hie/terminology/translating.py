"""Translates codes by the maps, in both directions (FHIR R4 conceptmap-operation-translate)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session

from hie.schema import ConceptMap, ConceptMapRow

# How an equivalence reads from the target's side.
REVERSED = {"wider": "narrower", "narrower": "wider", "subsumes": "specializes", "specializes": "subsumes"}
NOT_A_MATCH = frozenset({"unmatched", "disjoint"})


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be translated.

    source, target: value sets the map is for. target_system: the code system wanted.
    """

    system: str
    code: str
    source: str | None = None
    target: str | None = None
    target_system: str | None = None
    is_reverse: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """One translation, and the map that gives it."""

    equivalence: str
    system: str
    code: str
    display: str | None
    map_url: str

    @property
    def is_match(self) -> bool:
        """Say whether it is a translation, and not the statement that there is none."""
        return self.equivalence not in NOT_A_MATCH


def translate(session: Session, asked: Question, map_: ConceptMap | None) -> list[Match]:
    """Return the translations of a code by one map, or by all current maps that fit."""
    statement = _reversed(asked) if asked.is_reverse else _forward(asked)
    statement = statement.join(ConceptMap, ConceptMap.id == ConceptMapRow.map_id)
    if map_ is not None:
        statement = statement.where(ConceptMap.id == map_.id)
    else:
        statement = statement.where(ConceptMap.is_current, ConceptMap.status != "retired")
    for column, wanted in ((ConceptMap.source_uri, asked.source), (ConceptMap.target_uri, asked.target)):
        if wanted is not None:
            statement = statement.where(
                or_(column == wanted, column.startswith(f"{wanted}|", autoescape=True))
            )
    rows = session.execute(statement.order_by(ConceptMap.url, ConceptMapRow.ordinal)).all()
    found: dict[Match, None] = {}
    for equivalence, system, code, display, url in rows:
        read = REVERSED.get(equivalence, equivalence) if asked.is_reverse else equivalence
        found[Match(read, system or "", code or "", display, url)] = None
    return list(found)


def _forward(asked: Question) -> Select[*tuple[Any, ...]]:
    row = ConceptMapRow
    statement = select(
        row.equivalence, row.target_system, row.target_code, row.target_display, ConceptMap.url
    ).where(row.source_system == asked.system, row.source_code == asked.code)
    if asked.target_system is not None:
        statement = statement.where(or_(row.target_system == asked.target_system, row.target_code.is_(None)))
    return statement


def _reversed(asked: Question) -> Select[*tuple[Any, ...]]:
    row = ConceptMapRow
    statement = select(
        row.equivalence, row.source_system, row.source_code, row.source_display, ConceptMap.url
    ).where(row.target_system == asked.system, row.target_code == asked.code)
    if asked.target_system is not None:
        statement = statement.where(row.source_system == asked.target_system)
    return statement
