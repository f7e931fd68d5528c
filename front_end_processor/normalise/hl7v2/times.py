"""HL7 v2 dates and times (DT, TM, TS, DTM) -> FHIR dates; a time without offset is in the hospital's zone."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

_STAMP = re.compile(
    r"(\d{4})(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:\.(\d{1,9}))?)?)?)?)?)?\s*([+-]\d{4}|Z)?\Z",
    re.ASCII,
)
_SEPARATED = re.compile(
    r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[ T](\d{1,2}):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?\s*"
    r"([+-]\d\d:?\d\d|Z)?\Z",
    re.ASCII,
)
_TIME = re.compile(r"([01]\d|2[0-3]):?([0-5]\d)(?::?([0-5]\d)(\.\d{1,6})?)?(?:[+-]\d{4})?\Z", re.ASCII)
_MAX_OFFSET_MIN = 14 * 60


class Moment(NamedTuple):
    """A point in time as FHIR writes it: `date` (to the day or coarser), `text` (dateTime), `instant`.

    text has the precision that was sent; instant is None where it was coarser than the day.
    """

    date: str
    text: str
    instant: datetime | None
    is_timed: bool


@lru_cache(maxsize=65536)
def parse(sent: str, zone: ZoneInfo) -> Moment | None:  # noqa: PLR0911 - ways of being no time
    """Return what a time stamp means; None if there is no such time.

    Accepts HL7 precision from the year on, and the separated forms that some systems send instead.
    """
    match = _STAMP.match(sent) or _SEPARATED.match(sent)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    try:
        base = datetime(  # noqa: DTZ001 - the zone is added below
            int(year),
            int(month or 1),
            int(day or 1),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            int((fraction or "0")[:6].ljust(6, "0")),
        )
    except ValueError:
        return None
    if month is None:
        return Moment(year, year, None, False)
    if day is None:
        text = f"{year}-{month}"
        return Moment(text, text, None, False)
    date = f"{year}-{int(month):02}-{int(day):02}"
    if offset and offset != "Z":
        minutes = int(offset[1:3]) * 60 + int(offset[-2:])
        if minutes > _MAX_OFFSET_MIN or int(offset[-2:]) > 59:
            return None
        instant = base.replace(tzinfo=timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes)))
    else:
        instant = base.replace(tzinfo=timezone.utc if offset else zone)  # noqa: UP017
    try:
        instant.timestamp()
    except (OverflowError, ValueError):
        return None
    if hour is None:
        return Moment(date, date, instant, False)
    shift = instant.utcoffset() or timedelta()
    if shift.seconds % 60:  # local mean time of long ago: FHIR has no seconds in an offset
        return Moment(date, date, instant, False)
    fraction_text = f".{fraction}" if fraction and int(fraction) else ""
    sign, total = ("-", -shift) if shift < timedelta() else ("+", shift)
    hours, rest = divmod(int(total.total_seconds()) // 60, 60)
    text = f"{date}T{int(hour):02}:{minute or '00'}:{second or '00'}{fraction_text}{sign}{hours:02}:{rest:02}"
    return Moment(date, text, instant, True)


def parse_time(sent: str) -> str | None:
    """Return a time of day as FHIR writes it (hh:mm:ss); None if there is no such time."""
    match = _TIME.match(sent)
    if match is None:
        return None
    hour, minute, second, fraction = match.groups()
    return f"{hour}:{minute}:{second or '00'}{fraction or ''}"
