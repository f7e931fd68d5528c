"""Medications of all hospitals: what a person takes now, what was taken before (IPS medication summary)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hie.repository.dates import first_of
from hie.services.lookup.codes import code, key, local_id, words
from hie.services.lookup.sources import Holdings, Json
from hie.services.lookup.when import FAR_OFF, LONG_AGO, instant

TYPES = ("MedicationRequest", "MedicationStatement", "MedicationDispense", "MedicationAdministration")
OVER = frozenset({"completed", "stopped", "cancelled", "ended", "not-taken", "declined", "not-done"})
VOID = frozenset({"entered-in-error", "draft"})
# A prescription that names no end counts as current for so long after it was written.
ASSUMED_CURRENT = timedelta(days=90)
# Between brackets no other is opened: a text of nothing but brackets is read once, not once for each.
FORM = re.compile(r"[((\[][^((\[))\]]*[))\]]|\s+")
DAYS = {"d": 1, "天": 1, "日": 1, "wk": 7, "周": 7, "mo": 30, "月": 30, "a": 365, "h": 1 / 24}
LONGEST_COURSE_DAYS = 36_525


@dataclass(frozen=True, slots=True)
class Prescription:
    """One entry of a hospital about a drug."""

    facility: str
    at: datetime
    until: datetime | None
    dose: str
    status: str
    kind: str


@dataclass(slots=True)
class Medication:
    """A drug, with every hospital's entries about it, the newest first."""

    name: str
    atc: str
    current: bool
    entries: list[Prescription] = field(default_factory=list)

    @property
    def facilities(self) -> list[str]:
        """The hospitals that prescribed it, without doubles."""
        return sorted({entry.facility for entry in self.entries})

    @property
    def is_duplicate(self) -> bool:
        """Whether two hospitals prescribe it at the same time."""
        now = {entry.facility for entry in self.entries if entry.status == "current"}
        return len(now) > 1


def medications(holdings: Holdings, now: datetime) -> list[Medication]:
    """Return the drugs, the current ones first, each with the newest first."""
    named = {resource.get("id"): resource for resource in holdings.of("Medication")}
    found: dict[str, Medication] = {}
    for resource in holdings.of(*TYPES):
        if resource.get("status") in VOID:
            continue
        concept = _concept(resource, named)
        name = words(concept)
        if not name:
            continue
        entry = _entry(resource, holdings, now)
        same = _key(concept)
        medication = found.setdefault(same, Medication(name, code(concept, "atc"), False))
        medication.entries.append(entry)
        medication.current = medication.current or entry.status == "current"
    for medication in found.values():
        medication.entries.sort(key=lambda entry: entry.at, reverse=True)
    return sorted(found.values(), key=lambda m: (m.current, m.entries[0].at), reverse=True)


def _concept(resource: Json, named: dict[str | None, Json]) -> Json:
    if "medicationCodeableConcept" in resource:
        return resource["medicationCodeableConcept"]
    reference = local_id(resource.get("medicationReference"))
    contained = {c.get("id"): c for c in resource.get("contained") or ()}
    medication = contained.get(reference.lstrip("#")) or named.get(reference) or {}
    return medication.get("code") or {"text": (resource.get("medicationReference") or {}).get("display", "")}


def _key(concept: Json) -> str:
    """Return what tells two entries to be of the same drug: a shared code, else the bare name."""
    same = key(concept)
    if not same.startswith("text|"):
        return same
    return "text|" + FORM.sub("", words(concept)).lower()


def _entry(resource: Json, holdings: Holdings, now: datetime) -> Prescription:
    at = instant(
        first_of(
            resource,
            "authoredOn",
            "effectivePeriod",
            "effectiveDateTime",
            "whenHandedOver",
            "whenPrepared",
            "dateAsserted",
        ),
        holdings.zone,
    )
    until = _until(resource, at, holdings)
    if resource.get("status") in OVER and resource["resourceType"] in (
        "MedicationRequest",
        "MedicationStatement",
    ):
        state = "past"
    elif until is not None:
        state = "current" if until >= now else "past"
    else:
        state = "current" if at != LONG_AGO and now - at <= ASSUMED_CURRENT else "past"
    if resource["resourceType"] == "MedicationAdministration":
        state = "past"
    return Prescription(
        holdings.facility_of(resource), at, until, _dose(resource), state, resource["resourceType"]
    )


def _until(resource: Json, at: datetime, holdings: Holdings) -> datetime | None:
    """Return when the supply or the instructed course ends; None if nothing says so."""
    period = resource.get("effectivePeriod") or {}
    request = resource.get("dispenseRequest") or {}
    ends = [period.get("end"), (request.get("validityPeriod") or {}).get("end")]
    for dosage in resource.get("dosageInstruction") or ():
        repeat = (dosage.get("timing") or {}).get("repeat") or {}
        ends.append((repeat.get("boundsPeriod") or {}).get("end"))
        if at != LONG_AGO and (length := repeat.get("boundsDuration")):
            return _after(at, length)
    known = [instant(end, holdings.zone) for end in ends if end]
    if known:
        return max(known)
    supply = request.get("expectedSupplyDuration") or resource.get("daysSupply")
    return _after(at, supply) if supply and at != LONG_AGO else None


def _after(at: datetime, quantity: Json) -> datetime:
    """Return the end of a course that begins at `at`; no course is longer than a hundred years."""
    return at + min(timedelta(days=_days(quantity)), FAR_OFF - at)


def _days(quantity: Json) -> float:
    unit = str(quantity.get("code") or quantity.get("unit") or "d")
    value = min(max(quantity.get("value") or 0, 0), LONGEST_COURSE_DAYS)
    return min(float(value) * DAYS.get(unit, 1), LONGEST_COURSE_DAYS)


def _dose(resource: Json) -> str:
    """Return the instruction in words: as written, else put together from dose, frequency and route."""
    dosages = resource.get("dosageInstruction") or resource.get("dosage") or ()
    dosages = [dosages] if isinstance(dosages, dict) else dosages
    said = []
    for dosage in dosages:
        if dosage.get("text"):
            said.append(str(dosage["text"]))
            continue
        parts = []
        for amount in dosage.get("doseAndRate") or ():
            quantity = amount.get("doseQuantity") or {}
            if quantity.get("value") is not None:
                parts.append(f"{quantity['value']}{quantity.get('unit', '')}")
        if (dosage.get("dose") or {}).get("value") is not None:
            parts.append(f"{dosage['dose']['value']}{dosage['dose'].get('unit', '')}")
        parts += [words((dosage.get("timing") or {}).get("code")), words(dosage.get("route"))]
        said.append(" ".join(part for part in parts if part))
    return ";".join(text for text in said if text)
