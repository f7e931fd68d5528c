"""HL7 v2 numbers (NM) -> numbers that JSON writes with the digits sent."""

from __future__ import annotations

import re
from decimal import Decimal

_JSON_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?\Z", re.ASCII)
_LOOSE_NUMBER = re.compile(r"([+-]?)0*(\d*)(\.\d*)?\Z", re.ASCII)
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?\Z", re.ASCII)


def digits(sent: str) -> str | None:
    """Return a number as JSON writes it, with exactly the digits sent; None if it is none.

    Forms that JSON does not know are written in its way: `.5`, `5.`, `+5`, `007`, `1,234`.
    """
    if len(sent) > 40:
        return None
    if _JSON_NUMBER.match(sent):
        return sent
    if "," in sent:
        if not _GROUPED.match(sent):
            return None
        sent = sent.replace(",", "")
    match = _LOOSE_NUMBER.match(sent)
    if match is None or not any(map(str.isdigit, sent)):
        return None
    sign, whole, fraction = match.groups()
    return (
        ("-" if sign == "-" else "") + (whole or "0") + (fraction if fraction and len(fraction) > 1 else "")
    )


class Written(Decimal):
    """A number that `Decimal` would write in another way than it was sent, such as `1e3`."""

    __slots__ = ("lexeme",)
    lexeme: str

    def __str__(self) -> str:
        return self.lexeme


def as_written(lexeme: str) -> Decimal:
    """Return a number that is written with exactly these digits."""
    number = Decimal(lexeme)
    if str(number) != lexeme:
        number = Written(lexeme)
        number.lexeme = lexeme
    return number


def number(sent: str) -> Decimal | None:
    """Return a number that is written with the digits sent; None if it is none."""
    written = digits(sent)
    return None if written is None else as_written(written)
