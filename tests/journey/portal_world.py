"""A small world for the portal's tests: three hospitals, their users, and people known to several of them."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from esb.fhir import lexemes
from esb.fhir.identifiers import HEALTH_CARD, RESIDENT_ID, check_digit, facility_system
from esb.seal import generate_keys, public_part
from hie.directory.facilities import put_facility
from hie.directory.users import put_user
from hie.mpi.identify import Source, identify_many
from hie.mpi.restrict import restrict
from hie.repository.store import Write, write
from hie.security.actor import system_actor

NUMBER = re.compile(r'"§([-0-9.]+)§"')
ZONE = ZoneInfo("Asia/Shanghai")
PASSWORD = "a long enough password"
HOSPITALS = {
    "H01": ("江临省立医院", "Jianglin Provincial Hospital"),
    "H02": ("江临市第一人民医院", "Jianglin First People's Hospital"),
    "H03": ("江临中医院", "Jianglin Hospital of Chinese Medicine"),
}
USERS = {
    "doctor.h02": ("doctor", "H02", "顾闻笙"),
    "doctor.h01": ("doctor", "H01", "路怀瑾"),
    "doctor.h03": ("doctor", "H03", "江未晞"),
    "steward": ("steward", None, "丁叙白"),
    "auditor": ("auditor", None, "鲁观澜"),
    "engineer.h01": ("engineer", "H01", "孟启舟"),
    "operator": ("operator", None, "苗望舒"),
}


def resident_id(seventeen: str) -> str:
    """Return a number of GB 11643 with its check digit."""
    return seventeen + check_digit(seventeen)


NAME, BORN, RESIDENT = "祝明川", "1958-04-12", resident_id("33010219580412001")


def make_world(session: Session, now: datetime) -> None:
    """Register hospitals, users and people, and store what the hospitals sent about them."""
    keys = public_part(generate_keys("test"))
    for code, (name, name_en) in HOSPITALS.items():
        put_facility(session, code, name, name_en, keys)
    for username, (role, facility, name) in USERS.items():
        put_user(session, username, PASSWORD, role=role, facility=facility, name=name)
    send(session, "H01", main_at_h01(now), now - timedelta(hours=5))
    send(session, "H02", main_at_h02(now), now - timedelta(hours=2))
    send(session, "H03", main_at_h03(now), now - timedelta(days=9))
    send(session, "H02", corrections(now), now - timedelta(hours=1))
    gone = Write("delete", "DiagnosticReport", "h02-ecg", None, "H02", (now, 1, 9))
    write(session, [gone], now - timedelta(minutes=50))
    for facility, resources in others(now):
        send(session, facility, resources, now - timedelta(days=30))
    restrict(session, "h01-hidden", reason="beneficiary", by=system_actor("test"))


def send(session: Session, facility: str, resources: Iterable[dict[str, Any]], at: datetime) -> None:
    """Store resources as if their hospital had sent them at an instant."""
    parsed = [
        lexemes.loads(NUMBER.sub(r"\1", json.dumps(resource, ensure_ascii=False))) for resource in resources
    ]
    patients = [Source(r["id"], facility, r) for r in parsed if r["resourceType"] == "Patient"]
    identify_many(session, patients, at)
    writes = [Write("put", r["resourceType"], r["id"], r, facility, (at, 1, n)) for n, r in enumerate(parsed)]
    write(session, writes, at)


def patient(facility: str, id_: str, name: str, born: str, sex: str, **more: str) -> dict[str, Any]:
    """Return a Patient with the hospital's own number and, where given, resident ID, card and phone."""
    identifiers = [
        {"system": facility_system(facility, "mrn"), "value": more.get("mrn", f"{facility}-{id_}")}
    ]
    for key, system in (("resident", RESIDENT_ID), ("card", HEALTH_CARD)):
        if key in more:
            identifiers.append({"system": system, "value": more[key]})
    made: dict[str, Any] = {
        "resourceType": "Patient",
        "id": id_,
        "active": True,
        "identifier": identifiers,
        "name": [{"text": name, "family": name[:1], "given": [name[1:]]}],
        "gender": sex,
        "birthDate": born,
    }
    if "phone" in more:
        made["telecom"] = [{"system": "phone", "value": more["phone"]}]
    return made


