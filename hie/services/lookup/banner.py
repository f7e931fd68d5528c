"""Who the record is about: the banner that stays in sight on every page of it (IPS header)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime

from esb.fhir.identifiers import is_facility_system
from hie.services.lookup.allergies import Allergy, allergies
from hie.services.lookup.masking import mask_identifier
from hie.services.lookup.naming import name_of
from hie.services.lookup.sources import Holdings, Json
from hie.services.lookup.when import LONG_AGO, age_years, instant


@dataclass(frozen=True, slots=True)
class AsOf:
    """A hospital and the instant its newest data reached the hub; None if it sent none."""

    facility: str
    at: datetime | None
    records: int


@dataclass(frozen=True, slots=True)
class Banner:
    """The person as the hospitals know them; differing spellings and birth dates are told, not dropped."""

    name: str
    other_names: tuple[str, ...]
    gender: str
    birth_date: str
    other_birth_dates: tuple[str, ...]
    age: int | None
    deceased: bool
    identifiers: tuple[tuple[str, str, str], ...]
    allergies: tuple[Allergy, ...]
    none_known: bool
    denials: tuple[str, ...]
    as_of: tuple[AsOf, ...]


def banner(holdings: Holdings, today: date) -> Banner:
    """Return the banner of a record."""
    patients = [patient for patient in holdings.of("Patient") if patient.get("active", True)]
    patients = patients or holdings.of("Patient")
    names = _ranked(name_of(patient) for patient in patients)
    births = _ranked(str(patient.get("birthDate", "")) for patient in patients)
    genders = _ranked(str(patient.get("gender", "")) for patient in patients)
    told = allergies(holdings)
    return Banner(
        name=names[0] if names else "",
        other_names=tuple(names[1:]),
        gender=genders[0] if genders else "unknown",
        birth_date=births[0] if births else "",
        other_birth_dates=tuple(births[1:]),
        age=_age(births[0] if births else "", today),
        deceased=any(_is_deceased(patient) for patient in patients),
        identifiers=_identifiers(holdings, patients),
        allergies=told.known,
        none_known=told.none_known,
        denials=told.denials,
        as_of=as_of(holdings),
    )


def as_of(holdings: Holdings) -> tuple[AsOf, ...]:
    """Return for each hospital the instant at which its newest data arrived."""
    newest: dict[str, str] = {}
    count: Counter[str] = Counter()
    for type_, resources in holdings.by_type.items():
        for resource in resources:
            facility = holdings.facility_of(resource)
            count[facility] += type_ != "Patient"
            updated = str(resource.get("meta", {}).get("lastUpdated", ""))
            if updated > newest.get(facility, ""):
                newest[facility] = updated
    facilities = sorted({source.facility for source in holdings.sources})
    return tuple(
        AsOf(
            name,
            moment if (moment := instant(newest.get(name), holdings.zone)) != LONG_AGO else None,
            count[name],
        )
        for name in facilities
    )


def _ranked(values: object) -> list[str]:
    counts = Counter(value for value in values if value)  # type: ignore[attr-defined]
    return [value for value, _ in counts.most_common()]


def _age(birth_date: str, today: date) -> int | None:
    try:
        return age_years(date.fromisoformat(birth_date), today)
    except ValueError:
        return today.year - int(birth_date[:4]) if birth_date[:4].isdigit() else None


def _is_deceased(patient: Json) -> bool:
    return bool(patient.get("deceasedBoolean") or patient.get("deceasedDateTime"))


def _identifiers(holdings: Holdings, patients: list[Json]) -> tuple[tuple[str, str, str], ...]:
    """Return (kind, masked value, facility); a number that all hospitals share is given once, without one."""
    seen: dict[tuple[str, str], str] = {}
    for patient in patients:
        for identifier in patient.get("identifier") or ():
            value, system = str(identifier.get("value", "")), str(identifier.get("system", ""))
            if not value:
                continue
            local = is_facility_system(system)
            kind = system.rsplit(":", 1)[-1] if system.startswith("urn:hie:") else system or _type(identifier)
            seen.setdefault((kind or "other", value), holdings.facility_of(patient) if local else "")
    return tuple((kind, mask_identifier(value), facility) for (kind, value), facility in seen.items())


def _type(identifier: Json) -> str:
    for coding in (identifier.get("type") or {}).get("coding") or ():
        if coding.get("code"):
            return str(coding["code"])
    return ""
