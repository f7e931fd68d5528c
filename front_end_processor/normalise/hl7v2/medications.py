"""RXO, RXE -> MedicationRequest; RXA -> MedicationAdministration; RXD -> MedicationDispense (ch. 4A)."""

from __future__ import annotations

from front_end_processor.adapters.hl7v2.er7 import Segment
from front_end_processor.normalise.hl7v2 import datatypes as dt
from front_end_processor.normalise.hl7v2.clinical import code_key
from front_end_processor.normalise.hl7v2.context import Context, Resource
from front_end_processor.normalise.hl7v2.groups import Group, cut
from front_end_processor.normalise.hl7v2.orders import order_identifiers, priority, status_of
from front_end_processor.normalise.hl7v2.rows import Row, compile_rows, fill

_CATEGORY = "http://terminology.hl7.org/CodeSystem/medicationrequest-category"
_CATEGORIES = {"IMP": "inpatient", "AMB": "outpatient", "EMER": "outpatient"}


def _actor(ctx: Context, segment: Segment, field: int) -> Resource | None:
    found = dt.practitioner_field(ctx, segment, field)
    return {"actor": found} if found else None


def _notes_of_field(ctx: Context, segment: Segment, field: int) -> Resource | None:
    """CE: instructions as an Annotation."""
    shown = "; ".join(repeat.whole(2) or repeat.whole(1) for repeat in segment.repeats(field))
    return {"text": shown} if shown else None


REQUESTED = (
    Row("RXO-1", "medicationCodeableConcept", dt.concept("drug")),
    Row("RXO-14", "requester", dt.practitioner_field),
    Row("RXO-20", "reasonCode[]", dt.concepts("reason")),
    Row("RXO-6", "note[]", _notes_of_field),
)
ENCODED = (
    Row("RXE-2", "medicationCodeableConcept", dt.concept("drug")),
    Row("RXE-13", "requester", dt.practitioner_field),
    Row("RXE-27", "reasonCode[]", dt.concepts("reason")),
    Row("RXE-21", "note[]", _notes_of_field),
)
ORDER_CONTROL = (
    Row("ORC-9", "authoredOn", dt.date_time),
    Row("ORC-12", "requester", dt.practitioner_field),
    Row("ORC-16", "reasonCode[]", dt.concept("reason")),
)
ADMINISTERED = (
    Row("RXA-5", "medicationCodeableConcept", dt.concept("drug")),
    Row("RXA-10", "performer[]", _actor),
    Row("RXA-19", "reasonCode[]", dt.concepts("reason")),
    Row("RXA-18", "statusReason[]", dt.concepts("reason")),
    Row("RXA-9", "note[]", _notes_of_field),
)
DISPENSED = (
    Row("RXD-2", "medicationCodeableConcept", dt.concept("drug")),
    Row("RXD-3", "whenHandedOver", dt.date_time),
    Row("RXD-10", "performer[]", _actor),
    Row("RXD-9", "note[]", _notes_of_field),
)
ROUTE = (
    Row("RXR-1", "route", dt.concept("route")),
    Row("RXR-2", "site", dt.concept("body_site")),
    Row("RXR-4", "method", dt.concept("administration_method")),
)
_REQUESTED, _ENCODED, _CONTROL, _ADMINISTERED, _DISPENSED, _ROUTE = map(
    compile_rows, (REQUESTED, ENCODED, ORDER_CONTROL, ADMINISTERED, DISPENSED, ROUTE)
)


def _order(ctx: Context, group: Group) -> str:
    """Return the number of a drug order: the placer's, the prescription's, the filler's."""
    prescription = group.rxe.get(15) if group.rxe else ""
    return group.placer or prescription or group.filler


def medication_requests(ctx: Context) -> None:
    """Every RXE (or RXO without one) -> MedicationRequest."""
    for group in cut(ctx.message).orders:
        if group.rxd is None and group.rxa is None and (group.rxe is not None or group.rxo is not None):
            _request(ctx, group)


