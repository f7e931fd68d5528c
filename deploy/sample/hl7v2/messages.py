"""Whole HL7 v2 messages of registrations and visits, in the order a hospital sends them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from zlib import crc32

from deploy.sample.hl7v2 import orders
from deploy.sample.hl7v2 import segments as seg
from deploy.sample.hl7v2.er7 import join, message
from deploy.sample.model import Change, Charge, Event, Known, Visit

_LINES_A_MESSAGE = 40


def change(change: Change, serial: int) -> Iterator[Event]:
    """Yield what a registration (A28), an update (A31) or a merge (A40) sends."""
    known, at = change.known, change.at
    make = seg.make_of(known.facility)
    kind = {"register": "ADT^A28^ADT_A05", "update": "ADT^A31^ADT_A05", "merge": "ADT^A40^ADT_A39"}[
        change.action
    ]
    control = f"P{_digits(known.number)}{serial:02d}"
    body = [
        seg.msh(make, known.facility, at, kind, control),
        seg.evn(make, at, kind[4:7]),
        seg.pid(make, known),
    ]
    resources = 0
    if change.action == "merge" and change.old:
        body.append(join("MRG", {1: f"{change.old.number}^^^{known.facility}^MR"}))
    else:
        body += [*seg.nk1(known), seg.pv1_none(), *seg.al1(known), *seg.in1(known)]
        resources = 1 + len(known.allergies) if change.action == "register" else 0
    yield Event(at, known.facility, "hl7", f"{control}.hl7", message(body, make.encoding), resources)


class VisitWriter:
    """Writes the messages of one visit, numbering them."""

    def __init__(self, visit: Visit) -> None:
        self.visit = visit
        self.make = seg.make_of(visit.facility)
        self._serial = 0

    def _event(self, at: datetime, kind: str, body: list[str], resources: int = 0) -> Event:
        self._serial += 1
        visit, make = self.visit, self.make
        control = f"{visit.number}{self._serial:03d}"
        segments = [seg.msh(make, visit.facility, at, kind, control), *body]
        return Event(at, visit.facility, "hl7", f"{control}.hl7", message(segments, make.encoding), resources)

    def _adt(
        self, at: datetime, event: str, end: datetime | None, structure: str, resources: int = 0,
        final: bool = False, bed: str = "", prior: str = "", diagnoses: bool = True,
    ) -> Event:  # fmt: skip
        visit, make = self.visit, self.make
        known: Known = visit.known
        body = [seg.evn(make, at, event), seg.pid(make, known)]
        if structure == "ADT_A01":
            body += seg.nk1(known)
        body.append(seg.pv1(make, visit, end, bed, prior))
        if structure in ("ADT_A01", "ADT_A03"):
            body += seg.al1(known)
            if diagnoses:
                body += seg.dg1(make, visit, at, final)
            if event == "A03" and visit.operation:
                code, title = visit.operation
                when = make.time(visit.start + timedelta(days=1, hours=3))
                fields = {1: "1", 3: f"{code}^{title}^ICD9CM3", 5: when, 6: "P"}
                body.append(join("PR1", fields))
            body += seg.in1(known)
        return self._event(at, f"ADT^{event}^{structure}", body, resources)

    def visits(self) -> Iterator[Event]:
        """Yield the ADT messages, appointments and the discharge summary."""
        visit = self.visit
        yield from self._booking()
        if visit.cancelled:
            return
        conditions = len(visit.diagnoses)
        if visit.kind != "inpatient":
            yield self._adt(visit.start, "A04", None, "ADT_A01", 1, diagnoses=False)
            if visit.end and visit.kind == "emergency":
                yield self._adt(visit.end, "A03", visit.end, "ADT_A03", conditions, final=True)
            elif visit.end:
                yield self._adt(visit.end, "A08", visit.end, "ADT_A01", conditions, final=True)
            return
        yield self._adt(visit.start, "A01", None, "ADT_A01", 1 + conditions)
        bed = visit.bed
        if visit.transfer:
            at, bed = visit.transfer
            yield self._adt(at, "A02", None, "ADT_A02", bed=bed, prior=visit.bed)
        if visit.end:
            if crc32(visit.number.encode()) % 40 == 0:  # discharged, taken back, discharged again
                early = visit.end - timedelta(hours=5)
                yield self._adt(early, "A03", early, "ADT_A03", final=True, bed=bed)
                yield self._adt(early + timedelta(hours=1), "A13", None, "ADT_A01", bed=bed)
            operation = 1 if visit.operation else 0
            yield self._adt(visit.end, "A03", visit.end, "ADT_A03", operation, final=True, bed=bed)
            if visit.summary:
                yield self._summary(visit.end + timedelta(minutes=25))

    def _summary(self, at: datetime) -> Event:
        visit, make = self.visit, self.make
        body = [
            seg.evn(make, at, "T02"),
            seg.pid(make, visit.known),
            seg.pv1(make, visit, visit.end),
            *orders.document(make, visit, at),
        ]
        return self._event(at, "MDM^T02^MDM_T02", body, 1)

    def _booking(self) -> Iterator[Event]:
        visit, booking, make = self.visit, self.visit.appointment, self.make
        if booking is None:
            return
        for at, action, start in booking.steps:
            event = {"book": "S12", "reschedule": "S13", "cancel": "S15"}[action]
            body = [
                *orders.schedule(make, visit, booking, action, start),
                seg.pid(make, visit.known),
                *orders.resources_of(make, visit, booking, start),
            ]
            yield self._event(at, f"SIU^{event}^SIU_S12", body, int(action == "book"))

    def clinical(self) -> Iterator[Event]:
        """Yield orders, results with corrections, and prescriptions."""
        visit, make = self.visit, self.make
        who = [seg.pid(make, visit.known), seg.pv1(make, visit, None)]
        for report in visit.reports:
            if report.kind not in ("vital_signs", "physical"):
                kind = "OML^O21^OML_O21" if report.kind == "laboratory" and make.modern else "ORM^O01^ORM_O01"
                specimen = report.kind == "laboratory" and make.modern
                body = who + orders.order(make, visit, report)
                yield self._event(report.ordered, kind, body, 1 + specimen)
            body = who + orders.result(make, visit, report)
            made = 1 + orders.observations(report)
            yield self._event(report.reported, "ORU^R01^ORU_R01", body, made)
            for revision in report.revisions:
                body = who + orders.result(make, visit, revision)
                yield self._event(revision.reported, "ORU^R01^ORU_R01", body)
        if visit.prescriptions:
            body = [who[0], who[1]]
            for prescription in visit.prescriptions:
                body += orders.pharmacy(make, visit, prescription)
            at, kind = visit.prescriptions[0].at, "RDE^O11^RDE_O11" if make.modern else "RDE^O01"
            yield self._event(at, kind, body, len(visit.prescriptions))

    def charges(self) -> Iterator[Event]:
        """Yield the charge lines as DFT^P03: by day, refunds by themselves."""
        visit, make = self.visit, self.make
        groups: dict[tuple[str, bool], list[Charge]] = {}
        for line in visit.charges:
            groups.setdefault((f"{line.at:%Y%m%d}", bool(line.refund_of)), []).append(line)
        for lines in groups.values():
            for first in range(0, len(lines), _LINES_A_MESSAGE):
                part = lines[first : first + _LINES_A_MESSAGE]
                at = max(line.at for line in part) + timedelta(minutes=2)
                body = [seg.evn(make, at, "P03"), seg.pid(make, visit.known), seg.pv1(make, visit, None)]
                body += [orders.charge(make, visit, n, line) for n, line in enumerate(part, start=1)]
                yield self._event(at, "DFT^P03^DFT_P03", body, len(part))


def _digits(number: str) -> str:
    return "".join(c for c in number if c.isdigit())