def concept(text: str, system: str = "", code: str = "") -> dict[str, Any]:
    """Return a CodeableConcept."""
    coded = {"coding": [{"system": system, "code": code, "display": text}]} if code else {}
    return {**coded, "text": text}


def icd10(text: str, code: str) -> dict[str, Any]:
    """Return a diagnosis in ICD-10."""
    return concept(text, "http://hl7.org/fhir/sid/icd-10", code)


def visit(
    who: str, id_: str, class_: str, begin: datetime, department: str, doctor: str, days: int = 0
) -> Any:
    """Return an Encounter."""
    period = {"start": begin.isoformat(timespec="seconds")}
    if class_ != "AMB" or days:
        period["end"] = (begin + timedelta(days=days, hours=2)).isoformat(timespec="seconds")
    return {
        "resourceType": "Encounter",
        "id": id_,
        "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": class_},
        "subject": {"reference": f"Patient/{who}"},
        "period": period,
        "serviceType": {"text": department},
        "participant": [{"individual": {"display": doctor}}],
    }


def diagnosis(
    who: str, id_: str, what: dict[str, Any], at: datetime, encounter: str = "", **more: Any
) -> Any:
    """Return a Condition, confirmed and active unless told otherwise."""
    return {
        "resourceType": "Condition",
        "id": id_,
        "clinicalStatus": {"coding": [{"code": more.get("clinical", "active")}]},
        "verificationStatus": {"coding": [{"code": more.get("verification", "confirmed")}]},
        "code": what,
        "subject": {"reference": f"Patient/{who}"},
        "recordedDate": at.isoformat(timespec="seconds"),
        **({"encounter": {"reference": f"Encounter/{encounter}"}} if encounter else {}),
    }


def drug(
    who: str, id_: str, name: str, atc: str, dose: str, at: datetime, days: int, encounter: str = ""
) -> Any:
    """Return a MedicationRequest for so many days."""
    end = at + timedelta(days=days)
    return {
        "resourceType": "MedicationRequest",
        "id": id_,
        "status": "active" if end > datetime.now(UTC) else "completed",
        "intent": "order",
        "medicationCodeableConcept": concept(name, "http://www.whocc.no/atc", atc),
        "subject": {"reference": f"Patient/{who}"},
        "authoredOn": at.isoformat(timespec="seconds"),
        "dosageInstruction": [{"text": dose}],
        "dispenseRequest": {
            "validityPeriod": {"start": at.date().isoformat(), "end": end.date().isoformat()}
        },
        **({"encounter": {"reference": f"Encounter/{encounter}"}} if encounter else {}),
    }


def result(
    who: str, id_: str, test: tuple[str, str, str, float, float], value: str, at: datetime, **more: Any
) -> Any:
    """Return a laboratory Observation; the test is (name, LOINC, unit, low, high)."""
    name, loinc, unit, low, high = test
    made: dict[str, Any] = {
        "resourceType": "Observation",
        "id": id_,
        "status": more.get("status", "final"),
        "category": [{"coding": [{"code": "laboratory"}]}],
        "code": concept(name, "http://loinc.org", loinc),
        "subject": {"reference": f"Patient/{who}"},
        "effectiveDateTime": at.isoformat(timespec="seconds"),
        "valueQuantity": {"value": number(value), "unit": unit},
        "referenceRange": [{"low": {"value": low, "unit": unit}, "high": {"value": high, "unit": unit}}],
    }
    flag = more.get("flag") or ("H" if float(value) > high else "L" if float(value) < low else "N")
    made["interpretation"] = [{"coding": [{"code": flag}]}]
    if "encounter" in more:
        made["encounter"] = {"reference": f"Encounter/{more['encounter']}"}
    return made


def number(text: str) -> str:
    """Return what `send` writes as a JSON number with exactly these digits."""
    return f"§{text}§"


