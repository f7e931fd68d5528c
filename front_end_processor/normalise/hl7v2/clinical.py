"""DG1 and PRB -> Condition, AL1 and IAM -> AllergyIntolerance, PR1 -> Procedure, IN1 -> Coverage."""

from __future__ import annotations

from front_end_processor.adapters.hl7v2.er7 import Segment
from front_end_processor.normalise.hl7v2 import datatypes as dt
from front_end_processor.normalise.hl7v2.context import Context, Resource
from front_end_processor.normalise.hl7v2.periods import check_period
from front_end_processor.normalise.hl7v2.rows import Row, compile_rows, fill

_CODE_SYSTEM = "http://terminology.hl7.org/CodeSystem/"


def coding(system: str, code: str) -> Resource:
    """Return a CodeableConcept of one code of HL7's own terminology."""
    return {"coding": [{"system": _CODE_SYSTEM + system, "code": code}]}


ACTIVE = coding("condition-clinical", "active")
WRONG = coding("condition-ver-status", "entered-in-error")
ENCOUNTER_DIAGNOSIS = coding("condition-category", "encounter-diagnosis")
PROBLEM = coding("condition-category", "problem-list-item")


def _name_only(ctx: Context, segment: Segment, field: int) -> Resource | None:
    """DG1-4, AL1-5 and their like: a name without a code."""
    name = segment.get(field)
    return {"text": name} if name else None


DIAGNOSIS = (
    Row("DG1-4", "code", _name_only),
    Row("DG1-3", "code", dt.concept("diagnosis")),
    Row("DG1-19", "recordedDate", dt.date_time),
    Row("DG1-5", "recordedDate", dt.date_time),
    Row("DG1-16", "asserter", dt.practitioner_field),
)
PROBLEM_ROWS = (
    Row("PRB-3", "code", dt.concept("diagnosis")),
    Row("PRB-7", "recordedDate", dt.date_time),
    Row("PRB-16", "onsetDateTime", dt.date_time),
    Row("PRB-9", "abatementDateTime", dt.date_time),
)
ALLERGY = (
    Row("AL1-2", "category[]", dt.code("allergy_category")),
    Row("AL1-3", "code", dt.concept("allergen")),
    Row("AL1-6", "onsetDateTime", dt.date_time),
)
ADVERSE_REACTION = (
    Row("IAM-2", "category[]", dt.code("allergy_category")),
    Row("IAM-3", "code", dt.concept("allergen")),
    Row("IAM-11", "onsetDateTime", dt.date_time),
    Row("IAM-13", "recordedDate", dt.date_time),
    Row("IAM-14", "asserter.display", dt.first_text),
)
PROCEDURE = (
    Row("PR1-4", "code", _name_only),
    Row("PR1-3", "code", dt.concept("procedure")),
    Row("PR1-5", "performedDateTime", dt.date_time),
    Row("PR1-6", "category", dt.concept("procedure_type")),
    Row("PR1-8", "performer[]", lambda c, s, f: [{"actor": p} for p in dt.practitioners(c, s, f)]),
    Row("PR1-11", "performer[]", lambda c, s, f: [{"actor": p} for p in dt.practitioners(c, s, f)]),
    Row("PR1-15", "reasonCode[]", dt.concept("diagnosis")),
)
COVERAGE = (
    Row("IN1-36", "subscriberId", dt.first_text),
    Row("IN1-12", "period.start", dt.date),
    Row("IN1-13", "period.end", dt.date),
    Row("IN1-15", "type", dt.concept("plan_type")),
    Row("IN1-17", "relationship", dt.concept("relationship")),
    Row("IN1-16", "subscriber.display", lambda c, s, f: (dt.names(c, s, f) or [{}])[0].get("text")),
)
_DIAGNOSIS, _PROBLEM, _ALLERGY, _REACTION, _PROCEDURE, _COVERAGE = map(
    compile_rows, (DIAGNOSIS, PROBLEM_ROWS, ALLERGY, ADVERSE_REACTION, PROCEDURE, COVERAGE)
)
_STRENGTH = {"A": 0, "AD": 0, "W": 1, "P": 1, "F": 2, "DD": 2, "O": 2}


