"""Finds who a registration may be of: candidates by several roads, a score for each (IHE ITI-119)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from itertools import islice
from typing import Any

from esb.fhir import lexemes
from hie.errors import NotValid
from hie.mpi.people import identities_by_identifier
from hie.mpi.scoring import Traits, Verdict, compare, traits_of
from hie.repository.names import is_han, readings, split_han
from hie.repository.search import Search, search

MOST_BY_ROAD = 200
# Nobody has more numbers or telephones that tell who they are; each is a search of its own.
MOST_IDENTIFIERS, MOST_PHONES, MOST_NAMES = 20, 10, 20
LONGEST = 32
Asked = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A source Patient that may be meant, with how well it agrees; content: the stored bytes."""

    id: str
    content: bytes
    verdict: Verdict


@lru_cache(maxsize=20_000)
def sounds_of(name: str) -> tuple[str, ...]:
    """Return how a normalised name may be read: in pinyin if it is Han, else its parts in any order."""
    if is_han(name):
        return tuple(family + given for family, given, _ in readings(*split_han(name)))
    parts = name.split()
    return ("".join(parts), "".join(reversed(parts)))


def candidates(how: Search, patient: dict[str, Any]) -> list[Candidate]:
    """Return the source Patients within a reach that may be of the same human, the best first.

    Args:
        how: its condition is the reach.
    """
    today = how.now.date()
    asked = traits_of(patient, sounds_of, today)
    found: dict[str, Candidate] = {}
    for road in _roads(how, patient, asked):
        try:
            page = search(how, "Patient", [*road, ("_count", str(MOST_BY_ROAD))])
        except NotValid:  # a value that cannot be searched for leads nowhere
            continue
        for _, id_, content in page.matches:
            if id_ not in found:
                known = traits_of(lexemes.loads_kept(content), sounds_of, today)
                found[id_] = Candidate(id_, content, compare(asked, known))
    kept = [one for one in found.values() if one.verdict.grade != "certainly-not"]
    return sorted(kept, key=lambda one: (-one.verdict.bits, one.id))


def _roads(how: Search, patient: dict[str, Any], asked: Traits) -> Iterator[Asked]:
    """Yield searches that may find the person, each by what is rarely wrong together."""
    for identifier in (patient.get("identifier") or ())[:MOST_IDENTIFIERS]:
        system, value = identifier.get("system"), str(identifier.get("value") or "")
        if value:
            yield [("identifier", _plain(value) if not system else f"{_plain(system)}|{_plain(value)}")]
            if known := identities_by_identifier(how.session, value, system):
                yield [("_id", ",".join(known))]
    for phone in sorted(asked.phones)[:MOST_PHONES]:
        yield [("phone", phone)]
    years = _years(asked.birth_date, asked.born)
    for word in islice(_words(asked), MOST_NAMES):
        yield [("name", word), *years]
    if asked.birth_date is not None:
        for day in _days(asked.birth_date):
            for family in islice(_families(asked), MOST_NAMES):
                yield [("family", family), ("birthdate", day.isoformat())]


def _words(asked: Traits) -> Iterable[str]:
    """What the name is searched by: how it is read finds what is written otherwise too."""
    words = [*asked.sounds, *asked.names]
    return dict.fromkeys(_plain(word)[:LONGEST] for word in sorted(words))


def _families(asked: Traits) -> Iterable[str]:
    for name in asked.names:
        if is_han(name):
            yield from dict.fromkeys(family for family, _, _ in readings(*split_han(name)))


def _years(born: date | None, text: str) -> Asked:
    year = born.year if born else int(text[:4]) if text[:4].isdigit() else None
    return [] if year is None else [("birthdate", f"ge{year - 1:04d}"), ("birthdate", f"le{year + 1:04d}")]


def _days(born: date) -> Iterator[date]:
    yield born
    if born.month != born.day <= 12:
        yield date(born.year, born.day, born.month)


def _plain(value: str) -> str:
    return "".join("\\" + c if c in ",$|\\" else c for c in value)
