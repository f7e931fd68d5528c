"""PID, PD1 and NK1 -> Patient; which number is the hospital's own; MRG -> the Patient merged away."""

from __future__ import annotations

from typing import Any

from esb.fhir import bundles, identifiers
from front_end_processor.adapters.hl7v2.er7 import Repeat, Segment
from front_end_processor.adapters.hl7v2.errors import FIELD_MISSING, SEGMENT_SEQUENCE, Unusable
from front_end_processor.normalise.hl7v2 import datatypes as dt
from front_end_processor.normalise.hl7v2 import partial
from front_end_processor.normalise.hl7v2.context import Context, Resource
from front_end_processor.normalise.hl7v2.extra import fill_extra
from front_end_processor.normalise.hl7v2.rows import Row, compile_rows, fill

ETHNIC_GROUP = "urn:hie:ethnic-group"
BIRTH_TIME = "http://hl7.org/fhir/StructureDefinition/patient-birthTime"
NATIONALITY = "http://hl7.org/fhir/StructureDefinition/patient-nationality"
REGIONAL = {
    "resident-id": identifiers.RESIDENT_ID,
    "health-record": identifiers.HEALTH_RECORD,
    "health-card": identifiers.HEALTH_CARD,
    "insurance": identifiers.INSURANCE,
    "passport": identifiers.PASSPORT,
    "permit-hmt": identifiers.PERMIT_HMT,
    "foreign-pr": identifiers.FOREIGN_PR,
    "birth-certificate": identifiers.BIRTH_CERT,
    "officer": identifiers.OFFICER_CARD,
    "entitlement": identifiers.ENTITLEMENT,
}


_CACHE_SIZE = 2000


def kind_of(ctx: Context, repeat: Repeat) -> tuple[str, str]:
    """Return which kind of number a CX is, and its code of table 0203 (empty if unknown).

    The profile's authorities come first: by type and authority together, by authority, by type.
    """
    known_kinds = ctx.meanings.number_kinds
    key = tuple(repeat.raw_parts[3:5])
    found = known_kinds.get(key)
    if found is None:
        if len(known_kinds) >= _CACHE_SIZE:
            known_kinds.clear()
        found = known_kinds[key] = _kind_of(ctx, repeat)
    return found


def _kind_of(ctx: Context, repeat: Repeat) -> tuple[str, str]:
    own, type_, authority = ctx.profile.authorities, repeat[5].upper(), repeat.sub(4, 1).upper()
    known = ctx.profile.tables["identifier_type"].get(type_)
    kind = own.get(f"{authority}^{type_}") or own.get(authority) or (own.get(type_) if type_ else None)
    if kind is None and known is not None:
        kind = known.code
    if kind is None and not type_:
        kind = "mrn" if not authority or authority == ctx.ids.facility.upper() else None
    if kind is None:
        named = (type_ or authority).lower()
        kind = "".join(c if c.isalnum() else "-" for c in named).strip("-") or "other"
    return kind, known.display if known else (identifiers.TYPE_CODES.get(REGIONAL.get(kind, ""), ""))


def identifier(ctx: Context, kind: str, value: str, type_code: str = "") -> list[Resource]:
    """Return a number as Identifiers; an old 15-digit resident ID is given in its new form as well."""
    if kind == "resident-id":
        value = value.upper()
        system = identifiers.system_of_card(value) or identifiers.RESIDENT_ID
        new = identifiers.upgrade_15_to_18(value)
        if new:
            return [
                _identifier(system, new, "NI", "official"),
                _identifier(system, value, "NI", "old"),
            ]
        return [_identifier(system, value, identifiers.TYPE_CODES.get(system, type_code))]
    system = REGIONAL.get(kind) or ctx.ids.system(kind)
    return [_identifier(system, value, type_code)]


