"""OBX-2, OBX-5, OBX-6 and OBX-7 -> Observation.value[x] and referenceRange, digits kept as sent."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from esb.fhir.invariants import is_in_order
from front_end_processor.adapters.hl7v2.er7 import NULL, Repeat, Segment
from front_end_processor.normalise.hl7v2 import datatypes as dt
from front_end_processor.normalise.hl7v2 import numbers
from front_end_processor.normalise.hl7v2.context import Context, Resource
from front_end_processor.normalise.hl7v2.times import parse_time

_COMPARED = re.compile(r"(<=|>=|<|>|≤|≥|＜|＞|=)\s*(.+)\Z")
_COMPARATORS = {"<": "<", ">": ">", "<=": "<=", ">=": ">=", "≤": "<=", "≥": ">=", "＜": "<", "＞": ">"}
_RANGE = re.compile(r"\(?\s*(-?[\d.]+)\s*(?:-{1,2}|~|～|—|–|―|至|to)\s*(-?[\d.]+)\s*\)?", re.IGNORECASE)
_BLANKS = re.compile(r"\s")
_CACHE_SIZE = 5000
Value = tuple[str, Any] | None


def value(ctx: Context, obx: Segment, type_: str) -> Value:
    """Return the element and content of a value of a type (OBX-2); None where there is none, or a file."""
    if obx.raw(5) in ("", NULL):
        return None
    return READERS.get(type_, _unknown)(ctx, obx)


def _text(ctx: Context, obx: Segment) -> Value:
    """ST, TX, FT: a text, repetitions on lines of their own."""
    sent = obx.text(5)
    return ("valueString", sent) if sent else None


def _unknown(ctx: Context, obx: Segment) -> Value:
    """A type that is not read: its content as text."""
    if obx.get(2):
        ctx.warn("OBX-2: value type is not read, kept as text")
    return _text(ctx, obx)


def _number(ctx: Context, obx: Segment) -> Value:
    """NM: a Quantity; `<5` becomes a comparator; what is no number stays text."""
    sent = obx.get(5)
    if obx.is_repeated(5) and len(obx.repeats(5)) != 1:
        sent = ""
    found = _compared(sent) if sent else None
    if found is None:
        ctx.warn("OBX-5: not one number, kept as text")
        return _text(ctx, obx)
    return "valueQuantity", {**found, **dt.unit_of(ctx, obx, 6)}


@lru_cache(maxsize=8192)
def _compared(sent: str) -> Resource | None:
    """Return value and comparator of a text like `5.20` or `<0.01`, not to be changed; None if it is none."""
    digits = numbers.number(sent)
    if digits is not None:
        return {"value": digits}
    match = _COMPARED.match(sent)
    if match is None:
        return None
    digits = numbers.number(match.group(2).strip())
    if digits is None:
        return None
    comparator = _COMPARATORS.get(match.group(1))
    return {"value": digits, "comparator": comparator} if comparator else {"value": digits}


def _structured(ctx: Context, obx: Segment) -> Value:
    """SN: `<^5` a Quantity, `^1^:^128` a Ratio, `^3^-^5` a Range, anything else text."""
    repeat = obx.first(5)
    if repeat is None:
        return None
    comparator, first, separator, second = repeat[1], repeat[2], repeat[3], repeat[4]
    one, two = numbers.number(first), numbers.number(second)
    unit = dt.unit_of(ctx, obx, 6)
    if one is not None and not separator and not second and comparator in ("", "=", *_COMPARATORS):
        quantity: Resource = {"value": one, **unit}
        if comparator in _COMPARATORS:
            quantity["comparator"] = _COMPARATORS[comparator]
        return "valueQuantity", quantity
    if one is not None and two is not None and not comparator:
        if separator == "-" and one <= two:
            return "valueRange", {"low": {"value": one, **unit}, "high": {"value": two, **unit}}
        if separator in (":", "/"):
            return "valueRatio", {"numerator": {"value": one}, "denominator": {"value": two}}
    ctx.warn("OBX-5: not one number, kept as text")
    written = comparator + first + separator + second
    return ("valueString", written) if written else None


def _coded(ctx: Context, obx: Segment) -> Value:
    """CE, CWE, CNE, CF: a CodeableConcept; several repetitions are its codings."""
    found = ctx.concepts(obx, 5, "result")
    if not found:
        return None
    if len(found) == 1:
        return "valueCodeableConcept", found[0]
    codings = [coding for concept in found for coding in concept.get("coding", ())]
    merged: Resource = {"text": "; ".join(concept["text"] for concept in found)}
    if codings:
        merged["coding"] = codings
    return "valueCodeableConcept", merged


def _identified(ctx: Context, obx: Segment) -> Value:
    """IS, ID: a code without a system."""
    return _coded(ctx, obx)


def _date_time(ctx: Context, obx: Segment) -> Value:
    """DT, TS, DTM: a dateTime; what is none stays text."""
    found = ctx.date_time(obx, 5)
    return ("valueDateTime", found) if found else _text(ctx, obx)


def _time(ctx: Context, obx: Segment) -> Value:
    """TM: a time of day."""
    found = parse_time(obx.get(5))
    return ("valueTime", found) if found else _text(ctx, obx)


def _composite(ctx: Context, obx: Segment) -> Value:
    """XCN, XPN, XAD, XTN, CX, EI, HD, PL: their parts as one line of text."""
    lines = []
    for repeat in obx.repeats(5):
        parts = [repeat.whole(number) for number in range(1, len(repeat) + 1)]
        lines.append(" ".join(part for part in parts if part))
    written = "\n".join(line for line in lines if line)
    return ("valueString", written) if written else None


def _period(ctx: Context, obx: Segment) -> Value:
    """DR: a Period."""
    begin = ctx.moment(obx.get(5, 1), "OBX-5")
    end = ctx.moment(obx.get(5, 2), "OBX-5")
    period = {}
    if begin:
        period["start"] = begin.text
    if end:
        period["end"] = end.text
    if not is_in_order(period.get("start"), period.get("end")):
        ctx.warn("OBX-5: ends before it begins, kept as text")
        return _text(ctx, obx)
    return ("valuePeriod", period) if period else None


def _range(ctx: Context, obx: Segment) -> Value:
    """NR: a Range."""
    unit = dt.unit_of(ctx, obx, 6)
    found = {}
    for element, component in (("low", 1), ("high", 2)):
        digits = numbers.number(obx.get(5, component))
        if digits is not None:
            found[element] = {"value": digits, **unit}
    if len(found) == 2 and found["low"]["value"] > found["high"]["value"]:
        ctx.warn("OBX-5: ends before it begins, kept as text")
        return _text(ctx, obx)
    return ("valueRange", found) if found else _text(ctx, obx)


def _elsewhere(ctx: Context, obx: Segment) -> Value:
    """ED, RP: a file; see attachment()."""
    return None


READERS: dict[str, Callable[[Context, Segment], Value]] = {
    "NM": _number,
    "SN": _structured,
    "ST": _text,
    "TX": _text,
    "FT": _text,
    "": _text,
    "CE": _coded,
    "CWE": _coded,
    "CNE": _coded,
    "CF": _coded,
    "IS": _identified,
    "ID": _identified,
    "DT": _date_time,
    "TS": _date_time,
    "DTM": _date_time,
    "TM": _time,
    "DR": _period,
    "NR": _range,
    "ED": _elsewhere,
    "RP": _elsewhere,
    **dict.fromkeys(
        ("XCN", "XPN", "XAD", "XTN", "XON", "CX", "EI", "HD", "PL", "CP", "MO", "CQ"), _composite
    ),
}
_CONTENT_TYPES = {
    "PDF": "application/pdf",
    "JPEG": "image/jpeg",
    "JPG": "image/jpeg",
    "PNG": "image/png",
    "GIF": "image/gif",
    "TIFF": "image/tiff",
    "DICOM": "application/dicom",
    "HTML": "text/html",
    "XML": "text/xml",
    "X-HL7-CDA-LEVEL-ONE": "text/xml",
    "RTF": "text/rtf",
    "TEXT": "text/plain",
    "PLAIN": "text/plain",
    "BASIC": "audio/basic",
    "OCTET-STREAM": "application/octet-stream",
    "WORD": "application/msword",
}


def attachment(ctx: Context, obx: Segment) -> Resource | None:
    """Return the file of an ED (its content) or RP (its address) as an Attachment."""
    repeat = obx.first(5)
    if repeat is None:
        return None
    if obx.get(2).upper() == "RP":
        address = _BLANKS.sub("%20", repeat.whole(1))  # a URL has no blanks, a path of Windows often
        found: Resource = {"url": address} if address else {}
    else:
        data = _data(ctx, repeat)
        found = {"data": data} if data else {}
    if not found:
        return None
    subtype = (repeat[3] if obx.get(2).upper() == "ED" else repeat[4] or repeat[3]).upper()
    kind = repeat[2].lower()
    content_type = _CONTENT_TYPES.get(subtype)
    if content_type is None and "/" in kind:
        content_type = kind
    found["contentType"] = content_type or "application/octet-stream"
    title = obx.get(3, 2) or obx.get(3)
    if title:
        found["title"] = title
    return found


def _data(ctx: Context, repeat: Repeat) -> str:
    """Return the content of an ED in base64, checked; empty where there is none that can be read."""
    content, encoding = repeat.whole(5), repeat[4].upper()
    if not content:
        return ""
    try:
        if encoding.startswith("HEX"):
            return dt.to_base64(bytes.fromhex(content))
        if encoding in ("BASE64", ""):
            return dt.checked_base64(content)
    except ValueError:
        ctx.warn("OBX-5: the file is not in the encoding it names, kept as text")
    return dt.to_base64(content.encode())


def reference_range(ctx: Context, obx: Segment) -> list[Resource] | None:
    """Return OBX-7 as text, with low and high where it is made of numbers."""
    known = ctx.meanings.ranges
    key = (obx.raw(7), obx.raw(6))
    found = known.get(key)
    if found is None:
        if len(known) >= _CACHE_SIZE:
            known.clear()
        found = known[key] = _reference_range(ctx, obx)
    return found or None


def _reference_range(ctx: Context, obx: Segment) -> list[Resource]:
    sent = obx.text(7)
    if not sent:
        return []
    low, high = _limits(sent)
    found: Resource = {"text": sent}
    if low or high:
        unit = dt.unit_of(ctx, obx, 6)
        if low:
            found["low"] = {"value": numbers.as_written(low), **unit}
        if high:
            found["high"] = {"value": numbers.as_written(high), **unit}
    return [found]


def _limits(sent: str) -> tuple[str, str]:
    """Return low and high of a range as printed; empty where there is none."""
    match = _RANGE.fullmatch(sent.strip())
    if match:
        return numbers.digits(match.group(1)) or "", numbers.digits(match.group(2)) or ""
    match = _COMPARED.match(sent.strip())
    if match:
        limit = numbers.digits(match.group(2).strip()) or ""
        comparator = _COMPARATORS.get(match.group(1), "")
        return ("", limit) if comparator.startswith("<") else (limit, "") if comparator else ("", "")
    return "", ""
