"""Hospitals' own codes as the repository received them, and the work list of those without a map."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Text, and_, case, cast, column, exists, func, not_, or_, select, text
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.orm import Session

from esb.fhir import lexemes
from hie.errors import Issue
from hie.schema import (
    CodeSystem,
    Concept,
    ConceptMap,
    ConceptMapRow,
    LocalCode,
    Resource,
    TerminologyMark,
)
from hie.schema.repository import Xid8
from hie.terminology.reading import MOST_ERRORS, NotLoaded, check, rows_of, text_of
from hie.terminology.storing import LOCK, Pair, put_map

MARK = "local-codes"
BATCH = 2000
READ_AT_ONCE = 20_000  # versions of resources; who waits for an answer waits for no whole region
MOST_LINES = 50_000
LOCAL = re.compile(r"urn:hie:([A-Za-z0-9_.-]+):([A-Za-z0-9_.:-]+)")
REGION = "region"
HAS_CODING = '%"system":"urn:hie:%'

FIELDS = (
    "facility", "system", "code", "display", "count", "first_seen", "last_seen", "example_type",
    "target_system", "target_code", "target_display", "equivalence",
)  # fmt: skip
EQUIVALENCES = frozenset(
    {"relatedto", "equivalent", "equal", "wider", "subsumes", "narrower", "specializes", "inexact"}
    | {"unmatched"}
)  # fmt: skip
LEFT_OUT = ("coding", "meta")
FORMULA = re.compile(r"'*[=+\-@\t\r]")
FORMULA_AS_TEXT = re.compile(r"^'('*[=+\-@\t\r])")
Key = tuple[str, str, str]


def gather(session: Session, most: int | None = None) -> int:
    """Count the local codes of what was committed since the last time; return how many versions were read.

    Reads below the oldest transaction still open, so that a late commit is never missed.

    Args:
        most: stop after so many, at the end of a transaction; the next call goes on there.
    """
    session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK + 1})
    upper = session.scalar(select(func.pg_snapshot_xmin(func.pg_current_snapshot())))
    mark = session.get(TerminologyMark, MARK, populate_existing=True)
    conditions: list[ColumnElement[bool]] = [
        Resource.facility.is_not(None),
        not_(Resource.deleted),
        Resource.xid < cast(upper, Xid8),
        Resource.content.like(HAS_CODING),
    ]
    if mark is not None:
        conditions.append(Resource.xid >= cast(mark.xid, Xid8))
    rows = select(Resource.type, Resource.facility, Resource.updated_at, Resource.content, Resource.xid)
    rows = rows.where(*conditions)
    if most is not None:
        rows = rows.order_by(Resource.xid)
    seen: dict[Key, dict[str, Any]] = {}
    read, last = 0, None
    with closing(session.execute(rows.execution_options(yield_per=BATCH))) as found:
        for row in found:
            if most is not None and read >= most and row.xid != last:
                upper = row.xid
                break
            read, last = read + 1, row.xid
            _count(seen, row.type, row.facility, row.updated_at, lexemes.loads_kept(row.content))
    _add(session, seen)
    reached = {"xid": upper, "updated_at": func.now()}
    keep = insert(TerminologyMark).values(name=MARK, **reached)
    session.execute(keep.on_conflict_do_update(index_elements=["name"], set_=reached))
    return read


def gather_if_free(session: Session) -> bool:
    """Count some of what came since, unless another does so just now; say whether all is counted."""
    if not session.scalar(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": LOCK + 1}):
        return False
    return gather(session, READ_AT_ONCE) < READ_AT_ONCE


def _count(
    seen: dict[Key, dict[str, Any]], type_: str, facility: str, at: datetime, resource: dict[str, Any]
) -> None:
    """Count each local code of a resource once."""
    here: dict[Key, dict[str, Any]] = {}
    for codings in _concepts(resource):
        standard = next((one for one in codings if one.get("code") and not _is_local(one)), None)
        for one in codings:
            if one.get("code") and _is_local(one):
                key = (facility, str(one["system"]), str(one["code"]))
                here.setdefault(key, {"display": one.get("display") or "", "standard": standard})
    for key, told in here.items():
        known = seen.setdefault(key, {"display": "", "count": 0, "first": at, "last": at, "standard": None})
        known["count"] += 1
        known["first"], known["last"] = min(known["first"], at), max(known["last"], at)
        known["display"] = told["display"] or known["display"]
        known["standard"] = told["standard"] or known["standard"]
        known["type"] = type_


def _is_local(coding: dict[str, Any]) -> bool:
    found = LOCAL.fullmatch(str(coding.get("system", "")))
    return found is not None and found[1] != REGION


def _concepts(value: Any) -> Iterator[list[dict[str, Any]]]:
    """Yield the codings of every CodeableConcept and every single Coding of a resource."""
    open_: list[Any] = [value]
    while open_:
        one = open_.pop()
        if isinstance(one, list):
            open_ += one
        elif isinstance(one, dict):
            codings = one.get("coding")
            if isinstance(codings, list):
                yield [coding for coding in codings if isinstance(coding, dict)]
            elif "code" in one and "system" in one and "value" not in one:
                yield [one]
            open_ += [
                child
                for name, child in one.items()
                if name not in LEFT_OUT and isinstance(child, dict | list)
            ]


def _add(session: Session, seen: dict[Key, dict[str, Any]]) -> None:
    """Add what was counted to the table."""
    if not seen:
        return
    statement = insert(LocalCode)
    new = statement.excluded
    statement = statement.on_conflict_do_update(
        index_elements=["facility", "system", "code"],
        set_={
            "count": LocalCode.count + new.count,
            "first_seen": func.least(LocalCode.first_seen, new.first_seen),
            "last_seen": func.greatest(LocalCode.last_seen, new.last_seen),
            "display": case((new.display == "", LocalCode.display), else_=new.display),
            "example_type": new.example_type,
            "standard_system": func.coalesce(new.standard_system, LocalCode.standard_system),
            "standard_code": func.coalesce(new.standard_code, LocalCode.standard_code),
        },
    )
    rows = [
        {
            "facility": facility,
            "system": system,
            "code": code,
            "display": told["display"],
            "count": told["count"],
            "first_seen": told["first"],
            "last_seen": told["last"],
            "example_type": told["type"],
            "standard_system": (told["standard"] or {}).get("system"),
            "standard_code": (told["standard"] or {}).get("code"),
        }
        for (facility, system, code), told in sorted(seen.items())
    ]
    session.execute(statement, rows)


def unmapped(
    session: Session, facility: str | None = None, limit: int | None = None, offset: int = 0
) -> list[LocalCode]:
    """Return the local codes without a translation, the most frequent first."""
    wanted = select(LocalCode).where(*_without_translation(facility))
    wanted = wanted.order_by(LocalCode.count.desc(), LocalCode.facility, LocalCode.system, LocalCode.code)
    return list(session.scalars(wanted.limit(limit).offset(offset)))


def number_unmapped(session: Session, facility: str | None = None) -> int:
    """Return how many local codes are without a translation."""
    wanted = select(func.count()).select_from(LocalCode).where(*_without_translation(facility))
    return session.scalar(wanted) or 0


def _without_translation(facility: str | None) -> list[ColumnElement[bool]]:
    """Return the conditions that a local code, of a facility, has no translation.

    Translated is what a current map holds, also as `unmatched`, and what the hospital's front-end processor
    had translated already.
    """
    own = func.concat("urn:hie:", ConceptMap.facility, ":")
    is_mapped = exists(
        select(ConceptMapRow.map_id)
        .join(ConceptMap, ConceptMap.id == ConceptMapRow.map_id)
        .where(
            ConceptMap.is_current,
            or_(ConceptMap.facility.is_(None), func.starts_with(LocalCode.system, own)),
            ConceptMapRow.source_system == LocalCode.system,
            ConceptMapRow.source_code == LocalCode.code,
        )
    )
    own_only = [LocalCode.facility == facility] if facility is not None else []
    return [LocalCode.standard_code.is_(None), not_(is_mapped), *own_only]


def work_list(codes: list[LocalCode]) -> str:
    """Return local codes as the CSV that is filled in and given back to `map_answers`.

    A spreadsheet takes what begins with = + - @ for a formula; an apostrophe before it says that it is text.
    """
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(FIELDS)
    for one in codes:
        row = (one.facility, one.system, _as_text(one.code), _as_text(one.display), one.count)
        writer.writerow(
            (*row, one.first_seen.isoformat(), one.last_seen.isoformat(), one.example_type, "", "", "", "")
        )
    return written.getvalue()


def _as_text(cell: str) -> str:
    return f"'{cell}" if FORMULA.match(cell) else cell


def map_answers(session: Session, raw: bytes, only: str | None = None) -> dict[str, int]:
    """Take a filled work list into each facility's map; return how many codes of each were mapped.

    A line without a target and without `unmatched` is left for later. All of a file or nothing.

    Args:
        only: the facility whose lines alone are taken; one of another is wrong.

    Raises: NotLoaded with the wrong lines.
    """
    needed = ("facility", "system", "code", "target_system", "target_code")
    problems: list[Issue] = []
    read = 0
    answers: dict[str, dict[tuple[str, str], Pair]] = {}
    lines: dict[tuple[str, str], int] = {}
    for line, cells in rows_of(text_of(raw), {name: (name,) for name in FIELDS}, None, needed):
        read += 1
        if read > MOST_LINES:
            raise NotLoaded(f"A work list has at most {MOST_LINES:,} lines; send it in parts.")
        row = {name: FORMULA_AS_TEXT.sub(r"\1", cell) for name, cell in cells.items()}
        equivalence = row.get("equivalence") or ("equivalent" if row["target_code"] else "")
        if not equivalence:
            continue
        problem = _problem(row, equivalence, only)
        if problem:
            problems.append(Issue(f"line {line}", problem))
            continue
        pair = Pair(
            row["system"], row["code"], row.get("display") or None, row["target_system"] or None,
            row["target_code"] or None, row.get("target_display") or None, equivalence,
        )  # fmt: skip
        answers.setdefault(row["facility"], {})[row["system"], row["code"]] = pair
        if row["target_code"]:
            lines.setdefault((row["target_system"], row["target_code"]), line)
    problems += [
        Issue(f"line {lines[target]}", "its target is not in that code system")
        for target in _unknown(session, lines)
    ]
    check(problems[:MOST_ERRORS])
    if not answers:
        raise NotLoaded("No line has a target_code; fill in target_system and target_code.")
    for facility, pairs in answers.items():
        _merge(session, facility, pairs)
    return {facility: len(pairs) for facility, pairs in sorted(answers.items())}


def _problem(row: dict[str, str], equivalence: str, only: str | None) -> str:
    if only not in (None, row["facility"]):
        return "the facility is another one than yours"
    found = LOCAL.fullmatch(row["system"])
    if found is None or found[1] != row["facility"]:
        return "the system is not one of the facility's own, urn:hie:FACILITY:..."
    if not row["code"]:
        return "the code is empty"
    if equivalence not in EQUIVALENCES:
        return f"the equivalence is none of {', '.join(sorted(EQUIVALENCES))}"
    if equivalence != "unmatched" and not (row["target_system"] and row["target_code"]):
        return "target_system and target_code belong together"
    return ""


def _unknown(session: Session, targets: dict[tuple[str, str], int]) -> list[tuple[str, str]]:
    """Return the targets that a whole table loaded here does not hold."""
    if not targets:
        return []
    whole = set(
        session.scalars(select(CodeSystem.url).where(CodeSystem.is_current, CodeSystem.content == "complete"))
    )
    asked = [target for target in targets if target[0] in whole]
    urls, codes = ([target[part] for target in asked] for part in (0, 1))
    # Two arrays: a statement takes no more than 65,535 parameters.
    each = func.unnest(cast(urls, ARRAY(Text)), cast(codes, ARRAY(Text)))
    wanted = each.table_valued(column("url", Text), column("code", Text)).render_derived("wanted")
    rows = session.execute(
        select(CodeSystem.url, Concept.code)
        .join(Concept, Concept.system_id == CodeSystem.id)
        .join(wanted, and_(wanted.c.url == CodeSystem.url, wanted.c.code == Concept.code))
        .where(CodeSystem.is_current)
    )
    held = {(url, code) for url, code in rows}
    return [target for target in asked if target not in held]


def map_url(facility: str) -> str:
    """Return the canonical of the map of a facility's own codes."""
    return f"urn:hie:{facility}:map"


def _merge(session: Session, facility: str, pairs: dict[tuple[str, str], Pair]) -> None:
    """Add answers to a facility's map; what was said of a code before is replaced."""
    session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    url = map_url(facility)
    kept = select(ConceptMapRow).join(ConceptMap, ConceptMap.id == ConceptMapRow.map_id)
    kept = kept.where(ConceptMap.url == url, ConceptMap.is_current).order_by(ConceptMapRow.ordinal)
    before = [
        Pair(
            row.source_system, row.source_code, row.source_display, row.target_system, row.target_code,
            row.target_display, row.equivalence, row.comment,
        )
        for row in session.scalars(kept)
        if (row.source_system, row.source_code) not in pairs
    ]  # fmt: skip
    session.expire_all()
    head = ConceptMap(
        url=url,
        version="",
        name=f"Codes of {facility}",
        facility=facility,
        resource_id=f"map-{facility.lower()}",
    )
    put_map(session, head, [*before, *pairs.values()])
