"""How well two registrations agree: levels per field, their weights as a table, a grade with reasons.

A weight is log2 of how much more often a level is seen in two records of one human than in those of two
people. They are set by hand, a chance agreement of identifiers as rarer than one in a million; a region sets
its own after its review list. No sum alone makes a match certain: an own, valid identifier and the name must
agree.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from esb.fhir.identifiers import is_placeholder
from hie.mpi.normalise import SINGLE, demographics, normalise_name, system_of_key, written_name

# field -> level -> bits
WEIGHTS: dict[str, dict[str, float]] = {
    "identifier": {"same": 18.0, "other": -12.0, "unknown": 0.0},
    "name": {"same": 9.0, "sound": 6.0, "close": 3.0, "different": -7.0, "unknown": 0.0},
    "birth date": {
        "same": 11.0, "first of January": 5.0, "swapped": 7.0, "near": 5.0, "year": 2.0, "different": -8.0,
        "unknown": 0.0,
    },
    "gender": {"same": 1.0, "different": -4.0, "unknown": 0.0},
    "phone": {"same": 8.0, "different": -0.5, "unknown": 0.0},
    "address": {"same": 5.0, "part": 2.5, "different": -0.5, "unknown": 0.0},
}  # fmt: skip
PROBABLE, POSSIBLE = 13.0, 6.0
MOST = 30.0  # bits that count as a score of 1
CHILD_YEARS = 14
NEWBORN = ("之子", "之女", "之婴")


@dataclass(frozen=True, slots=True)
class Traits:
    """What a registration is compared by.

    names: normalised; sounds: how they may be read, in pinyin without tones or as written in Latin letters.
    keys: hashed own identifiers. born: the birth date, or the year or month that is known of it.
    """

    names: tuple[str, ...] = ()
    sounds: frozenset[str] = frozenset()
    birth_date: date | None = None
    born: str = ""
    gender: str | None = None
    keys: frozenset[int] = frozenset()
    phones: frozenset[str] = frozenset()
    addresses: frozenset[str] = frozenset()
    today: date | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """How two registrations agree.

    score: 0 to 1. grade: certain, probable, possible or certainly-not (FHIR match-grade).
    levels: of each field. vetoes: why it may be another member of the family.
    """

    bits: float
    score: float
    grade: str
    levels: dict[str, str]
    vetoes: tuple[str, ...]

    def explained(self) -> str:
        """Return the reasons in one line, without any value."""
        parts = [f"{field} {level} {WEIGHTS[field][level]:+g}" for field, level in self.levels.items()]
        return "; ".join([*parts, *self.vetoes])


# Who may be another member of the family, whatever the sum says: such a pair is possible at most.
VETOES: dict[str, Callable[[dict[str, str], Traits, Traits], bool]] = {
    "two different numbers of a kind": lambda levels, one, other: levels["identifier"] == "other",
    "the same number, another name or gender": lambda levels, one, other: (
        levels["identifier"] == "same" and "different" in (levels["name"], levels["gender"])
    ),
    "perhaps a child's twin, brother or sister": lambda levels, one, other: (
        levels["identifier"] != "same" and levels["name"] != "same" and (_is_child(one) or _is_child(other))
    ),
    "a newborn named after a parent": lambda levels, one, other: (
        levels["identifier"] != "same" and any(n.endswith(NEWBORN) for n in (*one.names, *other.names))
    ),
}


def traits_of(patient: dict[str, Any], sounds_of: Callable[[str], Iterable[str]], today: date) -> Traits:
    """Return what a Patient resource is compared by.

    Args:
        sounds_of: how a normalised name may be read.
    """
    stated = demographics(patient)
    made = [
        normalise_name(written_name(name)) for name in patient.get("name") or () if isinstance(name, dict)
    ]
    names = tuple(dict.fromkeys(name for name in made if name))
    born = str(patient.get("birthDate") or "")
    return Traits(
        names=names,
        sounds=frozenset(sound for name in names for sound in sounds_of(name)),
        birth_date=stated.birth_date,
        born="" if is_placeholder(born) else born,
        gender=stated.gender,
        keys=stated.keys,
        phones=frozenset(_phones(patient)),
        addresses=frozenset(_addresses(patient)),
        today=today,
    )


def compare(one: Traits, other: Traits) -> Verdict:
    """Return how well two registrations agree, and why."""
    levels = {field: level(one, other) for field, level in LEVELS.items()}
    bits = sum(WEIGHTS[field][level] for field, level in levels.items())
    vetoes = tuple(reason for reason, holds in VETOES.items() if holds(levels, one, other))
    score = round(min(max(bits / MOST, 0.0), 1.0), 3)
    return Verdict(bits, score, _grade(bits, levels, vetoes), levels, vetoes)


def _grade(bits: float, levels: dict[str, str], vetoes: Collection[str]) -> str:
    if bits < POSSIBLE:
        return "certainly-not"
    if vetoes:
        return "possible"
    agrees = levels["name"] in ("same", "sound", "close")
    if levels["identifier"] == "same" and agrees and levels["birth date"] not in ("different", "year"):
        return "certain"
    return "probable" if bits >= PROBABLE else "possible"


def _identifier(one: Traits, other: Traits) -> str:
    if one.keys & other.keys:
        return "same"
    mine, theirs = ({system_of_key(k) for k in t.keys} & SINGLE for t in (one, other))
    return "other" if mine & theirs else "unknown"


def _name(one: Traits, other: Traits) -> str:
    if not one.names or not other.names:
        return "unknown"
    if set(one.names) & set(other.names):
        return "same"
    if one.sounds & other.sounds:
        return "sound"
    return "close" if any(_one_differs(a, b) for a in one.names for b in other.names) else "different"


def _one_differs(a: str, b: str) -> bool:
    return len(a) == len(b) >= 3 and sum(x != y for x, y in zip(a, b, strict=True)) == 1


def _birth_date(one: Traits, other: Traits) -> str:
    a, b = one.birth_date, other.birth_date
    if a is None or b is None:
        known = min(len(one.born), len(other.born), 7)
        if known < 4:
            return "unknown"
        return "year" if one.born[:known] == other.born[:known] else "different"
    if a == b:
        return "first of January" if (a.month, a.day) == (1, 1) else "same"
    if a.year == b.year and (a.month, a.day) == (b.day, b.month):
        return "swapped"
    digits = sum(x != y for x, y in zip(a.isoformat(), b.isoformat(), strict=True))
    is_next_year = abs(a.year - b.year) == 1 and (a.month, a.day) == (b.month, b.day)
    if digits == 1 or is_next_year or abs((a - b).days) <= 1:
        return "near"
    return "year" if a.year == b.year and (1, 1) in ((a.month, a.day), (b.month, b.day)) else "different"


def _gender(one: Traits, other: Traits) -> str:
    if one.gender is None or other.gender is None:
        return "unknown"
    return "same" if one.gender == other.gender else "different"


def _phone(one: Traits, other: Traits) -> str:
    if not one.phones or not other.phones:
        return "unknown"
    return "same" if one.phones & other.phones else "different"


def _address(one: Traits, other: Traits) -> str:
    if not one.addresses or not other.addresses:
        return "unknown"
    if one.addresses & other.addresses:
        return "same"
    pairs = [(a, b) for a in one.addresses for b in other.addresses]
    return (
        "part" if any(len(min(a, b, key=len)) >= 6 and (a in b or b in a) for a, b in pairs) else "different"
    )


LEVELS: dict[str, Callable[[Traits, Traits], str]] = {
    "identifier": _identifier,
    "name": _name,
    "birth date": _birth_date,
    "gender": _gender,
    "phone": _phone,
    "address": _address,
}


def _is_child(traits: Traits) -> bool:
    born, today = traits.birth_date, traits.today
    return born is not None and today is not None and today.year - born.year <= CHILD_YEARS


def _phones(patient: dict[str, Any]) -> Iterable[str]:
    for contact in patient.get("telecom") or ():
        if contact.get("system") in ("phone", "sms", None) and contact.get("value"):
            value = unicodedata.normalize("NFKC", str(contact["value"]))
            digits = "".join(c for c in value if c.isdigit()).removeprefix("0086")
            digits = digits.removeprefix("86") if len(digits) == 13 else digits
            if len(digits) >= 7 and not is_placeholder(digits):
                yield digits


def _addresses(patient: dict[str, Any]) -> Iterable[str]:
    for address in patient.get("address") or ():
        parts = [address.get(part) or "" for part in ("state", "city", "district")]
        written = str(address.get("text") or "".join([*parts, *(address.get("line") or ())]))
        plain = "".join(c for c in unicodedata.normalize("NFKC", written).casefold() if c.isalnum())
        if len(plain) >= 4 and not is_placeholder(written):
            yield plain
