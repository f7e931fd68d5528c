"""The sections of a summary as a table: codes, titles, and what of a record belongs in each (IPS 1.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from hie.repository.dates import EARLIEST, first_of, span

Json = dict[str, Any]
RECENT = timedelta(days=365)
MOST = 60
LOINC = "http://loinc.org"
ABSENT = "http://hl7.org/fhir/uv/ips/CodeSystem/absent-unknown-uv-ips"
# Where the date of an item stands, the first that is there.
DATES = (
    "effectiveDateTime", "effectivePeriod", "effectiveInstant", "performedDateTime", "performedPeriod",
    "occurrenceDateTime", "timingDateTime", "timingPeriod", "onsetDateTime", "onsetPeriod", "authoredOn",
    "dateAsserted", "recordedOn", "recordedDate", "date", "period", "created", "issued",
)  # fmt: skip
# LOINC: pregnancy status, expected date of delivery, number of pregnancies, births and losses.
PREGNANCY = frozenset(
    {
        "82810-3", "11778-8", "11779-6", "11780-4", "11636-8", "11637-6", "11638-4", "11639-2", "11640-0",
        "11612-9", "11613-7", "33065-4",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Section:
    """One section.

    belongs: says of a resource of one of the types whether it is of the section, as of an instant.
    by_code: only the newest of each code. most: so many are listed, the newest first; None for all.
    absent: the type and code of the resource that says that nothing is known; only the required sections
    have one.
    """

    key: str
    loinc: str
    display: str
    zh: str
    en: str
    types: tuple[str, ...]
    belongs: Callable[[Json, datetime], bool]
    by_code: bool = False
    most: int | None = MOST
    absent: tuple[str, str, str] | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """A resource of a record, parsed, and the facility that keeps it."""

    facility: str
    resource: Json


def codes(concept: Any) -> set[str]:
    """Return the codes of a CodeableConcept, of several, or of a code."""
    if isinstance(concept, str):
        return {concept}
    if isinstance(concept, list):
        return {code for one in concept for code in codes(one)}
    return {str(c["code"]) for c in (concept or {}).get("coding") or () if c.get("code")}


def when(resource: Json) -> str:
    """Return the date of an item as written, '' if it has none."""
    return first_of(resource, *DATES) or ""


def moment(resource: Json, zone: tzinfo) -> datetime | None:
    """Return the instant the date of an item begins at, None if it has none."""
    found = span(when(resource), zone)
    return found[0] if found else None


def key_of(resource: Json) -> str:
    """Return under what several items are of the same thing."""
    concept = resource.get("code") or resource.get("medicationCodeableConcept") or resource.get("vaccineCode")
    for coding in (concept or {}).get("coding") or ():
        if coding.get("code"):
            return f"{coding.get('system', '')}|{coding['code']}"
    return "".join(str((concept or {}).get("text") or resource["id"]).split()).casefold()


def chosen(section: Section, items: Iterable[Item], now: datetime, zone: tzinfo) -> tuple[list[Item], int]:
    """Return what of a record is shown in a section, the newest first, and how many more there are."""
    found = [
        i for i in items if i.resource["resourceType"] in section.types and section.belongs(i.resource, now)
    ]
    found.sort(key=lambda item: _age(item, zone), reverse=True)
    if section.by_code:
        newest: dict[str, Item] = {}
        for item in found:
            newest.setdefault(key_of(item.resource), item)
        found = list(newest.values())
    shown = found[: section.most]
    return shown, len(found) - len(shown)


def showable(items: Iterable[Item], now: datetime, zone: tzinfo) -> list[Item]:
    """Return what of a record some section may show, as it is read: of a record of any length, not much.

    `chosen` gives the same of these as of all: where the newest of each code counts, others are not kept.
    """
    kept: dict[tuple[str, str], Item] = {}
    for item in items:
        resource = item.resource
        for section in SECTIONS:
            if resource["resourceType"] not in section.types or not section.belongs(resource, now):
                continue
            key = (
                section.key,
                key_of(resource) if section.by_code else f"{resource['resourceType']}/{resource['id']}",
            )
            known = kept.get(key)
            if known is None or _age(item, zone) > _age(known, zone):
                kept[key] = item
    return list({id(item): item for item in kept.values()}.values())


def _age(item: Item, zone: tzinfo) -> tuple[datetime, str]:
    return moment(item.resource, zone) or EARLIEST, str(item.resource["id"])


def _is_meant(resource: Json) -> bool:
    wrong = {"entered-in-error", "refuted", "not-done", "cancelled", "draft", "not-taken", "stopped"}
    return not wrong & (codes(resource.get("status")) | codes(resource.get("verificationStatus")))


def _taken(resource: Json, now: datetime) -> bool:
    if resource.get("status") != "completed":
        return _is_meant(resource)
    ended = _ended(resource)
    return _is_meant(resource) and ended is not None and ended >= now - RECENT


def _ended(resource: Json) -> datetime | None:
    """Return when a course of a medication ended, as far as it says; else when it was written down."""
    repeats = ((d.get("timing") or {}).get("repeat") or {} for d in resource.get("dosageInstruction") or ())
    course = [
        resource.get("effectiveDateTime"),
        resource.get("effectivePeriod"),
        (resource.get("dispenseRequest") or {}).get("validityPeriod"),
        *(repeat.get("boundsPeriod") for repeat in repeats),
    ]
    noted = [resource.get("authoredOn"), resource.get("dateAsserted")]
    return _latest_end(course) or _latest_end(noted)


def _latest_end(values: Iterable[Any]) -> datetime | None:
    texts = [(v.get("end") or v.get("start")) if isinstance(v, dict) else v for v in values]
    # A year back is no matter of hours: any zone will do.
    spans = [span(text, UTC) for text in texts if text]
    return max((found[1] for found in spans if found), default=None)


def _any(resource: Json, now: datetime) -> bool:
    return _is_meant(resource)


def _current(resource: Json, now: datetime) -> bool:
    return _is_meant(resource) and not _is_past(resource)


def _past(resource: Json, now: datetime) -> bool:
    return _is_meant(resource) and _is_past(resource)


def _is_past(resource: Json) -> bool:
    return bool(codes(resource.get("clinicalStatus")) & {"inactive", "remission", "resolved"})


def _observed(*categories: str) -> Callable[[Json, datetime], bool]:
    def belongs(resource: Json, now: datetime) -> bool:
        if not _is_meant(resource) or codes(resource.get("code")) & PREGNANCY:
            return False
        return bool(codes(resource.get("category")) & set(categories))

    return belongs


def _result(resource: Json, now: datetime) -> bool:
    if resource["resourceType"] == "DiagnosticReport":
        return _is_meant(resource) and resource.get("status") not in ("registered", "partial", "preliminary")
    others = {"vital-signs", "social-history", "survey"}
    return _is_meant(resource) and not (codes(resource.get("category")) & others or _pregnancy(resource, now))


def _pregnancy(resource: Json, now: datetime) -> bool:
    return _is_meant(resource) and bool(codes(resource.get("code")) & PREGNANCY)


def _planned(resource: Json, now: datetime) -> bool:
    return resource.get("status") in ("active", "on-hold")


SECTIONS: tuple[Section, ...] = (
    Section(
        "medications", "10160-0", "History of Medication use Narrative", "用药", "Medication Summary",
        ("MedicationStatement", "MedicationRequest"), _taken, by_code=True,
        absent=("MedicationStatement", "no-medication-info", "No information about medications"),
    ),
    Section(
        "allergies", "48765-2", "Allergies and adverse reactions Document", "过敏与不良反应",
        "Allergies and Intolerances", ("AllergyIntolerance",), _any, most=None,
        absent=("AllergyIntolerance", "no-allergy-info", "No information about allergies"),
    ),
    Section(
        "problems", "11450-4", "Problem list - Reported", "健康问题", "Problem List",
        ("Condition",), _current, by_code=True,
        absent=("Condition", "no-problem-info", "No information about problems"),
    ),
    Section(
        "immunizations", "11369-6", "History of Immunization Narrative", "预防接种", "Immunizations",
        ("Immunization",), _any,
    ),
    Section(
        "results", "30954-2", "Relevant diagnostic tests/laboratory data Narrative", "检验检查结果",
        "Results", ("DiagnosticReport", "Observation"), _result, by_code=True,
    ),
    Section(
        "procedures", "47519-4", "History of Procedures Document", "手术与操作", "History of Procedures",
        ("Procedure",), _any,
    ),
    Section(
        "vitals", "8716-3", "Vital signs", "生命体征", "Vital Signs", ("Observation",),
        _observed("vital-signs"), by_code=True,
    ),
    Section(
        "social", "29762-2", "Social history Narrative", "生活方式", "Social History", ("Observation",),
        _observed("social-history"), by_code=True,
    ),
    Section(
        "devices", "46264-8", "History of medical device use", "医疗器械", "Medical Devices",
        ("DeviceUseStatement",), _any,
    ),
    Section(
        "pregnancy", "10162-6", "History of pregnancies Narrative", "妊娠", "Pregnancy", ("Observation",),
        _pregnancy,
    ),
    Section(
        "plan", "18776-5", "Plan of care note", "诊疗计划", "Plan of Care", ("CarePlan",), _planned,
    ),
    Section(
        "past", "11348-0", "History of Past illness Narrative", "既往史", "Past Illness",
        ("Condition",), _past, by_code=True,
    ),
)  # fmt: skip
TYPES = tuple(sorted({type_ for section in SECTIONS for type_ in section.types}))
