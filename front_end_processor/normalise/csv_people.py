"""CSV rows of patients and visits -> Patient, AllergyIntolerance, Encounter, Condition, DocumentReference."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence

from esb.fhir import identifiers
from front_end_processor.normalise.csv_rows import Row
from front_end_processor.normalise.csv_values import V2_0203, Draft, Resource

ICD_10 = "http://hl7.org/fhir/sid/icd-10"
VISIT_TYPE = "urn:hie:visit-type"
EXAMINATION_VISIT = {"coding": [{"system": VISIT_TYPE, "code": "examination"}], "text": "体检"}
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
_ACT_CODE = f"{_TERMINOLOGY}v3-ActCode"
_NONE_KNOWN = frozenset({"无", "无过敏史", "否认", "none", "nka", "nkda"})
_ICD = re.compile(r"[A-Z][0-9]{2}", re.ASCII)
_MOBILE = re.compile(r"(?:\+?86[- ]?)?1[3-9][0-9]{9}", re.ASCII)

DOCUMENTS: Mapping[str, str] = {
    "resident_id": identifiers.RESIDENT_ID,
    "passport": identifiers.PASSPORT,
    "permit_hmt": identifiers.PERMIT_HMT,
    "foreign_pr": identifiers.FOREIGN_PR,
    "birth_certificate": identifiers.BIRTH_CERT,
    "officer": identifiers.OFFICER_CARD,
}
CLASSES: Mapping[str, tuple[str, str]] = {
    "outpatient": ("AMB", "ambulatory"),
    "emergency": ("EMER", "emergency"),
    "inpatient": ("IMP", "inpatient encounter"),
    "examination": ("AMB", "ambulatory"),
}
VISIT_STATUS = {"in_progress": "in-progress", "finished": "finished", "cancelled": "cancelled"}
RELATIONS = {
    "spouse": ("SPS", "配偶"),
    "child": ("CHILD", "子女"),
    "parent": ("PRN", "父母"),
    "other": ("O", "其他"),
}


def coded(system: str, code: str) -> Resource:
    """Return a CodeableConcept of one code of HL7's own terminology."""
    return {"coding": [{"system": f"{_TERMINOLOGY}{system}", "code": code}]}


def patients(draft: Draft, rows: Sequence[Row]) -> None:
    """Rows of patients: the Patient and the allergies it states."""
    for row in rows:
        draft.put(_patient(draft, row))
        _allergies(draft, row)


def _patient(draft: Draft, row: Row) -> Resource:
    patient = draft.resource("Patient", row["patient_no"])
    patient["identifier"] = _numbers(draft, row)
    patient["active"] = row["status"] not in ("merged", "withdrawn")
    patient["name"] = [{"text": row["name"]}]
    if telecom := _telecom(row["phone"]):
        patient["telecom"] = telecom
    gender = draft.profile.tables["gender"].get(row["sex"].upper())
    patient["gender"] = gender.code if gender else "unknown"
    if row["birth_date"]:
        patient["birthDate"] = row["birth_date"]
    if row["deceased_at"]:
        patient["deceasedDateTime"] = row["deceased_at"]
    if row["address"]:
        patient["address"] = [{"use": "home", "text": row["address"]}]
    if row["marital_status"]:
        patient["maritalStatus"] = _marital(draft, row["marital_status"])
    if contact := _contact(row):
        patient["contact"] = [contact]
    if extensions := _extensions(draft, row):
        patient["extension"] = extensions
    if row["status"] == "merged" and row["merged_into"] not in ("", row["patient_no"]):
        other = draft.reference("Patient", row["merged_into"])
        patient["link"] = [{"other": other, "type": "replaced-by"}]
    return patient


def _numbers(draft: Draft, row: Row) -> list[Resource]:
    found = [{"use": "usual", **draft.identifier("mrn", row["patient_no"], "MR")}]
    found += _document(draft, row["id_type"], row["id_no"])
    for column, system, type_code in (
        ("insurance_no", identifiers.INSURANCE, identifiers.TYPE_CODES[identifiers.INSURANCE]),
        ("health_card_no", identifiers.HEALTH_CARD, identifiers.TYPE_CODES[identifiers.HEALTH_CARD]),
    ):
        if row[column]:
            found.append(_number(system, row[column], type_code))
    return found


