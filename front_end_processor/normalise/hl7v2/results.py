"""ORU, OUL and OBX anywhere -> DiagnosticReport, Observation, Specimen.

A result's id comes from the filler's order number, the item's code and its sub-id, never from its position,
so a correction reaches the result it corrects.
"""

from __future__ import annotations

from functools import cache
from itertools import count
from typing import Any

from esb.fhir import bundles
from front_end_processor.adapters.hl7v2.er7 import NULL, Segment
from front_end_processor.normalise.hl7v2 import datatypes as dt
from front_end_processor.normalise.hl7v2 import values
from front_end_processor.normalise.hl7v2.clinical import code_key
from front_end_processor.normalise.hl7v2.context import V2_TABLE, Context, Resource
from front_end_processor.normalise.hl7v2.groups import Group, Item, cut
from front_end_processor.normalise.hl7v2.rows import Row, compile_rows, fill
from front_end_processor.normalise.hl7v2.specimens import specimens

CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
INTERPRETATION = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
_TEXT_TYPES = frozenset(("TX", "FT"))
# HL7 table 0085: final without sending it again, deleted, wrong. X has no value that could stay.
_STATUS_ONLY = frozenset(("U", "D", "W"))
_FILE_TYPES = frozenset(("ED", "RP"))
_IMPRESSION = ("IMP", "GDT", "19005-8", "59776-5", "CONCLUSION", "结论", "诊断", "提示", "印象", "意见")
# LOINC: pulse, breathing, temperature, blood pressure, saturation, weight, height, body mass, head
_VITAL_SIGNS = frozenset(
    [
        "8867-4",
        "9279-1",
        "8310-5",
        "8480-6",
        "8462-4",
        "85354-9",
        "59408-5",
        "2708-6",
        "29463-7",
        "8302-2",
        "39156-5",
        "8287-5",
    ]
)


def _interpretations(ctx: Context, segment: Segment, field: int) -> list[Resource]:
    """Concepts of v3-ObservationInterpretation; an unknown flag stays as it came."""
    found = []
    table = ctx.profile.tables["interpretation"]
    for repeat in segment.repeats(field):
        sent = repeat[1]
        known = table.get(sent.upper())
        if known:
            concept = ctx.meanings.flags.get(sent)
            if concept is None:
                coding = {"system": INTERPRETATION, "code": known.code, "display": known.display}
                concept = ctx.meanings.flags[sent] = {"coding": [coding], "text": sent}
            found.append(concept)
        elif sent:
            ctx.warn("OBX-8: flag is not in table interpretation, kept as text")
            found.append({"text": repeat[2] or sent})
    return found


def _reference_range(ctx: Context, segment: Segment, field: int) -> list[Resource] | None:
    return values.reference_range(ctx, segment)


def _interpreter(ctx: Context, segment: Segment, field: int) -> Resource | None:
    """OBR-32, OBR-34: NDL, whose first component holds the person's number and name as subcomponents."""
    repeat = segment.first(field)
    if repeat is None:
        return None
    number, family, given = repeat.sub(1, 1), repeat.sub(1, 2), repeat.sub(1, 3)
    if not family and not given:
        return dt.practitioner(ctx, repeat)
    han = dt.is_han(family + given)
    reference: Resource = {"type": "Practitioner"}
    if number:
        reference["identifier"] = {"system": ctx.ids.system("staff"), "value": number}
    reference["display"] = family + given if han else " ".join(part for part in (given, family) if part)
    return reference


def _organisation(ctx: Context, segment: Segment, field: int) -> Resource | None:
    """OBX-15, OBX-23: the producing laboratory by name."""
    repeat = segment.first(field)
    shown = (repeat.whole(2) or repeat.whole(1)) if repeat else ""
    return {"type": "Organization", "display": shown} if shown else None


