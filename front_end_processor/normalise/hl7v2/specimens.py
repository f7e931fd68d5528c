"""SPM and OBR-15 -> Specimen."""

from __future__ import annotations

from front_end_processor.adapters.hl7v2.er7 import Segment
from front_end_processor.normalise.hl7v2 import datatypes as dt
from front_end_processor.normalise.hl7v2.context import Context, Resource
from front_end_processor.normalise.hl7v2.groups import Group
from front_end_processor.normalise.hl7v2.rows import Row, compile_rows, fill


def _collected(ctx: Context, segment: Segment, field: int) -> Resource | None:
    """DR: when it was taken, as a Period where an end is given."""
    begin = ctx.moment(segment.get(field, 1), f"SPM-{field}")
    return {"collectedDateTime": begin.text} if begin else None


SPECIMEN = (
    Row("SPM-4", "type", dt.concept("specimen_type")),
    Row("SPM-17", "collection", _collected),
    Row("SPM-8", "collection.bodySite", dt.concept("body_site")),
    Row("SPM-7", "collection.method", dt.concept("collection_method")),
    Row("SPM-18", "receivedTime", dt.date_time),
    Row("SPM-21", "condition[]", dt.concept("specimen_condition")),
)
_SPECIMEN = compile_rows(SPECIMEN)


def specimens(ctx: Context, group: Group) -> list[Resource]:
    """Add the Specimens of an order and return references to them."""
    if group.specimens:
        return [
            reference for reference in (_from_spm(ctx, spm, group) for spm in group.specimens) if reference
        ]
    reference = _from_obr(ctx, group) if group.obr is not None and group.obr.raw(15) else None
    return [reference] if reference else []


def _from_spm(ctx: Context, spm: Segment, group: Group) -> Resource | None:
    number_field = spm.first(2)
    number = (number_field[1] or number_field[2]) if number_field else ""
    order = group.filler or group.placer
    type_ = spm.get(4)
    local = number or (f"{order}|{type_}" if order else "")
    if not local:
        ctx.warn("SPM-2: no specimen number and no order number, left out")
        return None
    return _add(ctx, local, number, spm, None)


def _from_obr(ctx: Context, group: Group) -> Resource | None:
    """OBR-15 (before v2.5): its first component is the type, with the code in subcomponents."""
    obr = group.obr
    repeat = obr.first(15) if obr else None
    order = group.filler or group.placer
    if obr is None or repeat is None or not order:
        return None
    code, name, system = repeat.sub(1, 1), repeat.sub(1, 2), repeat.sub(1, 3)
    shown = name or code or repeat[3]
    if not shown:
        return None
    type_: Resource = {"text": shown}
    if code and name:
        type_["coding"] = [
            {"system": ctx.meanings.system(system, "specimen_type"), "code": code, "display": name}
        ]
    return _add(ctx, f"{order}|{code or shown}", "", obr, type_)


def _add(ctx: Context, local: str, number: str, segment: Segment, type_: Resource | None) -> Resource:
    resource: Resource = {
        "resourceType": "Specimen",
        "id": ctx.ids.of("Specimen", local),
        "subject": ctx.patient,
    }
    if number:
        resource["identifier"] = [ctx.identifier("specimen", number)]
    if type_ is not None:
        resource["type"] = type_
        received = ctx.date_time(segment, 14)
        if received:
            resource["receivedTime"] = received
    else:
        fill(ctx, segment, resource, _SPECIMEN)
    ctx.add(resource)
    return {"reference": f"Specimen/{resource['id']}"}
