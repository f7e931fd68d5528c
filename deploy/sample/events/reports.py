"""Laboratory, vital signs, imaging and physical-examination reports of one visit."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from random import Random
from zlib import crc32

from deploy.sample.clinic.diseases import Disease
from deploy.sample.clinic.imaging import FINDINGS, STUDIES
from deploy.sample.clinic.panels import BODY, PANELS, SPELLINGS, VITAL_SIGNS, Item
from deploy.sample.clinic.staff import Doctor
from deploy.sample.ids import facility_index
from deploy.sample.model import Report, Result
from deploy.sample.people import Person

_WOMEN = {"HGB": -1.1, "CREA": -0.9, "UA": -1.0, "HT": -1.1, "WT": -1.0, "WC": -0.5, "RBC": -0.8, "HCT": -1.0}
_CRITICAL = {"K", "NA", "GLU", "TNI", "HGB", "PLT", "WBC", "CREA"}
_ITEMS = {i.code: i for p in (*PANELS.values(), VITAL_SIGNS, BODY) for i in p.items}
_POSITION = {code: n for n, code in enumerate(_ITEMS, start=1)}
_STUDY_POSITION = {code: n for n, code in enumerate((*PANELS, *STUDIES, "VS", "PE", "SUMMARY"), start=1)}


@dataclass(slots=True)
class Body:
    """How a person's values lie over the years: own level per item, shift and trend of the diseases."""

    person: Person
    begin: date
    days: int
    traits: dict[str, float] = field(default_factory=dict)

    def level(self, rng: Random, item: Item, on: date, diseases: list[Disease]) -> float:
        """Return how many spreads the value lies from the item's mean on a day."""
        trait = self.traits.get(item.code)
        if trait is None:
            trait = self.traits[item.code] = rng.gauss(0, 0.6)
        shift = _WOMEN.get(item.code, 0.0) if self.person.sex == "2" else 0.0
        past = (on - self.begin).days / self.days
        for disease in diseases:
            shift += disease.shifts.get(item.code, 0.0) + disease.trend.get(item.code, 0.0) * past
        return trait + shift + rng.gauss(0, 0.45)


def local_code(facility: str, code: str) -> str:
    """Return how a hospital's laboratory system codes an item or panel."""
    index = facility_index(facility)
    number = _POSITION.get(code) or 500 + _STUDY_POSITION.get(code, 99)
    return {2: f"L{2000 + number}", 3: code.lower(), 4: f"JY{number:03d}"}.get(index, code)


def _loinc(facility: str, code: str, loinc: str) -> str:
    """Return the LOINC code if this hospital mapped this item: some mapped half, some a quarter, some all."""
    share = {1: 2, 4: 4}.get(facility_index(facility), 1)
    return loinc if loinc and crc32(code.encode()) % share == 0 else ""


def _result(rng: Random, body: Body, facility: str, item: Item, on: date, diseases: list[Disease]) -> Result:
    level = body.level(rng, item, on, diseases)
    spelling = SPELLINGS[facility_index(facility)].get(item.unit, item.unit)
    if item.negative:
        positive = level >= 1 - (item.negative == "阳性")
        value = "阳性" if item.negative == "阳性" and level > -1.2 else "阴性"
        if item.negative == "阴性":
            value = rng.choice(("1+", "2+", "阳性")) if positive and level > 1.3 else "阴性"
            if item.code.startswith("HB") and value != "阴性":
                value = "阳性"
        flag = "N" if value == item.negative else "A"
        return Result(
            item.code, item.name, _loinc(facility, item.code, item.loinc), value, "", "", item.negative, "",
            flag, False,
        )  # fmt: skip
    floor = (item.low or 0.0) * 0.35 if item.low else item.mean * 0.05
    amount = max(item.mean + item.spread * level, floor)
    low, high, digits, ucum = item.low, item.high, item.digits, item.unit
    flag = "N"
    if high is not None and amount > high:
        flag = "HH" if item.code in _CRITICAL and amount > high * 1.6 else "H"
    elif low is not None and amount < low:
        flag = "LL" if item.code in _CRITICAL and amount < low * 0.65 else "L"
    if item.code == "CREA" and facility_index(facility) == 5:  # this laboratory reports creatinine in mg/dL
        amount, digits, ucum, spelling = amount / 88.4, 2, "mg/dL", "mg/dL"
        low, high = round((low or 0) / 88.4, 2), round((high or 0) / 88.4, 2)
    return Result(
        item.code, item.name, _loinc(facility, item.code, item.loinc), f"{amount:.{digits}f}", spelling, ucum,
        f"{low:g}" if low else "", f"{high:g}" if high is not None else "", flag, True,
    )  # fmt: skip


def _numbered(results: list[Result]) -> list[Result]:
    for position, result in enumerate(results, start=1):
        result.number = position
    return results


