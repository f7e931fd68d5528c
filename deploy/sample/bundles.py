"""FHIR transaction Bundles for benchmarks: 19 resources a patient; one person with many resources."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, time, timedelta
from itertools import count, islice
from random import Random
from typing import Any
from uuid import UUID

import orjson

from deploy.sample.clinic.diseases import CHRONIC
from deploy.sample.clinic.staff import doctors
from deploy.sample.events.registration import register
from deploy.sample.events.reports import Body, laboratory
from deploy.sample.events.visits import Cause, VisitMaker
from deploy.sample.fhir import messages, money
from deploy.sample.fhir import resources as r
from deploy.sample.generate import TODAY, people
from deploy.sample.ids import BLOCK
from deploy.sample.model import Prescription, Visit
from deploy.sample.people import Illness, Person

FACILITY = "H03"
_FIRST_IPS = 700_000  # people who are in no sample of a usual size
_FIRST_RECORD = 900_000
_ENTRIES = 100  # resources of one Bundle of a record


def ips_like(n: int, seed: int) -> Iterator[bytes]:
    """Yield n transaction Bundles of exactly 19 resources each, each about another patient.

    Patient, Encounter, 3 Conditions, 2 AllergyIntolerances, 3 MedicationRequests, 6 Observations, their
    DiagnosticReport, an Immunization and a ServiceRequest; POST under urn:uuid with the hospital's numbers.
    """
    first = _FIRST_IPS + seed % 20 * 8_000
    for person in people(first + n, seed, TODAY, first):
        rng = Random(f"{seed}:ips:{person.number}")
        yield _posted(_summary(rng, person, seed), rng)


def _summary(rng: Random, person: Person, seed: int) -> list[r.Resource]:
    """Return the 19 resources of one patient."""
    at = datetime.combine(TODAY, time(9)) - timedelta(days=rng.randint(1, 700))
    known = register(rng, person, FACILITY, at)
    diseases = [CHRONIC[key] for key in rng.sample(("htn", "t2dm", "hld", "chd", "copd", "ckd"), 3)]
    doctor = rng.choice(doctors(FACILITY, seed)[diseases[0].department])
    number = f"{known.number[1:]}8{seed % 10}"
    names = [(d.icd, d.name) for d in diseases]
    visit = Visit(known, f"MZ{number}", "outpatient", at, at, doctor, "", diseases[0].complaint, names)
    body = Body(person, TODAY - timedelta(days=1095), 1095)
    report = laboratory(rng, body, FACILITY, "CBC", number, at, diseases, doctor, doctor)
    report.results = report.results[:6]
    drugs = [d.drugs[0] for d in diseases]
    orders = [Prescription(f"D{number}{n}", code, at, 1, 14, doctor) for n, code in enumerate(drugs, start=1)]
    return [
        r.patient(known),
        r.encounter(visit, over=True),
        *(r.condition(visit, n) for n in (1, 2, 3)),
        *(r.allergy(known, key) for key in ("pen", "shrimp")),
        *(r.medication(visit, order) for order in orders),
        r.order(visit, report),
        *(r.observation(visit, report, result) for result in report.results),
        r.report(visit, report, ordered=True),
        _immunization(visit),
    ]


def _immunization(visit: Visit) -> r.Resource:
    return {
        "resourceType": "Immunization",
        "id": f"IM-{visit.number}",
        "status": "completed",
        "vaccineCode": {"text": "流感病毒裂解疫苗"},
        "patient": r.subject_of(visit.known),
        "encounter": r.encounter_of(visit),
        "occurrenceDateTime": r.instant(visit.start),
        "lotNumber": f"B{visit.start:%Y%m}",
    }


def _posted(resources: list[r.Resource], rng: Random) -> bytes:
    """Return a transaction that posts resources under urn:uuid, their ids as identifiers."""
    urns = {f"{x['resourceType']}/{x['id']}": f"urn:uuid:{UUID(int=rng.getrandbits(128))}" for x in resources}
    entries = []
    for resource in resources:
        kind, own_id = resource["resourceType"], resource.pop("id")
        resource.setdefault("identifier", [r.own(FACILITY, kind.lower(), own_id)])
        _point(resource, urns)
        request = {"method": "POST", "url": kind}
        entries.append({"fullUrl": urns[f"{kind}/{own_id}"], "resource": resource, "request": request})
    return orjson.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries})


def _point(value: Any, urns: dict[str, str]) -> None:
    """Point references at the entries of the Bundle."""
    if isinstance(value, dict):
        reference = value.get("reference")
        if isinstance(reference, str):
            value["reference"] = urns.get(reference, reference)
        for inner in value.values():
            _point(inner, urns)
    elif isinstance(value, list):
        for inner in value:
            _point(inner, urns)


def patient_record(resources: int, seed: int) -> Iterator[bytes]:
    """Yield transaction Bundles that together hold one person with exactly so many resources.

    PUT under the hospital's own ids; whatever is referred to comes before or in the same Bundle.
    """
    made = list(islice(_record(seed), resources))
    known = f"P{seed}"
    at = datetime.combine(TODAY, time())
    for first in range(0, len(made), _ENTRIES):
        part = made[first : first + _ENTRIES]
        yield messages.bundle(FACILITY, f"{known}-{first:06d}", at + timedelta(seconds=first), part)


def _record(seed: int) -> Iterator[r.Resource]:
    """Yield the resources of one person who comes every week for ever."""
    first = _FIRST_RECORD + seed % 10_000 * BLOCK
    person = max(people(first + BLOCK, seed, TODAY, first), key=lambda p: p.age(TODAY))
    person.illnesses = [Illness(key, TODAY - timedelta(days=4000)) for key in ("htn", "t2dm", "chd")]
    rng = Random(f"{seed}:record")
    begin = TODAY - timedelta(days=365 * 40)
    until = datetime.combine(TODAY, time())
    maker = VisitMaker(rng, Body(person, begin, 365 * 40), seed, until)
    known = register(rng, person, FACILITY, until - timedelta(days=365 * 40))
    yield r.patient(known)
    for key in ("pen", "shrimp"):
        yield r.allergy(known, key)
    diseases = [CHRONIC[i.key] for i in person.illnesses]
    for week in count(1):
        at = until - timedelta(days=365 * 20) + timedelta(days=7 * week % (365 * 20 - 30), hours=9)
        cause = Cause(diseases[week % 3], tuple(d for d in diseases if d is not diseases[week % 3]), True)
        yield from _of_visit(maker.make(known, "emergency", at, cause))


def _of_visit(visit: Visit) -> Iterator[r.Resource]:
    yield r.encounter(visit, over=False)
    for number in range(1, len(visit.diagnoses) + 1):
        yield r.condition(visit, number)
    for report in visit.reports:
        for result in report.results:
            yield r.observation(visit, report, result)
        if report.kind != "vital_signs":
            yield r.order(visit, report)
            yield r.report(visit, report, ordered=True)
    for prescription in visit.prescriptions:
        yield r.medication(visit, prescription)
    for line in visit.charges:
        yield money.charge(visit, line)
    for settlement in visit.settlements:
        yield money.invoice(visit, settlement)