OBSERVATION = (
    Row("OBX-14", "effectiveDateTime", dt.date_time),
    Row("OBX-19", "issued", dt.instant),
    Row("OBX-16", "performer[]", dt.practitioners),
    Row("OBX-15", "performer[]", _organisation),
    Row("OBX-8", "interpretation", _interpretations),
    Row("OBX-7", "referenceRange", _reference_range),
    Row("OBX-17", "method", dt.concept("method")),
)
REPORT = (
    Row("OBR-7", "effectiveDateTime", dt.date_time),
    Row("OBR-22", "issued", dt.instant),
    Row("OBR-32", "resultsInterpreter[]", _interpreter),
    Row("OBR-34", "performer[]", _interpreter),
)
_OBSERVATION, _REPORT = compile_rows(OBSERVATION), compile_rows(REPORT)


def reports(ctx: Context) -> None:
    """Every OBR -> DiagnosticReport with its Observations; OBX of the visit -> Observations."""
    groups = cut(ctx.message, specimen_first=ctx.event in ("OUL^R22", "OUL^R23"))
    for group in groups.orders:
        if group.obr is not None:
            _report(ctx, group)
        else:
            observations(ctx, group.items, group.filler or group.placer, None)
    loose(ctx, groups.loose)


def loose(ctx: Context, items: list[Item]) -> None:
    """OBX that hang on the patient or the visit (height, weight) -> Observations."""
    observations(ctx, items, f"visit:{ctx.visit_key or ctx.patient_key}", None)


def visit_observations(ctx: Context) -> None:
    """The OBX of an ADT or BAR message."""
    loose(ctx, cut(ctx.message).loose)


def order_observations(ctx: Context) -> None:
    """The OBX that an order brings along: answers asked at ordering, findings that support it."""
    groups = cut(ctx.message)
    for group in groups.orders:
        observations(ctx, group.items, group.placer or group.filler, None)
    loose(ctx, groups.loose)


def _category(ctx: Context, obr: Segment | None) -> tuple[str, Any]:
    """Return the observation category of OBR-24 and its row of the table (None where unknown)."""
    sent = obr.get(24) if obr else ""
    known = ctx.code("section", sent, "OBR-24")
    return (known.code if known else "laboratory"), known


def _report(ctx: Context, group: Group) -> None:
    """One OBR with what hangs on it."""
    obr = group.obr
    if obr is None:
        return
    code = ctx.concept(obr, 4, "panel")
    if code is None:
        ctx.warn("OBR-4: no code and no name")
        code = {"text": "未命名检查"}
    order = group.filler or group.placer or f"{ctx.patient_key}|{obr.get(7) or ctx.message.msh.get(10)}"
    category, section = _category(ctx, obr)
    materials = specimens(ctx, group)
    types = {item.value_type for item in group.items}
    is_text = bool(types) and types <= _TEXT_TYPES | _FILE_TYPES
    report = ctx.base("DiagnosticReport", f"{order}|{code_key(code)}")
    report["identifier"] = _identifiers(ctx, group)
    if not report["identifier"]:
        del report["identifier"]
    report["category"] = [_report_category(section, category)]
    report["code"] = code
    fill(ctx, obr, report, _REPORT)
    if group.placer:
        report["basedOn"] = [
            {"type": "ServiceRequest", "identifier": ctx.identifier("order", group.placer, "PLAC")}
        ]
    if materials:
        report["specimen"] = materials
    attached = (values.attachment(ctx, i.obx) for i in group.items if i.value_type in _FILE_TYPES)
    files = [file for file in attached if file]
    if is_text:
        statuses = [_status(ctx, item.obx) for item in group.items]
        _narrative(report, group.items, files)
    else:
        found = observations(ctx, group.items, order, obr, category=category, materials=materials)
        statuses = [one["status"] for one in found]
        if found:
            report["result"] = [{"reference": f"Observation/{one['id']}"} for one in found]
        concluded = [one["valueString"] for one in found if "valueString" in one and _concludes(one["code"])]
        if concluded:
            report["conclusion"] = "\n".join(concluded)
    if files:
        report.setdefault("presentedForm", []).extend(files)
    notes = "\n".join(note["text"] for note in ctx.notes(group.notes))
    if notes:
        report["conclusion"] = "\n".join(part for part in (report.get("conclusion", ""), notes) if part)
    report["status"] = _report_status(ctx, obr, statuses)
    _add(ctx, report, group.items)


