"""SCH with AIS, AIP, AIL and AIG -> Appointment (HL7 v2.8 ch. 10)."""

from __future__ import annotations

from datetime import datetime, timedelta

from front_end_processor.adapters.hl7v2.er7 import Segment
from front_end_processor.adapters.hl7v2.errors import FIELD_MISSING, SEGMENT_SEQUENCE, Unusable
from front_end_processor.normalise.hl7v2 import datatypes as dt
from front_end_processor.normalise.hl7v2.context import Context, Resource
from front_end_processor.normalise.hl7v2.rows import Row, compile_rows, fill

# trigger -> status that the trigger itself decides; the others are as SCH-25 says, or booked
DECIDED = {
    "SIU^S15": "cancelled",
    "SIU^S16": "cancelled",
    "SIU^S17": "entered-in-error",
    "SIU^S26": "noshow",
}
_UNITS_MIN = {"": 1, "MIN": 1, "M": 1, "分": 1, "分钟": 1, "H": 60, "HR": 60, "小时": 60, "S": 1 / 60}
_LONGEST_MIN = 366 * 24 * 60

SCHEDULE = (
    Row("SCH-7", "reasonCode[]", dt.concept("appointment_reason")),
    Row("SCH-8", "appointmentType", dt.concept("appointment_type")),
)
SERVICE = (Row("AIS-3", "serviceType[]", dt.concept("service")),)
_SCHEDULE, _SERVICE = compile_rows(SCHEDULE), compile_rows(SERVICE)


def appointments(ctx: Context) -> None:
    """SCH -> Appointment with all who and what take part. Raises: Unusable without SCH or its number."""
    sch = ctx.message.first("SCH")
    if sch is None:
        raise Unusable("The message has no SCH segment.", condition=SEGMENT_SEQUENCE, location="SCH^1")
    number = sch.get(2) or sch.get(1)
    if not number:
        raise Unusable(
            "SCH-1 and SCH-2 are empty; an appointment needs a number.",
            condition=FIELD_MISSING,
            location="SCH^1^2",
        )
    resource: Resource = {
        "resourceType": "Appointment",
        "id": ctx.ids.of("Appointment", number),
        "identifier": [
            ctx.identifier(kind, value, type_)
            for kind, value, type_ in (
                ("appointment", sch.get(2), "FILL"),
                ("appointment-order", sch.get(1), "PLAC"),
            )
            if value
        ],
    }
    status = ctx.code("appointment_status", sch.get(25), "SCH-25")
    resource["status"] = DECIDED.get(ctx.event) or (status.code if status else "booked")
    fill(ctx, sch, resource, _SCHEDULE)
    for service in ctx.message.all("AIS"):
        fill(ctx, service, resource, _SERVICE)
    _set_time(ctx, sch, resource)
    notes = ctx.notes(list(ctx.message.all("NTE")))
    if notes:
        resource["comment"] = "\n".join(note["text"] for note in notes)
    accepted = "declined" if resource["status"] in ("cancelled", "entered-in-error") else "accepted"
    resource["participant"] = [{"actor": ctx.patient, "status": accepted}, *_others(ctx, accepted)]
    ctx.add(resource)


def _set_time(ctx: Context, sch: Segment, resource: Resource) -> None:
    """Put in start and end; without them an appointment can only be proposed or cancelled (FHIR app-3)."""
    begin, end = _times(ctx, sch)
    if begin is None:
        if resource["status"] not in ("cancelled", "waitlist", "proposed"):
            ctx.warn("SCH-11: no time of the appointment")
            resource["status"] = (
                "cancelled" if resource["status"] in ("noshow", "entered-in-error") else "proposed"
            )
        return
    minutes = _minutes(sch.get(9), sch.get(10)) or next(
        (found for found in (_minutes(s.get(7), s.get(8)) for s in ctx.message.all("AIS")) if found), 0
    )
    if end is None or end < begin:
        end = begin + timedelta(minutes=minutes)
    resource["start"] = begin.isoformat()
    resource["end"] = end.isoformat()
    if minutes:
        resource["minutesDuration"] = minutes


def _times(ctx: Context, sch: Segment) -> tuple[datetime | None, datetime | None]:
    """Return begin and end: TQ1-7 and -8, SCH-11.4 and .5, AIS-4, AIP-6, AIL-6."""
    tq1 = ctx.message.first("TQ1")
    candidates = [(tq1.get(7), tq1.get(8), "TQ1-7")] if tq1 else []
    candidates.append((sch.get(11, 4), sch.get(11, 5), "SCH-11"))
    for name, field in (("AIS", 4), ("AIP", 6), ("AIL", 6)):
        candidates.extend((segment.get(field), "", f"{name}-{field}") for segment in ctx.message.all(name))
    for begin_text, end_text, place in candidates:
        begin = ctx.moment(begin_text, place)
        if begin is not None and begin.instant is not None:
            end = ctx.moment(end_text, place)
            return begin.instant, end.instant if end else None
    return None, None


def _minutes(amount: str, unit: str) -> int:
    if not amount.isascii() or not amount.isdigit() or len(amount) > 9:
        return 0
    minutes = int(int(amount) * _UNITS_MIN.get(unit.upper(), 1))
    return minutes if minutes <= _LONGEST_MIN else 0


def _resource(ctx: Context, aig: Segment) -> Resource | None:
    """Return what an AIG books: a doctor where AIG-4 says D (v2.3.1 practice), else equipment by name."""
    repeat = aig.first(3)
    if repeat is None:
        return None
    if aig.get(4).upper() == "D":
        return dt.practitioner(ctx, repeat)
    shown = repeat.whole(2) or repeat.whole(1)
    return {"type": "Device", "display": shown} if shown else None


def _others(ctx: Context, status: str) -> list[Resource]:
    """Return personnel (AIP), places (AIL) and equipment (AIG) as participants."""
    found = []
    for segment in ctx.message.segments:
        actor: Resource | None = None
        if segment.name == "AIP":
            actor = dt.practitioner(ctx, segment.first(3))
        elif segment.name == "AIL":
            actor = dt.location(ctx, segment.first(3))
        elif segment.name == "AIG":
            actor = _resource(ctx, segment)
        if actor is not None:
            found.append({"actor": actor, "status": status})
    return found
