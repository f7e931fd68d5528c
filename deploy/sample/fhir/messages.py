"""Transaction Bundles of registrations and visits, as H03 (all) and H05 (clinical content) post them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import orjson

from deploy.sample.fhir import money
from deploy.sample.fhir import resources as r
from deploy.sample.model import Change, Charge, Event, Report, Visit


def bundle(facility: str, control: str, at: datetime, resources: list[r.Resource]) -> bytes:
    """Return a transaction Bundle that puts each resource under the hospital's own id."""
    return orjson.dumps(
        {
            "resourceType": "Bundle",
            "identifier": {"system": f"urn:hie:{facility}:message", "value": control},
            "type": "transaction",
            "timestamp": r.instant(at),
            "entry": [
                {
                    "fullUrl": f"http://fhir.{facility.lower()}.example/fhir/{x['resourceType']}/{x['id']}",
                    "resource": x,
                    "request": {"method": "PUT", "url": f"{x['resourceType']}/{x['id']}"},
                }
                for x in resources
            ],
        }
    )


def change(change: Change, serial: int) -> Iterator[Event]:
    """Yield what a registration, an update or a merge sends."""
    known = change.known
    control = f"P{known.number}-{serial:02d}"
    content = [r.patient(known)]
    if change.action == "merge" and change.old:
        content.append(r.merged(known, change.old))
    else:
        content += [r.allergy(known, key) for key in known.allergies]
    made = len(content) if change.action == "register" else 0
    body = bundle(known.facility, control, change.at, content)
    yield Event(change.at, known.facility, "fhir", f"{control}.json", body, made)


class VisitWriter:
    """Writes the Bundles of one visit, numbering them."""

    def __init__(self, visit: Visit) -> None:
        self.visit = visit
        self._serial = 0

    def _event(self, at: datetime, content: list[r.Resource], made: int | None = None) -> Event:
        self._serial += 1
        facility = self.visit.facility
        control = f"{self.visit.number}-{self._serial:03d}"
        body = bundle(facility, control, at, content)
        return Event(at, facility, "fhir", f"{control}.json", body, len(content) if made is None else made)

    def visits(self) -> Iterator[Event]:
        """Yield bookings, the Encounter at begin and end, diagnoses and the discharge summary."""
        visit = self.visit
        if visit.appointment:
            for at, action, start in visit.appointment.steps:
                content = [r.appointment(visit, visit.appointment, action, start)]
                yield self._event(at, content, int(action == "book"))
        if visit.cancelled:
            return
        yield self._event(visit.start, [r.encounter(visit, over=False)])
        if visit.end:
            content = [r.condition(visit, n) for n in range(1, len(visit.diagnoses) + 1)]
            if visit.operation:
                content.append(r.procedure(visit, visit.start + timedelta(days=1, hours=3)))
            if visit.summary:
                content.append(r.document(visit, visit.end))
            yield self._event(visit.end, [r.encounter(visit, over=True), *content], len(content))

    def clinical(self) -> Iterator[Event]:
        """Yield reports with corrections, and prescriptions."""
        visit = self.visit
        for report in visit.reports:
            yield self._event(report.reported, self._report(report, first=True))
            for revision in report.revisions:
                yield self._event(revision.reported, self._report(revision, first=False), 0)
        if visit.prescriptions:
            content = [r.medication(visit, p) for p in visit.prescriptions]
            yield self._event(visit.prescriptions[0].at, content)

    def _report(self, report: Report, first: bool) -> list[r.Resource]:
        visit = self.visit
        content = [r.observation(visit, report, result) for result in report.results]
        if report.kind == "vital_signs":
            return content
        ordered = report.kind != "physical"
        if ordered and first:
            content.insert(0, r.order(visit, report))
        return [*content, r.report(visit, report, ordered)]

    def charges(self) -> Iterator[Event]:
        """Yield charge lines by day and the settlements."""
        visit = self.visit
        days: dict[str, list[Charge]] = {}
        for line in visit.charges:
            days.setdefault(f"{line.at:%Y%m%d}{bool(line.refund_of):d}", []).append(line)
        for lines in days.values():
            at = max(line.at for line in lines) + timedelta(minutes=2)
            yield self._event(at, [money.charge(visit, line) for line in lines])
        for settlement in visit.settlements:
            yield self._event(settlement.at + timedelta(minutes=1), [money.invoice(visit, settlement)])
