"""FHIR R4 resources as H03's systems write them: own numbers as ids and identifiers, times with the zone."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any

import orjson

from deploy.sample import ids
from deploy.sample.clinic.diseases import ALLERGENS
from deploy.sample.clinic.drugs import DRUGS, FREQUENCIES, ROUTES
from deploy.sample.clinic.staff import Doctor
from deploy.sample.events.reports import local_code
from deploy.sample.model import Appointment, Known, Prescription, Report, Result, Visit
from esb.fhir import identifiers

Resource = dict[str, Any]

_DOCUMENTS = {
    "resident_id": identifiers.RESIDENT_ID,
    "passport": identifiers.PASSPORT,
    "permit_hmt": identifiers.PERMIT_HMT,
    "foreign_pr": identifiers.FOREIGN_PR,
    "birth_certificate": identifiers.BIRTH_CERT,
    "officer": identifiers.OFFICER_CARD,
}
_GENDER = {"1": "male", "2": "female", "0": "unknown", "9": "other"}
_MARITAL = {"10": "S", "20": "M", "30": "W"}
_HL7 = "http://terminology.hl7.org/CodeSystem/"
_ACT = f"{_HL7}v3-ActCode"
_CLASSES = {
    "outpatient": ("AMB", "ambulatory"),
    "emergency": ("EMER", "emergency"),
    "inpatient": ("IMP", "inpatient encounter"),
    "examination": ("AMB", "ambulatory"),
}
_CATEGORIES = {
    "laboratory": "laboratory",
    "vital_signs": "vital-signs",
    "physical": "exam",
    "imaging": "imaging",
    "ultrasound": "imaging",
    "ecg": "procedure",
    "endoscopy": "procedure",
}
_STATUS = {"final": "final", "corrected": "corrected", "withdrawn": "entered-in-error"}
_SEVERITY = {"MI": "mild", "MO": "moderate", "SV": "severe"}
_KIND = {"DA": "medication", "FA": "food", "EA": "environment"}


def instant(at: datetime) -> str:
    """Return a dateTime in the region's zone."""
    return f"{at:%Y-%m-%dT%H:%M:%S}+08:00"


def lexeme(text: str) -> orjson.Fragment:
    """Return a number as it is written, digits kept."""
    return orjson.Fragment(text.encode())


def concept(system: str, code: str, display: str, *more: Resource) -> Resource:
    return {"coding": [*more, {"system": system, "code": code, "display": display}], "text": display}


def _coded(system: str, code: str) -> Resource:
    return {"coding": [{"system": f"{_HL7}{system}", "code": code}]}


def own(facility: str, kind: str, value: str) -> Resource:
    """Return an identifier of one of the hospital's own number ranges."""
    return {"system": identifiers.facility_system(facility, kind), "value": value}


def subject_of(known: Known) -> Resource:
    return {"reference": f"Patient/{known.number}"}


def encounter_of(visit: Visit) -> Resource:
    return {"reference": f"Encounter/{visit.number}"}


def doctor_of(facility: str, doctor: Doctor) -> Resource:
    return {"identifier": own(facility, "staff", doctor.number), "display": doctor.name}


def patient(known: Known) -> Resource:
    """Return the Patient as registered."""
    person = known.person
    numbers: list[Resource] = [
        {"use": "usual", "type": _coded("v2-0203", "MR"), **own(known.facility, "mrn", known.number)}
    ]
    if known.id_no:
        system = _DOCUMENTS[known.id_type]
        code = identifiers.TYPE_CODES[system]
        numbers.append({"type": _coded("v2-0203", code), "system": system, "value": known.id_no})
    if person.insurance in ("employee", "resident", "public") and known.id_no:
        numbers.append({"system": identifiers.INSURANCE, "value": ids.insurance_no(person.number)})
    written = known.name
    name: Resource = {"use": "official", "text": written.text}
    if written.family and "·" not in written.text and "•" not in written.text:
        name |= {"family": written.family, "given": [written.given]}
    out: Resource = {
        "resourceType": "Patient",
        "id": known.number,
        "identifier": numbers,
        "active": True,
        "name": [name],
        "gender": _GENDER[person.sex],
        "maritalStatus": _coded("v3-MaritalStatus", _MARITAL[person.marital]),
    }
    if known.pinyin and written.pinyin:
        family, _, given = written.pinyin.partition(" ")
        out["name"].append({"text": written.pinyin, "family": family, "given": [given or family]})
    if known.born:
        out["birthDate"] = known.born.isoformat()
    if known.phone:
        out["telecom"] = [{"system": "phone", "value": known.phone, "use": "mobile"}]
    if known.address:
        out["address"] = [{"use": "home", "text": known.address, "country": "CHN"}]
    kin, relation, phone = person.contact
    if kin:
        contact: Resource = {"relationship": [{"text": relation}], "name": {"text": kin}}
        if phone:
            contact["telecom"] = [{"system": "phone", "value": phone}]
        out["contact"] = [contact]
    if known.deceased:
        out["deceasedDateTime"] = instant(known.deceased)
    return out


