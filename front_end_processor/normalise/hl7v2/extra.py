"""A hospital's own further fields of Patient and Encounter, from its profile (`hl7v2.fields`)."""

from __future__ import annotations

import re
from functools import lru_cache

from front_end_processor.normalise.hl7v2 import datatypes as dt
from front_end_processor.normalise.hl7v2.context import Context, Resource
from front_end_processor.normalise.hl7v2.rows import Convert, Plan, Row, compile_rows, fill
from front_end_processor.normalise.profile import BadProfile, Profile

CONVERTERS: dict[str, Convert] = {
    "text": dt.text,
    "code": dt.first_text,
    "date": dt.date,
    "dateTime": dt.date_time,
    "names": dt.names,
    "addresses": dt.addresses,
    "telecoms": dt.telecoms("home"),
    "practitioners": dt.practitioners,
}
_SOURCE = re.compile(r"[A-Z][A-Z0-9]{2}-\d+\Z")


@lru_cache(maxsize=32)
def plans(profile: Profile) -> dict[str, list[tuple[str, Plan]]]:
    """Return resource type -> (segment name, plan) of the profile's own rows. Raises: BadProfile."""
    found: dict[str, list[tuple[str, Plan]]] = {}
    for line in profile.hl7v2.get("fields") or ():
        source, target, kind = line.get("from", ""), line.get("to", ""), line.get("as", "text")
        type_, _, element = target.partition(".")
        if not _SOURCE.match(source) or type_ not in ("Patient", "Encounter") or not element:
            raise BadProfile("hl7v2.fields: write {from: ZPI-3, to: Patient.language, as: code}")
        if kind not in CONVERTERS and kind not in profile.tables:
            raise BadProfile(f"hl7v2.fields: `as: {kind}` is neither a converter nor a table of the profile")
        convert = CONVERTERS.get(kind) or dt.coded(kind)
        found.setdefault(type_, []).append((source[:3], compile_rows([Row(source, element, convert)])))
    return found


def fill_extra(ctx: Context, resource: Resource) -> None:
    """Put into a resource what the profile's own rows say."""
    for name, plan in plans(ctx.profile).get(resource["resourceType"], ()):
        segment = ctx.message.first(name)
        if segment is not None:
            fill(ctx, segment, resource, plan)
