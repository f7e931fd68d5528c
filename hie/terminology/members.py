"""The codes of a value set as one SQL query over the concepts (FHIR R4 valueset.html#compose)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from psycopg.errors import InvalidRegularExpression, QueryCanceled
from sqlalchemy import (
    Boolean,
    ColumnElement,
    Integer,
    Select,
    Subquery,
    Text,
    cast,
    column,
    func,
    literal,
    not_,
    select,
    text,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from hie.errors import NotValid
from hie.schema import CodeSystem, Concept, ValueSet
from hie.terminology.errors import NotKnown, TooCostly
from hie.terminology.filters import condition
from hie.terminology.versions import named
from hie.terminology.words import words_of

DEEPEST = 20  # value sets that import each other
COMPLETE = "complete"
HOLD_NONE = ("not-present", "supplement")  # a supplement says more of another system's codes, has none itself
ALL_CODES = "?fhir_vs"  # behind the url of a code system: the value set of its codes (FHIR R4 snomedct.html)
TIME_LIMIT = "8s"
MOST_PARTS = 200
COLUMNS = (
    "system", "version", "code", "display", "display_zh", "display_en", "abstract", "active", "search",
    "branch", "ordinal",
)  # fmt: skip


def codes_of(session: Session, value_set_url: str) -> set[tuple[str, str]]:
    """Return every (system, code) of a value set, named by `url` or `url|version`.

    Raises: NotKnown for a value set, or a whole code system within it, that is not here.
    """
    with bounded(session):
        found = members(session, compose_of(session, value_set_url)).subquery()
        return {(system, code) for system, code in session.execute(select(found.c.system, found.c.code))}


@contextmanager
def bounded(session: Session) -> Iterator[None]:
    """Give up on a query that takes too long. Raises: TooCostly; NotValid for a wrong pattern."""
    usual = session.scalar(text("SELECT current_setting('statement_timeout')"))
    limit = text("SELECT set_config('statement_timeout', :limit, true)")
    session.execute(limit, {"limit": TIME_LIMIT})
    try:
        yield
    except DBAPIError as error:
        if isinstance(error.orig, QueryCanceled):
            raise TooCostly("The value set takes too long to expand; simplify its filters.") from None
        if isinstance(error.orig, InvalidRegularExpression):
            raise NotValid("A filter's pattern is no regular expression.") from None
        raise
    session.execute(limit, {"limit": usual})


@dataclass(slots=True)
class _Parts:
    """How many includes and excludes a value set has by now, with those it imports."""

    number: int = 0

    def add(self, number: int) -> None:
        """Count parts. Raises: TooCostly."""
        self.number += number
        if self.number > MOST_PARTS:
            raise TooCostly(
                f"A value set has at most {MOST_PARTS} parts with those it imports; list its codes."
            )


def compose_of(session: Session, canonical: str) -> dict[str, Any]:
    """Return the compose of a value set; that of all codes where a code system names its own value set.

    Raises: NotKnown.
    """
    value_set = named(session, ValueSet, canonical)
    if value_set is not None:
        return value_set.compose
    url, _, version = canonical.partition("|")
    if url.endswith(ALL_CODES):
        return {
            "include": [{"system": url.removesuffix(ALL_CODES)} | ({"version": version} if version else {})]
        }
    known = select(CodeSystem).where(CodeSystem.value_set == url, CodeSystem.is_current)
    if version:
        known = known.where(CodeSystem.version == version)
    region_first = known.order_by(CodeSystem.facility.is_not(None), CodeSystem.url)
    system = session.scalars(region_first.limit(1)).one_or_none()
    if system is None:
        raise NotKnown(
            "This value set is not known here; write it as a ValueSet resource, or correct its url."
        )
    return {"include": [{"system": system.url, "version": system.version}]}


def members(
    session: Session, compose: dict[str, Any], depth: int = 0, parts: _Parts | None = None
) -> Select[Any]:
    """Return the query for the codes of a compose.

    Columns: system, version, code, display, display_zh, display_en, abstract, active, search, branch and
    ordinal; each (system, code) once, not ordered.

    Raises: NotKnown, NotValid, TooCostly.
    """
    parts = parts or _Parts()
    if depth > DEEPEST:
        raise NotValid("Value sets import each other in a circle, or too deeply; correct their compose.")
    includes = _list(compose.get("include"))
    if not includes:
        raise NotValid("A value set needs compose.include.")
    excludes = _list(compose.get("exclude"))
    parts.add(len(includes) + len(excludes))
    branches = [_included(session, one, number, depth, parts) for number, one in enumerate(includes)]
    if len(branches) == 1:
        found = branches[0].subquery()
        chosen = select(found)
    else:
        united = union_all(*branches).subquery()
        first = func.row_number().over(
            partition_by=(united.c.system, united.c.code), order_by=(united.c.branch, united.c.ordinal)
        )
        found = select(united, first.label("first")).subquery()
        chosen = select(*(found.c[name] for name in COLUMNS)).where(found.c.first == 1)
    if compose.get("inactive") is False:
        chosen = chosen.where(found.c.active)
    for number, one in enumerate(excludes):
        excluded = _included(session, one, number, depth, parts).subquery()
        chosen = chosen.where(not_(_is_in(found, excluded)))
    return chosen


def _list(given: Any) -> list[dict[str, Any]]:
    if given is None:
        return []
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise NotValid("compose.include and compose.exclude are lists.")
    return given


def _is_in(found: Subquery, others: Subquery) -> ColumnElement[bool]:
    return tuple_(found.c.system, found.c.code).in_(select(others.c.system, others.c.code))


def _included(
    session: Session, include: dict[str, Any], branch: int, depth: int, parts: _Parts
) -> Select[Any]:
    """Return the query of one include: its codes, less what its value sets do not hold."""
    imported = [
        members(session, compose_of(session, canonical), depth + 1, parts).subquery()
        for canonical in include.get("valueSet") or ()
    ]
    if "system" in include:
        base = _of_system(session, include, branch, parts).subquery()
    elif imported:
        base, *imported = imported
        base = _rebranched(base, branch).subquery()
    else:
        raise NotValid("An include names a system or value sets.")
    chosen = select(base)
    for other in imported:
        chosen = chosen.where(_is_in(base, other))
    return chosen


def _rebranched(found: Subquery, branch: int) -> Select[Any]:
    columns = [literal(branch).label("branch") if c.name == "branch" else c for c in found.c]
    return select(*columns)


def _of_system(session: Session, include: dict[str, Any], branch: int, parts: _Parts) -> Select[Any]:
    url = str(include["system"])
    version = include.get("version")
    system = named(session, CodeSystem, f"{url}|{version}" if version else url)
    if listed := include.get("concept"):
        return _listed(url, version, system, listed, branch)
    if system is None or system.content in HOLD_NONE:
        raise NotKnown(
            f"The code system {url} is not loaded here; load it with hie terminology load, or list its codes."
        )
    given = include.get("filter") or ()
    parts.add(len(given))
    filters = [condition(one, system.id) for one in given]
    return _columns(url, system.version, branch).where(Concept.system_id == system.id, *filters)


def _columns(url: str, version: str, branch: int) -> Select[Any]:
    columns: tuple[ColumnElement[Any] | InstrumentedAttribute[Any], ...] = (
        literal(url, Text).label("system"),
        literal(version, Text).label("version"),
        Concept.code,
        Concept.display,
        Concept.display_zh,
        Concept.display_en,
        Concept.abstract,
        Concept.active,
        Concept.search,
        literal(branch, Integer).label("branch"),
        Concept.ordinal,
    )
    return select(*columns)


def _listed(
    url: str, version: str | None, system: CodeSystem | None, listed: Sequence[dict[str, Any]], branch: int
) -> Select[Any]:
    """Return the query of codes listed one by one; a whole system known here must hold them."""
    rows = [
        {"code": one["code"], "display": one.get("display")} | words_of(one.get("designation") or ())
        for one in listed
        if isinstance(one.get("code"), str)
    ]
    given = (
        func.jsonb_array_elements(cast(literal(json.dumps(rows, ensure_ascii=False)), JSONB))
        .table_valued(column("one", JSONB), with_ordinality="position")
        .render_derived(name=f"listed_{branch}")
    )
    code, display, zh, en = (given.c.one.op("->>")(name) for name in ("code", "display", "zh", "en"))
    number = cast(given.c.position, Integer).label("ordinal")
    if system is None:
        shown = func.coalesce(display, code)
        return select(
            literal(url, Text).label("system"),
            literal(version or "", Text).label("version"),
            code.label("code"),
            shown.label("display"),
            zh.label("display_zh"),
            en.label("display_en"),
            literal(False, Boolean).label("abstract"),
            literal(True, Boolean).label("active"),
            func.concat(" ", func.lower(code), " ", func.lower(shown)).label("search"),
            literal(branch, Integer).label("branch"),
            number,
        )
    known = aliased(Concept)
    is_whole = system.content == COMPLETE
    return (
        select(
            literal(url, Text).label("system"),
            literal(system.version, Text).label("version"),
            code.label("code"),
            func.coalesce(display, known.display, code).label("display"),
            func.coalesce(zh, known.display_zh).label("display_zh"),
            func.coalesce(en, known.display_en).label("display_en"),
            func.coalesce(known.abstract, False).label("abstract"),
            func.coalesce(known.active, True).label("active"),
            func.coalesce(known.search, func.concat(" ", func.lower(code))).label("search"),
            literal(branch, Integer).label("branch"),
            number,
        )
        .select_from(given)
        .join(known, (known.code == code) & (known.system_id == system.id), isouter=not is_whole)
        .where(true())
    )
