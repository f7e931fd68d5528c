"""Expands a value set page by page, found by Chinese, English, pinyin or code; checks a code against it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Subquery, and_, func, not_, or_, select
from sqlalchemy.orm import Session

from hie.schema import CodeSystem
from hie.terminology import ucum
from hie.terminology.concepts import Found, find, shown
from hie.terminology.errors import TooCostly
from hie.terminology.members import bounded, compose_of, members
from hie.terminology.versions import named
from hie.terminology.words import HAN, folded

MOST_WITHOUT_COUNT = 10_000
MOST_AT_ONCE = 50_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """How an expansion is wanted.

    filter: words a concept must be found by. count: None for all of it. language: of the displays.
    """

    filter: str = ""
    offset: int = 0
    count: int | None = None
    active_only: bool = False
    leave_out_abstract: bool = False
    leave_out_systems: tuple[str, ...] = ()
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Expansion:
    """A page of an expansion: how many codes there are in all, and those of the page."""

    total: int
    rows: list[dict[str, Any]]


def expand(session: Session, compose: dict[str, Any], wanted: Wanted) -> Expansion:
    """Return a page of the codes of a compose, in its order.

    Raises: NotKnown, NotValid, TooCostly.
    """
    with bounded(session):
        found = members(session, compose).subquery()
        conditions = list(_conditions(found, wanted))
        total = session.scalar(select(func.count()).select_from(found).where(*conditions)) or 0
        limit = wanted.count
        if limit is None and total - wanted.offset > MOST_WITHOUT_COUNT:
            raise TooCostly(
                f"The expansion has {total} codes; ask for pages with count and offset, or give a filter."
            )
        page = select(found).where(*conditions).order_by(found.c.branch, found.c.ordinal, found.c.code)
        page = page.offset(wanted.offset).limit(MOST_AT_ONCE if limit is None else min(limit, MOST_AT_ONCE))
        rows = [_contained(row, wanted.language) for row in session.execute(page).mappings()]
    return Expansion(total, rows)


def _contained(row: Any, language: str | None) -> dict[str, Any]:
    """Return a row as `ValueSet.expansion.contains` has it."""
    display = shown(row["display"], row["display_zh"], row["display_en"], language)
    contained: dict[str, Any] = {"system": row["system"]}
    if row["abstract"]:
        contained["abstract"] = True
    if not row["active"]:
        contained["inactive"] = True
    if row["version"]:
        contained["version"] = row["version"]
    return contained | {"code": row["code"], "display": display}


def _conditions(found: Subquery, wanted: Wanted) -> Iterator[ColumnElement[bool]]:
    for word in folded(wanted.filter).split():
        yield _is_found_by(found, word)
    if wanted.active_only:
        yield found.c.active
    if wanted.leave_out_abstract:
        yield ~found.c.abstract
    for canonical in wanted.leave_out_systems:
        system, _, version = canonical.partition("|")
        is_of_it = found.c.system == system
        yield not_(and_(is_of_it, found.c.version == version) if version else is_of_it)


def _is_found_by(found: Subquery, word: str) -> ColumnElement[bool]:
    """A Han word may stand anywhere in a name; any other begins a word, a code or the pinyin."""
    if HAN.search(word):
        names = (found.c.display, found.c.display_zh, found.c.search)
        return or_(*(func.coalesce(name, "").contains(word, autoescape=True) for name in names))
    return found.c.search.contains(f" {word}", autoescape=True)


def holds(session: Session, compose: dict[str, Any], system: str | None, code: str) -> list[Found]:
    """Return the concepts of a compose that a code names: one where the system is given.

    Raises: NotKnown, NotValid, TooCostly.
    """
    with bounded(session):
        found = members(session, compose).subquery()
        is_meant = _is_code(session, found, system, code)
        rows = session.execute(select(found).where(is_meant)).mappings().all()
    if not rows and _holds_all_units(session, compose, system):
        ucum_system = named(session, CodeSystem, ucum.SYSTEM)
        unit = find(session, ucum_system, code) if ucum_system is not None else None
        return [unit] if unit is not None else []
    return [
        Found(
            row["system"],
            row["version"],
            row["code"],
            row["display"],
            display_zh=row["display_zh"],
            display_en=row["display_en"],
            active=row["active"],
            abstract=row["abstract"],
        )
        for row in rows
    ]


def _is_code(session: Session, found: Subquery, system: str | None, code: str) -> ColumnElement[bool]:
    """Return the condition that a row is a code, with the case that its system minds or does not."""
    if system is None:
        return found.c.code == code
    known = named(session, CodeSystem, system)
    is_minded = known is None or known.is_case_sensitive
    same = found.c.code == code if is_minded else func.lower(found.c.code) == code.lower()
    return and_(found.c.system == system, same)


def _holds_all_units(session: Session, compose: dict[str, Any], system: str | None) -> bool:
    """Say whether a compose takes all of UCUM, which is a grammar and no table."""
    if system not in (None, ucum.SYSTEM):
        return False
    for include in compose.get("include") or ():
        parts = set(include) & {"concept", "filter", "valueSet"}
        if include.get("system") == ucum.SYSTEM and not parts:
            return True
        if parts == {"valueSet"} and "system" not in include and len(include["valueSet"]) == 1:
            imported = compose_of(session, include["valueSet"][0])
            if _holds_all_units(session, imported, system):
                return True
    return False
