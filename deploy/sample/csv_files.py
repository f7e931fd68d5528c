"""CSV extracts: collects the rows of a hospital by period and writes them as its dialect has it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta

from deploy.sample import ids
from deploy.sample.clinic.diseases import ALLERGENS
from deploy.sample.dialects import CODED_FORMATS, DIALECTS, Dialect
from deploy.sample.events.reports import local_code
from deploy.sample.layouts import CATEGORIES, LAYOUTS, PAYERS
from deploy.sample.model import Change, Event, Known, Report, Visit
from deploy.sample.money import INSURANCE_NAMES

Row = dict[str, object]


def dialect_of(facility: str) -> Dialect:
    """Return how a facility writes its files: that of the sample hospital of its make."""
    return DIALECTS[f"H{ids.facility_index(facility):02d}"]


def yuan(fen: int) -> str:
    """Return fen as yuan with two decimals."""
    return f"{fen / 100:.2f}"


def encode(facility: str, kind: str, rows: list[Row]) -> bytes:
    """Return one file: header and rows in the facility's words, dates and character set."""
    dialect, layout = dialect_of(facility), LAYOUTS[kind]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([dialect.header(c) for c in layout.columns])
    plan = [(c.name, c.format) for c in layout.columns]
    for row in rows:
        writer.writerow([_cell(dialect, kind_of, row.get(name)) for name, kind_of in plan])
    return out.getvalue().encode(dialect.encoding)


def _cell(dialect: Dialect, kind: str, value: object) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, datetime):
        return value.strftime(dialect.datetime)
    if isinstance(value, date):
        return value.strftime(dialect.date)
    if kind in CODED_FORMATS:
        return dialect.code(kind, str(value))
    return str(value)


class Extracts:
    """Rows waiting for their file: one per hospital, kind and period; a row sent again replaces itself."""

    def __init__(self, begin: date, today: date, period_days: int, serial: int) -> None:
        self._begin = begin
        self._today = today
        self._days = period_days
        self._serial = serial
        self._rows: dict[tuple[date, str, str], dict[tuple[object, ...], Row]] = {}
        self._made: dict[tuple[date, str, str], int] = {}

    def add(self, facility: str, kind: str, row: Row, made: int = 0) -> None:
        """Add a row to the extract of the period its updated_at falls into."""
        updated = row["updated_at"]
        assert isinstance(updated, datetime)
        period = (updated.date() - self._begin).days // self._days
        last = min(self._begin + timedelta(days=(period + 1) * self._days - 1), self._today)
        key = tuple(row[name] for name in LAYOUTS[kind].key)
        place = (last, facility, kind)
        rows = self._rows.setdefault(place, {})
        rows.pop(key, None)
        rows[key] = row
        self._made[place] = self._made.get(place, 0) + made

    def events(self) -> Iterator[Event]:
        """Yield the files, each written in the night its period ends."""
        order = {kind: position for position, kind in enumerate(LAYOUTS)}
        for (last, facility, kind), rows in self._rows.items():
            at = datetime.combine(last, time(23, 50, order[kind]))
            name = f"{kind}-{last:%Y%m%d}-{self._serial:02d}.csv"
            made = self._made[last, facility, kind]
            body = encode(facility, kind, list(rows.values()))
            yield Event(at, facility, "csv", name, body, made)


def registration(change: Change, out: Extracts) -> None:
    """Add the rows of a registration, an update or a merge."""
    known = change.known
    made = 1 + len(known.allergies) if change.action == "register" else 0
    out.add(known.facility, "patients", _patient(known, change.at), made)
    if change.old:
        gone = _patient(change.old, change.at) | {"status": "merged", "merged_into": known.number}
        out.add(known.facility, "patients", gone)


def _patient(known: Known, at: datetime) -> Row:
    person = known.person
    kin, relation, phone = person.contact
    return {
        "patient_no": known.number,
        "name": known.name.text,
        "sex": person.sex,
        "birth_date": known.born,
        "id_type": known.id_type if known.id_no else "",
        "id_no": known.id_no,
        "insurance_no": ids.insurance_no(person.number) if known.id_no and person.insurance != "self" else "",
        "phone": known.phone,
        "address": known.address,
        "ethnic_group": person.name.ethnic,
        "marital_status": person.marital,
        "nationality": person.nationality,
        "contact_name": kin,
        "contact_relation": relation if kin else "",
        "contact_phone": phone if kin else "",
        "allergies": ";".join(ALLERGENS[a][0] for a in known.allergies) or "无",
        "deceased_at": known.deceased,
        "status": "normal",
        "updated_at": at,
    }


