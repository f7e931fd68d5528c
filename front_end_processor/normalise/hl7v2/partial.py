"""A PID that says too little to be a snapshot: what it leaves out stays as it was.

Source: HL7 v2 chapter 2 (2.5.3): a field that is absent says nothing, `""` says that the value is gone.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from esb.fhir import bundles
from front_end_processor.adapters.hl7v2.er7 import Segment
from front_end_processor.normalise.hl7v2.context import Context, Resource
from front_end_processor.normalise.hl7v2.rows import Row

# One of them says that the other is gone, for an element has one type.
CHOICES = (("multipleBirthInteger", "multipleBirthBoolean"), ("deceasedDateTime", "deceasedBoolean"))
# Numbers are not taken away or replaced by a message that may end in the middle of them.
_LEFT_ALONE = frozenset(("resourceType", "id", "active", "identifier"))


def shortfall(ctx: Context, pid: Segment) -> str:
    """Return why a PID is no snapshot of the patient; empty if it is one."""
    if ctx.needs_visit and ctx.message.first("PV1") is None:
        return "PV1: no such segment, the message may be cut; what it leaves out of the patient is kept"
    if not (pid.raw(7) or pid.raw(8)):
        return "PID: ends before PID-7 and PID-8; what it leaves out of the patient is kept"
    return ""


def changes(pid: Segment, resource: Resource, rows: tuple[Row, ...], upto: int) -> list[Resource]:
    """Return the JSON Patch (RFC 6902) that says of a known Patient what the message says, and no more.

    An element that several fields fill is changed only where all of them are there.

    Args:
        upto: the last field that is believed: where a message was cut, the very last one may be half of it.
    """
    fields: defaultdict[str, list[int]] = defaultdict(list)
    for row in rows:
        fields[row.element.removesuffix("[]").partition(".")[0]].append(int(row.source[4:]))
    operations: list[Resource] = []
    for element, numbers in fields.items():
        if element not in resource and element not in _LEFT_ALONE and all(map(pid.is_null, numbers)):
            operations += _gone(element)
    for element, value in resource.items():
        if element in _LEFT_ALONE or not all(n <= upto and pid.raw(n) for n in fields[element]):
            continue
        operations.append(_put(element, value))
        for one, other in CHOICES:
            if element in (one, other):
                operations += _gone(other if element == one else one)
    return operations


def _put(element: str, value: Any) -> Resource:
    return {"op": "add", "path": f"/{element}", "value": value}


def _gone(element: str) -> list[Resource]:
    """Take an element away whether it is there or not: `remove` alone refuses what is not."""
    return [_put(element, None), {"op": "remove", "path": f"/{element}"}]


def add(ctx: Context, pid: Segment, resource: Resource, rows: tuple[Row, ...], active: bool | None) -> None:
    """Put the Patient into the bundle: whole where nobody knew it, else what is said of it."""
    ctx.add(resource, placeholder=True)
    is_last = ctx.needs_visit and ctx.message.segments[-1] is pid
    operations = changes(pid, resource, rows, len(pid.fields) - 1 - is_last)
    if active is not None:
        operations.append(_put("active", active))
    if operations:
        ctx.entries.append(bundles.patch_entry("Patient", str(resource["id"]), operations))