def _request(ctx: Context, group: Group) -> None:
    body: Resource = {}
    if group.rxo is not None:
        fill(ctx, group.rxo, body, _REQUESTED)
    if group.rxe is not None:
        body.pop("note", None)
        fill(ctx, group.rxe, body, _ENCODED)
    if group.orc is not None:
        fill(ctx, group.orc, body, _CONTROL)
    if "medicationCodeableConcept" not in body:
        ctx.warn("RXE-2, RXO-1: no drug, left out")
        return
    key = code_key(body["medicationCodeableConcept"])
    order = _order(ctx, group)
    local = order or f"{ctx.visit_key or ctx.patient_key}|{body.get('authoredOn', '')}"
    resource = ctx.base("MedicationRequest", f"{local}|{key}")
    identifiers = order_identifiers(ctx, group)
    prescription = group.rxe.get(15) if group.rxe else ""
    if prescription:
        identifiers.append(ctx.identifier("prescription", prescription))
    if identifiers:
        resource["identifier"] = identifiers
    resource["status"] = status_of(ctx, group, "medication_status")
    resource["intent"] = "order"
    category = _visit_category(ctx)
    if category:
        resource["category"] = [{"coding": [{"system": _CATEGORY, "code": category}]}]
    resource.update(body)
    urgency = priority(ctx, group)
    if urgency:
        resource["priority"] = urgency
    dosage = _dosage(ctx, group)
    if dosage:
        resource["dosageInstruction"] = [dosage]
    supply = _supply(ctx, group)
    if supply:
        resource["dispenseRequest"] = supply
    notes = ctx.notes(group.notes)
    if notes:
        resource.setdefault("note", []).extend(notes)
    ctx.add(resource)


def _visit_category(ctx: Context) -> str:
    pv1 = ctx.message.first("PV1")
    known = ctx.profile.tables["encounter_class"].get(pv1.get(2).upper()) if pv1 else None
    return _CATEGORIES.get(known.code, "") if known else ""


def _dosage(ctx: Context, group: Group) -> Resource:
    """Return the Dosage: text, timing, route, amount each time."""
    dosage: Resource = {}
    main, amount, unit_field, text_field = (
        (group.rxe, 3, 5, 7) if group.rxe is not None else (group.rxo, 2, 4, 7)
    )
    if main is None:
        return dosage
    text = _notes_of_field(ctx, main, text_field)
    if text:
        dosage["text"] = text["text"]
    timing = _timing(ctx, group)
    if timing:
        dosage["timing"] = timing
    for route in group.routes[:1]:
        fill(ctx, route, dosage, _ROUTE)
    dose = dt.quantity(ctx, main, amount, unit_field)
    if dose:
        dosage["doseAndRate"] = [{"doseQuantity": dose}]
    return dosage


def _timing(ctx: Context, group: Group) -> Resource | None:
    """Return how often: TQ1-3, else the quantity/timing of RXE-1 or ORC-7."""
    sent = ""
    if group.timings:
        sent = group.timings[0].get(3)
    for segment, field in ((group.rxe, 1), (group.orc, 7)):
        if not sent and segment is not None:
            repeat = segment.first(field)
            sent = repeat.sub(2, 1) if repeat else ""
    if not sent:
        return None
    timing: Resource = {"code": {"text": sent}}
    known = ctx.profile.tables["timing"].get(sent.upper())
    if known:
        frequency, period, unit = known.code.split("/")
        timing["repeat"] = {"frequency": int(frequency), "period": int(period), "periodUnit": unit}
    return timing


def _supply(ctx: Context, group: Group) -> Resource:
    """Return how much to dispense and how often again."""
    supply: Resource = {}
    main, amount, unit_field, refills = (
        (group.rxe, 10, 11, 12) if group.rxe is not None else (group.rxo, 11, 12, 13)
    )
    if main is None:
        return supply
    quantity = dt.quantity(ctx, main, amount, unit_field)
    if quantity:
        supply["quantity"] = quantity
    again = main.get(refills)
    if again.isascii() and again.isdigit():
        supply["numberOfRepeatsAllowed"] = int(again)
    return supply


