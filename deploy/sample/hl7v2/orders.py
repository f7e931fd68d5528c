"""Orders and results in HL7 v2: ORC, OBR, OBX, RXE, FT1, TXA, SCH and the messages they make."""

from __future__ import annotations

from datetime import datetime

from deploy.sample.clinic.drugs import DRUGS, FREQUENCIES, ROUTES
from deploy.sample.events.reports import local_code
from deploy.sample.hl7v2.er7 import components, escape, join
from deploy.sample.hl7v2.segments import Make, day, xcn
from deploy.sample.layouts import CATEGORIES
from deploy.sample.model import Appointment, Charge, Prescription, Report, Result, Visit

_SECTIONS = {
    "laboratory": "LAB",
    "vital_signs": "VS",
    "imaging": "RAD",
    "ultrasound": "US",
    "ecg": "ECG",
    "endoscopy": "ES",
    "physical": "PE",
}
_REPORT_STATUS = {"final": "F", "corrected": "C", "withdrawn": "X"}
_RESULT_STATUS = {"final": "F", "corrected": "C", "withdrawn": "W"}


def _code(facility: str, code: str, title: str, loinc: str) -> str:
    """Return a local code with the LOINC code beside it where the hospital has one."""
    local = local_code(facility, code)
    return components(local, title, "L", loinc, title, "LN") if loinc else components(local, title, "L")


def _obr(make: Make, visit: Visit, report: Report, done: bool) -> str:
    fields = {
        1: "1",
        2: report.order,
        3: report.number,
        4: _code(visit.facility, report.code, report.name, report.loinc),
        6: "" if make.modern else make.time(report.ordered),
        7: make.time(report.collected) if done else "",
        15: "" if make.modern else components(report.specimen_code, report.specimen),
        16: xcn(report.doctor, visit.facility),
        22: make.time(report.reported) if done else "",
        24: _SECTIONS[report.kind],
        25: _REPORT_STATUS[report.status] if done else "",
        32: f"{report.verifier.number}&{escape(report.verifier.name)}" if done else "",
    }
    return join("OBR", fields)


def _spm(make: Make, report: Report) -> list[str]:
    """SPM of a laboratory report (v2.5 only)."""
    if not make.modern or report.kind != "laboratory":
        return []
    fields = {
        1: "1",
        2: report.specimen_no,
        4: components(report.specimen_code, report.specimen, "HL70487"),
        17: make.time(report.collected),
    }
    return [join("SPM", fields)]


def _orc(
    make: Make, visit: Visit, control: str, order: str, filler: str, at: datetime, status: str = ""
) -> str:
    fields = {
        1: control, 2: order, 3: filler, 5: status, 9: make.time(at), 12: xcn(visit.doctor, visit.facility)
    }  # fmt: skip
    return join("ORC", fields)


def order(make: Make, visit: Visit, report: Report) -> list[str]:
    """Return ORC, OBR (and SPM) of a new order."""
    return [
        _orc(make, visit, "NW", report.order, "", report.ordered, "IP"),
        _obr(make, visit, report, done=False),
        *_spm(make, report),
    ]


def _obx(make: Make, visit: Visit, report: Report, result: Result) -> str:
    fields = {
        1: str(result.number),
        2: "NM" if result.numeric else "ST",
        3: _code(visit.facility, result.code, result.name, result.loinc),
        5: escape(result.value),
        6: components(result.unit, "", "") if result.unit else "",
        7: escape(result.range),
        8: "" if result.flag == "N" else result.flag,
        11: _RESULT_STATUS[result.status],
        14: make.time(report.collected),
    }
    return join("OBX", fields)


def _text(report: Report, position: int, code: str, title: str, loinc: str, text: str, sub: str = "") -> str:
    fields = {
        1: str(position),
        2: "TX",
        3: components(code, title, "L", loinc, title, "LN") if loinc else components(code, title, "L"),
        4: sub,
        5: escape(text),
        8: "A" if report.abnormal else "",
        11: _RESULT_STATUS[report.status],
    }
    return join("OBX", fields)


def result(make: Make, visit: Visit, report: Report) -> list[str]:
    """Return ORC, OBR and the OBX of a report."""
    out = [
        _orc(make, visit, "RE", report.order, report.number, report.reported, "CM"),
        _obr(make, visit, report, done=True),
    ]
    out += [_obx(make, visit, report, r) for r in report.results]
    place = len(report.results)
    if report.findings:
        out.append(_text(report, place + 1, "FIND", "检查所见", "59776-5", report.findings))
        place += 1
    if report.conclusion:
        code, title, loinc = ("IMP", "检查结论", "19005-8")
        if report.kind == "physical":
            code, title, loinc = ("SUM", "总检结论", "")
        out.append(_text(report, place + 1, code, title, loinc, report.conclusion))
        place += 1
    for sub, found in enumerate(report.abnormal_findings, start=1):
        out.append(_text(report, place + sub, "ABN", "异常发现", "", found, str(sub)))
    return out + _spm(make, report)


