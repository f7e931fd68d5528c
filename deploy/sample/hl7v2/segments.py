"""HL7 v2 segments (v2.3.1 and v2.5) of the sample hospitals: fields by number, escaped, by make."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from deploy.sample import ids
from deploy.sample.clinic.diseases import ALLERGENS
from deploy.sample.clinic.staff import Doctor
from deploy.sample.hl7v2.er7 import components, escape, join
from deploy.sample.model import Known, Visit
from deploy.sample.money import INSURANCE_NAMES

# kind of document -> assigning authority and code of table 0203
_DOCUMENTS = {
    "resident_id": ("&2.16.156.10011.1.3&ISO", "NI"),
    "passport": ("", "PPN"),
    "permit_hmt": ("", "TPR"),
    "foreign_pr": ("", "PRC"),
    "birth_certificate": ("", "BCT"),
    "officer": ("", "MI"),
}
_SEX = {"1": "M", "2": "F", "0": "U", "9": "O"}
_MARITAL = {"10": "S", "20": "M", "30": "W"}
_RELATION = {
    "spouse": ("SPO", "配偶"),
    "child": ("CHD", "子女"),
    "parent": ("PAR", "父母"),
    "other": ("OTH", "其他"),
}
_ETHNIC = {"01": "汉族", "04": "藏族", "05": "维吾尔族", "07": "彝族", "17": "哈萨克族"}
CLASSES = {"outpatient": "O", "emergency": "E", "inpatient": "I", "examination": "O"}


@dataclass(frozen=True)
class Make:
    """One make of hospital system: version, character set, MSH-18, zone suffix of its times."""

    version: str
    encoding: str
    charset: str
    zone: str
    application: str

    def time(self, at: datetime | None) -> str:
        """Return a time stamp (TS)."""
        return f"{at:%Y%m%d%H%M%S}{self.zone}" if at else ""

    @property
    def modern(self) -> bool:
        """Return whether this is v2.4 or later: message structures, TQ1, SPM."""
        return self.version >= "2.4"


MAKES = {
    1: Make("2.3.1", "gb18030", "GB 18030-2000", "", "JHHIS"),
    2: Make("2.5", "utf-8", "UNICODE UTF-8", "+0800", "ZYHIS"),
    5: Make("2.5", "utf-8", "UNICODE UTF-8", "", "MIXHIS"),
}


def make_of(facility: str) -> Make:
    """Return the HL7 v2 make of a facility; those that send none speak like H02."""
    return MAKES.get(ids.facility_index(facility), MAKES[2])


def msh(make: Make, facility: str, at: datetime, kind: str, control_id: str) -> str:
    """MSH; `kind` is `ADT^A01^ADT_A01`, cut to two components for the old version."""
    shown = kind if make.modern else "^".join(kind.split("^")[:2])
    return (
        f"MSH|^~\\&|{make.application}|{facility}|HIE|REGION|{make.time(at)}||{shown}|{control_id}|P|"
        f"{make.version}|||||CHN|{make.charset}"
    )


def evn(make: Make, at: datetime, event: str) -> str:
    """EVN; the event code stands in EVN-1 in the old version only."""
    return f"EVN|{'' if make.modern else event}|{make.time(at)}"


def pid(make: Make, known: Known) -> str:
    """PID with all numbers, name (and pinyin where the hospital keeps it), address, phone."""
    person = known.person
    numbers = [f"{known.number}^^^{known.facility}^MR"]
    if known.id_no:
        authority, code = _DOCUMENTS[known.id_type]
        numbers.append(f"{known.id_no}^^^{authority}^{code}")
    if person.insurance in ("employee", "resident", "public") and known.id_no:
        numbers.append(f"{ids.insurance_no(person.number)}^^^YB^SN")
    if person.number % 3 == 0 and known.id_no:
        numbers.append(f"{ids.health_card(person.number)}^^^&2.16.156.10011.1.19&ISO^HC")
    fields = {
        1: "1",
        3: "~".join(numbers),
        5: name(known),
        7: f"{known.born:%Y%m%d}" if known.born else "",
        8: _SEX[person.sex],
        11: f"{escape(known.address)}^^^^^CHN^H",
        13: f"{known.phone}^PRN^CP" if known.phone else "",
        16: _MARITAL[person.marital],
        22: components(person.name.ethnic, _ETHNIC.get(person.name.ethnic, ""), "GB3304")
        if person.name.ethnic
        else "",
        28: person.nationality,
        29: make.time(known.deceased),
        30: "Y" if known.deceased else "",
    }
    return join("PID", fields)


def name(known: Known) -> str:
    """Return PID-5: family^given, and a second repetition in pinyin where the hospital keeps one."""
    written = known.name
    if not written.family:
        return escape(written.text)
    text = components(written.family, written.given, "", "", "", "", "L", "I")
    if "·" in written.text or "•" in written.text:
        text = components(written.text, "", "", "", "", "", "L", "I")
    if known.pinyin and written.pinyin:
        family, _, given = written.pinyin.partition(" ")
        text += "~" + components(family.upper(), given.upper(), "", "", "", "", "L", "A")
    return text


def nk1(known: Known) -> list[str]:
    """NK1, if the next of kin is known."""
    kin, relation, phone = known.person.contact
    if not kin:
        return []
    code, title = _RELATION[relation]
    return [join("NK1", {1: "1", 2: escape(kin), 3: components(code, title, "GB4761"), 5: phone})]


def xcn(doctor: Doctor, facility: str) -> str:
    """Return a doctor as XCN."""
    return f"{doctor.number}^{escape(doctor.name)}^^^^^^^{facility}^L"


def pv1(make: Make, visit: Visit, end: datetime | None, bed: str = "", prior: str = "") -> str:
    """PV1 of a visit as it stands; `end` only when it is over."""
    doctor, facility = visit.doctor, visit.facility
    place = f"{escape(doctor.department_name)}^^{escape(bed or visit.bed)}^{facility}"
    fields = {
        1: "1",
        2: CLASSES[visit.kind],
        3: place,
        4: {"emergency": "E", "inpatient": "R", "examination": "PE"}.get(visit.kind, "R"),
        6: f"{escape(doctor.department_name)}^^{escape(prior)}^{facility}" if prior else "",
        7: xcn(doctor, facility),
        10: components(doctor.department, doctor.department_name, "L"),
        14: "1" if visit.kind == "inpatient" else "",
        18: {"examination": "PE"}.get(visit.kind, "NOR"),
        19: f"{visit.number}^^^{facility}^VN",
        36: ("5" if visit.died else "1") if end and visit.kind == "inpatient" else "",
        44: make.time(visit.start),
        45: make.time(end),
    }
    return join("PV1", fields)


def pv1_none() -> str:
    """PV1 of a message that is about no visit."""
    return "PV1|1|N"


def al1(known: Known) -> list[str]:
    """AL1 for every allergy the hospital knows of."""
    out = []
    for position, key in enumerate(known.allergies, start=1):
        title, kind, reaction, severity = ALLERGENS[key]
        code = components(key.upper(), title, "L")
        out.append(join("AL1", {1: str(position), 2: kind, 3: code, 4: severity, 5: escape(reaction)}))
    return out


def dg1(make: Make, visit: Visit, at: datetime, final: bool) -> list[str]:
    """DG1 for every diagnosis of the visit."""
    return [
        join(
            "DG1",
            {
                1: str(position),
                3: components(code, title, "ICD-10"),
                5: make.time(at),
                6: "F" if final else "W",
                15: str(position),
                16: xcn(visit.doctor, visit.facility),
            },
        )
        for position, (code, title) in enumerate(visit.diagnoses, start=1)
    ]


def in1(known: Known) -> list[str]:
    """IN1, if the patient is insured."""
    person = known.person
    if person.insurance == "self":
        return []
    title = INSURANCE_NAMES[person.insurance]
    fields = {
        1: "1",
        2: components(person.insurance.upper(), title, "L"),
        3: "530000^^^YB",
        4: "省医疗保障局",
        15: escape(title),
        16: name(known).partition("~")[0],
        17: "SEL",
        36: ids.insurance_no(person.number),
    }
    return [join("IN1", fields)]


def day(value: date) -> str:
    """Return a day (DT)."""
    return f"{value:%Y%m%d}"
