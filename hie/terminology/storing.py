"""Puts whole code systems, value sets and maps into their tables; what had the same url and version goes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg.types.json import Jsonb
from sqlalchemy import case, delete, func, select, text, update
from sqlalchemy.orm import Session

from hie.errors import NotValid
from hie.schema import CodeSystem, Concept, ConceptMap, ConceptMapRow, ValueSet
from hie.schema.bulk import copy_in
from hie.terminology.hierarchy import closure, told_by_form
from hie.terminology.words import search_words

Table = CodeSystem | ValueSet | ConceptMap
LOCK = 0x48494502  # names the lock under which terminology is written

# How much of its codes a version holds; the others (not-present, example, supplement) hold none.
HOLDS = {"complete": 2, "fragment": 1}

CONCEPT_COLUMNS = (
    "system_id", "code", "ordinal", "display", "display_zh", "display_en", "definition", "parents",
    "ancestors", "active", "abstract", "properties", "designations", "search",
)  # fmt: skip
SYSTEM_COLUMNS = (
    "id", "url", "version", "is_current", "name", "title", "status", "content", "is_case_sensitive",
    "language", "value_set", "source", "concepts",
)  # fmt: skip
VALUE_SET_COLUMNS = ("id", "url", "version", "is_current", "name", "title", "status")
ROW_COLUMNS = (
    "map_id", "ordinal", "source_system", "source_code", "source_display", "target_system", "target_code",
    "target_display", "equivalence", "comment",
)  # fmt: skip


@dataclass(slots=True)
class Entry:
    """One concept of a code system."""

    code: str
    display: str
    display_zh: str | None = None
    display_en: str | None = None
    definition: str | None = None
    parents: list[str] = field(default_factory=list)
    active: bool = True
    abstract: bool = False
    properties: list[dict[str, Any]] | None = None
    designations: list[dict[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """One source code of a map and one of its targets."""

    source_system: str
    source_code: str
    source_display: str | None
    target_system: str | None
    target_code: str | None
    target_display: str | None
    equivalence: str = "equivalent"
    comment: str | None = None


def put_code_system(session: Session, system: CodeSystem, entries: Sequence[Entry]) -> CodeSystem:
    """Store a version of a code system with its concepts and make it the current one.

    Raises: NotValid if a code comes twice or stands above itself.
    """
    codes = {entry.code: entry.parents for entry in entries}
    if len(codes) != len(entries):
        raise NotValid("A code comes twice in the code system; each may stand once.")
    above = closure(codes)
    system.concepts = len(entries)
    put(session, system)
    copy_in(session, Concept.__tablename__, CONCEPT_COLUMNS, _concept_rows(system, entries, above))
    return system


def _concept_rows(
    system: CodeSystem, entries: Sequence[Entry], above: dict[str, list[str]]
) -> Iterable[Sequence[Any]]:
    for ordinal, one in enumerate(entries):
        yield (
            system.id,
            one.code,
            ordinal,
            one.display,
            one.display_zh,
            one.display_en,
            one.definition,
            one.parents,
            list(dict.fromkeys((*told_by_form(system.url, one.code), *above[one.code]))),
            one.active,
            one.abstract,
            Jsonb(one.properties) if one.properties else None,
            Jsonb(one.designations) if one.designations else None,
            search_words(one.code, one.display, one.display_zh, one.display_en, *_also(one)),
        )


def put_new(
    session: Session, systems: Sequence[tuple[CodeSystem, Sequence[Entry]]], value_sets: Sequence[ValueSet]
) -> None:
    """Store code systems and value sets none of whose urls is there yet, all together."""
    of_tables: tuple[tuple[type[Table], Sequence[CodeSystem | ValueSet]], ...] = (
        (CodeSystem, [system for system, _ in systems]),
        (ValueSet, value_sets),
    )
    for table, heads in of_tables:
        numbers = func.nextval(func.pg_get_serial_sequence(table.__tablename__, "id"))
        ids = session.scalars(select(numbers).select_from(func.generate_series(1, len(heads)).alias()))
        for row, id_ in zip(heads, ids, strict=True):
            row.id, row.is_current = id_, True
    for system, entries in systems:
        system.concepts = len(entries)
    copy_in(session, "code_system", SYSTEM_COLUMNS, (_values(s, SYSTEM_COLUMNS) for s, _ in systems))
    above = (
        (system, entries, closure({one.code: one.parents for one in entries})) for system, entries in systems
    )
    concepts = (row for given in above for row in _concept_rows(*given))
    copy_in(session, Concept.__tablename__, CONCEPT_COLUMNS, concepts)
    heads_only = ((*_values(one, VALUE_SET_COLUMNS), Jsonb(one.compose)) for one in value_sets)
    copy_in(session, "value_set", (*VALUE_SET_COLUMNS, "compose"), heads_only)


def _values(row: Table, columns: Sequence[str]) -> list[Any]:
    return [getattr(row, name) for name in columns]


def _also(entry: Entry) -> list[str]:
    return [str(one.get("value", "")) for one in entry.designations or ()]


def put_map(session: Session, map_: ConceptMap, pairs: Iterable[Pair]) -> ConceptMap:
    """Store a version of a map with its rows and make it the current one."""
    put(session, map_)
    rows = (
        (map_.id, ordinal, *(getattr(one, name) for name in ROW_COLUMNS[2:]))
        for ordinal, one in enumerate(pairs)
    )
    copy_in(session, ConceptMapRow.__tablename__, ROW_COLUMNS, rows)
    return map_


def lock(session: Session) -> None:
    """Let writers of terminology come one after the other; readers see what was until the commit."""
    session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})


def put(session: Session, row: Table) -> None:
    """Store the head row of a version in place of one with the same url and version, as the current one.

    What holds less than the current version (a fragment, a description) does not become current.
    """
    table = type(row)
    lock(session)
    same = delete(table).where(table.url == row.url, table.version == row.version)
    if any(session.scalars(same.returning(table.is_current)).all()):
        _make_current(session, table, row.url)
    row.is_current = not _holds_less(session, row)
    if row.is_current:
        session.execute(update(table).where(table.url == row.url).values(is_current=False))
    session.add(row)
    session.flush()


def _holds_less(session: Session, row: Table) -> bool:
    """Say whether a code system holds less than the current version: a part of it, or its description."""
    if not isinstance(row, CodeSystem):
        return False
    current = select(CodeSystem.content).where(CodeSystem.url == row.url, CodeSystem.is_current)
    known = session.scalar(current)
    return known is not None and HOLDS.get(row.content, 0) < HOLDS.get(known, 0)


def remove(session: Session, table: type[Table], id_: str) -> None:
    """Take away what was written under an id of the API; the version before becomes the current one."""
    lock(session)
    gone = session.execute(
        delete(table).where(table.resource_id == id_, table.is_written).returning(table.url, table.is_current)
    ).all()
    for url, was_current in gone:
        if was_current:
            _make_current(session, table, url)


def _make_current(session: Session, table: type[Table], url: str) -> None:
    """Let the newest of the versions that hold most be the current one."""
    most = (case(HOLDS, value=CodeSystem.content, else_=0).desc(),) if table is CodeSystem else ()
    best = select(table.id).where(table.url == url).order_by(*most, table.id.desc()).limit(1)
    session.execute(update(table).where(table.id == best.scalar_subquery()).values(is_current=True))
