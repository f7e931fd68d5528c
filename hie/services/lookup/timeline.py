"""What happened when and where: visits of all hospitals, with what belongs to each (FHIR Encounter)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, tzinfo

from hie.repository.dates import first_of
from hie.services.lookup.codes import code, in_words, local_id, words
from hie.services.lookup.laboratory import Test
from hie.services.lookup.reports import Report, is_examination
from hie.services.lookup.sources import Holdings, Json
from hie.services.lookup.when import instant, written

# v3-ActCode of Encounter.class: our kind.
CLASSES = {
    "AMB": "outpatient",
    "IMP": "inpatient",
    "ACUTE": "inpatient",
    "NONAC": "inpatient",
    "OBSENC": "inpatient",
    "SS": "inpatient",
    "EMER": "emergency",
    "HH": "home",
    "VR": "virtual",
}
KINDS = (
    "outpatient",
    "inpatient",
    "emergency",
    "examination",
    "laboratory",
    "imaging",
    "document",
    "medication",
    "procedure",
    "immunization",
    "other",
)
PAGE = 25


@dataclass(slots=True)
class Item:
    """An entry of the timeline; a visit carries what was done in it."""

    id: str
    kind: str
    at: datetime
    at_text: str
    facility: str
    title: str = ""
    until_text: str = ""
    department: str = ""
    doctor: str = ""
    status: str = ""
    diagnoses: list[str] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    prescriptions: list[str] = field(default_factory=list)
    procedures: list[str] = field(default_factory=list)
    results: int = 0
    abnormal: int = 0


@dataclass(frozen=True, slots=True)
class Filter:
    """What of the timeline to show; None and empty mean all."""

    facility: str = ""
    kind: str = ""
    since: date | None = None
    until: date | None = None

    def lets(self, item: Item, zone: tzinfo) -> bool:
        """Return whether an item passes."""
        day = item.at.astimezone(zone).date()
        return (
            (not self.facility or item.facility == self.facility)
            and (not self.kind or item.kind == self.kind or any(r.kind == self.kind for r in item.reports))
            and (self.since is None or day >= self.since)
            and (self.until is None or day <= self.until)
        )


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the timeline: its items, how many pass the filter, and where the next page begins."""

    items: Sequence[Item]
    total: int
    next: int | None


def timeline(holdings: Holdings, reports: Iterable[Report], tests: Iterable[Test]) -> list[Item]:
    """Return the timeline, the newest first."""
    visits = {str(e.get("id")): _visit(e, holdings) for e in holdings.of("Encounter") if _counts(e)}
    loose: list[Item] = []
    _place_diagnoses(holdings, visits)
    for report in reports:
        visit = visits.get(report.encounter)
        if visit is None:
            loose.append(
                Item(
                    report.id,
                    report.kind,
                    report.at,
                    report.at_text,
                    report.facility,
                    report.name,
                    reports=[report],
                )
            )
        else:
            visit.reports.append(report)
    _place_results(
        tests, visits, {i for item in loose for report in item.reports for i in report.result_ids}, loose
    )
    _place_prescriptions(holdings, visits, loose)
    _place_procedures(holdings, visits, loose)
    return sorted([*visits.values(), *loose], key=lambda item: item.at, reverse=True)


def page(items: Iterable[Item], wanted: Filter, zone: tzinfo, begin: int = 0, size: int = PAGE) -> Page:
    """Return the page of a timeline that begins at `begin`."""
    passed = [item for item in items if wanted.lets(item, zone)]
    end = begin + size
    return Page(passed[begin:end], len(passed), end if end < len(passed) else None)


def kind_of_visit(encounter: Json) -> str:
    """Return outpatient, inpatient, emergency, examination, home, virtual or other."""
    said = [words(type_) for type_ in encounter.get("type") or ()] + [words(encounter.get("serviceType"))]
    class_ = encounter.get("class") or {}
    if is_examination(*said, str(class_.get("display", ""))):
        return "examination"
    return CLASSES.get(str(class_.get("code", "")), "other")


def _counts(encounter: Json) -> bool:
    return encounter.get("status") not in ("entered-in-error", "cancelled")


