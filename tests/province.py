"""What hospitals say they recorded (their control totals) beside what their records come to."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

Resource = dict[str, Any]
# (facility, day, kind of control total) -> fen
Sums = dict[tuple[str, str, str], int]

_AMOUNT = {"ChargeItem": "priceOverride", "Invoice": "totalGross"}
KIND_OF = {"ChargeItem": "charges", "Invoice": "settlements", "Encounter": "visits", "Patient": "patients"}


def parse(text: str | bytes) -> Any:
    """Return JSON with its numbers as they are written."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def facility_of(resource: Resource) -> str:
    """Return the hospital whose number a resource has."""
    systems = (identifier.get("system", "") for identifier in resource.get("identifier", ()))
    return next(found[1] for system in systems if (found := re.match(r"urn:hie:(H\d\d):", system)))


def _fen(value: Decimal) -> int:
    fen = value * 100
    assert fen == int(fen), f"{value} is no whole number of fen"
    return int(fen)


def _day(resource: Resource) -> str:
    """Return the day a hospital books a sum on: its accounting date, else its own calendar's day."""
    dates = [
        extension["valueDate"] for extension in resource.get("extension", ()) if "valueDate" in extension
    ]
    return str((dates or [resource.get("occurrenceDateTime") or resource.get("date")])[0])[:10]


def recorded(resources: Iterable[Resource]) -> Sums:
    """Return the sums of all charge lines and settlements by facility and day."""
    sums: Sums = defaultdict(int)
    for resource in resources:
        if field := _AMOUNT.get(resource["resourceType"]):
            key = (facility_of(resource), _day(resource), KIND_OF[resource["resourceType"]])
            sums[key] += _fen(resource[field]["value"])
    return dict(sums)


def counted(resources: Iterable[Resource]) -> Counter[tuple[str, str]]:
    """Return how many charge lines, settlements, visits and patients each facility has."""
    return Counter(
        (facility_of(resource), KIND_OF[resource["resourceType"]])
        for resource in resources
        if resource["resourceType"] in KIND_OF and resource.get("status") != "cancelled"
    )


def _told(resources: Iterable[Resource]) -> Iterable[tuple[str, str, str, Resource]]:
    """Yield facility, day, kind and group of the control totals of whole days, categories left out."""
    for resource in resources:
        if resource["resourceType"] != "MeasureReport":
            continue
        (group,) = resource["group"]
        codings = group["code"]["coding"]
        if len(codings) == 1:
            yield facility_of(resource), resource["period"]["start"], codings[0]["code"], group


def told_sums(resources: Iterable[Resource]) -> Sums:
    """Return the sums that hospitals say they have, by facility and day."""
    return {
        (facility, day, kind): _fen(group["measureScore"]["value"])
        for facility, day, kind, group in _told(resources)
        if "measureScore" in group
    }


def told_counts(resources: Iterable[Resource]) -> Counter[tuple[str, str]]:
    """Return the counts that hospitals say they have."""
    counts: Counter[tuple[str, str]] = Counter()
    for facility, _, kind, group in _told(resources):
        if kind in KIND_OF.values():
            counts[facility, kind] += int(group["population"][0]["count"])
    return counts
