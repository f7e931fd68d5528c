"""Two source records side by side, field by field, as a data steward compares them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from esb.fhir.identifiers import is_facility_system
from hie.services.lookup.naming import name_of

SAME, DIFFERS, ONE_SIDED, OWN = "same", "differs", "one-sided", "own"


@dataclass(frozen=True, slots=True)
class Row:
    """A field of two records: both values and how they stand to each other."""

    field: str
    one: str
    other: str
    state: str


def compare(one: dict[str, Any], other: dict[str, Any]) -> list[Row]:
    """Return the fields of two Patients in the order they are compared; fields neither has are left out."""
    fields: dict[str, tuple[str, str]] = {
        "name": (name_of(one), name_of(other)),
        "gender": (str(one.get("gender", "")), str(other.get("gender", ""))),
        "birthDate": (str(one.get("birthDate", "")), str(other.get("birthDate", ""))),
    }
    ours, theirs = _identifiers(one), _identifiers(other)
    for kind in dict.fromkeys([*ours, *theirs]):
        fields[f"identifier:{kind}"] = (ours.get(kind, ""), theirs.get(kind, ""))
    fields["telecom"] = (_telecom(one), _telecom(other))
    fields["address"] = (_address(one), _address(other))
    return [
        Row(field, a, b, _state(a, b, is_local=is_facility_system(field.removeprefix("identifier:"))))
        for field, (a, b) in fields.items()
        if a or b
    ]


def differences(rows: Sequence[Row]) -> int:
    """Return how many fields differ."""
    return sum(row.state == DIFFERS for row in rows)


def _state(one: str, other: str, *, is_local: bool) -> str:
    """A hospital's own number says nothing against another hospital's: it is never a difference."""
    if one == other:
        return SAME
    if is_local:
        return OWN
    return DIFFERS if one and other else ONE_SIDED


def _identifiers(patient: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for identifier in patient.get("identifier") or ():
        system, value = str(identifier.get("system", "")), str(identifier.get("value", ""))
        if value:
            found[system] = "、".join(filter(None, [found.get(system, ""), value]))
    return found


def _telecom(patient: dict[str, Any]) -> str:
    values = dict.fromkeys(str(t["value"]) for t in patient.get("telecom") or () if t.get("value"))
    return "、".join(values)


def _address(patient: dict[str, Any]) -> str:
    for address in patient.get("address") or ():
        if address.get("text"):
            return str(address["text"])
        parts = [address.get(p, "") for p in ("state", "city", "district")] + list(address.get("line") or ())
        return "".join(str(part) for part in parts if part)
    return ""
