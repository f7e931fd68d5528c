"""Converters of HL7 v2 data types (XPN, XAD, XTN, XCN, PL, CX, EI, CQ, CP) to FHIR data types."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

from front_end_processor.adapters.hl7v2.er7 import Repeat, Segment
from front_end_processor.normalise.hl7v2 import numbers
from front_end_processor.normalise.hl7v2.context import Context, Resource
from front_end_processor.normalise.hl7v2.rows import Convert

_CACHE_SIZE = 5000
UCUM = "http://unitsofmeasure.org"
_HAN = re.compile(r"[\u3400-\u9fff\U00020000-\U0003ffff]")
_MOBILE = re.compile(r"(?:\+?86[- ]?)?1[3-9]\d{9}\Z")
_TELECOM_USE = {"PRN": "home", "ORN": "home", "VHN": "home", "WPN": "work", "PRS": "mobile", "NET": ""}
_TELECOM_SYSTEM = {"FX": "fax", "BP": "pager", "INTERNET": "email", "X.400": "email"}
_ADDRESS_USE = {"H": "home", "HP": "home", "HV": "home", "P": "home", "O": "work", "B": "work", "C": "temp"}


def is_han(text: str) -> bool:
    """Does a text hold Han characters?"""
    return _HAN.search(text) is not None


# -- plain values


def text(ctx: Context, segment: Segment, field: int) -> str | None:
    """A text, repetitions on lines of their own."""
    return segment.text(field) or None


def first_text(ctx: Context, segment: Segment, field: int) -> str | None:
    """The first component of the first repetition."""
    return segment.get(field) or None


def date_time(ctx: Context, segment: Segment, field: int) -> str | None:
    """A dateTime with the precision that was sent."""
    return ctx.date_time(segment, field)


def date(ctx: Context, segment: Segment, field: int) -> str | None:
    """A date with the precision that was sent."""
    return ctx.date(segment, field)


def instant(ctx: Context, segment: Segment, field: int) -> str | None:
    """An instant."""
    return ctx.instant(segment, field)


def concept(table: str) -> Convert:
    """A CodeableConcept; local codes are looked up in a table of the profile."""

    def convert(ctx: Context, segment: Segment, field: int) -> Resource | None:
        return ctx.concept(segment, field, table)

    convert.__doc__ = f"CodeableConcept ({table})"
    return convert


def concepts(table: str) -> Convert:
    """All repetitions as CodeableConcepts."""

    def convert(ctx: Context, segment: Segment, field: int) -> list[Resource]:
        return ctx.concepts(segment, field, table)

    return convert


def code(table: str) -> Convert:
    """A code of a FHIR value set by a table of the profile; left out with a warning where it is not there."""

    def convert(ctx: Context, segment: Segment, field: int) -> str | None:
        found = ctx.code(table, segment.get(field), f"{segment.name}-{field}")
        return found.code or None if found else None

    return convert


def coded(table: str, system: str = "") -> Convert:
    """A CodeableConcept translated by a table; the code stays as it came where the table has none."""

    def convert(ctx: Context, segment: Segment, field: int) -> Resource | None:
        repeat = segment.first(field)
        sent = repeat[1] if repeat else ""
        found = ctx.profile.tables[table].get(sent.upper()) if sent else None
        if found is None or repeat is None:
            return ctx.concept_of(repeat, table) if repeat else None
        coding = {"system": found.system or system, "code": found.code}
        if found.display:
            coding["display"] = found.display
        return {"coding": [coding], "text": repeat[2] or sent}

    return convert


def first_of(convert: Convert) -> Convert:
    """The first of what another converter finds."""

    def one(ctx: Context, segment: Segment, field: int) -> Any:
        found = convert(ctx, segment, field)
        return found[0] if found else None

    return one


# -- people, places, addresses


def human_name(repeat: Repeat, uses: Any = None) -> Resource | None:
    """Return an XPN as a HumanName: text as written, Han names without spaces."""
    family, given, middle = repeat[1], repeat[2], repeat[3]
    whole = family + given
    if not whole:
        return None
    name: Resource = {}
    if is_han(whole):
        name["text"] = whole
        if family and given:
            name["family"] = family
            name["given"] = [given]
    elif not given and not middle:
        name["text"] = family
        if " " not in family:
            name["family"] = family
    else:
        suffix = repeat[4]
        pinyin = repeat[8] == "A" and not middle
        parts = (family, given) if pinyin else (given, middle, family, suffix)
        name["text"] = " ".join(part for part in parts if part)
        if family:
            name["family"] = family
        name["given"] = [part for part in (given, middle) if part]
        if not name["given"]:
            del name["given"]
        if suffix:
            name["suffix"] = [suffix]
        if repeat[5]:
            name["prefix"] = [repeat[5]]
    use = uses.get(repeat[7].upper()) if uses is not None and repeat[7] else None
    if use is not None and repeat[8] != "A":
        name["use"] = use.code
    return name


def names(ctx: Context, segment: Segment, field: int) -> list[Resource] | None:
    """HumanNames, the one in Han characters first."""
    uses = ctx.profile.tables["name_use"]
    found = [name for name in (human_name(r, uses) for r in segment.repeats(field)) if name]
    if len(found) > 1:
        found.sort(key=lambda name: not is_han(name["text"]))
    return found or None


def contact_points(repeats: list[Repeat], use: str) -> list[Resource]:
    """Return XTNs as ContactPoints."""
    points = []
    for repeat in repeats:
        kind = repeat[3].upper()
        system = _TELECOM_SYSTEM.get(kind, "phone")
        value = repeat[4] if repeat[4] and (system == "email" or not repeat[1]) else repeat[1] or repeat[12]
        if value and value == repeat[4]:
            system = "email"
        if not value and repeat[7]:
            value = "-".join(part for part in (repeat[5], repeat[6], repeat[7], repeat[8]) if part)
        if not value:
            continue
        if "@" in value:
            system = "email"
        mobile = kind == "CP" or (system == "phone" and _MOBILE.match(value))
        points.append(_point(system, value, "mobile" if mobile else _TELECOM_USE.get(repeat[2].upper(), use)))
    return points


def _point(system: str, value: str, use: str) -> Resource:
    point = {"system": system, "value": value}
    if use:
        point["use"] = use
    return point


def telecoms(use: str) -> Convert:
    """ContactPoints."""

    def convert(ctx: Context, segment: Segment, field: int) -> list[Resource]:
        return contact_points(segment.repeats(field), use)

    return convert


def address(repeat: Repeat) -> Resource | None:
    """Return an XAD as an Address; the text is as a letter would write it."""
    street, other, city, state = repeat.whole(1), repeat[2], repeat[3], repeat[4]
    postal, country, use, district = repeat[5], repeat[6], repeat[7], repeat[9]
    line = [part for part in (street, other) if part]
    if is_han("".join((street, other, city, state))):
        written = "".join(
            part for part in (state, city, district, *line) if part
        )  # from the large to the small
    else:
        written = ", ".join(part for part in (*line, city, state, postal, country) if part)
    if not written:
        return None
    found: Resource = {"text": written}
    if line:
        found["line"] = line
    for element, value in (
        ("city", city),
        ("district", district),
        ("state", state),
        ("postalCode", postal),
        ("country", country),
    ):
        if value:
            found[element] = value
    if _ADDRESS_USE.get(use.upper()):
        found["use"] = _ADDRESS_USE[use.upper()]
    return found


def addresses(ctx: Context, segment: Segment, field: int) -> list[Resource]:
    """Addresses."""
    return [found for found in (address(repeat) for repeat in segment.repeats(field)) if found]


def practitioner(ctx: Context, repeat: Repeat | None) -> Resource | None:
    """Return an XCN (or a bare name) as a logical reference: staff number and name."""
    return None if repeat is None else remembered(ctx.meanings.staff, repeat, _practitioner, ctx)


def remembered(
    known: dict[str, Resource | None],
    repeat: Repeat,
    make: Callable[[Context, Repeat], Resource | None],
    ctx: Context,
) -> Resource | None:
    """Return what was made of the same text before, or make it; at most _CACHE_SIZE are remembered."""
    try:
        return known[repeat.raw]
    except KeyError:
        if len(known) >= _CACHE_SIZE:
            known.clear()
        made = known[repeat.raw] = make(ctx, repeat)
        return made


def _practitioner(ctx: Context, repeat: Repeat) -> Resource | None:
    number, family, given = repeat.whole(1), repeat[2], repeat[3]
    if len(repeat) == 1:
        number, family = ("", number) if is_han(number) or " " in number else (number, "")
    whole = family + given if is_han(family + given) else " ".join(part for part in (given, family) if part)
    reference: Resource = {"type": "Practitioner"}
    if number:
        reference["identifier"] = {"system": ctx.ids.system("staff"), "value": number}
    if whole:
        reference["display"] = whole
    return reference if len(reference) > 1 else None


def practitioner_field(ctx: Context, segment: Segment, field: int) -> Resource | None:
    """Reference to a practitioner by staff number and name."""
    return practitioner(ctx, segment.first(field))


def practitioners(ctx: Context, segment: Segment, field: int) -> list[Resource]:
    """References to practitioners by staff number and name."""
    return [p for p in (practitioner(ctx, repeat) for repeat in segment.repeats(field)) if p]


def location(ctx: Context, repeat: Repeat | None) -> Resource | None:
    """Return a PL as a logical reference: ward, room and bed."""
    return None if repeat is None else remembered(ctx.meanings.places, repeat, _location, ctx)


def _location(ctx: Context, repeat: Repeat) -> Resource | None:
    parts = [part for part in (repeat[1], repeat[2], repeat[3]) if part]
    shown = repeat[9] or " ".join(parts) or repeat.sub(4, 1) or repeat[7]
    if not shown:
        return None
    reference: Resource = {"type": "Location", "display": shown}
    if parts:
        reference["identifier"] = {"system": ctx.ids.system("location"), "value": "/".join(parts)}
    return reference


# -- quantities


def unit_of(ctx: Context, segment: Segment, field: int) -> Resource:
    """Return the unit elements of a Quantity: as sent, and in UCUM where known."""
    repeat = segment.first(field)
    if repeat is None:
        return {}
    return unit(ctx, repeat)


def unit(ctx: Context, repeat: Repeat) -> Resource:
    """Return the unit elements of a Quantity from a CE; tolerates an unescaped `10^9/L`."""
    known = ctx.meanings.units
    found = known.get(repeat.raw)
    if found is None:
        if len(known) >= _CACHE_SIZE:
            known.clear()
        found = known[repeat.raw] = _unit(ctx, repeat)
    return found


def _unit(ctx: Context, repeat: Repeat) -> Resource:
    code_sent, shown = repeat.whole(1), repeat.whole(2)
    if code_sent.endswith("10") and shown[:1].isdigit():
        code_sent, shown = f"{code_sent}^{shown}", ""
    if not code_sent and not shown:
        return {}
    found: Resource = {"unit": shown or code_sent}
    if repeat[3].upper() in ("UCUM", UCUM) and code_sent and " " not in code_sent:
        return {"unit": shown or code_sent, "system": UCUM, "code": code_sent}
    units = ctx.profile.tables["units"]
    known = units.get(code_sent.upper()) or units.get(shown.upper())
    if known:
        found["system"], found["code"] = UCUM, known.code
    return found


def quantity(ctx: Context, segment: Segment, value: int, unit_field: int) -> Resource | None:
    """Return a Quantity of a number in one field and a unit in another."""
    amount = numbers.number(segment.get(value))
    if amount is None:
        return None
    return {"value": amount, **unit_of(ctx, segment, unit_field)}


def money(ctx: Context, sent: str, currency: str, *, negative: bool = False) -> Resource | None:
    """Return a Money with the digits sent; `negative` takes back what the line gave."""
    amount = numbers.digits(sent)
    if amount is None:
        return None
    if negative and not amount.startswith("-") and amount.strip("0."):
        amount = f"-{amount}"
    code_sent = currency.upper()
    if len(code_sent) != 3 or not code_sent.isalpha():
        code_sent = str(ctx.profile.hl7v2.get("currency") or "CNY")
    return {"value": numbers.as_written(amount), "currency": {"RMB": "CNY"}.get(code_sent, code_sent)}


# -- contents


def to_base64(content: bytes) -> str:
    """Return bytes as FHIR base64Binary."""
    return base64.b64encode(content).decode()


def checked_base64(sent: str) -> str:
    """Return base64 without line ends. Raises: ValueError if it is none."""
    plain = "".join(sent.split())
    try:
        base64.b64decode(plain, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
    return plain
