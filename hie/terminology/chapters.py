"""The chapters of ICD-10 and ICD-9-CM-3: which categories each spans, and what it is called."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

ICD10 = "http://hl7.org/fhir/sid/icd-10"
ICD9_CM3 = "http://hl7.org/fhir/sid/icd-9-cm"
TABLES = {ICD10: "icd10_chapters.csv", ICD9_CM3: "icd9cm3_chapters.csv"}


@dataclass(frozen=True, slots=True)
class Chapter:
    """The categories from `first` to `last`."""

    first: str
    last: str
    display: str
    display_en: str

    @property
    def code(self) -> str:
        """Return the code as the classification writes it: I00-I99, or the category of a chapter of one."""
        return self.first if self.first == self.last else f"{self.first}-{self.last}"


@cache
def chapters(system: str) -> tuple[Chapter, ...]:
    """Return the chapters of a code system; none where it is not in chapters."""
    if system not in TABLES:
        return ()
    text = files("hie.terminology").joinpath(f"codes/{TABLES[system]}").read_text("utf-8")
    return tuple(Chapter(**row) for row in csv.DictReader(text.splitlines()))


@cache
def chapter_of(system: str, category: str) -> str | None:
    """Return the code of the chapter that a category belongs to."""
    found = (one.code for one in chapters(system) if one.first <= category <= one.last)
    return next(found, None)


def named(system: str, code: str) -> Chapter | None:
    """Return the chapter with a code."""
    return next((one for one in chapters(system) if one.code == code), None)