def _identifier(system: str, value: str, type_code: str, use: str = "") -> Resource:
    found: Resource = {"system": system, "value": value}
    if use:
        found["use"] = use
    if type_code:
        found["type"] = _identifier_type(type_code)
    return found


_TYPES: dict[str, Resource] = {}


def _identifier_type(type_code: str) -> Resource:
    """Return Identifier.type of a code of table 0203; the same object each time."""
    found = _TYPES.get(type_code)
    if found is None:
        system = "http://terminology.hl7.org/CodeSystem/v2-0203"
        found = _TYPES[type_code] = {"coding": [{"system": system, "code": type_code}]}
    return found


def _numbers(ctx: Context, segment: Segment, field: int) -> list[Resource]:
    """All numbers of the patient (CX), each with its system."""
    found: list[Resource] = []
    seen = set()
    for repeat in segment.repeats(field):
        value = repeat.whole(1)
        if not value:
            continue
        kind, type_code = kind_of(ctx, repeat)
        if kind == "mrn" and field in (2, 4) and not repeat[5]:
            kind = "alternate"
        for one in identifier(ctx, kind, value, type_code):
            key = (one["system"], one["value"])
            if key not in seen:
                seen.add(key)
                found.append(one)
    return found


def _national(ctx: Context, segment: Segment, field: int) -> list[Resource]:
    """PID-19: a resident ID, permit or foreigner's card if its check digit says so; else as it came."""
    value = segment.get(field).upper()
    if not value:
        return []
    if identifiers.system_of_card(value) or identifiers.upgrade_15_to_18(value):
        return identifier(ctx, "resident-id", value, "NI")
    return identifier(ctx, "ssn", value, "SS")


def _driving_licence(ctx: Context, segment: Segment, field: int) -> list[Resource]:
    value = segment.get(field)
    return identifier(ctx, "driving-licence", value, "DL") if value else []


def _birth_date(ctx: Context, segment: Segment, field: int) -> str | None:
    return ctx.date(segment, field)


def _birth_time(ctx: Context, segment: Segment, field: int) -> Resource | None:
    sent = segment.get(field)
    if len(sent) <= 8:
        return None
    found = ctx.moment(sent, "PID-7")
    if found is None or not found.is_timed or found.text[11:19] == "00:00:00":
        return None
    return {"extension": [{"url": BIRTH_TIME, "valueDateTime": found.text}]}


def _ethnic_group(ctx: Context, segment: Segment, field: int) -> Resource | None:
    concept = ctx.concept(segment, field, "ethnic_group")
    return {"url": ETHNIC_GROUP, "valueCodeableConcept": concept} if concept else None


def _nationality(ctx: Context, segment: Segment, field: int) -> Resource | None:
    concept = ctx.concept(segment, field, "country")
    if concept is None:
        return None
    return {"url": NATIONALITY, "extension": [{"url": "code", "valueCodeableConcept": concept}]}


def _language(ctx: Context, segment: Segment, field: int) -> Resource | None:
    concept = ctx.concept(segment, field, "language")
    return {"language": concept} if concept else None


def _yes(ctx: Context, segment: Segment, field: int) -> bool | None:
    return True if segment.get(field).upper() in ("Y", "1", "是") else None


def _birth_order(ctx: Context, segment: Segment, field: int) -> int | None:
    order = segment.get(field)
    return int(order) if order.isascii() and order.isdigit() and 0 < int(order) < 20 else None