def _identifiers(ctx: Context, group: Group) -> list[Resource]:
    return [
        ctx.identifier(kind, value, type_)
        for kind, value, type_ in (("filler", group.filler, "FILL"), ("order", group.placer, "PLAC"))
        if value
    ]


def _report_category(section: Any, category: str) -> Resource:
    if section is None:
        coding = {"system": f"{V2_TABLE}0074", "code": "LAB", "display": "Laboratory"}
    else:
        coding = {"system": f"{V2_TABLE}0074", "code": section.system, "display": section.display}
    return {"coding": [coding], "text": category}


def _narrative(report: Resource, items: list[Item], files: list[Resource]) -> None:
    """A report in words: its text as presentedForm, what it concludes as conclusion."""
    paragraphs: dict[str, list[str]] = {}
    for item in items:
        if item.value_type in _FILE_TYPES:
            continue
        title = item.obx.get(3, 2) or item.obx.get(3)
        text = item.obx.text(5)
        if text:
            paragraphs.setdefault(title, []).append(text)
        paragraphs.setdefault(title, []).extend(n.text(3) for n in item.notes if n.text(3))
    whole = {title: "\n".join(lines) for title, lines in paragraphs.items() if lines}
    if not whole:
        return
    codes = {i.obx.get(3, 2) or i.obx.get(3): i.obx.get(3).upper() for i in items}
    impressions = [
        text
        for title, text in whole.items()
        if any(mark in codes.get(title, "") or mark in title.upper() for mark in _IMPRESSION)
    ]
    chosen = impressions or (list(whole.values()) if not files and len(whole) == 1 else [])
    if chosen:
        report["conclusion"] = "\n".join(chosen)
    text = "\n\n".join(f"{title}\n{body}" if title else body for title, body in whole.items())
    form = {"contentType": "text/plain; charset=utf-8", "language": "zh-CN" if dt.is_han(text) else "en"}
    report["presentedForm"] = [{**form, "data": dt.to_base64(text.encode())}]


def _status(ctx: Context, obx: Segment) -> str:
    """Return the status of OBX-11; an empty one says nothing, unless the hospital's profile knows better."""
    sent = obx.get(11) or str(ctx.profile.hl7v2.get("result_status") or "")
    if not sent:
        ctx.warn("OBX-11: empty, nobody knows whether the result is final")
    known = ctx.code("observation_status", sent, "OBX-11")
    return known.code if known else "unknown"


def _says_status_only(item: Item) -> bool:
    """Does an OBX change the status of a result that was sent before, without sending it again?"""
    return item.obx.get(11).upper() in _STATUS_ONLY and item.obx.raw(5) in ("", NULL)


def _add(ctx: Context, resource: Resource, items: list[Item]) -> None:
    """Put what items say into the bundle; a status alone changes that of what was sent before."""
    is_change = bool(items) and all(map(_says_status_only, items))
    ctx.add(resource, placeholder=is_change)
    if not is_change:
        return
    change = {"op": "replace", "path": "/status", "value": resource["status"]}
    ctx.entries.append(bundles.patch_entry(resource["resourceType"], str(resource["id"]), [change]))


def _concludes(code: Resource) -> bool:
    """Is an item by its code or name what a report concludes?"""
    names = [code.get("text", ""), *(coding["code"] for coding in code.get("coding", ()))]
    return any(mark in name.upper() for name in names for mark in _IMPRESSION)


