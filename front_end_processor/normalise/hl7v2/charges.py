"""FT1 -> ChargeItem: one line, one amount with the digits sent, negative where money is given back."""

from __future__ import annotations

import re

from front_end_processor.adapters.hl7v2.er7 import Repeat, Segment
from front_end_processor.normalise.hl7v2 import datatypes as dt
from front_end_processor.normalise.hl7v2 import numbers
from front_end_processor.normalise.hl7v2.clinical import code_key
from front_end_processor.normalise.hl7v2.context import Context, Resource
from front_end_processor.normalise.hl7v2.rows import Row, compile_rows, fill

UNIT_PRICE = "urn:hie:unit-price"
ACCOUNTING_DATE = "urn:hie:accounting-date"
SETTLEMENT = "urn:hie:settlement"
REFUND_OF = "urn:hie:refund-of"
CATEGORY = "urn:hie:charge-category"
_CATALOGUE = "urn:hie:region:insurance-catalogue"
_ATC = re.compile(r"[A-V][0-9]{2}[A-Z]{2}[0-9]{2}\Z", re.ASCII)


def _actor(ctx: Context, segment: Segment, field: int) -> Resource | None:
    found = dt.practitioner_field(ctx, segment, field)
    return {"actor": found} if found else None


def _own_code(ctx: Context, segment: Segment, field: int) -> Resource | None:
    """FT1-7 as a CodeableConcept of its own, to which further codings are added."""
    concept = ctx.concept(segment, field, "charge")
    return {**concept, "coding": list(concept.get("coding", ()))} if concept else None


def _organisation(ctx: Context, segment: Segment, field: int) -> Resource | None:
    """FT1-13: the department it is charged for."""
    repeat = segment.first(field)
    if repeat is None:
        return None
    code, shown = repeat.whole(1), repeat.whole(2)
    reference: Resource = {"type": "Organization"}
    if code and shown:
        reference["identifier"] = {"system": ctx.ids.system("department"), "value": code}
    reference["display"] = shown or code
    return reference if reference["display"] else None


def _accounting_date(ctx: Context, segment: Segment, field: int) -> Resource | None:
    """FT1-5: the accounting day."""
    day = ctx.date(segment, field)
    return {"url": ACCOUNTING_DATE, "valueDate": day} if day else None


def _settlement(ctx: Context, segment: Segment, field: int) -> Resource | None:
    """FT1-3: the settlement that covers the line; empty while it is not settled."""
    number = segment.get(field)
    reference = {"reference": f"Invoice/{ctx.ids.of('Invoice', number)}"}
    return {"url": SETTLEMENT, "valueReference": reference} if number else None


def _orderer(ctx: Context, segment: Segment, field: int) -> Resource | None:
    found = dt.practitioner_field(ctx, segment, field)
    return {"function": {"text": "开单"}, "actor": found} if found else None


def _order(ctx: Context, segment: Segment, field: int) -> Resource | None:
    """The order that the line charges, as a logical reference."""
    number = segment.get(field)
    return {"type": "ServiceRequest", "identifier": ctx.identifier("order", number)} if number else None


def _national(ctx: Context, segment: Segment, field: int) -> list[Resource] | None:
    """FT1-25: the code of the insurance catalogue (drugs: ATC), beside the hospital's own."""
    concept = ctx.concept(segment, field, "procedure_billed")
    if concept is None:
        return None
    return [
        {"system": "http://www.whocc.no/atc", "code": coding["code"]}
        if coding["system"] == _CATALOGUE and _ATC.match(coding["code"])
        else coding
        for coding in concept.get("coding", ())
    ]


def _amount(repeat: Repeat | None) -> tuple[str, str]:
    """Return the amount and the currency of a CP (`100&CNY`), or of a bare number."""
    return (repeat.sub(1, 1), repeat.sub(1, 2)) if repeat else ("", "")


