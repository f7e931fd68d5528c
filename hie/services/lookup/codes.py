"""Coded values: the words to show and the key that tells two of them alike (FHIR CodeableConcept)."""

from __future__ import annotations

import re
from typing import Any

ICD10 = re.compile(r"([A-Z]\d{2})(?:\.(\d))?")
LOINC = "http://loinc.org"


def words(concept: dict[str, Any] | None) -> str:
    """Return what a concept says: its text, else a display, else its code; empty if it says nothing."""
    if not concept:
        return ""
    if concept.get("text"):
        return str(concept["text"])
    codings = concept.get("coding") or ()
    for field in ("display", "code"):
        for coding in codings:
            if coding.get(field):
                return str(coding[field])
    return ""


def in_words(concept: dict[str, Any] | None) -> str:
    """Return what a concept says, unless that is a bare code: nobody reads `R`."""
    said, codings = words(concept), (concept or {}).get("coding") or ()
    if not said.isascii() or all(coding.get("code") != said for coding in codings):
        return said
    return next((str(coding["display"]) for coding in codings if coding.get("display")), "")


def display(concept: dict[str, Any] | None, system_part: str) -> str:
    """Return the display of the first coding whose system contains `system_part`; empty if there is none."""
    for coding in (concept or {}).get("coding") or ():
        if system_part in coding.get("system", "") and coding.get("display"):
            return str(coding["display"])
    return ""


def code(concept: dict[str, Any] | None, system_part: str = "") -> str:
    """Return the first code of a system whose name contains `system_part`; empty if there is none."""
    for coding in (concept or {}).get("coding") or ():
        if coding.get("code") and system_part in coding.get("system", ""):
            return str(coding["code"])
    return ""


def key(concept: dict[str, Any] | None) -> str:
    """Return a key under which concepts of several hospitals meet.

    A LOINC code counts most; an ICD-10 code counts to its first decimal (the national editions add more);
    a hospital's own code counts by its words, because two hospitals' own codes may mean different things.
    """
    for coding in (concept or {}).get("coding") or ():
        if coding.get("system") == LOINC and coding.get("code"):
            return "loinc|" + str(coding["code"])
    for coding in (concept or {}).get("coding") or ():
        if "icd" in coding.get("system", "").lower() and coding.get("code"):
            found = ICD10.match(str(coding["code"]))
            if found:
                return "icd|" + found[1] + (f".{found[2]}" if found[2] else "")
    for coding in (concept or {}).get("coding") or ():
        system = coding.get("system", "")
        if coding.get("code") and system and not system.startswith("urn:hie:"):
            return f"{system}|{coding['code']}"
    return "text|" + "".join(words(concept).split()).lower()


def status(resource: dict[str, Any], element: str) -> str:
    """Return the code of a status element, whether it is a code or a CodeableConcept."""
    value = resource.get(element)
    return code(value) if isinstance(value, dict) else str(value or "")


def local_id(reference: dict[str, Any] | str | None) -> str:
    """Return the id at the end of a reference: Patient/x/_history/2 gives x."""
    text = reference if isinstance(reference, str) else (reference or {}).get("reference", "")
    return str(text).split("/_history/")[0].rsplit("/", 1)[-1]