def report(who: str, id_: str, name: str, at: datetime, **more: Any) -> Any:
    """Return a DiagnosticReport: category, results (ids), findings (as an attached text), conclusion."""
    made: dict[str, Any] = {
        "resourceType": "DiagnosticReport",
        "id": id_,
        "status": more.get("status", "final"),
        "category": [{"coding": [{"code": more.get("category", "LAB")}]}],
        "code": {"text": name},
        "subject": {"reference": f"Patient/{who}"},
        "effectiveDateTime": at.isoformat(timespec="seconds"),
        "issued": at.isoformat(timespec="seconds"),
    }
    if "doctor" in more:
        made["resultsInterpreter"] = [{"display": more["doctor"]}]
    if "results" in more:
        made["result"] = [{"reference": f"Observation/{id_}"} for id_ in more["results"]]
    if "findings" in more:
        data = base64.b64encode(more["findings"].encode()).decode()
        made["presentedForm"] = [{"contentType": "text/plain; charset=utf-8", "data": data}]
    if "conclusion" in more:
        made["conclusion"] = more["conclusion"]
    if "encounter" in more:
        made["encounter"] = {"reference": f"Encounter/{more['encounter']}"}
    return made


BLOOD = (
    ("白细胞", "6690-2", "10*9/L", 3.5, 9.5),
    ("红细胞", "789-8", "10*12/L", 4.3, 5.8),
    ("血红蛋白", "718-7", "g/L", 130, 175),
    ("血小板", "777-3", "10*9/L", 125, 350),
)
CHEMISTRY = (
    ("葡萄糖", "14749-6", "mmol/L", 3.9, 6.1),
    ("糖化血红蛋白", "4548-4", "%", 4.0, 6.0),
    ("肌酐", "14682-9", "umol/L", 57, 111),
    ("钾", "2823-3", "mmol/L", 3.5, 5.3),
    ("尿酸", "14933-6", "umol/L", 208, 428),
)
SERIES = {
    "白细胞": ("6.2", "7.10", "11.8", "6.5", "5.9"),
    "红细胞": ("4.8", "4.75", "4.6", "4.71", "4.80"),
    "血红蛋白": ("146", "144", "128", "139", "142"),
    "血小板": ("210", "198", "260", "221", "215"),
    "葡萄糖": ("9.8", "8.90", "7.6", "7.2", "6.8"),
    "糖化血红蛋白": ("8.4", "7.90", "7.3", "7.0", "6.7"),
    "肌酐": ("82", "88", "97", "104", "118"),
    "钾": ("4.1", "4.30", "4.0", "4.4", "4.6"),
    "尿酸": ("402", "395", "441", "420", "410"),
}


def laboratory(who: str, prefix: str, at: datetime, place: int, encounter: str) -> list[Any]:
    """Return blood count and chemistry of one day with their reports."""
    made: list[Any] = []
    for name, panel, tests in (("血常规", "cbc", BLOOD), ("生化全套", "chem", CHEMISTRY)):
        ids = []
        for n, test in enumerate(tests):
            id_ = f"{prefix}-{panel}-{n}"
            ids.append(id_)
            made.append(result(who, id_, test, SERIES[test[0]][place], at, encounter=encounter))
        made.append(report(who, f"{prefix}-{panel}", name, at, results=ids, encounter=encounter))
    return made


def main_at_h01(now: datetime) -> list[Any]:
    """Return what the provincial hospital knows of the person most tests are about."""
    who, made = "h01-main", []
    made.append(
        patient("H01", who, NAME, BORN, "male", resident=RESIDENT, mrn="ZY0047182", phone="13912340001")
    )
    for n, (days, department) in enumerate(((700, "内分泌科"), (520, "心血管内科"), (200, "内分泌科"))):
        at, encounter = now - timedelta(days=days), f"h01-visit-{n}"
        made.append(visit(who, encounter, "AMB", at, department, "路怀瑾"))
        made += laboratory(who, f"h01-{n}", at + timedelta(hours=1), (0, 1, 3)[n], encounter)
        made.append(diagnosis(who, f"h01-dm-{n}", icd10("2型糖尿病", "E11.900"), at, encounter))
        made.append(diagnosis(who, f"h01-ht-{n}", icd10("高血压病", "I10.x00"), at, encounter))
    at = now - timedelta(days=40)
    made.append(visit(who, "h01-visit-9", "AMB", at, "心血管内科", "路怀瑾"))
    made.append(
        drug(who, "h01-amlo", "苯磺酸氨氯地平片", "C08CA01", "5mg 口服 每日一次", at, 90, "h01-visit-9")
    )
    made.append(
        drug(who, "h01-met", "盐酸二甲双胍片", "A10BA02", "0.5g 口服 每日三次 餐中", at, 90, "h01-visit-9")
    )
    made.append(
        drug(who, "h01-azi", "阿奇霉素片", "J01FA10", "0.5g 口服 每日一次", now - timedelta(days=520), 5)
    )
    charge(made, who, "h01", ("8650", "1250", "-300"))
    return made