def code_key(concept: Resource) -> str:
    """Return what a concept is called by in an id: its first code, else its text."""
    codings = concept.get("coding")
    return str(codings[0]["code"] if codings else concept.get("text", ""))


def _code_or_none(resource: Resource, ctx: Context, place: str) -> str:
    """Return the key of `code`, empty with a warning where there is none."""
    if "code" not in resource:
        ctx.warn(f"{place}: no code and no name, left out")
        return ""
    return code_key(resource["code"])


def diagnoses(ctx: Context) -> None:
    """DG1 -> Condition, one per visit and code; the Encounter refers to them with role and rank.

    A code that is sent as admission and as final diagnosis is one Condition, with the stronger status.
    """
    strongest: dict[str, int] = {}
    links: list[Resource] = []
    for segment in ctx.message.all("DG1"):
        resource = _diagnosis(ctx, segment)
        if resource is None:
            continue
        strength = _STRENGTH.get(segment.get(6).upper(), 0)
        earlier = strongest.get(resource["id"], -1)
        if strength < earlier:
            continue
        strongest[resource["id"]] = strength
        ctx.add(resource)
        if earlier < 0 and "clinicalStatus" in resource:
            links.append(_role(ctx, segment, resource["id"]))
    if links and ctx.encounter is not None:
        visit = ctx.known.get(("Encounter", ctx.encounter_id))
        if visit is not None:
            visit["resource"]["diagnosis"] = links


def _diagnosis(ctx: Context, dg1: Segment) -> Resource | None:
    condition: Resource = {}
    fill(ctx, dg1, condition, _DIAGNOSIS)
    key = _code_or_none(condition, ctx, "DG1-3")
    if not key:
        return None
    own_id = dg1.get(20)
    resource = ctx.base("Condition", own_id or f"{ctx.visit_key or ctx.patient_key}|{key}")
    if dg1.get(21).upper() == "D":
        resource["verificationStatus"] = WRONG
    else:
        resource["clinicalStatus"] = ACTIVE
        known = ctx.code("diagnosis_type", dg1.get(6), "DG1-6")
        if known:
            resource["verificationStatus"] = coding("condition-ver-status", known.code)
    resource["category"] = [ENCOUNTER_DIAGNOSIS]
    resource.update(condition)
    if own_id:
        resource["identifier"] = [ctx.identifier("diagnosis", own_id)]
    return resource


def _role(ctx: Context, dg1: Segment, id_: str) -> Resource:
    """Return Encounter.diagnosis of a DG1: its role (DG1-6) and rank (DG1-15)."""
    link: Resource = {"condition": {"reference": f"Condition/{id_}"}}
    known = ctx.code("diagnosis_type", dg1.get(6), "DG1-6")
    if known and known.display in ("AD", "DD"):
        link["use"] = coding("diagnosis-role", known.display)
    rank = dg1.get(15)
    if rank.isascii() and rank.isdigit() and int(rank) > 0:
        link["rank"] = int(rank)
    return link


def problems(ctx: Context) -> None:
    """PRB -> Condition on the problem list."""
    for segment in ctx.message.all("PRB"):
        condition: Resource = {}
        fill(ctx, segment, condition, _PROBLEM)
        key = _code_or_none(condition, ctx, "PRB-3")
        if not key:
            continue
        own_id = segment.get(4)
        resource = ctx.base("Condition", f"problem:{own_id or f'{ctx.patient_key}|{key}'}")
        resource["category"] = [PROBLEM]
        if segment.get(1).upper() == "DE":
            resource["verificationStatus"] = WRONG
        else:
            status = ctx.profile.tables["problem_status"].get(segment.get(14).upper())
            ended = "abatementDateTime" in condition
            resource["clinicalStatus"] = coding(
                "condition-clinical", status.code if status else "resolved" if ended else "active"
            )
            if ended and resource["clinicalStatus"]["coding"][0]["code"] in ("active", "recurrence"):
                condition.pop("abatementDateTime")  # FHIR con-4: what has ended is not active
                ctx.warn("PRB-9: an end date of an active problem, left out")
        resource.update(condition)
        if own_id:
            resource["identifier"] = [ctx.identifier("problem", own_id)]
        ctx.add(resource)


