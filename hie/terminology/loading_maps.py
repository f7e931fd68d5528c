"""Loads maps between editions of a classification: as published (two codes a line), or as CSV."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

from sqlalchemy import select
from sqlalchemy.orm import Session

from hie.errors import Issue
from hie.schema import CodeSystem, Concept, ConceptMap
from hie.terminology.kinds import MAP_COLUMNS, MapKind
from hie.terminology.loading import Loaded, resource_id, silent
from hie.terminology.reading import MOST_ERRORS, STEP, NotLoaded, Progress, check, rows_of, text_of, words_of
from hie.terminology.storing import Pair, put_map
from hie.terminology.versions import named

NEEDED = ("source_code", "target_code")
Row = dict[str, str]


def load_map(
    session: Session,
    kind: MapKind,
    raw: bytes,
    *,
    version: str = "",
    source_system: str = "",
    progress: Progress = silent,
) -> Loaded:
    """Load a map; the version loaded last is the current one. The same file again does nothing.

    A line without a target says that the code has none. Targets take their names from the loaded table.

    Args:
        source_system: URI of the codes on the left, where it is not the one that the kind names.

    Raises: NotLoaded.
    """
    if not version:
        raise NotLoaded("Say which version the map is, e.g. --version 2.0.")
    source_system = source_system or kind.source_system
    target = named(session, CodeSystem, kind.target_system)
    told = repr((kind.url, source_system, target and (target.id, target.digest)))
    digest = sha256(told.encode() + raw).hexdigest()
    known = session.scalars(
        select(ConceptMap).where(ConceptMap.url == kind.url, ConceptMap.version == version)
    ).one_or_none()
    if known is not None and known.digest == digest:
        return Loaded(kind.name, kind.url, version, "unchanged", _lines(raw))
    if known is not None and known.is_written:
        return Loaded(kind.name, kind.url, version, "kept", _lines(raw))
    pairs = _pairs(raw, kind, source_system, _names(session, target), progress)
    map_ = ConceptMap(
        url=kind.url,
        version=version,
        resource_id=resource_id(kind, version),
        name=kind.title_en,
        digest=digest,
    )
    put_map(session, map_, pairs)
    return Loaded(kind.name, kind.url, version, "loaded", len(pairs))


def _lines(raw: bytes) -> int:
    return sum(bool(line.strip()) for line in raw.split(b"\n"))


def _names(session: Session, target: CodeSystem | None) -> dict[str, str] | None:
    """Return the names of the codes of a whole table; None where only a part of it is here."""
    if target is None or target.content != "complete":
        return None
    wanted = select(Concept.code, Concept.display).where(Concept.system_id == target.id)
    return {row.code: row.display for row in session.execute(wanted)}


def _pairs(
    raw: bytes, kind: MapKind, source_system: str, names: dict[str, str] | None, progress: Progress
) -> list[Pair]:
    """Return the rows of a map. Raises: NotLoaded with one issue per wrong line, up to fifty."""
    pairs: list[Pair] = []
    seen: set[tuple[str, str]] = set()
    problems: list[Issue] = []
    for line, row in _rows(text_of(raw), kind):
        source, target = row["source_code"], row["target_code"]
        problem = _problem(source, target, kind, names)
        if problem:
            problems.append(Issue(f"line {line}", problem))
            if len(problems) == MOST_ERRORS:
                break
        elif (source, target) not in seen:
            seen.add((source, target))
            pairs.append(_pair(row, kind, source_system, names or {}))
            if len(pairs) % STEP == 0:
                progress(len(pairs))
    check(problems)
    if not pairs:
        raise NotLoaded("The file has no line but its heading.")
    progress(len(pairs))
    return pairs


def _rows(text: str, kind: MapKind) -> Iterator[tuple[int, Row]]:
    _, first = next(words_of(text), (0, [""]))
    if len(first) <= len(NEEDED) and all(kind.form.fullmatch(code) for code in first):
        return _plain_rows(text)
    return rows_of(text, MAP_COLUMNS, None, NEEDED)


def _plain_rows(text: str) -> Iterator[tuple[int, Row]]:
    for line, words in words_of(text):
        target = " ".join(words[1:])  # more than one word is no code, and told as that
        yield line, {"source_code": words[0], "target_code": target}


def _problem(source: str, target: str, kind: MapKind, names: dict[str, str] | None) -> str:
    if not kind.form.fullmatch(source) or (target and not kind.form.fullmatch(target)):
        return f"the line does not hold two codes of {kind.name}"
    if target and names is not None and target not in names:
        return "the target is not in the table that is loaded here"
    return ""


def _pair(row: Row, kind: MapKind, source_system: str, names: dict[str, str]) -> Pair:
    """Return a row of the map; the file tells of other codes no more than that they are related."""
    source, target = row["source_code"], row["target_code"]
    if not target:
        return Pair(source_system, source, row.get("source_display") or None, None, None, None, "unmatched")
    return Pair(
        source_system,
        source,
        row.get("source_display") or None,
        kind.target_system,
        target,
        names.get(target) or row.get("target_display") or None,
        "equivalent" if source == target else "relatedto",
    )
