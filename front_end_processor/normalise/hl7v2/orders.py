"""ORC and OBR of orders, RF1 of referrals -> ServiceRequest.

An order is known by the placer's number: the filler's comes later.
"""

from __future__ import annotations

from front_end_processor.normalise.hl7v2 import datatypes as dt
from front_end_processor.normalise.hl7v2.context import Context, Resource
from front_end_processor.normalise.hl7v2.groups import Group, cut
from front_end_processor.normalise.hl7v2.rows import Row, compile_rows, fill
from front_end_processor.normalise.hl7v2.specimens import specimens

_SNOMED = "http://snomed.info/sct"
_CATEGORIES = {
    "laboratory": {"system": _SNOMED, "code": "108252007", "display": "Laboratory procedure"},
    "imaging": {"system": _SNOMED, "code": "363679005", "display": "Imaging"},
    "procedure": {"system": _SNOMED, "code": "103693007", "display": "Diagnostic procedure"},
}


ORDER_CONTROL = (
    Row("ORC-9", "authoredOn", dt.date_time),
    Row("ORC-12", "requester", dt.practitioner_field),
    Row("ORC-16", "reasonCode[]", dt.concept("reason")),
)
ORDER = (
    Row("OBR-4", "code", dt.concept("panel")),
    Row("OBR-6", "occurrenceDateTime", dt.date_time),
    Row("OBR-36", "occurrenceDateTime", dt.date_time),
    Row("OBR-16", "requester", dt.practitioner_field),
    Row("OBR-31", "reasonCode[]", dt.concepts("reason")),
)
TIMING = (Row("TQ1-7", "occurrenceDateTime", dt.date_time),)
REFERRAL = (
    Row("RF1-2", "priority", dt.code("priority")),
    Row("RF1-3", "code", dt.concept("referral_type")),
    Row("RF1-5", "category[]", dt.concept("referral_category")),
    Row("RF1-7", "occurrenceDateTime", dt.date_time),
    Row("RF1-9", "authoredOn", dt.date_time),
    Row("RF1-10", "reasonCode[]", dt.concepts("reason")),
)
_CONTROL, _ORDER, _TIMING, _REFERRAL = map(compile_rows, (ORDER_CONTROL, ORDER, TIMING, REFERRAL))
_REFERRAL_STATUS = {"P": "active", "A": "active", "R": "revoked", "E": "revoked", "C": "revoked"}


def status_of(ctx: Context, group: Group, table: str) -> str:
    """Return the status of an order: a cancelling order control wins over ORC-5, which wins over the rest."""
    orc = group.orc
    if orc is None:
        return "active"
    control = ctx.profile.tables[table].get(f"-{orc.get(1).upper()}") if orc.get(1) else None
    if control is not None and control.code != "active":
        return control.code
    state = ctx.code(table, orc.get(5), "ORC-5")
    if state is not None:
        return state.code
    if control is None and orc.get(1).upper() not in ("", "RE", "SC", "SR", "PR"):
        ctx.warn(f"ORC-1: order control is not in table {table}")
    return "active"


def priority(ctx: Context, group: Group) -> str | None:
    """Return request-priority: TQ1-9, OBR-27.6, OBR-5, ORC-7.6."""
    sent = group.timings[0].get(9) if group.timings else ""
    if not sent and group.obr is not None:
        sent = group.obr.get(27, 6) or group.obr.get(5)
    if not sent and group.orc is not None:
        sent = group.orc.get(7, 6)
    known = ctx.profile.tables["priority"].get(sent[:1].upper()) if sent else None
    known = ctx.profile.tables["priority"].get(sent.upper(), known) if sent else None
    return known.code if known else None


def order_identifiers(ctx: Context, group: Group) -> list[Resource]:
    """Return the numbers of an order."""
    found = []
    if group.placer:
        found.append(ctx.identifier("order", group.placer, "PLAC"))
    if group.filler:
        found.append(ctx.identifier("filler", group.filler, "FILL"))
    return found


def service_requests(ctx: Context) -> None:
    """Every OBR (or ORC without a drug) of an order message -> ServiceRequest with its Specimens."""
    for group in cut(ctx.message).orders:
        if any((group.rxo, group.rxe, group.rxd, group.rxa)):
            continue
        _service_request(ctx, group)


def _service_request(ctx: Context, group: Group) -> None:
    order = group.placer or group.filler
    obr = group.obr
    code = obr.get(4) or obr.get(4, 2) if obr else ""
    if not order and not code:
        ctx.warn("ORC-2, ORC-3: neither order number nor code, left out")
        return
    local = order or f"{ctx.visit_key or ctx.patient_key}|{code}|{obr.get(7) if obr else ''}"
    resource = ctx.base("ServiceRequest", local)
    if ctx.has("ServiceRequest", resource["id"]):  # several items under one number
        resource["id"] = ctx.ids.of("ServiceRequest", f"{local}|{code}")
    identifiers = order_identifiers(ctx, group)
    if identifiers:
        resource["identifier"] = identifiers
    resource["status"] = status_of(ctx, group, "order_status")
    resource["intent"] = "order"
    if group.orc is not None:
        fill(ctx, group.orc, resource, _CONTROL)
        requisition = group.orc.get(4)
        if requisition:
            resource["requisition"] = ctx.identifier("order-group", requisition, "PGN")
    if obr is not None:
        requester = resource.get("requester")
        fill(ctx, obr, resource, _ORDER)
        if requester:
            resource["requester"] = requester
        section = ctx.profile.tables["section"].get(obr.get(24).upper())
        category = _CATEGORIES.get(section.code) if section else None
        if category:
            resource["category"] = [{"coding": [category]}]
    for timing in group.timings:
        fill(ctx, timing, resource, _TIMING)
    urgency = priority(ctx, group)
    if urgency:
        resource["priority"] = urgency
    materials = specimens(ctx, group)
    if materials:
        resource["specimen"] = materials
    notes = ctx.notes(group.notes)
    if notes:
        resource["note"] = notes
    ctx.add(resource)


def referrals(ctx: Context) -> None:
    """RF1 with its PRD -> ServiceRequest from the referring to the referred-to provider."""
    rf1 = ctx.message.first("RF1")
    if rf1 is None:
        return
    number = rf1.get(6) or rf1.get(11)
    local = number or f"{ctx.patient_key}|{rf1.get(7) or rf1.get(9)}"
    resource = ctx.base("ServiceRequest", f"referral:{local}")
    if number:
        resource["identifier"] = [ctx.identifier("referral", number)]
    cancelled = ctx.event in ("REF^I14",)
    resource["status"] = "revoked" if cancelled else _REFERRAL_STATUS.get(rf1.get(1).upper()[:1], "active")
    resource["intent"] = "order"
    fill(ctx, rf1, resource, _REFERRAL)
    for provider in ctx.message.all("PRD"):
        role = provider.get(1).upper()
        names = dt.names(ctx, provider, 2)
        display = names[0]["text"] if names else provider.get(10) or provider.get(4)
        number_of = provider.get(7)
        if not display and not number_of:
            continue
        reference: Resource = {"type": "Practitioner"}
        if number_of:
            reference["identifier"] = {"system": ctx.ids.system("staff"), "value": number_of}
        if display:
            reference["display"] = display
        if role == "RP":
            resource["requester"] = reference
        elif role == "RT":
            resource.setdefault("performer", []).append(reference)
    ctx.add(resource)
