"""FHIR dates as half-open ranges of instants; a day without an offset is a day in the region's zone."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Any

EARLIEST = datetime(1, 1, 2, tzinfo=UTC)
LATEST = datetime(9999, 12, 30, tzinfo=UTC)
Range = tuple[datetime, datetime]
# The first and the last year there are stand for no beginning and no end: a day each, so that dates in them
# are found, and nothing reaches beyond what every time zone can show.
FIRST_YEAR: Range = EARLIEST, EARLIEST + timedelta(days=1)
LAST_YEAR: Range = LATEST - timedelta(days=1), LATEST

SHAPE = re.compile(
    r"(\d{4})(?:-(\d{2})(?:-(\d{2})(?:T(\d{2}):(\d{2})(?::(\d{2})(\.\d+)?)?(Z|[+-]\d{2}:\d{2})?)?)?)?",
    re.ASCII,
)


@lru_cache(maxsize=20_000)
def span(text: str, zone: tzinfo) -> Range | None:
    """Return the instants [from, to) that a FHIR date, dateTime or instant covers, or None if it is none."""
    found = SHAPE.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, offset = found.groups()
    try:
        tz = _zone(offset) if offset else zone
        at = datetime(int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0), tzinfo=tz)
        if at.year in (EARLIEST.year, LATEST.year):
            return FIRST_YEAR if at.year == EARLIEST.year else LAST_YEAR
        at += timedelta(seconds=min(int(second or 0), 59))
        if fraction:
            at += timedelta(microseconds=int(fraction[1:7].ljust(6, "0")))
            return at.astimezone(UTC), (at + timedelta(milliseconds=1)).astimezone(UTC)
        return at.astimezone(UTC), _end(at, month, day, hour, second).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _end(at: datetime, month: str | None, day: str | None, hour: str | None, second: str | None) -> datetime:
    if second:
        return at + timedelta(seconds=1)
    if hour:
        return at + timedelta(minutes=1)
    if day:
        following = at.replace(tzinfo=None) + timedelta(days=1)
        return following.replace(tzinfo=at.tzinfo)
    if month:
        return at.replace(year=at.year + at.month // 12, month=at.month % 12 + 1)
    return at.replace(year=at.year + 1)


def _zone(offset: str) -> tzinfo:
    if offset == "Z":
        return UTC
    sign = -1 if offset[0] == "-" else 1
    return timezone(sign * timedelta(hours=int(offset[1:3]), minutes=int(offset[4:6])))


def span_of(value: Any, zone: tzinfo) -> Range | None:
    """Return the range an element covers: a date, a Period, or the outer limits of a Timing."""
    if isinstance(value, str):
        return span(value, zone)
    if not isinstance(value, dict):
        return None
    if "start" in value or "end" in value:
        start = span_of(value.get("start"), zone)
        end = span_of(value.get("end"), zone)
        if start or end:
            return (start[0] if start else EARLIEST), (end[1] if end else LATEST)
        return None
    inner = [span_of(event, zone) for event in value.get("event") or ()]
    repeat = value.get("repeat")
    if isinstance(repeat, dict):
        inner.append(span_of(repeat.get("boundsPeriod"), zone))
    ranges = [found for found in inner if found]
    if not ranges:
        return None
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def first_of(resource: dict[str, Any], *paths: str) -> str | None:
    """Return the first date found at `paths`; a Period gives its start, else its end."""
    for path in paths:
        value = resource.get(path)
        if isinstance(value, dict):
            value = value.get("start") or value.get("end")
        if isinstance(value, str):
            return value
    return None