def _visit(encounter: Json, holdings: Holdings) -> Item:
    period = encounter.get("period") or {}
    begin = period.get("start") or period.get("end")
    doctors = [
        str(participant["individual"]["display"])
        for participant in encounter.get("participant") or ()
        if (participant.get("individual") or {}).get("display")
    ]
    places = [
        str(place["location"]["display"])
        for place in encounter.get("location") or ()
        if (place.get("location") or {}).get("display")
    ]
    kind = kind_of_visit(encounter)
    types = [in_words(type_) for type_ in encounter.get("type") or ()]
    return Item(
        id=str(encounter.get("id", "")),
        kind=kind,
        at=instant(begin, holdings.zone),
        at_text=written(begin, holdings.zone),
        facility=holdings.facility_of(encounter),
        title="、".join(text for text in types if text),
        until_text=written(period.get("end"), holdings.zone) if kind in ("inpatient", "emergency") else "",
        department=words(encounter.get("serviceType")) or (places[-1] if places else ""),
        doctor="、".join(dict.fromkeys(doctors)),
        status=str(encounter.get("status", "")),
        diagnoses=[words(reason) for reason in encounter.get("reasonCode") or () if words(reason)],
    )


def _place_diagnoses(holdings: Holdings, visits: dict[str, Item]) -> None:
    for condition in holdings.of("Condition"):
        visit = visits.get(local_id(condition.get("encounter")))
        name = words(condition.get("code"))
        if visit is not None and name and name not in visit.diagnoses:
            visit.diagnoses.append(name)


def _place_results(
    tests: Iterable[Test], visits: dict[str, Item], reported: set[str], loose: list[Item]
) -> None:
    """Count results at their visit; others become one entry per hospital and time."""
    alone: dict[tuple[datetime, str], Item] = {}
    for test in tests:
        for point in test.points:
            item = visits.get(point.encounter)
            if item is None:
                if point.id in reported or test.kind != "laboratory":
                    continue
                item = alone.setdefault(
                    (point.at, point.facility),
                    Item(point.id, "laboratory", point.at, point.at_text, point.facility),
                )
            item.results += 1
            item.abnormal += bool(point.flag) and point.fate != "withdrawn"
    loose.extend(alone.values())


def _place_prescriptions(holdings: Holdings, visits: dict[str, Item], loose: list[Item]) -> None:
    alone: dict[tuple[str, str], Item] = {}
    for request in holdings.of("MedicationRequest"):
        name = words(request.get("medicationCodeableConcept"))
        if not name or request.get("status") in ("entered-in-error", "cancelled", "draft"):
            continue
        item = visits.get(local_id(request.get("encounter")))
        if item is None:
            at_text = str(request.get("authoredOn", ""))
            facility = holdings.facility_of(request)
            item = alone.setdefault(
                (at_text[:10], facility),
                Item(
                    str(request.get("id", "")),
                    "medication",
                    instant(at_text, holdings.zone),
                    written(at_text, holdings.zone),
                    facility,
                ),
            )
        if name not in item.prescriptions:
            item.prescriptions.append(name)
    loose.extend(alone.values())


def _place_procedures(holdings: Holdings, visits: dict[str, Item], loose: list[Item]) -> None:
    for resource in holdings.of("Procedure", "Immunization"):
        is_procedure = resource["resourceType"] == "Procedure"
        name = words(resource.get("code" if is_procedure else "vaccineCode"))
        if not name or resource.get("status") in ("entered-in-error", "not-done"):
            continue
        visit = visits.get(local_id(resource.get("encounter")))
        if visit is not None:
            visit.procedures.append(name)
            continue
        at_text = first_of(resource, "performedDateTime", "performedPeriod", "occurrenceDateTime", "recorded")
        loose.append(
            Item(
                str(resource.get("id", "")),
                "procedure" if is_procedure else "immunization",
                instant(at_text, holdings.zone),
                written(at_text, holdings.zone),
                holdings.facility_of(resource),
                name,
                department=code(resource.get("category")) and words(resource.get("category")),
            )
        )
