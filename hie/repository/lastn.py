"""The newest results of each test, as codings that meet make a test (FHIR R4 observation-operation-lastn)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import tzinfo
from typing import Any

from esb.fhir import lexemes
from hie.errors import NotSupported
from hie.repository.dates import EARLIEST, Range, span_of
from hie.repository.search import Match, Search, search

MOST = 50_000
PAGE = "1000"
DATES = ("effectiveDateTime", "effectivePeriod", "effectiveInstant", "effectiveTiming", "issued")


def observations(how: Search, params: Sequence[tuple[str, str]]) -> Iterator[Match]:
    """Yield all Observations that a search finds. Raises: NotSupported if they are too many."""
    asked = [*params, ("_count", PAGE)]
    found = 0
    cursor: list[tuple[str, str]] = []
    while True:
        page = search(how, "Observation", [*asked, *cursor], strict=True)
        found += len(page.matches)
        if found > MOST:
            raise NotSupported(
                f"$lastn goes through {MOST} Observations at most; name fewer patients or codes."
            )
        yield from page.matches
        if page.cursor is None:
            return
        cursor = [("_cursor", page.cursor)]


def newest(found: Iterable[Match], most: int, zone: tzinfo) -> list[Match]:
    """Return the newest of each subject and test, the newest first within each; of one instant, all.

    Two Observations are of one test if they share a coding, or have the same text where they have none. What
    was entered in error counts for nothing.
    """
    groups: dict[tuple[str, str], list[tuple[Range, Match]]] = {}
    tests: dict[tuple[str, str], str] = {}
    for match in found:
        resource = lexemes.loads_kept(match[2])
        if resource.get("status") == "entered-in-error":
            continue
        subject = str((resource.get("subject") or {}).get("reference") or "")
        names = _names(resource.get("code") or {})
        test = next((tests[subject, name] for name in names if (subject, name) in tests), names[0])
        _meet(groups, tests, subject, names, test)
        groups.setdefault((subject, test), []).append((_when(resource, zone), match))
    return [match for group in groups.values() for match in _first(group, most)]


def _meet(
    groups: dict[Any, Any], tests: dict[Any, str], subject: str, names: Sequence[str], test: str
) -> None:
    """Let all names of a test lead to one group; groups that turn out to be one are joined."""
    for name in names:
        known = tests.get((subject, name))
        if known is not None and known != test:
            groups.setdefault((subject, test), []).extend(groups.pop((subject, known), []))
            for key in [key for key, value in tests.items() if value == known and key[0] == subject]:
                tests[key] = test
        tests[subject, name] = test


def _names(concept: dict[str, Any]) -> list[str]:
    codings = [c for c in concept.get("coding") or () if c.get("code")]
    return [f"{c.get('system', '')}|{c['code']}" for c in codings] or ["text " + str(concept.get("text", ""))]


def _when(resource: dict[str, Any], zone: tzinfo) -> Range:
    spans = (span_of(resource[name], zone) for name in DATES if name in resource)
    return next((found for found in spans if found), (EARLIEST, EARLIEST))


def _first(group: list[tuple[Range, Match]], most: int) -> list[Match]:
    group.sort(key=lambda item: (item[0][0], item[1][1]), reverse=True)
    last = group[min(most, len(group)) - 1][0][0]
    return [match for (low, _), match in group if low >= last]
