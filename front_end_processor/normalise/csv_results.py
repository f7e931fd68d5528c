"""CSV rows of laboratory and examinations -> DiagnosticReport, Observation, Encounter of an examination.

Rows of one report may come at different times (a corrected item alone): the report keeps the results it was
given before, remembered as aliases `DiagnosticReport.result` of `<report>|<panel>|<n>`.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence

from front_end_processor.normalise.csv_people import EXAMINATION_VISIT
from front_end_processor.normalise.csv_rows import Row
from front_end_processor.normalise.csv_values import (
    LOINC,
    Draft,
    Resource,
    put_flag,
    put_range,
    put_value,
)

RESULT_STATUS = {"final": "final", "corrected": "corrected", "withdrawn": "entered-in-error"}
SUMMARY = "SUMMARY"
_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
_SECTION = "http://terminology.hl7.org/CodeSystem/v2-0074"
_ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
# exam_type -> code and display in HL7 table 0074, category of its measurements
SECTIONS: Mapping[str, tuple[str, str, str]] = {
    "imaging": ("RAD", "Radiology", "imaging"),
    "ultrasound": ("RUS", "Radiology Ultrasound", "imaging"),
    "ecg": ("EC", "Electrocardiac", "procedure"),
    "endoscopy": ("OTH", "Other", "procedure"),
    "physical": ("PHY", "Physician", "exam"),
    "vital_signs": ("OTH", "Other", "vital-signs"),
}
MAX_RESULTS = 2000


def laboratory(draft: Draft, rows: Sequence[Row]) -> None:
    """Rows of results: an Observation each, a DiagnosticReport per report and panel."""
    for (report_no, panel), members in _grouped(rows, "report_no", "panel_code"):
        category = [{"coding": [{"system": _CATEGORY, "code": "laboratory"}]}]
        for row in members:
            local = f"{report_no}|{row['item_code']}|{row['item_no']}"
            observation = _observation(draft, row, local, category, "laboratory")
            observation["effectiveDateTime"] = row["collected_at"] or row["reported_at"]
            if row["loinc"]:
                observation["code"]["coding"].append({"system": LOINC, "code": row["loinc"]})
            if row["specimen_no"] or row["specimen"]:
                observation["specimen"] = _specimen(draft, row)
            draft.put(observation)
        last = members[-1]
        report = _report(draft, last, f"{report_no}|{panel}", members)
        report["category"] = [{"coding": [{"system": _SECTION, "code": "LAB", "display": "Laboratory"}]}]
        report["code"] = draft.concept("laboratory", panel, last["panel"]) or {"text": "检验报告"}
        report["effectiveDateTime"] = last["collected_at"] or last["reported_at"]
        if last["specimen_no"] or last["specimen"]:
            report["specimen"] = [_specimen(draft, last)]
        results = [(f"{report_no}|{row['item_code']}|{row['item_no']}", row) for row in members]
        _put_results(draft, report, f"{report_no}|{panel}", results)
        draft.put(report)


def examinations(draft: Draft, rows: Sequence[Row]) -> None:
    """Rows of examinations: reports in words, measurements, vital signs, physical examinations."""
    for (report_no, exam_type), members in _grouped(rows, "report_no", "exam_type"):
        if exam_type == "physical":
            _physical(draft, report_no, members)
        elif exam_type == "vital_signs":
            for row in members:
                draft.put(_measured(draft, row, "vital-signs"))
        else:
            for row in members:
                _described(draft, row, SECTIONS.get(exam_type, ("OTH", "Other", "exam")))


def _grouped(rows: Iterable[Row], *columns: str) -> list[tuple[tuple[str, ...], list[Row]]]:
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[column] for column in columns), []).append(row)
    return list(groups.items())


def _observation(draft: Draft, row: Row, local: str, category: list[Resource], table: str) -> Resource:
    observation = draft.resource("Observation", local)
    observation["status"] = RESULT_STATUS.get(row["result_status"], "unknown")
    observation["category"] = category
    observation["code"] = draft.concept(table, row["item_code"], row["item"])
    _put_context(draft, row, observation)
    observation["issued"] = row["reported_at"]
    put_value(draft, observation, row["value"], row["unit"])
    put_range(observation, row["reference_range"], draft, row["unit"])
    put_flag(draft, observation, row["flag"])
    if row["verifier"]:
        observation["performer"] = [draft.staff(row["verifier"])]
    return observation


def _put_context(draft: Draft, row: Row, resource: Resource) -> None:
    resource["subject"] = draft.subject
    if row["visit_no"]:
        resource["encounter"] = draft.reference("Encounter", row["visit_no"])
    if row["order_no"]:
        order = draft.identifier("order", row["order_no"], "PLAC")
        resource["basedOn"] = [{"type": "ServiceRequest", "identifier": order}]


def _specimen(draft: Draft, row: Row) -> Resource:
    found: Resource = {"type": "Specimen"}
    if row["specimen_no"]:
        found["identifier"] = draft.identifier("specimen", row["specimen_no"])
    if row["specimen"]:
        found["display"] = row["specimen"]
    return found


def _report(draft: Draft, row: Row, local: str, members: Sequence[Row]) -> Resource:
    report = draft.resource("DiagnosticReport", local)
    report["identifier"] = [draft.identifier("filler", row["report_no"], "FILL")]
    report["status"] = _report_status(members)
    _put_context(draft, row, report)
    report["issued"] = max(members, key=lambda each: each.instant("reported_at"))["reported_at"]
    if row["verifier"]:
        report["resultsInterpreter"] = [draft.staff(row["verifier"])]
    return report


def _report_status(members: Sequence[Row]) -> str:
    """Return a report's status: a correction or withdrawal of part of it is a correction of the report."""
    states = {row["result_status"] for row in members}
    if states == {"final"}:
        return "final"
    return "corrected" if states & {"corrected", "withdrawn"} else "unknown"


