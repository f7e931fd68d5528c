"""Dates as FHIR writes them (year, month, day or instant), made comparable."""

from __future__ import annotations

from datetime import date, datetime, tzinfo

from hie.repository.dates import EARLIEST, LAST_YEAR, span

# Where a date is not known, or is the first there is: some systems write that for "not known".
LONG_AGO = EARLIEST
# Where a date is the last there is: systems write that for an end that is open.
FAR_OFF = LAST_YEAR[0]
_DAY = 10


def instant(text: str | None, zone: tzinfo) -> datetime:
    """Return the instant at which a FHIR date, dateTime or instant begins in `zone`; else LONG_AGO."""
    found = span(text, zone) if text else None
    return found[0] if found else LONG_AGO


def written(text: str | None, zone: tzinfo) -> str:
    """Return a FHIR date as people write it: to the precision it has, in `zone`; empty if there is none."""
    if not text:
        return ""
    moment = instant(text, zone)
    if len(text) <= _DAY or moment in (LONG_AGO, FAR_OFF):
        return text[:_DAY]
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M}"


def age_years(born: date, today: date) -> int:
    """Return the completed years of age on `today`."""
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))
