"""Field maps as data: which field of a segment becomes which element, by which converter.

A map is a tuple of rows. `compile_rows` turns it into a flat plan once, `fill` applies the plan to a segment.
The same rows are printed in docs/interfaces-hl7v2.md, so a mapping is changed in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from front_end_processor.adapters.hl7v2.er7 import Segment
from front_end_processor.normalise.hl7v2.context import Context, Resource

Convert = Callable[[Context, Segment, int], Any]


class Row(NamedTuple):
    """One mapping. source: `PID-5`; element: `name`, `hospitalization.admitSource`, `participant[]` (add to).

    The converter is called only where the field holds something, and gives None where nothing can be made
    of it.
    """

    source: str
    element: str
    convert: Convert


Plan = tuple[tuple[int, Convert, tuple[str, ...], str, bool], ...]


def compile_rows(rows: Iterable[Row]) -> Plan:
    """Return the plan of a map: field number, converter, path of parents, last element, is it added to."""
    plan = []
    for row in rows:
        *parents, last = row.element.removesuffix("[]").split(".")
        plan.append((int(row.source[4:]), row.convert, tuple(parents), last, row.element.endswith("[]")))
    return tuple(plan)


def fill(ctx: Context, segment: Segment, resource: Resource, plan: Plan) -> None:
    """Put into a resource what a segment says."""
    fields = segment.fields
    count = len(fields)
    for number, convert, parents, last, adds in plan:
        if number >= count or not fields[number] or fields[number] == '""':
            continue
        value = convert(ctx, segment, number)
        if value is None or value == []:
            continue
        target = resource
        for parent in parents:
            target = target.setdefault(parent, {})
        if not adds:
            target[last] = value
        elif isinstance(value, list):
            target.setdefault(last, []).extend(value)
        else:
            target.setdefault(last, []).append(value)
