"""A Period whose end is before its begin, as a slip of the pen makes it."""

from __future__ import annotations

from front_end_processor.normalise.hl7v2.context import Context, Resource


def check_period(ctx: Context, resource: Resource, begin_field: str, end_field: str) -> None:
    """Drop an end before the begin (FHIR per-1), with a warning, and an empty period."""
    period = resource.get("period")
    if period is None:
        return
    begin, end = period.get("start"), period.get("end")
    if begin and end and end[: len(begin)] < begin[: len(end)]:
        ctx.warn(f"{end_field}: earlier than {begin_field}, left out")
        del period["end"]
    if not period:
        del resource["period"]
