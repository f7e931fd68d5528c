"""Which codes stand above and below a code (subsumption; FHIR R4 codesystem.html#hierarchy)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from hie.errors import NotValid
from hie.schema import CodeSystem, Concept
from hie.terminology.chapters import ICD9_CM3, ICD10, chapter_of

# I10.x00x002: category, fourth character, six-character code, extension (insurance edition).
ICD10_PARTS = re.compile(r"([A-Z][0-9][0-9A-Z])(?:\.([0-9xX+])(?:([0-9xX]{2})(.+)?|.*)?)?")
# 38.9301: category, third and fourth digit, extension.
ICD9_PARTS = re.compile(r"([0-9]{2})(?:\.([0-9xX])(?:([0-9xX])(.+)?)?)?")


def descendants(session: Session, system: str, code: str) -> set[str]:
    """Return a code and every code below it, in the current version of its system.

    The code itself is in the answer even if the system is not known here.
    """
    statement = (
        select(Concept.code)
        .join(CodeSystem, CodeSystem.id == Concept.system_id)
        .where(CodeSystem.url == system, CodeSystem.is_current, Concept.ancestors.contains([code]))
    )
    return {code, *session.scalars(statement)}


def ancestors(session: Session, system: str, code: str) -> set[str]:
    """Return a code and every code above it, in the current version of its system.

    A code that the table does not list still has the ancestors its own form tells, where the system's
    codes tell them (ICD-10, ICD-9-CM-3).
    """
    statement = (
        select(Concept.ancestors)
        .join(CodeSystem, CodeSystem.id == Concept.system_id)
        .where(CodeSystem.url == system, CodeSystem.is_current, Concept.code == code)
    )
    found = session.scalar(statement)
    return {code, *(told_by_form(system, code) if found is None else found)}


def is_subsumed(session: Session, system: str, ancestor: str, code: str) -> bool:
    """Say whether `code` is `ancestor` or stands below it."""
    return ancestor in ancestors(session, system, code)


def told_by_form(system: str, code: str) -> tuple[str, ...]:
    """Return the codes above a code as its own form tells them, the highest first."""
    above = BY_FORM[system](code) if system in BY_FORM else ()
    chapter = chapter_of(system, above[0] if above else code)
    return (chapter, *above) if chapter is not None and chapter != code and chapter not in above else above


def _icd10(code: str) -> tuple[str, ...]:
    parts = ICD10_PARTS.fullmatch(code)
    if parts is None:
        return ()
    category, fourth, rest, _ = parts.groups()
    above = [category]
    if fourth:
        above.append(f"{category}.{fourth}")
    if rest:
        above.append(f"{category}.{fourth}{rest}")
    return tuple(one for one in above if one != code)


def _icd9(code: str) -> tuple[str, ...]:
    parts = ICD9_PARTS.fullmatch(code)
    if parts is None:
        return ()
    category, third, fourth, _ = parts.groups()
    above = [category]
    if third:
        above.append(f"{category}.{third}")
    if fourth:
        above.append(f"{category}.{third}{fourth}")
    return tuple(one for one in above if one != code)


MOST_ABOVE = 500
TOO_DEEP = f"A code has more than {MOST_ABOVE} codes above it: too deep to be kept."
BY_FORM: dict[str, Callable[[str], tuple[str, ...]]] = {ICD10: _icd10, ICD9_CM3: _icd9}


def closure(parents: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Return every code above each code of a table of parents; a code may have several.

    Raises: NotValid if a code stands above itself, or too many stand above it.
    """
    done: dict[str, list[str]] = {}
    for start in parents:
        open_, under = [start], {start}
        while open_:
            code = open_[-1]
            if code in done:
                under.remove(open_.pop())
                continue
            missing = next((one for one in parents.get(code, ()) if one not in done), None)
            if missing is None:
                above: dict[str, None] = {}
                for one in parents.get(code, ()):
                    above |= dict.fromkeys((*done[one], one))
                if len(above) > MOST_ABOVE:
                    raise NotValid(TOO_DEEP)
                done[code] = list(above)
                under.remove(open_.pop())
            elif missing in under:
                raise NotValid("A concept stands above itself; correct the parents of the code system.")
            elif len(open_) > MOST_ABOVE:
                raise NotValid(TOO_DEEP)
            else:
                open_.append(missing)
                under.add(missing)
    return done
