"""Charge lines and settlements as FHIR R4 ChargeItem and Invoice."""

from __future__ import annotations

from typing import Any

from deploy.sample.fhir.resources import Resource, concept, encounter_of, instant, lexeme, own, subject_of
from deploy.sample.layouts import CATEGORIES
from deploy.sample.model import Charge, Settlement, Visit

# the region's category map, the same for every hospital
CATEGORY = "urn:hie:charge-category"


def yuan(fen: int) -> Resource:
    """Return an amount of money."""
    return {"value": lexeme(f"{fen / 100:.2f}"), "currency": "CNY"}


def _extension(name: str, **value: Any) -> Resource:
    return {"url": f"urn:hie:{name}", **value}


def charge(visit: Visit, line: Charge) -> Resource:
    """Return a charge line; a refund has a negative quantity and amount and is part of its line."""
    price = f"{line.price_e4 / 10000:.{4 if line.price_e4 % 100 else 2}f}"
    code = concept(f"urn:hie:{visit.facility}:service", line.code, line.name)
    category = {"system": CATEGORY, "code": line.category, "display": CATEGORIES[line.category]}
    code["coding"].append(category)
    out: Resource = {
        "resourceType": "ChargeItem",
        "id": line.number,
        "extension": [
            _extension("unit-price", valueMoney={"value": lexeme(price), "currency": "CNY"}),
            _extension("accounting-date", valueDate=line.at.date().isoformat()),
        ],
        "identifier": [own(visit.facility, "charge", line.number)],
        "status": "billed",
        "code": code,
        "subject": subject_of(visit.known),
        "context": encounter_of(visit),
        "occurrenceDateTime": instant(line.at),
        "enteredDate": instant(line.at),
        "quantity": {"value": lexeme(line.quantity), "unit": line.unit},
        "priceOverride": yuan(line.amount_fen),
        "requestingOrganization": {"display": line.doctor.department_name},
    }
    if line.refund_of:
        out["partOf"] = [{"reference": f"ChargeItem/{line.refund_of}"}]
    return out


def invoice(visit: Visit, settlement: Settlement) -> Resource:
    """Return a settlement; a reversal has negative amounts. Payers stand as informational components."""
    facility = visit.facility
    out: Resource = {
        "resourceType": "Invoice",
        "id": settlement.number,
        "extension": [
            _extension("accounting-date", valueDate=settlement.at.date().isoformat()),
            _extension("encounter", valueReference=encounter_of(visit)),
        ],
        "identifier": [
            own(facility, "settlement", settlement.number),
            own(facility, "invoice", settlement.invoice),
        ],
        "status": "balanced",
        "type": {"coding": [{"system": "urn:hie:settlement-status", "code": settlement.status}]},
        "subject": subject_of(visit.known),
        "date": instant(settlement.at),
        "totalNet": yuan(settlement.total_fen),
        "totalGross": yuan(settlement.total_fen),
    }
    parts = [
        {
            "type": "informational",
            "code": {"coding": [{"system": "urn:hie:payer", "code": payer}]},
            "amount": yuan(fen),
        }
        for payer, fen in settlement.payers.items()
        if fen
    ]
    if parts:
        out["totalPriceComponent"] = parts
    if settlement.lines:
        out["lineItem"] = [
            {"sequence": n, "chargeItemReference": {"reference": f"ChargeItem/{line.number}"}}
            for n, line in enumerate(settlement.lines, start=1)
        ]
    if settlement.replaces:
        replaced = {"reference": f"Invoice/{settlement.replaces}"}
        out["extension"].append(_extension("replaces", valueReference=replaced))
    return out
