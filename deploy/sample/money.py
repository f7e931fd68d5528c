"""Charge lines and settlements: categories, insurance rules, refunds; every sum agrees to the fen."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

from deploy.sample.clinic.drugs import DRUGS, HERBS
from deploy.sample.clinic.imaging import STUDIES
from deploy.sample.clinic.panels import BODY, PANELS
from deploy.sample.clinic.services import SERVICES
from deploy.sample.clinic.staff import Doctor
from deploy.sample.layouts import PAYERS
from deploy.sample.model import Charge, Settlement, Visit

# insurance -> share the pooling fund pays of what is eligible: outpatient, inpatient; deductible in fen
_SHARES = {
    "employee": (60, 85, 80_000),
    "resident": (50, 70, 60_000),
    "public": (80, 90, 50_000),
    "cadre": (0, 0, 0),
    "self": (0, 0, 0),
}
INSURANCE_NAMES = {
    "employee": "职工医保",
    "resident": "居民医保",
    "public": "公务员医保",
    "cadre": "离休统筹",
    "self": "自费",
}
_LARGE = 10_000_000  # pooling fund pays up to this, the critical-illness supplement beyond


def fen_of(quantity: int, price_e4: int) -> int:
    """Return quantity x price (1/10000 yuan) in fen, halves away from zero."""
    total = abs(quantity) * price_e4
    return (total + 50) // 100 * (1 if quantity >= 0 else -1)


class Ledger:
    """Collects the charge lines of one visit and numbers them."""

    def __init__(self, visit: Visit, digits: str) -> None:
        self.visit = visit
        self._digits = digits

    def add(
        self, code: str, name: str, category: str, quantity: int, unit: str, price_e4: int, level: str,
        at: datetime, doctor: Doctor, order: str = "", national: str = "",
    ) -> Charge:  # fmt: skip
        """Add one line."""
        line = Charge(
            f"C{self._digits}{len(self.visit.charges) + 1:03d}", order, code, name, national, category,
            str(quantity), unit, price_e4, fen_of(quantity, price_e4), level, at, doctor,
        )  # fmt: skip
        self.visit.charges.append(line)
        return line

    def service(self, code: str, quantity: int, at: datetime, doctor: Doctor) -> Charge:
        """Add a service or material."""
        s = SERVICES[code]
        return self.add(
            code, s.name, s.category, quantity, s.unit, s.fen * 100, s.level, at, doctor, "", s.national
        )

    def drug(self, code: str, packs: int, at: datetime, doctor: Doctor, order: str) -> Charge:
        """Add a drug."""
        d = DRUGS[code]
        return self.add(
            code,
            f"{d.name} {d.spec}",
            d.category,
            packs,
            d.pack,
            d.fen * 100,
            d.level,
            at,
            doctor,
            order,
            d.atc,
        )

    def herbs(self, rng: Random, at: datetime, doctor: Doctor) -> None:
        """Add a herbal prescription: each herb by the gram, seven doses."""
        for code, name, price_e4 in rng.sample(HERBS, 5):
            self.add(code, name, "03", rng.choice((9, 12, 15)) * 7, "g", price_e4, "B", at, doctor)

    def report(self, code: str, at: datetime, doctor: Doctor, order: str) -> None:
        """Add what a test or a study costs."""
        if code in PANELS:
            panel = PANELS[code]
            self.add(f"LAB{code}", panel.name, "07", 1, "次", panel.fen * 100, "A", at, doctor, order)
        elif code in STUDIES:
            study = STUDIES[code]
            level = "B" if study.modality in ("CT", "MR") else "A"
            self.add(f"EXM{code}", study.name, "06", 1, "次", study.fen * 100, level, at, doctor, order)
        elif code == "PE":
            self.add("EXMPE", BODY.name, "06", 1, "次", BODY.fen * 100, "C", at, doctor, order)

    def refund(self, line: Charge, quantity: int, at: datetime) -> Charge:
        """Take back some of a line: a new negative line that names it."""
        back = replace(
            line,
            number=f"C{self._digits}{len(self.visit.charges) + 1:03d}",
            quantity=str(-quantity),
            amount_fen=fen_of(-quantity, line.price_e4),
            at=at,
            refund_of=line.number,
            settlement="",
        )
        self.visit.charges.append(back)
        return back


def payers(
    lines: list[Charge], insurance: str, inpatient: bool, beneficiary: bool, poor: bool
) -> dict[str, int]:
    """Return who pays what of these lines, in fen; the values add up to the lines' sum."""
    total = sum(c.amount_fen for c in lines)
    paid = dict.fromkeys(PAYERS, 0)
    if insurance == "self":
        paid["self_funded"] = total
        return paid
    outside = sum(c.amount_fen for c in lines if c.level == "C")
    class_b = sum(c.amount_fen for c in lines if c.level == "B")
    first = class_b // 10
    eligible = total - outside - first
    paid["self_funded"], paid["first_self_paid"] = outside, first
    if insurance == "cadre":
        paid["retired_cadre"] = eligible
    else:
        out_share, in_share, deductible = _SHARES[insurance]
        if inpatient:
            covered = max(0, eligible - deductible) * in_share // 100
        else:
            covered = eligible * out_share // 100
        paid["pooling_fund"] = min(covered, _LARGE)
        paid["critical_illness"] = max(0, covered - _LARGE) * 60 // 100
        rest = eligible - paid["pooling_fund"] - paid["critical_illness"]
        if insurance == "public":
            paid["civil_servant"] = rest * 70 // 100
        if poor:
            paid["medical_aid"] = (rest - paid["civil_servant"]) * 60 // 100
        rest -= paid["civil_servant"] + paid["medical_aid"]
        if insurance in ("employee", "public") and not inpatient:
            paid["personal_account"] = min(rest, 20_000)
            rest -= paid["personal_account"]
        paid["self_paid"] = rest
    if beneficiary:
        paid["care_fund"] = paid["first_self_paid"] + paid["self_paid"]
        paid["first_self_paid"] = paid["self_paid"] = 0
    return paid