def _report_status(ctx: Context, obr: Segment, statuses: list[str]) -> str:
    """Return OBR-25, else what the results together say."""
    known = ctx.code("report_status", obr.get(25), "OBR-25")
    if known is not None:
        withdrawn = known.code == "cancelled" and set(statuses) == {"entered-in-error"}
        return "entered-in-error" if withdrawn else known.code
    if not statuses:
        return "unknown" if obr.get(25) else "registered"
    for status in ("preliminary", "registered"):
        if status in statuses:
            return "partial"
    for status in ("corrected", "amended", "final", "entered-in-error", "cancelled"):
        if status in statuses:
            return status
    return "unknown"


def observations(
    ctx: Context,
    items: list[Item],
    order: str,
    obr: Segment | None,
    *,
    category: str = "",
    materials: list[Resource] | None = None,
) -> list[Resource]:
    """OBX -> Observations in order; rows of TX or FT under one code and sub-id are lines of one text."""
    found: list[Resource] = []
    texts: dict[str, Resource] = {}
    times = _times(ctx, obr) if obr is not None and items else {}
    for item in items:
        obx = item.obx
        if item.value_type in _FILE_TYPES:
            continue
        code = ctx.concept(obx, 3, "laboratory")
        if code is None:
            ctx.warn("OBX-3: no code and no name, left out")
            continue
        local = f"{order}|{code_key(code)}|{obx.get(4)}"
        is_text = item.value_type in _TEXT_TYPES
        if is_text and local in texts:
            line = obx.text(5)
            earlier = texts[local]
            if line and "valueString" in earlier:
                earlier["valueString"] += "\n" + line
            continue
        if _says_status_only(item) and (
            known := ctx.known.get(("Observation", ctx.ids.of("Observation", local)))
        ):  # it stands in this message
            known["resource"]["status"] = _status(ctx, obx)
            continue
        observation = _observation(
            ctx, item, times, local=local, code=code, category=category or _default_category(code, obr)
        )
        if materials:
            observation["specimen"] = materials[0]
        if is_text and "valueString" in observation:
            texts[local] = observation
        found.append(observation)
        _add(ctx, observation, [item])
    return found


def _observation(
    ctx: Context, item: Item, times: Resource, *, local: str, code: Resource, category: str
) -> Resource:
    obx = item.obx
    observation = ctx.base("Observation", local)
    if ctx.has(
        "Observation", observation["id"]
    ):  # the same item twice: told apart by its time, then by count
        observation["id"] = _another_id(ctx, f"{local}|{obx.get(14)}")
    observation["status"] = _status(ctx, obx)
    observation["category"] = _category_of(category)
    observation["code"] = code
    observation |= times
    fill(ctx, obx, observation, _OBSERVATION)
    value = values.value(ctx, obx, item.value_type)
    if value is not None:
        observation[value[0]] = value[1]
    else:
        observation["dataAbsentReason"] = {"coding": [{"system": ABSENT, "code": "unknown"}]}
    if item.notes:
        notes = ctx.notes(item.notes)
        if notes:
            observation["note"] = notes
    return observation


def _times(ctx: Context, obr: Segment) -> Resource:
    """Return the times of an order's results, for those that do not say their own."""
    times = {"effectiveDateTime": ctx.date_time(obr, 7), "issued": ctx.instant(obr, 22)}
    return {element: time for element, time in times.items() if time}


def _default_category(code: Resource, obr: Segment | None) -> str:
    """Return the category of a result whose order does not say one."""
    known = {coding["code"] for coding in code.get("coding", ())}
    return "vital-signs" if known & _VITAL_SIGNS else "laboratory" if obr is not None else "exam"


@cache
def _category_of(code: str) -> list[Resource]:
    return [{"coding": [{"system": CATEGORY, "code": code}]}]


def _another_id(ctx: Context, local: str) -> str:
    for number in count():
        candidate = ctx.ids.of("Observation", f"{local}|{number}" if number else local)
        if not ctx.has("Observation", candidate):
            return candidate
    raise AssertionError("unreachable")
