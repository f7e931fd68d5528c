"""HL7 v2 messages for benchmarks in UTF-8: half ADT of about 1 kB, half ORU^R01 with 20 OBX, about 3 kB."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from random import Random

from deploy.sample.clinic.diseases import CHRONIC
from deploy.sample.clinic.panels import PANELS
from deploy.sample.clinic.staff import doctors
from deploy.sample.events.registration import register
from deploy.sample.events.reports import Body, laboratory
from deploy.sample.generate import TODAY, people
from deploy.sample.hl7v2 import orders
from deploy.sample.hl7v2 import segments as seg
from deploy.sample.hl7v2.er7 import message
from deploy.sample.model import Report, Visit
from deploy.sample.people import Person

_FIRST = 400_000  # people who are in no sample of a usual size
_OF_SEED = 8_000
_MAKE = seg.MAKES[2]
_STEPS = ("A01", "A08", "A03", "A04")


def bench_mix(n: int, seed: int, facility: str = "H02") -> Iterator[bytes]:
    """Yield n messages, ADT (A01, A08, A03, A04) and ORU^R01 in turn, eight to a patient, own control ids.

    The same for the same arguments; another seed gives other patients and other control ids.
    """
    first = _FIRST + seed % 50 * _OF_SEED
    serial = 0
    for person in people(first + n // 8 + 9, seed, TODAY, first):
        for segments in _of_person(person, seed, facility):
            if serial == n:
                return
            serial += 1
            control = f"Q{seed % 1000:03d}{facility}{serial:08d}"
            segments[0] = segments[0].replace("|CONTROL|", f"|{control}|", 1)
            yield message(segments, "utf-8")


def _of_person(person: Person, seed: int, facility: str) -> Iterator[list[str]]:
    """Yield eight messages of one patient: each ADT is followed by a result."""
    rng = Random(f"{seed}:bench:{person.number}")
    at = datetime.combine(TODAY, datetime.min.time()) - timedelta(days=rng.randint(20, 300), minutes=-500)
    known = register(rng, person, facility, at)
    known.allergies = ["pen"]
    doctor = rng.choice(doctors(facility, 1)["0301"])
    disease = CHRONIC["htn"]
    digits = "".join(c for c in known.number if c.isdigit())
    stay = Visit(
        known, f"ZY{digits}9{seed % 10}", "inpatient", at, None, doctor, "12床", disease.complaint,
        [(disease.icd, disease.name), ("E78.500", "高脂血症")],
    )  # fmt: skip
    clinic = Visit(
        known, f"MZ{digits}9{seed % 10}", "outpatient", at + timedelta(days=12), None, doctor, "",
        disease.complaint, [(disease.icd, disease.name)],
    )  # fmt: skip
    body = Body(person, date(2023, 1, 1), 1400)
    for position, event in enumerate(_STEPS):
        visit = clinic if event == "A04" else stay
        when = visit.start + timedelta(days=position if visit is stay else 0)
        yield _adt(event, visit, when)
        yield _oru(_report(rng, body, visit, digits, position, when), visit)


def _adt(event: str, visit: Visit, at: datetime) -> list[str]:
    known = visit.known
    structure = "ADT_A03" if event == "A03" else "ADT_A01"
    return [
        seg.msh(_MAKE, visit.facility, at, f"ADT^{event}^{structure}", "CONTROL"),
        seg.evn(_MAKE, at, event),
        seg.pid(_MAKE, known),
        *(seg.nk1(known) if event != "A03" else ()),
        seg.pv1(_MAKE, visit, at if event == "A03" else None),
        *seg.al1(known),
        *seg.dg1(_MAKE, visit, at, final=event == "A03"),
        *seg.in1(known),
    ]


def _report(rng: Random, body: Body, visit: Visit, digits: str, position: int, at: datetime) -> Report:
    """Return one report of exactly 20 results."""
    parts = [
        laboratory(
            rng, body, visit.facility, code, f"{digits}9{position}", at, [], visit.doctor, visit.doctor
        )
        for code in ("CBC", "LFT", "GLU")
    ]
    report = parts[0]
    report.results = [r for part in parts for r in part.results][:20]
    for number, result in enumerate(report.results, start=1):
        result.number = number
        result.status = "final"
    assert len(report.results) == 20 and len(PANELS["CBC"].items) == 11
    return report


def _oru(report: Report, visit: Visit) -> list[str]:
    header = seg.msh(_MAKE, visit.facility, report.reported, "ORU^R01^ORU_R01", "CONTROL")
    body = orders.result(_MAKE, visit, report)
    return [header, seg.pid(_MAKE, visit.known), seg.pv1(_MAKE, visit, None), *body]
