"""What of a Patient identifies a human: name and birth date made comparable, own and valid identifiers.

Placeholders identify nobody. A guardian's number on a child's record is not the child's.
"""

import hashlib
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

from esb.fhir.identifiers import (
    BIRTH_CERT,
    ENTITLEMENT,
    FOREIGN_PR,
    HEALTH_CARD,
    INSURANCE,
    OFFICER_CARD,
    PASSPORT,
    PERMIT_HMT,
    RESIDENT_ID,
    birth_date_of,
    is_placeholder,
    normalise_resident_id,
    system_of_card,
)

# The low four bits of a key say which system it is of; never renumber.
SYSTEMS = {
    RESIDENT_ID: 1,
    HEALTH_CARD: 2,
    INSURANCE: 3,
    PASSPORT: 4,
    PERMIT_HMT: 5,
    FOREIGN_PR: 6,
    BIRTH_CERT: 7,
    OFFICER_CARD: 8,
    ENTITLEMENT: 9,
}
# A human has at most one number of these at a time: two different ones are two people, or a mistake.
SINGLE = frozenset({SYSTEMS[RESIDENT_ID], SYSTEMS[FOREIGN_PR], SYSTEMS[PERMIT_HMT]})
GUARDIAN_YEARS = 15
SHORTEST = 5
NOT_USUAL = ("old", "maiden", "nickname")

DOTS = dict.fromkeys(map(ord, "·•・‧∙⋅．.。,，'’-－"), None)


@dataclass(frozen=True, slots=True)
class Demographics:
    """What an identity is compared by. name: normalised; keys: hashed identifiers, system in the low bits."""

    name: str | None
    birth_date: date | None
    gender: str | None
    keys: frozenset[int]

    def agrees_with(self, other: "Demographics") -> bool:
        """Say whether name and birth date are known on both sides and the same."""
        return (
            self.name is not None
            and self.name == other.name
            and self.birth_date is not None
            and self.birth_date == other.birth_date
        )


def demographics(patient: dict[str, Any]) -> Demographics:
    """Return what identifies the human behind a Patient resource."""
    stated = _birth_date(patient.get("birthDate"))
    identifiers = list(_own_identifiers(patient, stated))
    born = stated
    if born is None:
        born = next((birth_date_of(value) for system, value in identifiers if system == RESIDENT_ID), None)
    gender = patient.get("gender")
    return Demographics(
        name=name_of(patient),
        birth_date=born,
        gender=gender if gender in ("male", "female") else None,
        keys=frozenset(key_of(system, value) for system, value in identifiers),
    )


def key_of(system: str, value: str) -> int:
    """Return the hashed key (signed, 64 bits) of an identifier that was made comparable before."""
    digest = hashlib.blake2b(f"{system}|{value}".encode(), digest_size=8).digest()
    unsigned = int.from_bytes(digest) & ~0xF | SYSTEMS[system]
    return unsigned - (1 << 64) if unsigned >= 1 << 63 else unsigned


def system_of_key(key: int) -> int:
    """Return the number in SYSTEMS of the system a key is of."""
    return key & 0xF


def search_keys(value: str, system: str | None = None) -> list[int]:
    """Return the keys under which an identifier typed by a user may be stored, with or without its system."""
    found = []
    for candidate in (system,) if system else SYSTEMS:
        if candidate in SYSTEMS:
            made = comparable(candidate, value)
            if made is not None:
                found.append(key_of(*made))
    return found


def name_of(patient: dict[str, Any]) -> str | None:
    """Return the comparable form of a Patient's usual name, or None if it has none or a placeholder."""
    names = [name for name in patient.get("name") or () if name.get("use") not in NOT_USUAL]
    return next((made for name in names if (made := normalise_name(written_name(name)))), None)


def written_name(name: dict[str, Any]) -> str:
    """Return a HumanName as written: its text, or family and given names in the order of its script."""
    if name.get("text"):
        return str(name["text"])
    family, given = str(name.get("family") or ""), [str(part) for part in name.get("given") or ()]
    if family.isascii() and all(part.isascii() for part in given):
        return " ".join([*given, family])
    return family + "".join(given)


def normalise_name(text: str) -> str | None:
    """Return a name without width, case, dots and spaces; Latin names with their parts in one order."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    if is_placeholder(plain.strip()) or is_placeholder(text.strip()):
        return None
    parts = plain.translate(DOTS).split()
    if not parts:
        return None
    latin = all(part.isascii() for part in parts)
    return " ".join(sorted(parts)) if latin else "".join(parts)


def comparable(system: str, value: str) -> tuple[str, str] | None:
    """Return (system, value) in the form that is compared, or None if the value identifies nobody.

    An 18-digit card filed as a resident ID is put under the document it really is.
    """
    plain = "".join(unicodedata.normalize("NFKC", value).upper().split())
    if is_placeholder(plain) or len(plain) < SHORTEST:
        return None
    if system == RESIDENT_ID:
        resident = normalise_resident_id(plain)
        if resident is not None:
            return RESIDENT_ID, resident
        real = system_of_card(plain)
        return (real, plain) if real else None
    return system, plain


def _own_identifiers(patient: dict[str, Any], stated: date | None) -> Iterator[tuple[str, str]]:
    for identifier in patient.get("identifier") or ():
        system, value = identifier.get("system"), identifier.get("value")
        if system not in SYSTEMS or not value or identifier.get("use") in ("old", "temp"):
            continue
        made = comparable(system, str(value))
        if made is not None and not _is_guardians(made, stated):
            yield made


def _is_guardians(made: tuple[str, str], stated: date | None) -> bool:
    """A number of somebody born so much earlier belongs to the parent who registered the child."""
    system, value = made
    if system != RESIDENT_ID or stated is None:
        return False
    born = birth_date_of(value)
    return born is not None and stated.year - born.year >= GUARDIAN_YEARS


def _birth_date(text: object) -> date | None:
    if not isinstance(text, str) or len(text) != 10 or is_placeholder(text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
