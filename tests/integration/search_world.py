"""Helpers of the search tests: keep resources, ask, and get ids."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.orm import Session

from hie.repository import store
from hie.repository.search import Search, search
from hie.repository.writes import Write

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Shanghai")
LOINC = "http://loinc.org"
EVERYBODY = sa.true()
UCUM = "http://unitsofmeasure.org"


def keep(session: Session, *resources: dict[str, Any]) -> None:
    """Write resources as a facility sends them."""
    store.write(session, [Write("put", r["resourceType"], r["id"], r, "H01") for r in resources], NOW)


def ids(session: Session, type_: str, *params: tuple[str, str]) -> set[str]:
    """Return the ids that a strict search finds, by a statement of its own and by one kept for its shape."""
    how = Search(session, EVERYBODY, ZONE, b"k", NOW)
    found = search(how, type_, params, strict=True).matches
    assert search(replace(how, is_kept=True), type_, params, strict=True).matches == found
    return {id_ for _, id_, _ in found}


def observation(id_: str, code: str, **more: Any) -> dict[str, Any]:
    """Return an Observation of a LOINC code."""
    return {
        "resourceType": "Observation",
        "id": id_,
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": code}]},
        "subject": {"reference": "Patient/p1"},
    } | more


def quantity(value: Any, unit: str = "", system: str = UCUM, **more: Any) -> dict[str, Any]:
    """Return a Quantity in a unit."""
    coded = {"system": system, "code": unit, "unit": unit} if unit else {}
    return {"value": value} | coded | more