LINE = (
    Row("FT1-7", "code", _own_code),
    Row("FT1-4", "occurrenceDateTime", dt.date_time),
    Row("FT1-5", "extension[]", _accounting_date),
    Row("FT1-3", "extension[]", _settlement),
    Row("FT1-13", "requestingOrganization", _organisation),
    Row("FT1-19", "reason[]", dt.concepts("diagnosis")),
    Row("FT1-20", "performer[]", _actor),
    Row("FT1-21", "performer[]", _orderer),
    Row("FT1-23", "supportingInformation[]", _order),
    Row("FT1-25", "code.coding[]", _national),
    Row("FT1-24", "enterer", dt.practitioner_field),
)
_LINE = compile_rows(LINE)


def charge_items(ctx: Context) -> None:
    """Every FT1 -> ChargeItem."""
    for segment in ctx.message.all("FT1"):
        _charge_item(ctx, segment)


def _charge_item(ctx: Context, ft1: Segment) -> None:
    body: Resource = {}
    fill(ctx, ft1, body, _LINE)
    if "text" not in body.get("code", {}):
        name = ft1.get(8)
        if not name:
            ctx.warn("FT1-7: no code of the charge, left out")
            return
        body.setdefault("code", {})["text"] = name
    number = ft1.get(2)
    key = code_key(body["code"])
    local = number or f"{ctx.visit_key or ctx.patient_key}|{ft1.get(6)}|{ft1.get(4)}|{key}|{ft1.get(1)}"
    resource = ctx.base("ChargeItem", local)
    if ctx.has("ChargeItem", resource["id"]):  # one number for several lines
        resource["id"] = ctx.ids.of("ChargeItem", f"{local}|{key}|{ft1.get(1)}")
    if "encounter" in resource:
        resource["context"] = resource.pop("encounter")
    if number:
        resource["identifier"] = [ctx.identifier("charge", number)]
    type_ = ctx.code("charge_status", ft1.get(6), "FT1-6")
    resource["status"] = type_.code if type_ else "unknown"
    if resource["status"] == "billable" and ft1.get(3):
        resource["status"] = "billed"
    is_back = type_ is not None and type_.display == "-"
    taken_back = ft1.get(33) or (ft1.get(9) if is_back else "")
    resource.update(body)
    if taken_back:  # v2.7 refers to it in FT1-33; before that hospitals agree on FT1-9
        reference = {"reference": f"ChargeItem/{ctx.ids.of('ChargeItem', taken_back)}"}
        resource.setdefault("extension", []).append({"url": REFUND_OF, "valueReference": reference})
    _add_category(ctx, ft1, resource)
    _add_amounts(ctx, ft1, resource, is_back=is_back)
    ctx.add(resource)


def _add_category(ctx: Context, ft1: Segment, resource: Resource) -> None:
    """Put the category of the line beside its code: FT1-17, else the table charge_category by its code."""
    table = ctx.profile.tables["charge_category"]
    sent = ft1.get(17)
    known = table.get(sent.upper()) or table.get(code_key(resource["code"]).upper())
    code, display = (known.code, known.display) if known else (sent, ft1.get(17, 2))
    if not code:
        return
    coding = {"system": (known.system if known else "") or CATEGORY, "code": code}
    if display:
        coding["display"] = display
    if not any(one["system"] == coding["system"] for one in resource["code"].get("coding", ())):
        resource["code"].setdefault("coding", []).append(coding)


def _add_amounts(ctx: Context, ft1: Segment, resource: Resource, *, is_back: bool) -> None:
    """Put in quantity, amount of the line (FT1-11) and price of one (FT1-12), as Money."""
    quantity = numbers.number(ft1.get(10))
    if quantity is not None:
        resource["quantity"] = {"value": quantity}
    total, currency = _amount(ft1.first(11))
    price, price_currency = _amount(ft1.first(12))
    amount = dt.money(ctx, total, currency, negative=is_back)
    if total and amount is None:
        ctx.warn("FT1-11: not an amount, left out")
    if amount is not None:
        resource["priceOverride"] = amount
    one = dt.money(ctx, price, price_currency or currency)
    if one is not None:
        resource.setdefault("extension", []).append({"url": UNIT_PRICE, "valueMoney": one})
        if amount is None and ft1.get(10) in ("", "1"):
            resource["priceOverride"] = dt.money(ctx, price, price_currency, negative=is_back)
