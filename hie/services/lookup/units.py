"""Units of measure as hospitals write them, made comparable (UCUM); no value is converted."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
RAISED = re.compile(r"[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
POWER = re.compile(r"^(?:[x×*]\s*)?10(?:\^|\*\*|\*|e)(\d+)")


def unit_key(quantity: dict[str, Any]) -> str:
    """Return a key under which the same unit meets: ×10⁹/L, 10^9/L and 10*9/L; μmol/L and umol/L."""
    unit = str(quantity.get("unit") or quantity.get("code") or "")
    flat = RAISED.sub(lambda found: "^" + found[0].translate(SUPERSCRIPTS), unit)
    flat = unicodedata.normalize("NFKC", flat).replace("μ", "u").replace("µ", "u").lower().replace(" ", "")
    return POWER.sub(r"10*\1", flat)
