"""Finds one concept and says what is known of it (CodeSystem/$lookup, $validate-code, $subsumes)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from hie.schema import CodeSystem, Concept
from hie.terminology import chapters, ucum
from hie.terminology.errors import NotKnown
from hie.terminology.hierarchy import told_by_form

EQUIVALENT, SUBSUMES, SUBSUMED_BY, NOT_SUBSUMED = "equivalent", "subsumes", "subsumed-by", "not-subsumed"


@dataclass(frozen=True, slots=True)
class Found:
    """A concept with what stands around it."""

    system: str
    version: str
    code: str
    display: str
    name: str = ""
    display_zh: str | None = None
    display_en: str | None = None
    definition: str | None = None
    active: bool = True
    abstract: bool = False
    parents: tuple[str, ...] = ()
    properties: tuple[dict[str, Any], ...] = ()
    designations: tuple[dict[str, Any], ...] = field(default=())

    def shown(self, language: str | None) -> str:
        """Return the display in a language, as far as it is known; in that of a region where it has one."""
        for one in self.designations:
            if language and str(one.get("language", "")).lower() == language.lower():
                return str(one.get("value"))
        return shown(self.display, self.display_zh, self.display_en, language)

    def displays(self) -> set[str]:
        """Return every name of the concept."""
        named = {self.display, self.display_zh, self.display_en}
        return {one for one in named if one} | {str(one.get("value")) for one in self.designations}


def shown(display: str, zh: str | None, en: str | None, language: str | None) -> str:
    """Return the one of a concept's names that is in a language, else its own."""
    words = {"zh": zh, "en": en}
    return words.get((language or "").partition("-")[0].lower()) or display


def find(session: Session, system: CodeSystem, code: str) -> Found | None:
    """Return a concept of a code system, or None; a unit is found by its grammar too, so is a chapter."""
    row = session.scalars(select(Concept).where(*_is(system, code)).limit(1)).first()
    if row is not None:
        return _found(system, row)
    if system.url == ucum.SYSTEM and ucum.is_unit(code):
        return Found(system.url, system.version, code, code, system.name)
    chapter = chapters.named(system.url, code)
    if chapter is not None:
        zh, en = chapter.display, chapter.display_en
        return Found(system.url, system.version, code, zh, system.name, zh, en, abstract=True)
    return None


def _is(system: CodeSystem, code: str) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions that a concept has a code, with the case that its system minds or does not."""
    matches = Concept.code == code if system.is_case_sensitive else func.lower(Concept.code) == code.lower()
    return Concept.system_id == system.id, matches


def _found(system: CodeSystem, row: Concept) -> Found:
    return Found(
        system.url,
        system.version,
        row.code,
        row.display,
        system.name,
        row.display_zh,
        row.display_en,
        row.definition,
        row.active,
        row.abstract,
        tuple(row.parents),
        tuple(row.properties or ()),
        tuple(row.designations or ()),
    )


def children(session: Session, system: CodeSystem, code: str) -> list[str]:
    """Return the codes right below a code."""
    below = select(Concept.code).where(Concept.system_id == system.id, Concept.parents.contains([code]))
    return list(session.scalars(below.order_by(Concept.ordinal)))


def subsumes(session: Session, system: CodeSystem, one: str, other: str) -> str:
    """Return how a code stands to another: equivalent, subsumes, subsumed-by, not-subsumed.

    Raises: NotKnown where a code is neither in the table nor told by its form.
    """
    (one, above_one), (other, above_other) = (_above(session, system, code) for code in (one, other))
    if one == other:
        return EQUIVALENT
    if one in above_other:
        return SUBSUMES
    return SUBSUMED_BY if other in above_one else NOT_SUBSUMED


def _above(session: Session, system: CodeSystem, code: str) -> tuple[str, list[str]]:
    """Return a code as its system writes it, and the codes above it."""
    wanted = select(Concept.code, Concept.ancestors).where(*_is(system, code))
    found = session.execute(wanted.limit(1)).one_or_none()
    if found is not None:
        return found.code, found.ancestors
    told = list(told_by_form(system.url, code))
    if told or session.scalar(_stands_above(system, code)):
        return code, told
    raise NotKnown("The code system does not have this code; correct the code or its version.")


def _stands_above(system: CodeSystem, code: str) -> Any:
    """Ask for a code that only others name: a category above them."""
    under = select(Concept.code).where(Concept.system_id == system.id, Concept.ancestors.contains([code]))
    return under.limit(1)