def _severity(ctx: Context, resource: Resource, segment: Segment, severity: int, reaction: int) -> None:
    """Put in criticality and reaction: severity in one field, manifestations in another."""
    known = ctx.code("severity", segment.get(severity), f"{segment.name}-{severity}")
    if known:
        resource["criticality"] = known.display
    manifestations = ctx.concepts(segment, reaction, "manifestation")
    if manifestations:
        resource["reaction"] = [{"manifestation": manifestations}]
        if known and known.code:
            resource["reaction"][0]["severity"] = known.code


def allergies(ctx: Context) -> None:
    """AL1 and IAM -> AllergyIntolerance, one per patient and substance."""
    for segment in ctx.message.segments:
        if segment.name not in ("AL1", "IAM"):
            continue
        is_al1 = segment.name == "AL1"
        allergy: Resource = {}
        fill(ctx, segment, allergy, _ALLERGY if is_al1 else _REACTION)
        key = _code_or_none(allergy, ctx, f"{segment.name}-3")
        if not key:
            continue
        resource: Resource = {
            "resourceType": "AllergyIntolerance",
            "id": ctx.ids.of("AllergyIntolerance", f"{ctx.patient_key}|{key}"),
        }
        known = None if is_al1 else ctx.code("allergy_status", segment.get(17), "IAM-17")
        removed = not is_al1 and segment.get(6).upper() == "D"
        if removed or (known and known.code == "entered-in-error"):
            resource["verificationStatus"] = coding("allergyintolerance-verification", "entered-in-error")
        else:
            resource["clinicalStatus"] = coding("allergyintolerance-clinical", "active")
            if known:
                resource["verificationStatus"] = coding("allergyintolerance-verification", known.code)
        resource["patient"] = ctx.patient
        resource.update(allergy)
        _severity(ctx, resource, segment, 4, 5)
        ctx.add(resource)


def procedures(ctx: Context) -> None:
    """PR1 -> Procedure: by its own number, else by visit, code and time."""
    for segment in ctx.message.all("PR1"):
        procedure: Resource = {}
        fill(ctx, segment, procedure, _PROCEDURE)
        key = _code_or_none(procedure, ctx, "PR1-3")
        if not key:
            continue
        own_id = segment.get(19)
        local = own_id or f"{ctx.visit_key or ctx.patient_key}|{key}|{segment.get(5)}"
        resource = ctx.base("Procedure", local)
        resource["status"] = "entered-in-error" if segment.get(20).upper() == "D" else "completed"
        resource.update(procedure)
        if own_id:
            resource["identifier"] = [ctx.identifier("procedure", own_id)]
        ctx.add(resource)


def coverages(ctx: Context) -> None:
    """IN1 -> Coverage, one per patient, company, plan and policy."""
    for segment in ctx.message.all("IN1"):
        plan, company, name = segment.first(2), segment.first(3), segment.first(4)
        payer: Resource = {}
        shown = (name.whole(1) if name else "") or (plan.whole(2) or plan.whole(1) if plan else "")
        number = company.whole(1) if company else ""
        if shown:
            payer["display"] = shown
        if number:
            payer["identifier"] = {"system": ctx.ids.system("payer"), "value": number}
        if not payer:
            ctx.warn("IN1-3: no insurance company, left out")
            continue
        plan_code = plan.whole(1) if plan else ""
        resource: Resource = {
            "resourceType": "Coverage",
            "id": ctx.ids.of(
                "Coverage", f"{ctx.patient_key}|{number or shown}|{plan_code}|{segment.get(36)}"
            ),
            "status": "active",
            "beneficiary": ctx.patient,
            "payor": [{"type": "Organization", **payer}],
        }
        fill(ctx, segment, resource, _COVERAGE)
        check_period(ctx, resource, "IN1-12", "IN1-13")
        if plan_code:
            shown_plan = plan.whole(2) if plan else ""
            resource["class"] = [
                {
                    "type": coding("coverage-class", "plan"),
                    "value": plan_code,
                    **({"name": shown_plan} if shown_plan else {}),
                }
            ]
        ctx.add(resource)
