"""Reads a table of codes from CSV: columns by their names, each line checked, every error with its line."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hie.errors import Issue, Rejected
from hie.terminology.kinds import Kind
from hie.terminology.storing import Entry

MOST_ERRORS = 50
NO = frozenset({"0", "false", "no", "n", "否", "无效", "停用"})
STEP = 5000
LONGEST_CODE, LONGEST_DISPLAY = 200, 1000

Progress = Callable[[int], None]


class NotLoaded(Rejected):
    """The table was not loaded; correct the lines named and load it again."""


def text_of(raw: bytes) -> str:
    """Return the text of a file in UTF-8 or GB18030. Raises: NotLoaded."""
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise NotLoaded("The file is neither UTF-8 nor GB18030; save it as one of them.")


def read_entries(raw: bytes, kind: Kind, columns: Mapping[str, str], progress: Progress) -> list[Entry]:
    """Return the concepts of a table.

    Args:
        columns: field -> name of its column, where the file names it otherwise than `kinds.COLUMNS`.
        progress: told how many lines were read.

    Raises: NotLoaded with one issue per wrong line, `line 17`, up to fifty.
    """
    entries: list[Entry] = []
    first_at: dict[str, int] = {}
    problems: list[Issue] = []
    for line, row in _rows(text_of(raw), kind, columns):
        problem = _problem(row, kind, first_at)
        if problem:
            problems.append(Issue(f"line {line}", problem))
            if len(problems) == MOST_ERRORS:
                break
            continue
        first_at[row["code"]] = line
        entries.append(_entry(row))
        if len(entries) % STEP == 0:
            progress(len(entries))
    for entry in entries:
        for parent in entry.parents:
            if parent not in first_at and len(problems) < MOST_ERRORS:
                problems.append(Issue(f"line {first_at[entry.code]}", "its parent is not in the table"))
    check(problems)
    if not entries:
        raise NotLoaded("The file has no line but its heading.")
    progress(len(entries))
    return entries


def _rows(text: str, kind: Kind, columns: Mapping[str, str]) -> Iterator[tuple[int, dict[str, str]]]:
    if kind.is_plain and not columns and kind.form.fullmatch(next(words_of(text), (0, [""]))[1][0]):
        return ((line, {"code": one[0], "display": " ".join(one[1:])}) for line, one in words_of(text))
    return rows_of(text, kind.columns, columns, ("code", "display"))


def words_of(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the words of each line that is not empty."""
    for line, content in enumerate(text.split("\n"), start=1):
        if words := content.split():
            yield line, words


def check(problems: list[Issue]) -> None:
    """Refuse a table with problems. Raises: NotLoaded."""
    if problems:
        raise NotLoaded(issues=sorted(problems, key=lambda issue: int(issue.path.split()[-1])))


def rows_of(
    text: str, known: Mapping[str, tuple[str, ...]], given: Mapping[str, str] | None, needed: tuple[str, ...]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each line's number and its fields; other columns under their own names.

    Args:
        given: field -> name of its column; None where nobody can name one.

    Raises: NotLoaded if a needed column is missing, or a given one is not there.
    """
    head = text.partition("\n")[0]
    delimiter = max(",\t;|", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        names = [name.strip() for name in next(reader, [])]
        fields = _fields(names, known, given, needed)
        for cells in reader:
            if any(cell.strip() for cell in cells):
                padded = cells + [""] * (len(fields) - len(cells))
                yield reader.line_num, {f: " ".join(c.split()) for f, c in zip(fields, padded, strict=False)}
    except csv.Error:
        raise NotLoaded(f"line {reader.line_num} is no CSV; check its quotes.") from None


def _fields(
    names: list[str],
    known: Mapping[str, tuple[str, ...]],
    given: Mapping[str, str] | None,
    needed: tuple[str, ...],
) -> list[str]:
    """Return the field that each column holds."""
    folded = [name.casefold() for name in names]
    found = dict(enumerate(folded))
    taken: set[str] = set()
    chosen: set[int] = set()
    for field, name in (given or {}).items():
        if name.casefold() not in folded:
            raise NotLoaded(f"The file has no column {name}; its columns are: {', '.join(names)}.")
        found[folded.index(name.casefold())] = field
        chosen.add(folded.index(name.casefold()))
        taken.add(field)
    for field, aliases in known.items():
        at = next((folded.index(alias) for alias in aliases if alias in folded), None)
        if field not in taken and at is not None:
            found[at] = field
            chosen.add(at)
            taken.add(field)
    if missing := [field for field in needed if field not in taken]:
        listed = ", ".join(names) or "none"
        hint = "" if given is None else f" Name it with --columns {missing[0]}=NAME."
        raise NotLoaded(f"No column for {', '.join(missing)}; the columns are: {listed}.{hint}")
    # Another column that happens to be called like a field that is read from elsewhere holds none.
    return [found[n] if n in chosen or found[n] not in taken else f"column {n}" for n in range(len(names))]


def _problem(row: dict[str, str], kind: Kind, first_at: dict[str, int]) -> str:
    """Return what is wrong with a line, or ''."""
    code = row["code"]
    if not code:
        return "the code is empty"
    if len(code) > LONGEST_CODE or not kind.form.fullmatch(code):
        return f"the code does not look like one of {kind.name}"
    if code in first_at:
        return f"the code stands in line {first_at[code]} already"
    if not row["display"] or len(row["display"]) > LONGEST_DISPLAY:
        return "the name is empty or too long"
    return ""


KNOWN = frozenset({"code", "display", "display_en", "parent", "active", "definition"})


def _entry(row: dict[str, str]) -> Entry:
    properties: list[dict[str, Any]] = [
        {"code": name, "valueString": value} for name, value in row.items() if name not in KNOWN and value
    ]
    return Entry(
        row["code"],
        row["display"],
        display_zh=row["display"],
        display_en=row.get("display_en") or None,
        definition=row.get("definition") or None,
        parents=[row["parent"]] if row.get("parent") else [],
        active=row.get("active", "").casefold() not in NO,
        properties=properties or None,
    )