def _document(draft: Draft, id_type: str, number: str) -> list[Resource]:
    """Return a document's number; an 18-digit card as what it is, an old resident ID in both forms."""
    if not number:
        return []
    system = DOCUMENTS.get(id_type)
    if system is None:
        return [draft.identifier("other-document", number)]
    if system != identifiers.RESIDENT_ID:
        return [_number(system, number, identifiers.TYPE_CODES.get(system, ""))]
    number = number.upper()
    system = identifiers.system_of_card(number) or system
    if upgraded := identifiers.upgrade_15_to_18(number):
        new = {"use": "official", **_number(system, upgraded, "NI")}
        return [new, {"use": "old", **_number(system, number, "NI")}]
    return [_number(system, number, identifiers.TYPE_CODES.get(system, "NI"))]


def _number(system: str, value: str, type_code: str) -> Resource:
    type_ = {"type": {"coding": [{"system": V2_0203, "code": type_code}]}} if type_code else {}
    return {"system": system, "value": value, **type_}


def _telecom(phone: str) -> list[Resource]:
    if not phone:
        return []
    return [{"system": "phone", "value": phone, "use": "mobile" if _MOBILE.fullmatch(phone) else "home"}]


def _marital(draft: Draft, sent: str) -> Resource:
    known = draft.profile.tables["marital_status"].get(sent.upper())
    if known is None:
        return draft.concept("marital_status", sent, "")
    display = {"display": known.display} if known.display else {}
    return {"coding": [{"system": known.system, "code": known.code, **display}], "text": sent}


def _contact(row: Row) -> Resource | None:
    if not row["contact_name"] and not row["contact_phone"]:
        return None
    contact: Resource = {}
    if row["contact_relation"]:
        code, text = RELATIONS.get(row["contact_relation"], ("", row["contact_relation"]))
        role = [{"system": f"{_TERMINOLOGY}v3-RoleCode", "code": code}] if code and code != "O" else []
        contact["relationship"] = [{**({"coding": role} if role else {}), "text": text}]
    if row["contact_name"]:
        contact["name"] = {"text": row["contact_name"]}
    if telecom := _telecom(row["contact_phone"]):
        contact["telecom"] = telecom
    return contact


def _extensions(draft: Draft, row: Row) -> list[Resource]:
    found: list[Resource] = []
    if row["ethnic_group"]:
        concept = draft.concept("ethnic_group", row["ethnic_group"], "")
        found.append({"url": "urn:hie:ethnic-group", "valueCodeableConcept": concept})
    if row["nationality"]:
        country = {"coding": [{"system": "urn:iso:std:iso:3166", "code": row["nationality"]}]}
        inner = [{"url": "code", "valueCodeableConcept": country}]
        url = "http://hl7.org/fhir/StructureDefinition/patient-nationality"
        found.append({"url": url, "extension": inner})
    return found


def _allergies(draft: Draft, row: Row) -> None:
    """`无` becomes "no known allergy"; a substance named later takes that back."""
    named = [name.strip() for name in row["allergies"].replace("；", ";").split(";") if name.strip()]
    none_id = draft.ids.of("AllergyIntolerance", f"{row['patient_no']}|无")
    is_none = bool(named) and all(name.lower() in _NONE_KNOWN for name in named)
    if is_none:
        allergy = draft.resource("AllergyIntolerance", f"{row['patient_no']}|无")
        known = {"system": "http://snomed.info/sct", "code": "716186003", "display": "No known allergy"}
        allergy["code"] = {"coding": [known], "text": "无已知过敏"}
        draft.put(_as_stated(draft, allergy))
        draft.aliases.append(("AllergyIntolerance.none", row["patient_no"], none_id))
        return
    if named and draft.resolve("AllergyIntolerance.none", row["patient_no"]):
        draft.delete("AllergyIntolerance", none_id)
    for name in named:
        allergy = draft.resource("AllergyIntolerance", f"{row['patient_no']}|{name}")
        allergy["code"] = {"text": name}
        draft.put(_as_stated(draft, allergy))


def _as_stated(draft: Draft, allergy: Resource) -> Resource:
    return {
        **allergy,
        "clinicalStatus": coded("allergyintolerance-clinical", "active"),
        "verificationStatus": coded("allergyintolerance-verification", "confirmed"),
        "patient": draft.subject,
    }


