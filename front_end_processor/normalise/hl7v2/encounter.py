"""PV1 and PV2 -> Encounter: its state by event, where it is, who takes part; ids by visit number."""

from __future__ import annotations

from typing import Any

from front_end_processor.adapters.hl7v2.er7 import Segment
from front_end_processor.normalise.hl7v2 import datatypes as dt
from front_end_processor.normalise.hl7v2.context import Context, Resource
from front_end_processor.normalise.hl7v2.extra import fill_extra
from front_end_processor.normalise.hl7v2.periods import check_period
from front_end_processor.normalise.hl7v2.rows import Convert, Row, compile_rows, fill

_PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
_AMBULATORY = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
    "code": "AMB",
    "display": "ambulatory",
}
FACILITY = "urn:hie:facility"


def _class(ctx: Context, segment: Segment, field: int) -> Resource | None:
    """Coding of v3-ActCode."""
    found = ctx.code("encounter_class", segment.get(field), "PV1-2")
    if found is None:
        return None
    return {"system": found.system, "code": found.code, "display": found.display}


def _place(status: str) -> Convert:
    def convert(ctx: Context, segment: Segment, field: int) -> Resource | None:
        reference = dt.location(ctx, segment.first(field))
        return {"location": reference, "status": status} if reference else None

    return convert


def _participant(code: str, display: str) -> Convert:
    type_ = [{"coding": [{"system": _PARTICIPATION, "code": code, "display": display}]}]

    def convert(ctx: Context, segment: Segment, field: int) -> list[Resource]:
        return [
            {"type": type_, "individual": individual} for individual in dt.practitioners(ctx, segment, field)
        ]

    return convert


def _visit_number(ctx: Context, segment: Segment, field: int) -> Resource | None:
    value = segment.first(field)
    number = value.whole(1) if value else ""
    return ctx.identifier("visit", number, "VN") if number else None


def _identifier(kind: str, type_code: str) -> Convert:
    def convert(ctx: Context, segment: Segment, field: int) -> Resource | None:
        value = segment.get(field)
        return ctx.identifier(kind, value, type_code) if value else None

    return convert


VISIT = (
    Row("PV1-19", "identifier[]", _visit_number),
    Row("PV1-50", "identifier[]", _identifier("alternate-visit", "")),
    Row("PV1-2", "class", _class),
    Row("PV1-4", "type[]", dt.concept("admission_type")),
    Row("PV1-10", "serviceType", dt.concept("department")),
    Row("PV1-3", "location[]", _place("active")),
    Row("PV1-6", "location[]", _place("completed")),
    Row("PV1-7", "participant[]", _participant("ATND", "attender")),
    Row("PV1-8", "participant[]", _participant("REF", "referrer")),
    Row("PV1-9", "participant[]", _participant("CON", "consultant")),
    Row("PV1-17", "participant[]", _participant("ADM", "admitter")),
    Row("PV1-44", "period.start", dt.date_time),
    Row("PV1-45", "period.end", dt.date_time),
    Row("PV1-5", "hospitalization.preAdmissionIdentifier", _identifier("pre-admission", "")),
    Row("PV1-14", "hospitalization.admitSource", dt.concept("admit_source")),
    Row("PV1-13", "hospitalization.reAdmission", dt.concept("re_admission")),
    Row("PV1-36", "hospitalization.dischargeDisposition", dt.concept("discharge_disposition")),
)
MORE = (Row("PV2-3", "reasonCode[]", dt.concept("diagnosis")),)
_VISIT, _MORE = compile_rows(VISIT), compile_rows(MORE)


def visit_key(ctx: Context, pv1: Segment) -> str:
    """Return the local id of the visit: visit number, else account, else patient and time of admission."""
    number = pv1.first(19)
    if number and number.whole(1):
        return number.whole(1)
    pid = ctx.message.first("PID")
    account = pid.first(18) if pid else None
    if account and account.whole(1):
        return f"account:{account.whole(1)}"
    admitted = pv1.get(44)
    return f"{ctx.patient_key}|{admitted}" if admitted else ""


def read_visit(ctx: Context) -> None:
    """Find out which visit the message belongs to, if any."""
    pv1 = ctx.message.first("PV1")
    if pv1 is None or pv1.get(2).upper() == "N":
        return
    ctx.visit_key = visit_key(ctx, pv1)
    if ctx.visit_key:
        ctx.encounter_id = ctx.ids.of("Encounter", ctx.visit_key)
        ctx.encounter = {"reference": f"Encounter/{ctx.encounter_id}"}
    else:
        ctx.warn("PV1: no visit number, account or admission time; the visit is left out")


def encounter(ctx: Context, pv1: Segment, status: str) -> Resource:
    """Return the Encounter of a PV1; an empty status is worked out from class and discharge time."""
    resource: dict[str, Any] = {
        "resourceType": "Encounter",
        "id": ctx.encounter_id,
        "status": status,
        "class": _AMBULATORY,
        "subject": ctx.patient,
        "serviceProvider": {
            "type": "Organization",
            "identifier": {"system": FACILITY, "value": ctx.ids.facility},
            "display": ctx.profile.name,
        },
    }
    fill(ctx, pv1, resource, _VISIT)
    pv2 = ctx.message.first("PV2")
    if pv2 is not None:
        fill(ctx, pv2, resource, _MORE)
    account = ctx.message.first("PID")
    number = account.get(18) if account else ""
    if number:
        resource.setdefault("identifier", []).append(ctx.identifier("account", number, "AN"))
    period = resource.get("period", {})
    if not status:
        planned = resource["class"]["code"] == "PRENC"
        resource["status"] = "finished" if "end" in period else "planned" if planned else "in-progress"
    elif ctx.event == "ADT^A13":  # the discharge is taken back
        period.pop("end", None)
    elif status == "finished" and "end" not in period:
        event_time = _event_time(ctx)
        if event_time:
            resource.setdefault("period", period)["end"] = event_time
    check_period(ctx, resource, "PV1-44", "PV1-45")
    fill_extra(ctx, resource)
    return resource


def _event_time(ctx: Context) -> str | None:
    """Return when the event occurred: EVN-6, else EVN-2."""
    evn = ctx.message.first("EVN")
    if evn is None:
        return None
    return ctx.date_time(evn, 6) or ctx.date_time(evn, 2)


def owned(status: str) -> Any:
    """Return the step by which a message owns the Encounter and sets its state."""

    def step(ctx: Context) -> None:
        pv1 = ctx.message.first("PV1")
        if pv1 is not None and ctx.encounter is not None:
            ctx.add(encounter(ctx, pv1, status))

    return step


def mentioned(ctx: Context) -> None:
    """The message only mentions the Encounter: kept where nothing is known yet."""
    pv1 = ctx.message.first("PV1")
    if pv1 is not None and ctx.encounter is not None:
        ctx.add(encounter(ctx, pv1, ""), placeholder=True)
