"""The one search box: what a doctor typed, told apart into a number or a name with a birth date."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date

from hie.errors import NotValid

DATE = re.compile(r"(?<!\d)(\d{4})(?:[-/.年](\d{1,2})[-/.月](\d{1,2})日?|(\d{2})(\d{2}))(?!\d)")
NUMBER = re.compile(r"(?=[^\s]*\d)[0-9A-Za-z][0-9A-Za-z/_-]{3,39}")
EARLIEST = date(1880, 1, 1)


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for: a number on a card, a name with a birth date, or (zs19650302) either of them."""

    number: str | None = None
    name: str | None = None
    birth_date: date | None = None


class Unclear(NotValid):
    """Give a number from a card, or a name together with the birth date."""


class NoSuchDay(Unclear):
    """There is no such birth date; write it as 1965-03-02, not later than today."""


def parse_query(text: str, today: date) -> Query:
    """Return what `text` asks for.

    A text with a date in it and letters or Han before or after is a name with a birth date, in any order;
    one word with digits is a number; full-width characters count as their usual form.

    Raises: Unclear if it is neither; NoSuchDay if its date is none that one can be born on.
    """
    text = unicodedata.normalize("NFKC", text).strip()
    found = DATE.search(text)
    compact = re.sub(r"(?<=\d) (?=[\dXx])", "", text)
    number = compact if NUMBER.fullmatch(compact) else None
    if number and re.fullmatch(r"\d{17}[xX]", number):
        number = number.upper()
    if found:
        rest = " ".join((text[: found.start()] + " " + text[found.end() :]).split())
        birth_date = _date(found)
        is_name = bool(rest) and not any(c.isdigit() for c in rest)
        if is_name and birth_date and EARLIEST <= birth_date <= today:
            return Query(number=number, name=rest, birth_date=birth_date)
        if is_name and not number:
            raise NoSuchDay
    if number:
        return Query(number=number)
    raise Unclear


def _date(found: re.Match[str]) -> date | None:
    year, month, day, month_compact, day_compact = found.groups()
    try:
        return date(int(year), int(month or month_compact), int(day or day_compact))
    except ValueError:
        return None