def observations(report: Report) -> int:
    """Return how many Observations arise from a report."""
    return (
        len(report.results) + bool(report.findings) + bool(report.conclusion) + len(report.abnormal_findings)
    )


def pharmacy(make: Make, visit: Visit, prescription: Prescription) -> list[str]:
    """Return ORC, RXE, (TQ1), RXR of one drug."""
    drug = DRUGS[prescription.drug]
    timing = f"{drug.frequency}^D{prescription.days}"
    code = components(
        drug.code, f"{drug.name} {drug.spec}", "L", drug.atc, drug.name, "ATC" if drug.atc else ""
    )
    fields = {
        1: f"1^{timing}^{make.time(prescription.at)}",
        2: code,
        3: drug.dose,
        5: components(drug.unit),
        7: components("", FREQUENCIES[drug.frequency][0]),
        10: str(prescription.packs),
        11: components(drug.pack),
        15: prescription.number,
    }
    out = [
        _orc(make, visit, "NW", prescription.number, "", prescription.at),
        join("RXE", fields),
    ]
    if make.modern:
        start = make.time(prescription.at)
        out.append(join("TQ1", {1: "1", 2: "1", 3: drug.frequency, 6: f"{prescription.days}^D", 7: start}))
    out.append(join("RXR", {1: components(drug.route, ROUTES[drug.route], "HL70162")}))
    return out


def charge(make: Make, visit: Visit, position: int, line: Charge) -> str:
    """FT1 of a charge line; a refund is a credit (CD) with negative amounts that names its line in FT1-9."""
    yuan = f"{line.amount_fen / 100:.2f}"
    price = f"{line.price_e4 / 10000:.4f}" if line.price_e4 % 100 else f"{line.price_e4 / 10000:.2f}"
    fields = {
        1: str(position),
        2: line.number,
        3: line.settlement if visit.kind != "inpatient" else "",
        4: make.time(line.at),
        5: day(line.at.date()),
        6: "CD" if line.refund_of else "CG",
        7: components(line.code, line.name, "L"),
        8: escape(line.name),
        9: line.refund_of,
        10: line.quantity,
        11: f"{yuan}&CNY",
        12: f"{price}&CNY",
        13: components(line.doctor.department, line.doctor.department_name, "L"),
        17: components(line.category, CATEGORIES[line.category], "L"),
        18: visit.kind[0].upper(),
        21: xcn(line.doctor, visit.facility),
        23: line.order,
        25: components(line.national, line.name, "YB") if line.national else "",
    }
    return join("FT1", fields)


def document(make: Make, visit: Visit, at: datetime) -> list[str]:
    """Return TXA and OBX of the discharge summary."""
    fields = {
        1: "1",
        2: components("DS", "出院小结", "HL70270"),
        3: "TX",
        4: make.time(at),
        6: make.time(at),
        9: xcn(visit.doctor, visit.facility),
        12: visit.summary_no,
        16: f"{visit.summary_no}.txt",
        17: "AU",
        19: "AV",
    }
    text = {1: "1", 2: "TX", 3: components("18842-5", "出院小结", "LN"), 5: escape(visit.summary), 11: "F"}
    return [join("TXA", fields), join("OBX", text)]


def schedule(make: Make, visit: Visit, booking: Appointment, action: str, start: datetime) -> list[str]:
    """Return SCH of a booking."""
    begin, minutes = make.time(start), booking.minutes
    reason = {"book": "预约", "reschedule": "改期", "cancel": "取消"}[action]
    fields = {
        1: booking.number,
        2: booking.number,
        6: components(action.upper(), reason, "L"),
        7: components("CHECKUP", "复诊", "L"),
        8: components("Normal", "普通门诊", "HL70277"),
        9: str(minutes),
        10: "min",
        11: f"^^^{begin}",
        16: xcn(booking.doctor, visit.facility),
        20: xcn(booking.doctor, visit.facility),
        25: "Cancelled" if action == "cancel" else "Booked",
    }
    return [join("SCH", fields)]


def resources_of(make: Make, visit: Visit, booking: Appointment, start: datetime) -> list[str]:
    """Return RGS, AIL and AIP of a booking: the place and the doctor."""
    place = f"{escape(booking.doctor.department_name)}^^^{visit.facility}"
    doctor = xcn(booking.doctor, visit.facility)
    return [
        "RGS|1|A",
        join("AIL", {1: "1", 2: "A", 3: place, 6: make.time(start)}),
        join("AIP", {1: "1", 2: "A", 3: doctor, 4: components("D", "医生", "HL70182"), 6: make.time(start)}),
    ]
