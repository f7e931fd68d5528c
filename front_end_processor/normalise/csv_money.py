"""CSV rows of charges, settlements, control totals -> ChargeItem, Invoice, MeasureReport, to the fen."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from front_end_processor.normalise.csv_rows import Row
from front_end_processor.normalise.csv_values import Draft, Resource, money

CATEGORY = "urn:hie:charge-category"
PAYER = "urn:hie:payer"
CONTROL_TOTAL = "urn:hie:control-total"
CATALOGUE = "urn:hie:region:insurance-catalogue"
ATC = "http://www.whocc.no/atc"
_ATC = re.compile(r"[A-V][0-9]{2}[A-Z]{2}[0-9]{2}", re.ASCII)
# column of a settlement -> the payer's name; docs/interfaces-csv.md
PAYERS = {
    "pooling_fund": "统筹基金",
    "personal_account": "个人账户",
    "critical_illness": "大病保险",
    "civil_servant": "公务员补助",
    "retired_cadre": "离休统筹",
    "medical_aid": "医疗救助",
    "care_fund": "保健经费",
    "self_funded": "自费",
    "first_self_paid": "先行自付",
    "self_paid": "自付",
}


def charges(draft: Draft, rows: Sequence[Row]) -> None:
    """Rows of charges: a ChargeItem each; a refund keeps its negative amount and names what it takes back."""
    for row in rows:
        draft.put(_charge(draft, row))


def _charge(draft: Draft, row: Row) -> Resource:
    item = draft.resource("ChargeItem", row["charge_no"])
    is_known = row["charge_status"] in ("normal", "refund")
    item["identifier"] = [draft.identifier("charge", row["charge_no"])]
    item["status"] = ("billed" if row["settlement_no"] else "billable") if is_known else "unknown"
    item["code"] = _code(draft, row)
    item["subject"] = draft.subject
    item["context"] = draft.reference("Encounter", row["visit_no"])
    item["occurrenceDateTime"] = row["charged_at"]
    if row["doctor"]:
        item["performer"] = [{"function": {"text": "开单"}, "actor": draft.staff(row["doctor"])}]
    if row["department"]:
        item["requestingOrganization"] = {"type": "Organization", "display": row["department"]}
    unit = {"unit": row["unit"]} if row["unit"] else {}
    item["quantity"] = {"value": row.number("quantity"), **unit}
    item["priceOverride"] = money(row, "amount")
    if row["order_no"]:
        order = draft.identifier("order", row["order_no"])
        item["supportingInformation"] = [{"type": "ServiceRequest", "identifier": order}]
    item["extension"] = [
        {"url": "urn:hie:unit-price", "valueMoney": money(row, "unit_price")},
        {"url": "urn:hie:accounting-date", "valueDate": row["accounting_date"]},
        *_pointer(draft, "settlement", "Invoice", row["settlement_no"]),
        *_pointer(draft, "refund-of", "ChargeItem", row["refund_of"]),
    ]
    return item


def _code(draft: Draft, row: Row) -> Resource:
    concept = draft.concept("charge", row["item_code"], row["item"])
    if row["national_code"]:
        system = ATC if _ATC.fullmatch(row["national_code"]) else CATALOGUE
        concept["coding"].append({"system": system, "code": row["national_code"]})
    category = {"system": CATEGORY, "code": row["category_code"], "display": row["category"]}
    concept["coding"].append(category)
    return concept


def _pointer(draft: Draft, name: str, type_: str, local: str) -> list[Resource]:
    return [{"url": f"urn:hie:{name}", "valueReference": draft.reference(type_, local)}] if local else []


def settlements(draft: Draft, rows: Sequence[Row]) -> None:
    """Rows of settlements: an Invoice each, with what each payer pays."""
    for row in rows:
        total = sum((Decimal(row[column]) for column in PAYERS), Decimal(0))
        if total != Decimal(row["total_amount"]):
            draft.warnings.append("total_amount: not the sum of the ten payers")
        draft.put(_invoice(draft, row))


def _invoice(draft: Draft, row: Row) -> Resource:
    invoice = draft.resource("Invoice", row["settlement_no"])
    invoice["identifier"] = [draft.identifier("settlement", row["settlement_no"])]
    if row["invoice_no"]:
        invoice["identifier"].append(draft.identifier("invoice", row["invoice_no"]))
    invoice["status"] = "balanced"
    status = {"system": "urn:hie:settlement-status", "code": row["settlement_status"]}
    invoice["type"] = {"coding": [status]}
    invoice["subject"] = draft.subject
    invoice["date"] = row["settled_at"]
    invoice["issuer"] = draft.organization
    invoice["totalPriceComponent"] = [
        {
            "type": "informational",
            "code": {"coding": [{"system": PAYER, "code": column, "display": display}]},
            "amount": money(row, column),
        }
        for column, display in PAYERS.items()
        if Decimal(row[column])
    ]
    if not invoice["totalPriceComponent"]:
        del invoice["totalPriceComponent"]
    invoice["totalGross"] = money(row, "total_amount")
    invoice["totalNet"] = money(row, "total_amount")
    kind = (
        [{"url": "urn:hie:insurance-type", "valueString": row["insurance_type"]}]
        if row["insurance_type"]
        else []
    )
    invoice["extension"] = [
        {"url": "urn:hie:accounting-date", "valueDate": row["accounting_date"]},
        *_pointer(draft, "encounter", "Encounter", row["visit_no"]),
        *_pointer(draft, "replaces", "Invoice", row["replaces"]),
        *kind,
    ]
    return invoice


def control_totals(draft: Draft, rows: Sequence[Row]) -> None:
    """Rows of control totals: a MeasureReport (summary) per day, kind and category."""
    for row in rows:
        key = f"{row['accounting_date']}|{row['total_kind']}|{row['category_code']}"
        report = draft.resource("MeasureReport", key)
        codings = [{"system": CONTROL_TOTAL, "code": row["total_kind"]}]
        if row["category_code"]:
            codings.append({"system": CATEGORY, "code": row["category_code"]})
        group: Resource = {
            "code": {"coding": codings},
            "population": [{"code": _POPULATION, "count": int(row["item_count"])}],
        }
        if row["amount"]:
            amount = {
                "value": row.number("amount"),
                "unit": "CNY",
                "system": "urn:iso:std:iso:4217",
                "code": "CNY",
            }
            group["measureScore"] = amount
        report |= {
            "identifier": [draft.identifier("control-total", key)],
            "status": "complete",
            "type": "summary",
            "measure": CONTROL_TOTAL,
            "date": row["generated_at"],
            "reporter": draft.organization,
            "period": {"start": row["accounting_date"], "end": row["accounting_date"]},
            "group": [group],
        }
        draft.put(report)


_POPULATION = {
    "coding": [
        {"system": "http://terminology.hl7.org/CodeSystem/measure-population", "code": "initial-population"}
    ]
}
