"""One visit: what the doctor finds, orders, prescribes and writes, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from random import Random

from deploy.sample import money
from deploy.sample.clinic.diseases import CHRONIC, Disease
from deploy.sample.clinic.drugs import DRUGS, FREQUENCIES, ROUTES
from deploy.sample.clinic.panels import PANELS
from deploy.sample.clinic.services import OPERATIONS
from deploy.sample.clinic.staff import doctors
from deploy.sample.events import reports
from deploy.sample.model import Appointment, Known, Prescription, Report, Visit

_LETTERS = {"outpatient": "MZ", "emergency": "JZ", "inpatient": "ZY", "examination": "TJ"}
_CHECK_PANELS = ("CBC", "LFT", "RFT", "LIP", "GLU", "UA")


@dataclass(frozen=True, slots=True)
class Cause:
    """Why somebody comes: main disease and the others the doctor writes down too."""

    main: Disease | None  # None = physical examination
    others: tuple[Disease, ...]
    first: bool  # first visit for a chronic disease


class VisitMaker:
    """Makes the visits of one person in their order, numbering as it goes."""

    def __init__(self, rng: Random, body: reports.Body, seed: int, until: datetime) -> None:
        self.rng = rng
        self.body = body
        self.seed = seed
        self.until = until
        self._ordinals: dict[str, int] = {}

    def make(self, known: Known, kind: str, start: datetime, cause: Cause) -> Visit:
        """Return a whole visit, cut off at the reference date."""
        rng = self.rng
        ordinal = self._ordinals.get(known.number, 0) + 1
        self._ordinals[known.number] = ordinal
        digits = f"{''.join(c for c in known.number if c.isdigit())}{ordinal:02d}"
        department = cause.main.department if cause.main else "0901"
        if kind == "emergency":
            department = "0201"
        doctor = rng.choice(doctors(known.facility, self.seed)[department])
        days = 0 if kind != "inpatient" else rng.choice((3, 4, 5, 6, 7, 7, 8, 9, 10, 12, 14))
        end = start + (timedelta(days=days, hours=3) if days else timedelta(minutes=rng.randint(70, 900)))
        diagnoses = [(d.icd, d.name) for d in ((cause.main,) if cause.main else ()) + cause.others]
        visit = Visit(
            known, f"{_LETTERS[kind]}{digits}", kind, start, end if end < self.until else None, doctor,
            f"{rng.randint(1, 60):02d}床" if days else "", cause.main.complaint if cause.main else "健康体检",
            diagnoses or [("Z00.001", "健康查体")],
        )  # fmt: skip
        ledger = money.Ledger(visit, digits)
        if kind == "outpatient" and rng.random() < 0.22:
            self._book(visit, digits)
            if visit.cancelled:
                return visit
        if kind == "examination":
            self._examine(visit, digits, ledger)
        elif kind == "inpatient":
            self._stay(visit, digits, ledger, cause, days)
        else:
            self._consult(visit, digits, ledger, cause)
        self._settle(visit, digits, ledger)
        return visit

    def _book(self, visit: Visit, digits: str) -> None:
        """Give the visit an appointment; some are moved, some cancelled, and then there is no visit."""
        rng, start = self.rng, visit.start.replace(minute=visit.start.minute // 15 * 15, second=0)
        booked = start - timedelta(days=rng.randint(1, 9), hours=2)
        first = start if rng.random() < 0.85 else start + timedelta(days=rng.randint(-1, 3) or 2)
        steps = [(booked, "book", first)]
        if first != start:
            steps.append((booked + timedelta(hours=5), "reschedule", start))
        if rng.random() < 0.1:
            cancelled = start - timedelta(hours=rng.randint(3, 20))
            steps.append((cancelled, "cancel", start))
            visit.cancelled = cancelled
        visit.appointment = Appointment(f"Y{digits}", start, 15, visit.doctor, steps)

    def chronic(self, at: datetime) -> tuple[Disease, ...]:
        """Return the chronic diseases the person has by then."""
        return tuple(CHRONIC[i.key] for i in self.body.person.illnesses if i.since <= at.date())

    def _diseases(self, cause: Cause) -> list[Disease]:
        return [*((cause.main,) if cause.main else ()), *cause.others]

    def _tests(
        self, visit: Visit, digits: str, ledger: money.Ledger, codes: list[str], at: datetime, cause: Cause
    ) -> None:
        """Order laboratory panels and studies, let them be reported and charged."""
        rng, facility = self.rng, visit.facility
        staff, diseases = doctors(facility, self.seed), self._diseases(cause)
        for code in codes:
            number = f"{digits}{len(visit.reports) + 1:02d}"
            if code in PANELS:
                report = reports.laboratory(
                    rng,
                    self.body,
                    facility,
                    code,
                    number,
                    at,
                    diseases,
                    visit.doctor,
                    rng.choice(staff["0801"]),
                )
            else:
                reader = rng.choice(staff["0802"])
                report = reports.imaging(
                    rng, facility, code, number, at, cause.main is not None, visit.doctor, reader
                )
            self._keep(visit, report)
            ledger.report(code, at + timedelta(minutes=5), visit.doctor, report.order)

    def _keep(self, visit: Visit, report: Report) -> None:
        """Keep a report, without what would come after the reference date."""
        if report.reported < self.until:
            report.revisions = [r for r in report.revisions if r.reported < self.until]
            visit.reports.append(report)

    def _vitals(self, visit: Visit, digits: str, at: datetime, cause: Cause) -> None:
        number = f"{digits}{len(visit.reports) + 1:02d}"
        self._keep(
            visit,
            reports.vital_signs(
                self.rng, self.body, visit.facility, number, at, self._diseases(cause), visit.doctor
            ),
        )

    def _prescribe(self, visit: Visit, digits: str, ledger: money.Ledger, cause: Cause, at: datetime) -> None:
        rng = self.rng
        chosen: list[str] = []
        for disease in self._diseases(cause):
            if disease.drugs:
                chosen += rng.sample(disease.drugs, min(len(disease.drugs), rng.choice((1, 1, 2))))
        allergies = set(visit.known.allergies)
        if "pen" in allergies or "ceph" in allergies:
            chosen = [c for c in chosen if not DRUGS[c].atc.startswith(("J01C", "J01D"))]
        for code in dict.fromkeys(chosen):
            drug = DRUGS[code]
            packs = rng.choice((1, 2, 2, 3) if drug.frequency != "QD" else (1, 2))
            number = f"D{digits}{len(visit.prescriptions) + 1:02d}"
            visit.prescriptions.append(
                Prescription(number, code, at, packs, rng.choice((7, 14, 28)), visit.doctor)
            )
            ledger.drug(drug.code, packs, at, visit.doctor, number)
        if rng.random() < 0.04:
            ledger.herbs(rng, at, visit.doctor)

    def _consult(self, visit: Visit, digits: str, ledger: money.Ledger, cause: Cause) -> None:
        """An outpatient or emergency visit."""
        rng, at, main = self.rng, visit.start, cause.main
        if main is None:
            return
        ledger.service("F0401", 1, at, visit.doctor)
        fee = "F0503" if visit.kind == "emergency" else rng.choice(("F0501", "F0501", "F0502"))
        ledger.service(fee, 1, at, visit.doctor)
        if visit.kind == "emergency" or rng.random() < 0.45:
            self._vitals(visit, digits, at + timedelta(minutes=6), cause)
        share = 0.7 if cause.first or visit.kind == "emergency" else 0.33
        codes = [c for c in main.panels if rng.random() < share]
        codes += [c for c in main.imaging if rng.random() < share * 0.5]
        self._tests(visit, digits, ledger, codes, at + timedelta(minutes=15), cause)
        self._prescribe(visit, digits, ledger, cause, at + timedelta(minutes=50))
        if visit.kind == "emergency":
            ledger.service("F0801", rng.choice((1, 2)), at + timedelta(minutes=55), visit.doctor)
            ledger.service("F1201", 1, at + timedelta(minutes=55), visit.doctor)
        elif rng.random() < 0.05:
            ledger.service("F0806", rng.choice((1, 5, 10)), at + timedelta(minutes=52), visit.doctor)

    def _examine(self, visit: Visit, digits: str, ledger: money.Ledger) -> None:
        """A physical examination with its tests and the overall conclusion."""
        rng, at = self.rng, visit.start
        diseases = list(self.chronic(at))
        codes = list(_CHECK_PANELS)
        age = visit.known.person.age(at.date())
        codes += [
            c
            for c, share in (("TUM", 0.4), ("TFT", 0.25), ("HBV", 0.2), ("A1C", 0.3))
            if rng.random() < share
        ]
        codes += ["US-ABD", "ECG"] + (["CT-CHEST"] if age > 40 else ["CXR"])
        codes += ["US-THY"] if rng.random() < 0.6 else []
        self._tests(visit, digits, ledger, codes, at, Cause(None, tuple(diseases), False))
        number = f"{digits}{len(visit.reports) + 1:02d}"
        for report in visit.reports:  # what was corrected on the way is in the conclusion already
            report.revisions = [r for r in report.revisions if r.status != "withdrawn"]
        self._keep(
            visit,
            reports.physical(
                rng, self.body, visit.facility, number, at, diseases, visit.reports, visit.doctor
            ),
        )
        ledger.report("PE", at, visit.doctor, f"A{number}")
        ledger.service("F9901", 1, at, visit.doctor)

    def _stay(self, visit: Visit, digits: str, ledger: money.Ledger, cause: Cause, days: int) -> None:
        """An inpatient stay: daily lines, tests on several days, operation, discharge summary."""
        rng, start, main, doctor = self.rng, visit.start, cause.main, visit.doctor
        if main is None:
            return
        room = "F1002" if rng.random() < (0.6 if visit.known.person.beneficiary else 0.08) else "F1001"
        operation, services = OPERATIONS.get(main.key, (None, ()))
        visit.operation = operation
        for day in range(days):
            morning = datetime.combine(start.date() + timedelta(days=day), time(9, 30)) if day else start
            if morning >= self.until:
                break
            self._day(visit, ledger, room, day, morning)
            if day in (0, days // 2):
                self._vitals(visit, digits, morning + timedelta(minutes=20), cause)
            if day == 0:
                tests = [*dict.fromkeys(("CBC", "LFT", "RFT", *main.panels)), *main.imaging]
                self._tests(visit, digits, ledger, tests, morning + timedelta(minutes=30), cause)
                self._prescribe(visit, digits, ledger, cause, morning + timedelta(minutes=90))
            elif day == days - 2:
                self._tests(visit, digits, ledger, list(main.panels)[:2], morning, cause)
            for code, quantity in services if day == 1 else ():
                ledger.service(code, quantity, morning + timedelta(hours=3), doctor)
        ward = start + timedelta(days=1, hours=6)
        if rng.random() < 0.3 and ward < self.until and days > 3:
            visit.transfer = (ward, f"{rng.randint(1, 60):02d}床")
        drugs = [c for c in visit.charges if c.category in ("01", "02") and int(c.quantity) > 1]
        if drugs and rng.random() < 0.15 and visit.end:
            ledger.refund(rng.choice(drugs), 1, visit.end - timedelta(hours=2))
        if visit.end:
            age = visit.known.person.age(start.date())
            visit.died = age > 76 and rng.random() < 0.03
            visit.summary_no = f"W{digits}01"
            visit.summary = summary(visit, days)

    def _day(self, visit: Visit, ledger: money.Ledger, room: str, day: int, morning: datetime) -> None:
        """Charge one day in a ward."""
        rng, doctor = self.rng, visit.doctor
        for code in (room, "F0504", "F1102" if day < 2 else "F1101"):
            ledger.service(code, 1, morning, doctor)
        if day < 4:
            ledger.service("F0801", rng.choice((1, 2, 3)), morning, doctor)
            ledger.service("F1201", 1, morning, doctor)
        if rng.random() < 0.3:
            code = rng.choice(("F0803", "F0805", "F0804"))
            ledger.service(code, rng.choice((1, 2, 4)), morning, doctor)

    def _settle(self, visit: Visit, digits: str, ledger: money.Ledger) -> None:
        """Settle what was charged; now and then refund, reverse and issue again."""
        rng = self.rng
        if not visit.charges or visit.end is None:
            return
        at = visit.end if visit.kind == "inpatient" else visit.start + timedelta(minutes=62)
        if at >= self.until:
            return
        money.settle(visit, digits, at)
        draw = rng.random()
        drugs = [c for c in visit.charges if c.category in ("01", "02") and not c.refund_of]
        if visit.kind == "outpatient" and drugs and draw < 0.04:
            later = at + timedelta(days=rng.randint(0, 9), minutes=rng.randint(20, 200))
            if later < self.until:
                line = rng.choice(drugs)
                ledger.refund(line, rng.randint(1, int(line.quantity)), later)
                money.reissue(visit, digits, later)
        elif 0.04 <= draw < 0.045:  # reversed months later: the wrong insurance had been used
            later = at + timedelta(days=rng.randint(40, 160))
            if later < self.until:
                money.reissue(
                    visit, digits, later, "self" if visit.known.person.insurance != "self" else "resident"
                )


def summary(visit: Visit, days: int) -> str:
    """Return the text of a discharge summary."""
    main = visit.diagnoses[0][1]
    lines = [
        f"入院日期：{visit.start:%Y年%m月%d日}　出院日期：{visit.end:%Y年%m月%d日}　住院{days}天",
        f"入院诊断：{main}",
        f"出院诊断：{'；'.join(name for _, name in visit.diagnoses)}",
        f"主诉：{visit.complaint}。",
    ]
    abnormal = [
        f"{r.name} {r.value}{r.unit}"
        for report in visit.reports
        if report.kind == "laboratory"
        for r in report.results
        if r.flag != "N"
    ]
    studies = [r.conclusion.replace("\n", "") for r in visit.reports if r.conclusion]
    lines.append(f"入院后检查：{'，'.join(abnormal[:8]) or '未见明显异常'}。{''.join(studies[:3])}")
    if visit.operation:
        lines.append(f"手术操作：{visit.operation[1]}（{visit.operation[0]}），术程顺利。")
    drugs = [
        f"{DRUGS[p.drug].name} {DRUGS[p.drug].dose}{DRUGS[p.drug].unit} {ROUTES[DRUGS[p.drug].route]} "
        f"{FREQUENCIES[DRUGS[p.drug].frequency][0]}"
        for p in visit.prescriptions
    ]
    if visit.died:
        lines.append("转归：经积极抢救无效，临床死亡。")
    else:
        lines.append("出院情况：症状好转，生命体征平稳。")
        lines.append(f"出院带药：{'；'.join(drugs) or '无'}。")
        lines.append("出院医嘱：注意休息，按时服药，2周后门诊复查，不适随诊。")
    lines.append(f"医师：{visit.doctor.name}")
    return "\n".join(lines)
