"""Search parameters of the region's own: names that clinical types are asked by and R4 gives to some only."""

from __future__ import annotations

from typing import Any

URL = "urn:hie:SearchParameter/"

# (type, name) -> the published parameter over the same element: it is found by that one's index.
SAME = {
    ("AllergyIntolerance", "status"): "clinical-status",
    ("AllergyIntolerance", "subject"): "patient",
    ("ChargeItem", "category"): "code",  # the coding of urn:hie:charge-category among the others
    ("ChargeItem", "date"): "occurrence",
    ("ChargeItem", "encounter"): "context",
    ("Condition", "date"): "onset-date",
    ("Condition", "status"): "clinical-status",
    ("DocumentReference", "code"): "type",
    ("Encounter", "code"): "type",
    ("Immunization", "code"): "vaccine-code",
    ("Immunization", "subject"): "patient",
}
# Over elements that no published parameter looks at.
OWN: tuple[dict[str, Any], ...] = (
    {"base": "AllergyIntolerance", "code": "encounter", "type": "reference", "target": ["Encounter"]},
    {"base": "ChargeItem", "code": "status", "type": "token"},
    {"base": "Immunization", "code": "encounter", "type": "reference", "target": ["Encounter"]},
)


def url_of(type_: str, code: str) -> str:
    """Return the canonical of a parameter of the region's own."""
    return f"{URL}{type_}-{code}"
