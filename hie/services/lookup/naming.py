"""A Patient's name in one piece (FHIR HumanName)."""

from __future__ import annotations

from typing import Any


def name_of(patient: dict[str, Any]) -> str:
    """Return a Patient's name as written; put together from its parts where only these are given."""
    for name in patient.get("name") or ():
        if name.get("text"):
            return str(name["text"])
        given, family = " ".join(name.get("given") or ()), str(name.get("family", ""))
        if given or family:
            return f"{given} {family}".strip() if (given + family).isascii() else family + given
    return ""