def main_at_h02(now: datetime) -> list[Any]:
    """Return what the city hospital knows: a stay, an allergy, a CT report and a discharge letter."""
    who, made, at = "h02-main", [], now - timedelta(days=320)
    made.append(
        patient("H02", who, NAME, BORN, "male", resident=RESIDENT, mrn="20240099", card="HC3301000045127788")
    )
    made.append(visit(who, "h02-stay", "IMP", at, "呼吸与危重症医学科", "顾闻笙", days=8))
    made += laboratory(who, "h02-stay", at + timedelta(days=1), 2, "h02-stay")
    made.append(
        diagnosis(who, "h02-pn", icd10("社区获得性肺炎", "J18.900"), at, "h02-stay", clinical="resolved")
    )
    made.append(diagnosis(who, "h02-ht", icd10("高血压", "I10"), at, "h02-stay"))
    made.append(diagnosis(who, "h02-no", icd10("肺结节", "R91"), at, "h02-stay", verification="provisional"))
    made.append(
        {
            "resourceType": "AllergyIntolerance",
            "id": "h02-allergy",
            "clinicalStatus": {"coding": [{"code": "active"}]},
            "verificationStatus": {"coding": [{"code": "confirmed"}]},
            "criticality": "high",
            "code": {"text": "青霉素"},
            "patient": {"reference": f"Patient/{who}"},
            "reaction": [{"manifestation": [{"text": "全身皮疹"}], "severity": "severe"}],
        }
    )
    findings = "右肺上叶见磨玻璃结节，直径约 6 mm，边界清。\n双肺下叶少许斑片影。\n纵隔未见肿大淋巴结。"
    made.append(
        report(
            who, "h02-ct", "胸部 CT 平扫", at + timedelta(days=1), category="RAD", findings=findings,
            conclusion="右肺上叶磨玻璃结节，建议三个月复查；双肺下叶炎症。",
            doctor="沈既白", encounter="h02-stay",
        )
    )  # fmt: skip
    made.append(
        report(
            who,
            "h02-ecg",
            "常规心电图",
            at,
            category="EC",
            conclusion="窦性心律，大致正常。",
            encounter="h02-stay",
        )
    )
    letter = (
        "入院情况：发热、咳嗽三天。\n诊疗经过：予莫西沙星抗感染，体温三日内恢复正常。\n"
        "出院医嘱：三个月后复查胸部 CT。"
    )
    made.append(
        {
            "resourceType": "DocumentReference",
            "id": "h02-letter",
            "status": "current",
            "docStatus": "final",
            "type": {"text": "出院小结"},
            "subject": {"reference": f"Patient/{who}"},
            "date": (at + timedelta(days=8)).isoformat(timespec="seconds"),
            "author": [{"display": "顾闻笙"}],
            "content": [
                {
                    "attachment": {
                        "contentType": "text/plain",
                        "data": base64.b64encode(letter.encode()).decode(),
                    }
                }
            ],
            "context": {"encounter": [{"reference": "Encounter/h02-stay"}]},
        }
    )
    recent = now - timedelta(days=12)
    made.append(visit(who, "h02-visit", "AMB", recent, "内分泌科", "顾闻笙"))
    made += laboratory(who, "h02-visit", recent + timedelta(hours=1), 4, "h02-visit")
    made.append(drug(who, "h02-amlo", "氨氯地平片", "C08CA01", "5mg 口服 每日一次", recent, 60, "h02-visit"))
    made.append(visit(who, "h02-er", "EMER", now - timedelta(days=5), "急诊科", "裴照野"))
    troponin = ("高敏肌钙蛋白T", "67151-1", "ng/L", 0, 14)
    made.append(
        result(who, "h02-tnt", troponin, "52.0", now - timedelta(days=5), encounter="h02-er", flag="HH")
    )
    charge(made, who, "h02", ("1203450", "68000"))
    return made