PATIENT = (
    Row("PID-3", "identifier[]", _numbers),
    Row("PID-2", "identifier[]", _numbers),
    Row("PID-4", "identifier[]", _numbers),
    Row("PID-19", "identifier[]", _national),
    Row("PID-20", "identifier[]", _driving_licence),
    Row("PID-5", "name", dt.names),
    Row("PID-7", "birthDate", _birth_date),
    Row("PID-7", "_birthDate", _birth_time),
    Row("PID-8", "gender", dt.code("gender")),
    Row("PID-11", "address", dt.addresses),
    Row("PID-13", "telecom[]", dt.telecoms("home")),
    Row("PID-14", "telecom[]", dt.telecoms("work")),
    Row("PID-15", "communication[]", _language),
    Row("PID-16", "maritalStatus", dt.coded("marital_status")),
    Row("PID-22", "extension[]", _ethnic_group),
    Row("PID-28", "extension[]", _nationality),
    Row("PID-24", "multipleBirthBoolean", _yes),
    Row("PID-25", "multipleBirthInteger", _birth_order),
    Row("PID-30", "deceasedBoolean", _yes),
    Row("PID-29", "deceasedDateTime", dt.date_time),
)
PRIMARY_CARE = (Row("PD1-4", "generalPractitioner", dt.practitioners),)
CONTACT = (
    Row("NK1-2", "name", dt.first_of(dt.names)),
    Row("NK1-3", "relationship[]", dt.concept("relationship")),
    Row("NK1-4", "address", dt.first_of(dt.addresses)),
    Row("NK1-5", "telecom[]", dt.telecoms("home")),
    Row("NK1-6", "telecom[]", dt.telecoms("work")),
    Row("NK1-13", "organization.display", dt.first_text),
    Row("NK1-15", "gender", dt.code("gender")),
)
_PATIENT, _PRIMARY_CARE, _CONTACT = map(compile_rows, (PATIENT, PRIMARY_CARE, CONTACT))


def own_number(ctx: Context, segment: Segment, fields: tuple[int, ...] = (3, 2, 4)) -> str:
    """Return the hospital's own number of the patient in PID or MRG.

    That is the number of kind `mrn` of its own authority, else any of kind `mrn`, else the first number with
    its kind in front. Raises: Unusable if there is none.
    """
    candidates: list[tuple[int, str]] = []
    for place, field in enumerate(fields):
        for repeat in segment.repeats(field):
            value = repeat.whole(1)
            if not value:
                continue
            kind, _ = kind_of(ctx, repeat)
            authority = repeat.sub(4, 1).upper()
            if kind == "mrn" and place == 0:
                candidates.append((0 if authority == ctx.ids.facility.upper() else 1, value))
            elif kind == "mrn":
                candidates.append((2, value))
            else:
                candidates.append((3, f"{kind}:{value}"))
    if not candidates:
        raise Unusable(
            f"{segment.name} holds no patient number; send it in {segment.name}-{fields[0]}.",
            condition=FIELD_MISSING,
            location=f"{segment.name}^1^{fields[0]}",
        )
    return min(candidates, key=lambda candidate: candidate[0])[1]


def pid_of(ctx: Context) -> Segment:
    """Return the PID segment. Raises: Unusable if there is none."""
    pid = ctx.message.first("PID")
    if pid is None:
        raise Unusable(
            "The message has no PID segment; nobody's record can be changed by it.",
            condition=SEGMENT_SEQUENCE,
            location="PID^1",
        )
    return pid


def read_subject(ctx: Context) -> None:
    """Find out whose message it is. Raises: Unusable."""
    ctx.subject = pid_of(ctx)
    ctx.patient_key = own_number(ctx, ctx.subject)
    ctx.patient_id = ctx.ids.of("Patient", ctx.patient_key)
    ctx.patient = {"reference": f"Patient/{ctx.patient_id}"}


def patient(ctx: Context, pid: Segment) -> Resource:
    """Return the Patient of a PID with what PD1 and NK1 add."""
    resource: Resource = {
        "resourceType": "Patient",
        "id": ctx.patient_id if pid is ctx.subject else ctx.ids.of("Patient", own_number(ctx, pid)),
        "active": True,
    }
    fill(ctx, pid, resource, _PATIENT)
    if not resource.get("birthDate"):
        resource.pop("_birthDate", None)
    for wins, loses in partial.CHOICES:
        if wins in resource:
            resource.pop(loses, None)
    primary_care = ctx.message.first("PD1")
    if primary_care is not None:
        fill(ctx, primary_care, resource, _PRIMARY_CARE)
    contacts = []
    for segment in ctx.message.all("NK1"):
        contact: dict[str, Any] = {}
        fill(ctx, segment, contact, _CONTACT)
        if contact.keys() & {"name", "telecom", "address", "organization"}:
            contacts.append(contact)
    if contacts:
        resource["contact"] = contacts
    fill_extra(ctx, resource)
    return resource


