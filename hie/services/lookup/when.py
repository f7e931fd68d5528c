"""Dates as FHIR writes them (year, month, day or instant), made comparable."""

from __future__ import annotations

from datetime import UTC, date, datetime, tzinfo
from typing import Any

LONG_AGO = datetime(1, 1, 2, tzinfo=UTC)
_DAY, _MONTH, _YEAR = 10, 7, 4


def instant(text: str | None, zone: tzinfo) -> datetime:
    """Return the instant at which a FHIR date, dateTime or instant begins in `zone`; else LONG_AGO."""
    if not text:
        return LONG_AGO
    try:
        if len(text) > _DAY:
            moment = datetime.fromisoformat(text)
            return moment if moment.tzinfo else moment.replace(tzinfo=zone)
        padded = text + {_YEAR: "-01-01", _MONTH: "-01"}.get(len(text), "")
        return datetime.fromisoformat(padded).replace(tzinfo=zone)
    except ValueError:
        return LONG_AGO


def written(text: str | None, zone: tzinfo) -> str:
    """Return a FHIR date as people write it: to the precision it has, in `zone`; empty if there is none."""
    if not text:
        return ""
    if len(text) <= _DAY:
        return text
    moment = instant(text, zone)
    return text if moment == LONG_AGO else f"{moment.astimezone(zone):%Y-%m-%d %H:%M}"


def first_of(resource: dict[str, Any], *paths: str) -> str | None:
    """Return the first date found at `paths`; a Period gives its start, else its end."""
    for path in paths:
        value = resource.get(path)
        if isinstance(value, dict):
            value = value.get("start") or value.get("end")
        if isinstance(value, str):
            return value
    return None


def age_years(born: date, today: date) -> int:
    """Return the completed years of age on `today`."""
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))
