"""RXA of a VXU -> Immunization."""

from __future__ import annotations

from front_end_processor.adapters.hl7v2.er7 import Segment
from front_end_processor.normalise.hl7v2 import datatypes as dt
from front_end_processor.normalise.hl7v2.clinical import code_key
from front_end_processor.normalise.hl7v2.context import Context, Resource
from front_end_processor.normalise.hl7v2.groups import Group, cut
from front_end_processor.normalise.hl7v2.rows import Row, compile_rows, fill


def _organisation(ctx: Context, segment: Segment, field: int) -> Resource | None:
    shown = segment.get(field, 2) or segment.get(field)
    return {"type": "Organization", "display": shown} if shown else None


def _actor(ctx: Context, segment: Segment, field: int) -> Resource | None:
    found = dt.practitioner_field(ctx, segment, field)
    return {"actor": found} if found else None


def _location(ctx: Context, segment: Segment, field: int) -> Resource | None:
    return dt.location(ctx, segment.first(field))


VACCINATION = (
    Row("RXA-5", "vaccineCode", dt.concept("vaccine")),
    Row("RXA-3", "occurrenceDateTime", dt.date_time),
    Row("RXA-15", "lotNumber", dt.first_text),
    Row("RXA-16", "expirationDate", dt.date),
    Row("RXA-17", "manufacturer", _organisation),
    Row("RXA-10", "performer[]", _actor),
    Row("RXA-11", "location", _location),
    Row("RXA-27", "location", _location),
    Row("RXA-18", "statusReason", dt.concept("reason")),
    Row("RXA-22", "recorded", dt.date_time),
)
ROUTE = (
    Row("RXR-1", "route", dt.concept("route")),
    Row("RXR-2", "site", dt.concept("body_site")),
)
_VACCINATION, _ROUTE = compile_rows(VACCINATION), compile_rows(ROUTE)


def immunizations(ctx: Context) -> None:
    """Every RXA of a VXU -> Immunization."""
    for group in cut(ctx.message).orders:
        if group.rxa is not None:
            _immunization(ctx, group, group.rxa)


def _immunization(ctx: Context, group: Group, rxa: Segment) -> None:
    body: Resource = {}
    fill(ctx, rxa, body, _VACCINATION)
    if "vaccineCode" not in body or "occurrenceDateTime" not in body:
        ctx.warn("RXA-3, RXA-5: no time or no vaccine, left out")
        return
    order = group.filler or group.placer or ctx.patient_key
    local = f"{order}|{code_key(body['vaccineCode'])}|{rxa.get(3)}"
    resource = ctx.base("Immunization", local, "patient")
    status = ctx.code("administration_status", rxa.get(20), "RXA-20")
    deleted = rxa.get(21).upper() == "D"
    resource["status"] = "entered-in-error" if deleted else status.code if status else "completed"
    if group.filler:
        resource["identifier"] = [ctx.identifier("filler", group.filler, "FILL")]
    resource.update(body)
    if resource["status"] != "not-done":
        resource.pop("statusReason", None)
    source = rxa.get(9)
    if source:
        resource["primarySource"] = source in ("00", "NEW")
    dose = dt.quantity(ctx, rxa, 6, 7)
    if dose and rxa.get(6) != "999":  # 999: amount not known (HL7 v2.8 4A.4.7.6)
        resource["doseQuantity"] = dose
    for route in group.routes[:1]:
        fill(ctx, route, resource, _ROUTE)
    notes = ctx.notes(group.notes)
    if notes:
        resource["note"] = notes
    ctx.add(resource)
