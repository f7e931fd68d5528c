"""Translates codes by the maps, in both directions (FHIR R4 conceptmap-operation-translate)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Select, or_, select
from sqlalchemy.orm import Session

from hie.schema import ConceptMap, ConceptMapRow
from hie.terminology.versions import named

# How an equivalence reads from the target's side.
REVERSED = {"wider": "narrower", "narrower": "wider", "subsumes": "specializes", "specializes": "subsumes"}
NOT_A_MATCH = frozenset({"unmatched", "disjoint"})
# What a map says of all codes that it does not list, it says of none in particular.
UNSTATED = "relatedto"
MOST_MAPS = 5  # that refer to one another for what they do not list


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


def translate(session: Session, asked: Question, map_: ConceptMap | None, depth: int = 1) -> list[Match]:
    """Return the translations of a code by one map, or by all current maps that fit.

    Where no map is named, what a map says of codes it does not list counts only if no map lists the code.

    Args:
        depth: how many maps have been gone through, each because the one before says so.
    """
    statement = _reversed(asked) if asked.is_reverse else _forward(asked)
    statement = statement.join(ConceptMap, ConceptMap.id == ConceptMapRow.map_id)
    statement = statement.where(*_of_maps(asked, map_))
    rows = session.execute(statement.order_by(ConceptMap.url, ConceptMapRow.ordinal)).all()
    found: dict[Match, None] = {}
    for equivalence, system, code, display, url in rows:
        read = REVERSED.get(equivalence, equivalence) if asked.is_reverse else equivalence
        found[Match(read, system or "", code or "", display, url)] = None
    if not asked.is_reverse and (map_ is not None or not found):
        found |= dict.fromkeys(_unlisted(session, asked, map_, list(found), depth))
    return list(found)


def _of_maps(asked: Question, map_: ConceptMap | None) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = [ConceptMap.is_current.is_(True), ConceptMap.status != "retired"]
    if map_ is not None:
        wanted = [ConceptMap.id == map_.id]
    for column, uri in ((ConceptMap.source_uri, asked.source), (ConceptMap.target_uri, asked.target)):
        if uri is not None:
            wanted.append(or_(column == uri, column.startswith(f"{uri}|", autoescape=True)))
    return wanted


def _unlisted(
    session: Session, asked: Question, map_: ConceptMap | None, listed: Sequence[Match], depth: int
) -> Iterator[Match]:
    """Give what the groups that do not list a code say of such codes (conceptmap.html, group.unmapped)."""
    targets = {match.system for match in listed}
    if "" in targets:  # It is listed, as having no target.
        return
    says_so = ConceptMap.unmapped.contains([{"source": asked.system}])
    for head in session.scalars(
        select(ConceptMap).where(says_so, *_of_maps(asked, map_)).order_by(ConceptMap.url)
    ):
        for group in head.unmapped or ():
            if group["source"] != asked.system or group["target"] in targets:
                continue
            if group["mode"] == "other-map":
                other = named(session, ConceptMap, group.get("url", ""))
                if other is not None and depth < MOST_MAPS:
                    bare = replace(asked, source=None, target=None)
                    yield from translate(session, bare, other, depth + 1)
            elif asked.target_system in (None, group["target"]):
                code = asked.code if group["mode"] == "provided" else group.get("code", "")
                yield Match(UNSTATED, group["target"], code, group.get("display"), head.url)


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