def owned(ctx: Context) -> None:
    """The message owns the Patient: a full snapshot, unless it says too little to be one."""
    _keep(ctx, None)


def _keep(ctx: Context, active: bool | None) -> None:
    pid = pid_of(ctx)
    resource = patient(ctx, pid)
    if active is not None:
        resource["active"] = active
    lack = partial.shortfall(ctx, pid)
    if lack:
        ctx.warn(lack)
        partial.add(ctx, pid, resource, PATIENT, active)
    else:
        ctx.add(resource)


def mentioned(ctx: Context) -> None:
    """The message only mentions the Patient: kept where nothing is known yet."""
    ctx.add(patient(ctx, pid_of(ctx)), placeholder=True)


def deleted(ctx: Context) -> None:
    """A29: the hospital has deleted the person: no longer active."""
    _keep(ctx, False)


def merged(ctx: Context) -> None:
    """A40 and its kin: the survivor, and for each MRG the number that is used no more.

    The survivor's PID is taken as a snapshot only where it is one (sex and birth date are there).
    """
    survivor: Segment | None = None
    merges = 0
    for segment in ctx.message.segments:
        if segment.name == "PID":
            survivor = segment
            sparse = not (segment.get(7) and segment.get(8))
            ctx.add(patient(ctx, segment), placeholder=sparse)
        elif segment.name == "MRG" and survivor is not None:
            merges += 1
            _retire(ctx, segment, own_number(ctx, survivor))
    if not merges:
        raise Unusable(
            "The message has no MRG segment; it does not say which number is used no more.",
            condition=SEGMENT_SEQUENCE,
            location="MRG^1",
        )


def _retire(ctx: Context, mrg: Segment, survivor: str) -> None:
    away = own_number(ctx, mrg, (1, 4, 2))
    if away == survivor:
        ctx.warn("MRG-1: the same number as the survivor's, nothing to merge")
        return
    # The hub may never have heard of the old number: a placeholder gives the patch something to change.
    ctx.add(_numbered(ctx, mrg, ctx.ids.of("Patient", away)), placeholder=True)
    reference = {"reference": f"Patient/{ctx.ids.of('Patient', survivor)}"}
    ctx.entries.append(
        bundles.patch_entry(
            "Patient",
            ctx.ids.of("Patient", away),
            (
                {"op": "add", "path": "/active", "value": False},
                {"op": "add", "path": "/link", "value": [{"other": reference, "type": "replaced-by"}]},
            ),
        )
    )


def _numbered(ctx: Context, mrg: Segment, id_: str) -> Resource:
    """Return a Patient that has the numbers of an MRG and nothing else."""
    numbers: list[Resource] = []
    for repeat in mrg.repeats(1) or mrg.repeats(4):
        kind, type_code = kind_of(ctx, repeat)
        if value := repeat.whole(1):
            numbers += identifier(ctx, kind, value, type_code)
    return {
        "resourceType": "Patient",
        "id": id_,
        "active": True,
        **({"identifier": numbers} if numbers else {}),
    }


def renumbered(ctx: Context) -> None:
    """A47, A46: the patient goes on under another number; the old one is used no more."""
    owned(ctx)
    mrg = ctx.message.first("MRG")
    if mrg is not None and any(mrg.raw(field) for field in (1, 2, 4)):
        _retire(ctx, mrg, ctx.patient_key)