def merged(known: Known, old: Known) -> Resource:
    """Return the Patient that is used no more, pointing at the one that lives on."""
    return patient(old) | {
        "active": False,
        "link": [{"other": {"reference": f"Patient/{known.number}"}, "type": "replaced-by"}],
    }


def allergy(known: Known, key: str) -> Resource:
    """Return one allergy."""
    title, kind, reaction, severity = ALLERGENS[key]
    return {
        "resourceType": "AllergyIntolerance",
        "id": f"AL-{known.number}-{key}",
        "clinicalStatus": _coded("allergyintolerance-clinical", "active"),
        "verificationStatus": _coded("allergyintolerance-verification", "confirmed"),
        "type": "allergy",
        "category": [_KIND[kind]],
        "criticality": "high" if severity == "SV" else "low",
        "code": concept(f"urn:hie:{known.facility}:allergen", key.upper(), title),
        "patient": subject_of(known),
        "recordedDate": instant(known.since),
        "reaction": [{"manifestation": [{"text": reaction}], "severity": _SEVERITY[severity]}],
    }


def encounter(visit: Visit, over: bool) -> Resource:
    """Return the Encounter at its begin, or when it is over."""
    code, display = _CLASSES[visit.kind]
    facility, doctor = visit.facility, visit.doctor
    out: Resource = {
        "resourceType": "Encounter",
        "id": visit.number,
        "identifier": [own(facility, "visit", visit.number)],
        "status": "finished" if over else "in-progress",
        "class": {"system": _ACT, "code": code, "display": display},
        "serviceType": concept(f"urn:hie:{facility}:department", doctor.department, doctor.department_name),
        "subject": subject_of(visit.known),
        "participant": [{"individual": doctor_of(facility, doctor)}],
        "period": {"start": instant(visit.start)},
        "reasonCode": [{"text": visit.complaint}],
        "serviceProvider": {"identifier": {"system": "urn:hie:facility", "value": facility}},
    }
    if visit.kind == "examination":
        out["type"] = [{"text": "健康体检"}]
    if over and visit.end:
        out["period"]["end"] = instant(visit.end)
        out["diagnosis"] = [
            {"condition": {"reference": f"Condition/{condition_id(visit, n)}"}, "rank": n}
            for n in range(1, len(visit.diagnoses) + 1)
        ]
    return out


def condition_id(visit: Visit, rank: int) -> str:
    """Return the hospital's id of a diagnosis of a visit."""
    return f"DG-{visit.number}-{rank}"


def condition(visit: Visit, rank: int) -> Resource:
    """Return one diagnosis of a visit."""
    code, title = visit.diagnoses[rank - 1]
    return {
        "resourceType": "Condition",
        "id": condition_id(visit, rank),
        "clinicalStatus": _coded("condition-clinical", "active"),
        "verificationStatus": _coded("condition-ver-status", "confirmed"),
        "category": [_coded("condition-category", "encounter-diagnosis")],
        "code": concept("http://hl7.org/fhir/sid/icd-10", code, title),
        "subject": subject_of(visit.known),
        "encounter": encounter_of(visit),
        "recordedDate": instant(visit.end or visit.start),
    }


def order(visit: Visit, report: Report) -> Resource:
    """Return the order of a report."""
    return {
        "resourceType": "ServiceRequest",
        "id": report.order,
        "identifier": [own(visit.facility, "order", report.order)],
        "status": "completed",
        "intent": "order",
        "code": _test(visit.facility, report.code, report.name, report.loinc),
        "subject": subject_of(visit.known),
        "encounter": encounter_of(visit),
        "authoredOn": instant(report.ordered),
        "requester": doctor_of(visit.facility, report.doctor),
    }


def _test(facility: str, code: str, title: str, loinc: str) -> Resource:
    local = (f"urn:hie:{facility}:item", local_code(facility, code), title)
    if loinc:
        return concept(*local, {"system": "http://loinc.org", "code": loinc, "display": title})
    return concept(*local)


def observation(visit: Visit, report: Report, result: Result) -> Resource:
    """Return one result."""
    out: Resource = {
        "resourceType": "Observation",
        "id": f"{report.number}-{result.number}",
        "status": _STATUS[result.status],
        "category": [_coded("observation-category", _CATEGORIES[report.kind])],
        "code": _test(visit.facility, result.code, result.name, result.loinc),
        "subject": subject_of(visit.known),
        "encounter": encounter_of(visit),
        "effectiveDateTime": instant(report.collected),
        "issued": instant(report.reported),
    }
    if result.numeric:
        quantity: Resource = {"value": lexeme(result.value)}
        if result.unit:
            quantity |= {"unit": result.unit, "system": "http://unitsofmeasure.org", "code": result.ucum}
        out["valueQuantity"] = quantity
        limits = {
            side: {"value": lexeme(text)} | ({"unit": result.unit} if result.unit else {})
            for side, text in (("low", result.low), ("high", result.high))
            if text
        }
        if limits:
            out["referenceRange"] = [limits | {"text": result.range}]
    else:
        out["valueString"] = result.value
        if result.low:
            out["referenceRange"] = [{"text": result.low}]
    if result.flag != "N":
        out["interpretation"] = [_coded("v3-ObservationInterpretation", result.flag)]
    return out


