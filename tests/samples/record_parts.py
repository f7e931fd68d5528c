"""Resources of a person as two hospitals send them, gathered for the pure functions of the look-up."""

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from hie.services.lookup.sources import Holdings, Source, gather

ZONE = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
TODAY = date(2026, 11, 21)


def hold(*resources: dict[str, Any]) -> Holdings:
    """Return the holdings of a person known to two hospitals as a and b."""
    sources = [Source("a", "H01"), Source("b", "H02")]
    return gather(sources, [orjson.dumps(resource) for resource in resources], ZONE)


def of(resource_type: str, who: str = "a", **content: Any) -> dict[str, Any]:
    """Return a resource about a source record."""
    subject = "patient" if resource_type == "AllergyIntolerance" else "subject"
    return {"resourceType": resource_type, "id": "x", subject: {"reference": f"Patient/{who}"}, **content}


def glucose(value: float, at: str, who: str = "a", **content: Any) -> dict[str, Any]:
    """Return a glucose result."""
    made = {
        "id": f"g-{who}-{at}",
        "status": "final",
        "category": [{"coding": [{"code": "laboratory"}]}],
        "code": {"text": "葡萄糖", "coding": [{"system": "http://loinc.org", "code": "14749-6"}]},
        "effectiveDateTime": at,
        "valueQuantity": {"value": value, "unit": "mmol/L"},
    }
    return of("Observation", who, **(made | content))