def _put_results(draft: Draft, report: Resource, key: str, results: Sequence[tuple[str, Row]]) -> None:
    """List the results given now after those given earlier; all withdrawn makes the report an error."""
    earlier: list[str] = []
    while len(earlier) < MAX_RESULTS and (
        known := draft.resolve("DiagnosticReport.result", f"{key}|{len(earlier)}")
    ):
        earlier.append(known)
    now = [draft.ids.of("Observation", local) for local, _ in results]
    fresh = [id_ for id_ in dict.fromkeys(now) if id_ not in earlier]
    for place, id_ in enumerate(fresh, len(earlier)):
        draft.aliases.append(("DiagnosticReport.result", f"{key}|{place}", id_))
    everything = [*earlier, *fresh]
    if everything:
        report["result"] = [{"reference": f"Observation/{id_}"} for id_ in everything]
    withdrawn = {
        id_ for id_, (_, row) in zip(now, results, strict=True) if row["result_status"] == "withdrawn"
    }
    if withdrawn == set(everything) and everything:
        report["status"] = "entered-in-error"


def _measured(draft: Draft, row: Row, category: str) -> Resource:
    local = f"{row['report_no']}|{row['item_code']}|"
    coding = [{"coding": [{"system": _CATEGORY, "code": category}]}]
    observation = _observation(draft, row, local, coding, "examination")
    observation["effectiveDateTime"] = row["performed_at"] or row["reported_at"]
    words = "\n".join(text for text in (row["findings"], row["conclusion"]) if text)
    if not row["value"] and words:
        observation.pop("dataAbsentReason", None)
        observation["valueString"] = words
    elif words:
        observation["note"] = [{"text": words}]
    if row["body_site"]:
        observation["bodySite"] = {"text": row["body_site"]}
    return observation


