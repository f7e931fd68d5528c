"""FT1 -> ChargeItem: one line, one amount with the digits sent, negative where money is given back."""

from __future__ import annotations

from front_end_processor.adapters.hl7v2.er7 import Repeat, Segment
from front_end_processor.normalise.hl7v2 import datatypes as dt
from front_end_processor.normalise.hl7v2.clinical import code_key
from front_end_processor.normalise.hl7v2.context import Context, Resource
from front_end_processor.normalise.hl7v2.rows import Row, compile_rows, fill

UNIT_PRICE = "urn:hie:unit-price"
CATEGORY = "urn:hie:charge-category"


def _actor(ctx: Context, segment: Segment, field: int) -> Resource | None:
    found = dt.practitioner_field(ctx, segment, field)
    return {"actor": found} if found else None


def _organisation(ctx: Context, segment: Segment, field: int) -> Resource | None:
    """FT1-13: the department that earned it."""
    repeat = segment.first(field)
    if repeat is None:
        return None
    code, shown = repeat.whole(1), repeat.whole(2)
    reference: Resource = {"type": "Organization"}
    if code and shown:
        reference["identifier"] = {"system": ctx.ids.system("department"), "value": code}
    reference["display"] = shown or code
    return reference if reference["display"] else None


def _amount(repeat: Repeat | None) -> tuple[str, str]:
    """Return the amount and the currency of a CP (`100&CNY`), or of a bare number."""
    return (repeat.sub(1, 1), repeat.sub(1, 2)) if repeat else ("", "")


LINE = (
    Row("FT1-7", "code", dt.concept("charge")),
    Row("FT1-4", "occurrenceDateTime", dt.date_time),
    Row("FT1-5", "enteredDate", dt.date_time),
    Row("FT1-13", "performingOrganization", _organisation),
    Row("FT1-19", "reason[]", dt.concepts("diagnosis")),
    Row("FT1-20", "performer[]", _actor),
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
    if "code" not in body:
        name = ft1.get(8)
        if not name:
            ctx.warn("FT1-7: no code of the charge, left out")
            return
        body["code"] = {"text": name}
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
    resource.update(body)
    _add_category(ctx, ft1, resource)
    _add_amounts(ctx, ft1, resource, is_back=type_ is not None and type_.display == "-")
    ctx.add(resource)


def _add_category(ctx: Context, ft1: Segment, resource: Resource) -> None:
    """Put the category of the line (FT1-18 or the table charge_category by code) beside its code."""
    table = ctx.profile.tables["charge_category"]
    known = table.get(ft1.get(18).upper()) or table.get(code_key(resource["code"]).upper())
    code, display = (known.code, known.display) if known else (ft1.get(18), ft1.get(18, 2))
    if not code:
        return
    coding = {"system": (known.system if known else "") or CATEGORY, "code": code}
    if display:
        coding["display"] = display
    own = dict(resource["code"])
    own["coding"] = [*own.get("coding", ()), coding]
    resource["code"] = own


def _add_amounts(ctx: Context, ft1: Segment, resource: Resource, *, is_back: bool) -> None:
    """Put in quantity, amount of the line (FT1-11) and price of one (FT1-12), as Money."""
    quantity = dt.number(ft1.get(10))
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
        resource["extension"] = [{"url": UNIT_PRICE, "valueMoney": one}]
        if amount is None and ft1.get(10) in ("", "1"):
            resource["priceOverride"] = dt.money(ctx, price, price_currency, negative=is_back)