def visit(v: Visit, out: Extracts) -> None:
    """Add the rows of a visit at its begin and end, and of its reports."""
    if v.cancelled:
        out.add(v.facility, "visits", _visit(v, v.cancelled) | {"visit_status": "cancelled"}, 1)
        return
    out.add(v.facility, "visits", _visit(v, v.start), 1 + len(v.diagnoses))
    if v.end:
        ended = {"visit_status": "finished", "ended_at": v.end, "discharge_summary": v.summary}
        out.add(v.facility, "visits", _visit(v, v.end) | ended, bool(v.summary))
    for report in v.reports:
        for position, version in enumerate((report, *report.revisions)):
            if report.kind == "laboratory":
                _laboratory(v, version, out, first=position == 0)
            else:
                _examination(v, version, out, first=position == 0)


def _visit(v: Visit, at: datetime) -> Row:
    main, *others = v.diagnoses
    return {
        "visit_no": v.number,
        "patient_no": v.known.number,
        "visit_type": v.kind,
        "visit_status": "in_progress",
        "department_code": v.doctor.department,
        "department": v.doctor.department_name,
        "doctor_code": v.doctor.number,
        "doctor": v.doctor.name,
        "bed": v.bed,
        "started_at": v.start,
        "chief_complaint": v.complaint,
        "diagnosis_code": main[0],
        "diagnosis": main[1],
        "other_diagnoses": ";".join(f"{code}|{name}" for code, name in others),
        "updated_at": at,
    }


def _common(v: Visit, report: Report) -> Row:
    return {
        "report_no": report.number,
        "patient_no": v.known.number,
        "visit_no": v.number,
        "order_no": report.order,
        "result_status": report.status,
        "reported_at": report.reported,
        "verifier": report.verifier.name,
        "doctor": report.doctor.name,
        "updated_at": report.reported,
    }


def _laboratory(v: Visit, report: Report, out: Extracts, first: bool) -> None:
    made = 2 if first else 0  # the order and the report come with the first item
    for r in report.results:
        row = _common(v, report) | {
            "panel_code": local_code(v.facility, report.code),
            "panel": report.name,
            "specimen_no": report.specimen_no,
            "specimen": report.specimen,
            "item_no": r.number,
            "item_code": local_code(v.facility, r.code),
            "item": r.name,
            "loinc": r.loinc,
            "value": "" if r.status == "withdrawn" else r.value,
            "unit": r.unit,
            "reference_range": r.range,
            "flag": r.flag,
            "result_status": r.status,
            "collected_at": report.collected,
        }
        out.add(v.facility, "laboratory", row, made + first)
        made = 0


def _examination(v: Visit, report: Report, out: Extracts, first: bool) -> None:
    common = _common(v, report) | {"exam_type": report.kind, "performed_at": report.collected}
    made = 2 if first else 0
    for r in report.results:
        row = common | {
            "item_code": local_code(v.facility, r.code),
            "item": r.name,
            "value": r.value,
            "unit": r.unit,
            "reference_range": r.range,
            "flag": r.flag,
        }
        out.add(v.facility, "examinations", row, made + first)
        made = 0
    if report.conclusion:
        summary = report.kind == "physical"
        row = common | {
            "item_code": "SUMMARY" if summary else local_code(v.facility, report.code),
            "item": "总检结论" if summary else report.name,
            "body_site": report.site,
            "flag": "A" if report.abnormal else "N",
            "findings": report.findings or "；".join(report.abnormal_findings),
            "conclusion": report.conclusion,
        }
        out.add(v.facility, "examinations", row, made)


def charges(v: Visit, out: Extracts) -> None:
    """Add the charge lines of a visit."""
    for line in v.charges:
        row: Row = {
            "charge_no": line.number,
            "patient_no": v.known.number,
            "visit_no": v.number,
            "settlement_no": line.settlement if v.kind != "inpatient" else "",
            "order_no": line.order,
            "item_code": line.code,
            "item": line.name,
            "national_code": line.national,
            "category_code": line.category,
            "category": CATEGORIES[line.category],
            "quantity": line.quantity,
            "unit": line.unit,
            "unit_price": f"{line.price_e4 / 10000:.{4 if line.price_e4 % 100 else 2}f}",
            "amount": yuan(line.amount_fen),
            "refund_of": line.refund_of,
            "charge_status": "refund" if line.refund_of else "normal",
            "department": line.doctor.department_name,
            "doctor": line.doctor.name,
            "charged_at": line.at,
            "accounting_date": line.at.date(),
            "updated_at": line.at,
        }
        out.add(v.facility, "charges", row, 1)


def settlements(v: Visit, out: Extracts) -> None:
    """Add the settlements of a visit."""
    for s in v.settlements:
        row: Row = {
            "settlement_no": s.number,
            "invoice_no": s.invoice,
            "patient_no": v.known.number,
            "visit_no": v.number,
            "settlement_status": s.status,
            "replaces": s.replaces,
            "insurance_type": INSURANCE_NAMES[v.known.person.insurance],
            "settled_at": s.at,
            "accounting_date": s.at.date(),
            "total_amount": yuan(s.total_fen),
            "updated_at": s.at,
        }
        row |= {payer: yuan(s.payers[payer]) for payer in PAYERS}
        out.add(v.facility, "settlements", row, 1)