def visits(draft: Draft, rows: Sequence[Row]) -> None:
    """Rows of visits: the Encounter, its diagnoses, and the discharge summary."""
    for row in rows:
        encounter = _encounter(draft, row)
        links = [] if row["visit_status"] == "cancelled" else _diagnoses(draft, row)
        if links:
            encounter["diagnosis"] = links
        draft.put(encounter)
        if row["discharge_summary"]:
            draft.put(_discharge_summary(draft, row))


def _encounter(draft: Draft, row: Row) -> Resource:
    encounter = draft.resource("Encounter", row["visit_no"])
    encounter["identifier"] = [draft.identifier("visit", row["visit_no"], "VN")]
    encounter["status"] = VISIT_STATUS.get(row["visit_status"], "unknown")
    code, display = CLASSES.get(row["visit_type"], ("", ""))
    own = {"system": draft.system("visit_type"), "code": row["visit_type"]}
    encounter["class"] = {"system": _ACT_CODE, "code": code, "display": display} if code else own
    encounter["type"] = (
        [{"coding": [{"system": VISIT_TYPE, "code": row["visit_type"]}]}] if code else [{"coding": [own]}]
    )
    if department := draft.concept("department", row["department_code"], row["department"]):
        encounter["serviceType"] = department
    encounter["subject"] = draft.subject
    if row["doctor"] or row["doctor_code"]:
        role = {"system": f"{_TERMINOLOGY}v3-ParticipationType", "code": "ATND", "display": "attender"}
        doctor = draft.staff(row["doctor"], row["doctor_code"])
        encounter["participant"] = [{"type": [{"coding": [role]}], "individual": doctor}]
    encounter["period"] = {"start": row["started_at"]}
    if row["ended_at"] and row.instant("ended_at") >= row.instant("started_at"):
        encounter["period"]["end"] = row["ended_at"]
    elif row["ended_at"]:
        draft.warnings.append("ended_at: earlier than started_at, left out")
    if row["chief_complaint"]:
        encounter["reasonCode"] = [{"text": row["chief_complaint"]}]
    if row["bed"]:
        place = {"type": "Location", "display": f"{row['department']} {row['bed']}".strip()}
        encounter["location"] = [{"location": place}]
    encounter["serviceProvider"] = draft.organization
    return encounter


def _diagnoses(draft: Draft, row: Row) -> list[Resource]:
    named = [(row["diagnosis_code"], row["diagnosis"])]
    for pair in row["other_diagnoses"].replace("；", ";").split(";"):
        code, _, name = pair.partition("|")
        named.append((code.strip(), name.strip()))
    links: list[Resource] = []
    for code, name in named:
        if not code and not name:
            continue
        condition = draft.resource("Condition", f"{row['visit_no']}|{code or name}")
        condition["clinicalStatus"] = coded("condition-clinical", "active")
        condition["verificationStatus"] = coded("condition-ver-status", "confirmed")
        condition["category"] = [coded("condition-category", "encounter-diagnosis")]
        condition["code"] = diagnosis(draft, code, name)
        condition["subject"] = draft.subject
        condition["encounter"] = draft.reference("Encounter", row["visit_no"])
        condition["recordedDate"] = row["started_at"]
        draft.put(condition)
        link: Resource = {"condition": {"reference": f"Condition/{condition['id']}"}, "rank": len(links) + 1}
        if not links and row["visit_type"] == "inpatient":
            link["use"] = coded("diagnosis-role", "DD")
        links.append(link)
    return links


def diagnosis(draft: Draft, code: str, name: str) -> Resource:
    """Return a diagnosis: ICD-10 where the code has its form, else the hospital's own code."""
    concept = draft.concept("diagnosis", code, name)
    if code and _ICD.match(code):
        concept["coding"][0]["system"] = ICD_10
    return concept


def _discharge_summary(draft: Draft, row: Row) -> Resource:
    document = draft.resource("DocumentReference", f"discharge:{row['visit_no']}")
    type_ = {"system": "http://loinc.org", "code": "18842-5", "display": "Discharge summary"}
    data = base64.b64encode(row["discharge_summary"].encode()).decode()
    attachment = {
        "contentType": "text/plain; charset=utf-8",
        "language": "zh-CN",
        "data": data,
        "title": "出院小结",
    }
    document |= {
        "status": "current",
        "docStatus": "final",
        "type": {"coding": [type_], "text": "出院小结"},
        "subject": draft.subject,
        "date": row["updated_at"],
        "content": [{"attachment": attachment}],
        "context": {"encounter": [draft.reference("Encounter", row["visit_no"])]},
    }
    return document
