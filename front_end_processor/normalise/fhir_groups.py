"""The entries of a FHIR request, and which of them go out together: one group per patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from esb.fhir.references import patient_of, references

Resource = dict[str, Any]


@dataclass(slots=True)
class Item:
    """One entry on its way: where it stands in the request, what is asked, and which id it gets."""

    path: str
    method: str
    type: str
    requested: str
    full_url: str
    resource: Resource | None
    create_only: bool = False
    local: str = ""
    id: str = ""

    @property
    def target(self) -> str:
        """Its address, `Type/id`."""
        return f"{self.type}/{self.id}"


def by_patient(items: Sequence[Item]) -> list[tuple[str, list[Item]]]:
    """Return the items in one group per patient; what is nobody's goes with the first who points at it."""
    owner = {id(item): _owner(item) for item in items}
    patients = list(dict.fromkeys(key for key in owner.values() if key))
    if len(patients) < 2:
        return [(patients[0] if patients else "", list(items))]
    groups: dict[str, list[Item]] = {patient: [] for patient in patients}
    shared = {item.target: item for item in items if not owner[id(item)]}
    for item in items:
        if key := owner[id(item)]:
            _with_shared(item, groups[key], shared)
    groups[patients[0]] += shared.values()
    return list(groups.items())


def _with_shared(item: Item, group: list[Item], shared: dict[str, Item]) -> None:
    """Add an item to a group, before it what it points at and is still nobody's, and what that points at."""
    found = [item]
    for one in found:  # grows while it is read
        for _, value in references(one.resource or {}):
            if (target := shared.pop(value, None)) is not None:
                found.append(target)
    group += reversed(found)


def _owner(item: Item) -> str:
    if item.resource is None:
        return item.id if item.type == "Patient" else ""
    found = patient_of(item.resource) or ""
    return found.removeprefix("Patient/") if found.startswith("Patient/") else ""


def compose(group: Sequence[Item], patient: str) -> list[Resource]:
    """Return the entries of a group as they are sent, with a placeholder for a patient who is not in it."""
    entries: list[Resource] = []
    written: set[str] = set()
    for item in group:
        if item.target in written:
            continue
        written.add(item.target)
        request: Resource = {"method": "DELETE" if item.resource is None else "PUT", "url": item.target}
        if item.create_only:
            request["ifNoneMatch"] = "*"
        resource = {"resource": item.resource} if item.resource is not None else {}
        entries.append({**resource, "request": request})
    if patient and f"Patient/{patient}" not in written:
        placeholder = {"resourceType": "Patient", "id": patient}
        request = {"method": "PUT", "url": f"Patient/{patient}", "ifNoneMatch": "*"}
        entries.append({"resource": placeholder, "request": request})
    return entries