def _described(draft: Draft, row: Row, section: tuple[str, str, str]) -> None:
    """One row with findings and conclusion: a report; with a value too: its measurement."""
    code, display, category = section
    key = f"{row['report_no']}|{row['item_code']}"
    report = _report(draft, row, key, [row])
    report["category"] = [{"coding": [{"system": _SECTION, "code": code, "display": display}]}]
    report["code"] = draft.concept("examination", row["item_code"], row["item"])
    report["effectiveDateTime"] = row["performed_at"] or row["reported_at"]
    if row["result_status"] == "withdrawn":
        report["status"] = "entered-in-error"
    if row["doctor"]:
        report["performer"] = [draft.staff(row["doctor"])]
    if row["conclusion"]:
        report["conclusion"] = row["conclusion"]
    titled = (("部位", row["body_site"]), ("检查所见", row["findings"]), ("检查结论", row["conclusion"]))
    _put_text(report, [(title, text) for title, text in titled if text])
    if row["value"]:
        draft.put(_measured(draft, row, category))
        report["result"] = [draft.reference("Observation", f"{key}|")]
    draft.put(report)


def _put_text(report: Resource, parts: Sequence[tuple[str, str]]) -> None:
    if parts:
        text = "\n\n".join(f"{title}\n{body}" for title, body in parts)
        data = base64.b64encode(text.encode()).decode()
        form = {"contentType": "text/plain; charset=utf-8", "language": "zh-CN", "data": data}
        report["presentedForm"] = [form]


def _physical(draft: Draft, report_no: str, members: Sequence[Row]) -> None:
    """A physical examination: its items, and the overall conclusion as the report."""
    items = [row for row in members if row["item_code"] != SUMMARY]
    summary = next((row for row in reversed(members) if row["item_code"] == SUMMARY), None)
    visit = {"visit_no": members[-1]["visit_no"]}
    if not visit["visit_no"]:
        draft.put(_examination_visit(draft, report_no, members))
    for row in items:
        observation = _measured(draft, row, "exam")
        if not row["visit_no"]:
            observation["encounter"] = draft.reference("Encounter", f"exam:{report_no}")
        draft.put(observation)
    row = summary or members[-1]
    key = f"{report_no}|"
    report = _report(draft, row, key, members)
    code, display, _ = SECTIONS["physical"]
    report["category"] = [{"coding": [{"system": _SECTION, "code": code, "display": display}]}]
    report["code"] = {
        "coding": [{"system": "urn:hie:report-type", "code": "physical-examination"}],
        "text": "体检总检报告",
    }
    report["effectiveDateTime"] = row["performed_at"] or row["reported_at"]
    if not row["visit_no"]:
        report["encounter"] = draft.reference("Encounter", f"exam:{report_no}")
    if row["doctor"]:
        report["performer"] = [draft.staff(row["doctor"])]
    _put_results(draft, report, key, [(f"{report_no}|{each['item_code']}|", each) for each in items])
    _put_conclusion(draft, report, key, summary)
    draft.put(report)


def _put_conclusion(draft: Draft, report: Resource, key: str, summary: Row | None) -> None:
    if summary is None:
        draft.warnings.append("item_code: no SUMMARY row, the examination has no overall conclusion")
        if report["status"] == "final":
            report["status"] = "partial"
        return
    if summary["conclusion"]:
        report["conclusion"] = summary["conclusion"]
    parts = (("体检所见", summary["findings"]), ("总检结论", summary["conclusion"]))
    _put_text(report, [(title, text) for title, text in parts if text])


def _examination_visit(draft: Draft, report_no: str, members: Sequence[Row]) -> Resource:
    """Return the visit of a physical examination that the hospital does not number as a visit."""
    encounter = draft.resource("Encounter", f"exam:{report_no}")
    encounter["identifier"] = [draft.identifier("exam", report_no, "VN")]
    encounter["status"] = "finished"
    encounter["class"] = {"system": _ACT_CODE, "code": "AMB", "display": "ambulatory"}
    encounter["type"] = [EXAMINATION_VISIT]
    encounter["subject"] = draft.subject
    encounter["period"] = {"start": min(row["performed_at"] or row["reported_at"] for row in members)}
    encounter["serviceProvider"] = draft.organization
    return encounter