def corrections(now: datetime) -> list[Any]:
    """Return what the city hospital corrected and withdrew afterwards."""
    who, recent = "h02-main", now - timedelta(days=12)
    potassium = result(
        who, "h02-visit-chem-3", CHEMISTRY[3], "6.30", recent + timedelta(hours=1), encounter="h02-visit",
        status="corrected", flag="HH",
    )  # fmt: skip
    troponin = ("高敏肌钙蛋白T", "67151-1", "ng/L", 0, 14)
    withdrawn = result(
        who, "h02-tnt", troponin, "52.0", now - timedelta(days=5), encounter="h02-er", flag="HH",
        status="entered-in-error",
    )  # fmt: skip
    return [potassium, withdrawn]


def main_at_h03(now: datetime) -> list[Any]:
    """Return what the hospital of Chinese medicine knows: a physical examination."""
    who, made, at = "h03-main", [], now - timedelta(days=95)
    made.append(patient("H03", who, "祝明川", BORN, "male", resident=RESIDENT, mrn="T-5512"))
    exam = visit(who, "h03-exam", "AMB", at, "健康管理中心", "江未晞")
    exam["type"] = [{"text": "健康体检"}]
    made.append(exam)
    pressure = {
        "resourceType": "Observation",
        "id": "h03-bp",
        "status": "final",
        "category": [{"coding": [{"code": "vital-signs"}]}],
        "code": concept("血压", "http://loinc.org", "85354-9"),
        "subject": {"reference": f"Patient/{who}"},
        "effectiveDateTime": at.isoformat(timespec="seconds"),
        "encounter": {"reference": "Encounter/h03-exam"},
        "component": [
            {
                "code": concept("收缩压", "http://loinc.org", "8480-6"),
                "valueQuantity": {"value": 138, "unit": "mmHg"},
            },
            {
                "code": concept("舒张压", "http://loinc.org", "8462-4"),
                "valueQuantity": {"value": 86, "unit": "mmHg"},
            },
        ],
    }
    made.append(pressure)
    made.append(
        report(
            who, "h03-conclusion", "健康体检报告", at, category="PE", doctor="江未晞", encounter="h03-exam",
            conclusion="一、血压偏高，建议心血管内科随访。\n二、空腹血糖偏高，继续控制。\n"
            "三、右肺上叶小结节，建议复查胸部 CT。",
        )
    )  # fmt: skip
    return made


def charge(made: list[Any], who: str, prefix: str, fen: tuple[str, ...]) -> None:
    """Add charge lines of so many fen."""
    for n, amount in enumerate(fen):
        yuan = f"{int(amount) / 100:.2f}"
        made.append(
            {
                "resourceType": "ChargeItem",
                "id": f"{prefix}-charge-{n}",
                "status": "billed",
                "code": {"text": "检查费"},
                "subject": {"reference": f"Patient/{who}"},
                "priceOverride": {"value": number(yuan), "currency": "CNY"},
            }
        )


def others(now: datetime) -> list[tuple[str, list[Any]]]:
    """Return the other people: a namesake, somebody restricted, two records to review, somebody unknown."""
    del now
    twin = resident_id("33010619700909002")
    return [
        (
            "H01",
            [
                patient(
                    "H01",
                    "h01-namesake",
                    NAME,
                    "1984-11-30",
                    "male",
                    resident=resident_id("33010219841130001"),
                )
            ],
        ),
        (
            "H01",
            [
                patient(
                    "H01",
                    "h01-hidden",
                    "谢望舒",
                    "1949-10-01",
                    "female",
                    resident=resident_id("33010219491001002"),
                )
            ],
        ),
        (
            "H01",
            [
                patient(
                    "H01", "h01-twin", "梁书宁", "1970-09-09", "female", resident=twin, phone="13912340002"
                )
            ],
        ),
        (
            "H03",
            [
                patient(
                    "H03", "h03-twin", "梁淑宁", "1970-09-09", "female", resident=twin, phone="13912340002"
                )
            ],
        ),
        ("H03", [patient("H03", "h03-empty", "何听澜", "2001-02-03", "female", card="HC3301000099990001")]),
    ]