def laboratory(
    rng: Random, body: Body, facility: str, code: str, number: str, at: datetime, diseases: list[Disease],
    doctor: Doctor, verifier: Doctor,
) -> Report:  # fmt: skip
    """Return one laboratory report; now and then with a correction or a withdrawal days later."""
    panel = PANELS[code]
    collected = at + timedelta(minutes=rng.randint(8, 40))
    reported = collected + timedelta(minutes=rng.randint(35, 420))
    results = _numbered([_result(rng, body, facility, i, at.date(), diseases) for i in panel.items])
    report = Report(
        "laboratory", f"L{number}", f"A{number}", code, panel.name, _loinc(facility, code, panel.loinc), at,
        collected, reported, doctor, verifier, results, specimen=panel.specimen,
        specimen_code=panel.specimen_code, specimen_no=f"B{number}",
        abnormal=any(r.flag != "N" for r in results),
    )  # fmt: skip
    draw = rng.random()
    if draw < 0.02:
        _correct(rng, report)
    elif draw < 0.028:
        later = reported + timedelta(hours=rng.randint(2, 60))
        gone = [replace(r, status="withdrawn") for r in results]
        report.revisions.append(
            replace(report, status="withdrawn", reported=later, results=gone, revisions=[])
        )
    return report


def _correct(rng: Random, report: Report) -> None:
    """Let one value be wrong at first and be corrected later."""
    numbers = [r for r in report.results if r.numeric]
    if not numbers:
        return
    right = rng.choice(numbers)
    wrong = f"{float(right.value) * rng.choice((0.5, 1.6, 2.0)):.{len(right.value.partition('.')[2])}f}"
    fixed = [replace(r, status="corrected") if r is right else r for r in report.results]
    later = report.reported + timedelta(hours=rng.randint(1, 40))
    report.revisions.append(replace(report, status="corrected", reported=later, results=fixed, revisions=[]))
    report.results = [replace(r, value=wrong, flag="H") if r is right else r for r in report.results]


def vital_signs(
    rng: Random, body: Body, facility: str, number: str, at: datetime, diseases: list[Disease], nurse: Doctor
) -> Report:
    """Return one set of vital signs."""
    results = _numbered([_result(rng, body, facility, i, at.date(), diseases) for i in VITAL_SIGNS.items])
    return Report(
        "vital_signs", f"V{number}", f"A{number}", "VS", VITAL_SIGNS.name, VITAL_SIGNS.loinc, at, at,
        at + timedelta(minutes=3), nurse, nurse, results,
    )  # fmt: skip


def imaging(
    rng: Random,
    facility: str,
    code: str,
    number: str,
    at: datetime,
    ill: bool,
    doctor: Doctor,
    reader: Doctor,
) -> Report:
    """Return one imaging, ultrasound, ECG or endoscopy report with narrative findings and conclusion."""
    study = STUDIES[code]
    abnormal = rng.random() < (0.55 if ill else 0.12)
    findings, conclusion = rng.choice(study.abnormal) if abnormal else study.normal
    done = at + timedelta(minutes=rng.randint(20, 300))
    return Report(
        study.kind, f"R{number}", f"A{number}", code, study.name, study.loinc, at, done,
        done + timedelta(minutes=rng.randint(15, 600)), doctor, reader, findings=findings,
        conclusion=conclusion, abnormal=abnormal, site=study.site, modality=study.modality,
    )  # fmt: skip


def physical(
    rng: Random, body: Body, facility: str, number: str, at: datetime, diseases: list[Disease],
    others: list[Report], doctor: Doctor,
) -> Report:  # fmt: skip
    """Return the physical examination: body measures, overall conclusion, significant abnormal findings."""
    results = _numbered([_result(rng, body, facility, i, at.date(), diseases) for i in BODY.items])
    by_code = {r.code: r for r in results}
    height, weight = float(by_code["HT"].value), float(by_code["WT"].value)
    bmi = weight / (height / 100) ** 2
    by_code["BMI"].value = f"{bmi:.1f}"
    by_code["BMI"].flag = "H" if bmi > 24 else "L" if bmi < 18.5 else "N"
    found = [r.code for report in others for r in report.results if r.flag in ("H", "HH", "A")]
    found += [r.code for r in results if r.flag == "H"]
    found += [report.code for report in others if report.abnormal and not report.results]
    lines = [FINDINGS[code] for code in dict.fromkeys(found) if code in FINDINGS]
    conclusion = "本次体检所检项目未见明显异常，建议每年体检一次。"
    if lines:
        conclusion = "\n".join(f"{n}. {what}：{advice}。" for n, (what, advice) in enumerate(lines, start=1))
    return Report(
        "physical", f"T{number}", f"A{number}", "PE", "健康体检", "", at, at, at + timedelta(days=3, hours=4),
        doctor, doctor, results, conclusion=conclusion, abnormal=bool(lines),
        abnormal_findings=[what for what, _ in lines],
    )  # fmt: skip