def settle(visit: Visit, digits: str, at: datetime, insurance: str = "") -> Settlement:
    """Settle the visit's lines that no settlement covers yet."""
    lines = [c for c in visit.charges if not c.settlement]
    return _issue(visit, digits, at, "normal", "", lines, lines, insurance)


def reissue(visit: Visit, digits: str, at: datetime, insurance: str = "") -> None:
    """Reverse the visit's last settlement and issue it again over all lines of the visit."""
    old = visit.settlements[-1]
    serial = len(visit.settlements) + 1
    visit.settlements.append(
        Settlement(
            f"S{digits}{serial}",
            f"FP{digits}{serial}",
            "reversal",
            old.number,
            at,
            -old.total_fen,
            {k: -v for k, v in old.payers.items()},
            [],
        )
    )
    fresh = [c for c in visit.charges if not c.settlement]
    _issue(visit, digits, at + timedelta(minutes=2), "reissue", old.number, visit.charges, fresh, insurance)


def _issue(
    visit: Visit, digits: str, at: datetime, status: str, replaces: str, covers: list[Charge],
    fresh: list[Charge], insurance: str,
) -> Settlement:  # fmt: skip
    person = visit.known.person
    serial = len(visit.settlements) + 1
    split = payers(
        covers,
        insurance or person.insurance,
        visit.kind == "inpatient",
        person.beneficiary,
        person.low_income,
    )
    settlement = Settlement(
        f"S{digits}{serial}", f"FP{digits}{serial}", status, replaces, at, sum(c.amount_fen for c in covers),
        split, fresh,
    )  # fmt: skip
    for line in fresh:
        line.settlement = settlement.number
    visit.settlements.append(settlement)
    return settlement
