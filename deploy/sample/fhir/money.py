"""Charge lines and settlements as FHIR R4 ChargeItem and Invoice."""

from __future__ import annotations

from deploy.sample.fhir.resources import Resource, concept, encounter_of, instant, lexeme, own, subject_of
from deploy.sample.layouts import CATEGORIES
from deploy.sample.model import Charge, Settlement, Visit


def yuan(fen: int) -> Resource:
    """Return an amount of money."""
    return {"value": lexeme(f"{fen / 100:.2f}"), "currency": "CNY"}


def charge(visit: Visit, line: Charge) -> Resource:
    """Return a charge line; a refund has a negative quantity and amount and is part of its line."""
    out: Resource = {
        "resourceType": "ChargeItem",
        "id": line.number,
        "identifier": [own(visit.facility, "charge", line.number)],
        "status": "billed",
        "code": concept(
            f"urn:hie:{visit.facility}:service",
            line.code,
            line.name,
            {"system": f"urn:hie:{visit.facility}:charge-category", "code": line.category,
             "display": CATEGORIES[line.category]},
        ),
        "subject": subject_of(visit.known),
        "context": encounter_of(visit),
        "occurrenceDateTime": instant(line.at),
        "enteredDate": instant(line.at),
        "quantity": {"value": lexeme(line.quantity), "unit": line.unit},
        "priceOverride": yuan(line.amount_fen),
        "requestingOrganization": {"display": line.doctor.department_name},
    }  # fmt: skip
    if line.refund_of:
        out["partOf"] = [{"reference": f"ChargeItem/{line.refund_of}"}]
    return out


def invoice(visit: Visit, settlement: Settlement) -> Resource:
    """Return a settlement; a reversal has negative amounts. Payers stand as informational components."""
    facility = visit.facility
    out: Resource = {
        "resourceType": "Invoice",
        "id": settlement.number,
        "identifier": [
            own(facility, "settlement", settlement.number),
            own(facility, "invoice", settlement.invoice),
        ],
        "status": "balanced",
        "type": concept(f"urn:hie:{facility}:settlement-status", settlement.status, settlement.status),
        "subject": subject_of(visit.known),
        "date": instant(settlement.at),
        "lineItem": [
            {"sequence": n, "chargeItemReference": {"reference": f"ChargeItem/{line.number}"}}
            for n, line in enumerate(settlement.lines, start=1)
        ],
        "totalPriceComponent": [
            {
                "type": "informational",
                "code": {"coding": [{"system": "urn:hie:payer", "code": payer}]},
                "amount": yuan(fen),
            }
            for payer, fen in settlement.payers.items()
            if fen
        ],
        "totalNet": yuan(settlement.total_fen),
        "totalGross": yuan(settlement.total_fen),
    }
    if settlement.replaces:
        out["note"] = [{"text": f"原结算单号 {settlement.replaces}"}]
        out["identifier"].append(own(facility, "replaces", settlement.replaces))
    for empty in ("lineItem", "totalPriceComponent"):
        if not out[empty]:
            del out[empty]
    return out