def report(visit: Visit, report: Report, ordered: bool) -> Resource:
    """Return the DiagnosticReport with references to its results."""
    narrative = "\n".join(text for text in (report.findings, report.conclusion) if text)
    out: Resource = {
        "resourceType": "DiagnosticReport",
        "id": report.number,
        "identifier": [own(visit.facility, "filler", report.number)],
        "status": _STATUS[report.status],
        "category": [{"text": {"laboratory": "检验", "physical": "体检"}.get(report.kind, "检查")}],
        "code": _test(visit.facility, report.code, report.name, report.loinc),
        "subject": subject_of(visit.known),
        "encounter": encounter_of(visit),
        "effectiveDateTime": instant(report.collected),
        "issued": instant(report.reported),
        "performer": [doctor_of(visit.facility, report.verifier)],
    }
    if ordered:
        out["basedOn"] = [{"reference": f"ServiceRequest/{report.order}"}]
    if report.results:
        out["result"] = [{"reference": f"Observation/{report.number}-{r.number}"} for r in report.results]
    if report.conclusion:
        out["conclusion"] = report.conclusion
    if report.findings:
        data = base64.b64encode(narrative.encode()).decode()
        out["presentedForm"] = [
            {"contentType": "text/plain; charset=utf-8", "data": data, "title": report.name}
        ]
    return out


def medication(visit: Visit, prescription: Prescription) -> Resource:
    """Return one drug ordered."""
    drug = DRUGS[prescription.drug]
    title = f"{drug.name} {drug.spec}"
    local = (f"urn:hie:{visit.facility}:drug", drug.code, title)
    atc = ({"system": "http://www.whocc.no/atc", "code": drug.atc, "display": drug.name},) if drug.atc else ()
    words, times = FREQUENCIES[drug.frequency]
    return {
        "resourceType": "MedicationRequest",
        "id": prescription.number,
        "identifier": [own(visit.facility, "order", prescription.number)],
        "status": "completed" if visit.end else "active",
        "intent": "order",
        "medicationCodeableConcept": concept(*local, *atc),
        "subject": subject_of(visit.known),
        "encounter": encounter_of(visit),
        "authoredOn": instant(prescription.at),
        "requester": doctor_of(visit.facility, prescription.doctor),
        "dosageInstruction": [
            {
                "text": f"{drug.dose}{drug.unit} {ROUTES[drug.route]} {words}",
                "timing": {"repeat": {"frequency": times, "period": 1, "periodUnit": "d"}},
                "route": {"text": ROUTES[drug.route]},
                "doseAndRate": [{"doseQuantity": {"value": lexeme(drug.dose), "unit": drug.unit}}],
            }
        ],
        "dispenseRequest": {"quantity": {"value": prescription.packs, "unit": drug.pack}},
    }


def document(visit: Visit, at: datetime) -> Resource:
    """Return the discharge summary as a document."""
    return {
        "resourceType": "DocumentReference",
        "id": visit.summary_no,
        "identifier": [own(visit.facility, "document", visit.summary_no)],
        "status": "current",
        "docStatus": "final",
        "type": concept("http://loinc.org", "18842-5", "出院小结"),
        "subject": subject_of(visit.known),
        "date": instant(at),
        "author": [doctor_of(visit.facility, visit.doctor)],
        "content": [
            {
                "attachment": {
                    "contentType": "text/plain; charset=utf-8",
                    "language": "zh-CN",
                    "data": base64.b64encode(visit.summary.encode()).decode(),
                    "title": "出院小结",
                }
            }
        ],
        "context": {"encounter": [encounter_of(visit)]},
    }


def procedure(visit: Visit, at: datetime) -> Resource:
    """Return the operation of a stay."""
    code, title = visit.operation or ("", "")
    return {
        "resourceType": "Procedure",
        "id": f"OP-{visit.number}",
        "status": "completed",
        "code": concept("http://hl7.org/fhir/sid/icd-9-cm", code, title),
        "subject": subject_of(visit.known),
        "encounter": encounter_of(visit),
        "performedDateTime": instant(at),
    }


def appointment(visit: Visit, booking: Appointment, action: str, start: datetime) -> Resource:
    """Return a booking as it stands."""
    begin, minutes = instant(start), booking.minutes
    return {
        "resourceType": "Appointment",
        "id": booking.number,
        "identifier": [own(visit.facility, "appointment", booking.number)],
        "status": "cancelled" if action == "cancel" else "booked",
        "serviceType": [{"text": booking.doctor.department_name}],
        "start": begin,
        "end": instant(start.replace(minute=start.minute + minutes - 1)),
        "minutesDuration": minutes,
        "participant": [
            {"actor": subject_of(visit.known), "status": "accepted"},
            {"actor": doctor_of(visit.facility, booking.doctor), "status": "accepted"},
        ],
    }