def administrations(ctx: Context) -> None:
    """Every RXA of a RAS -> MedicationAdministration."""
    for group in cut(ctx.message).orders:
        if group.rxa is not None:
            _administration(ctx, group, group.rxa)


def _administration(ctx: Context, group: Group, rxa: Segment) -> None:
    body: Resource = {}
    fill(ctx, rxa, body, _ADMINISTERED)
    begin = ctx.date_time(rxa, 3)
    if "medicationCodeableConcept" not in body or not begin:
        ctx.warn("RXA-3, RXA-5: no time or no drug, left out")
        return
    key = code_key(body["medicationCodeableConcept"])
    resource = ctx.base("MedicationAdministration", f"{_order(ctx, group)}|{key}|{rxa.get(3)}|{rxa.get(2)}")
    if "encounter" in resource:
        resource["context"] = resource.pop("encounter")
    status = ctx.code("administration_status", rxa.get(20), "RXA-20")
    deleted = rxa.get(21).upper() == "D"
    resource["status"] = "entered-in-error" if deleted else status.code if status else "completed"
    resource.update(body)
    end = ctx.date_time(rxa, 4)
    if end and end != begin and end[: len(begin)] >= begin[: len(end)]:
        resource["effectivePeriod"] = {"start": begin, "end": end}
    else:
        resource["effectiveDateTime"] = begin
    order = _order(ctx, group)
    if order:
        resource["request"] = {
            "type": "MedicationRequest",
            "identifier": ctx.identifier("order", order, "PLAC"),
        }
    dosage: Resource = {}
    for route in group.routes[:1]:
        fill(ctx, route, dosage, _ROUTE)
    dose = dt.quantity(ctx, rxa, 6, 7)
    if dose and rxa.get(6) != "999":  # 999: amount not known (HL7 v2.8 4A.4.7.6)
        dosage["dose"] = dose
    if dosage.keys() & {"dose", "text"}:
        resource["dosage"] = dosage
    notes = ctx.notes(group.notes)
    if notes:
        resource.setdefault("note", []).extend(notes)
    ctx.add(resource)


def dispenses(ctx: Context) -> None:
    """Every RXD -> MedicationDispense."""
    for group in cut(ctx.message).orders:
        if group.rxd is not None:
            _dispense(ctx, group, group.rxd)


def _dispense(ctx: Context, group: Group, rxd: Segment) -> None:
    body: Resource = {}
    fill(ctx, rxd, body, _DISPENSED)
    if "medicationCodeableConcept" not in body:
        ctx.warn("RXD-2: no drug, left out")
        return
    key = code_key(body["medicationCodeableConcept"])
    prescription = rxd.get(7)
    order = group.placer or prescription or group.filler
    resource = ctx.base("MedicationDispense", f"{order}|{key}|{rxd.get(3)}|{prescription}")
    if "encounter" in resource:
        resource["context"] = resource.pop("encounter")
    cancelled = group.orc is not None and group.orc.get(1).upper() in ("CA", "OC", "CR", "DC", "OD")
    resource["status"] = "cancelled" if cancelled else "completed"
    resource.update(body)
    if prescription:
        resource["identifier"] = [ctx.identifier("prescription", prescription)]
    if order:
        resource["authorizingPrescription"] = [
            {"type": "MedicationRequest", "identifier": ctx.identifier("order", order, "PLAC")}
        ]
    quantity = dt.quantity(ctx, rxd, 4, 5)
    if quantity:
        resource["quantity"] = quantity
    dosage: Resource = {}
    for route in group.routes[:1]:
        fill(ctx, route, dosage, _ROUTE)
    timing = _timing(ctx, group)
    if timing:
        dosage["timing"] = timing
    if dosage:
        resource["dosageInstruction"] = [dosage]
    ctx.add(resource)
