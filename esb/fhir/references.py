"""What a resource points at and whose it is (FHIR R4 references.html, compartmentdefinition.html)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from esb.fhir.definitions import load

Resource = dict[str, Any]

# Where `reference` is a plain address: Immunization.education, Expression, DetectedIssue.
_PLAIN = frozenset(
    {"education", "resourceType", "language", "expression", "publicationDate", "presentationDate"}
)
# Other elements that a transaction rewrites when they name an entry by its urn (http.html#trules).
_ADDRESSES = frozenset({"url", "uri", "valueUri", "valueUrl", "valueUuid", "valueOid"})
_PATIENT = re.compile(r"(?:.*/)?(Patient/[A-Za-z0-9.-]{1,64})(?:/_history/[A-Za-z0-9.-]{1,64})?")


def patient_of(resource: Resource) -> str | None:
    """Return the patient a resource belongs to: "Patient/x", or the "urn:uuid:..." of one in the same Bundle.

    A resource that is in nobody's compartment, or in several people's (Group, Person), has none.
    """
    type_ = resource.get("resourceType")
    if type_ == "Patient":
        return f"Patient/{resource['id']}" if "id" in resource else None
    for steps, is_owner in _compartment().get(str(type_), ()):
        for reference in _at(resource, steps):
            if patient := _patient(reference, is_owner):
                return patient
    return None


def references(resource: Any, key: str = "") -> Iterator[tuple[dict[str, Any], str]]:
    """Yield every literal reference, in contained resources too, as (its Reference object, its value).

    Internal ones ("#x") and conditional ones ("Patient?identifier=...") are among them.
    """
    if isinstance(resource, dict):
        value = resource.get("reference")
        if isinstance(value, str) and key not in _PLAIN and _PLAIN.isdisjoint(resource):
            yield resource, value
        for name, child in resource.items():
            if isinstance(child, (dict, list)):
                yield from references(child, name)
    elif isinstance(resource, list):
        for child in resource:
            if isinstance(child, (dict, list)):
                yield from references(child, key)


def rewrite(resource: Resource, mapping: Mapping[str, str]) -> int:
    """Replace in place the references, and the addresses that are urns, found in a mapping; return how many.

    Source: FHIR R4 http.html#trules. A fragment behind the address ("urn:uuid:...#x") is kept.
    """
    changed = 0
    for container, value in references(resource):
        if value in mapping:
            container["reference"] = mapping[value]
            changed += 1
    return changed + _rewrite_addresses(resource, mapping)


def _rewrite_addresses(node: Any, mapping: Mapping[str, str]) -> int:
    changed = 0
    if isinstance(node, dict):
        for key, value in node.items():
            if isinstance(value, (dict, list)):
                changed += _rewrite_addresses(value, mapping)
            elif key in _ADDRESSES and isinstance(value, str) and value.startswith("urn:"):
                address, sharp, fragment = value.partition("#")
                if address in mapping:
                    node[key] = mapping[address] + sharp + fragment
                    changed += 1
    elif isinstance(node, list):
        for child in node:
            if isinstance(child, (dict, list)):
                changed += _rewrite_addresses(child, mapping)
    return changed


@cache
def _compartment() -> dict[str, tuple[tuple[tuple[str, ...], bool], ...]]:
    published = load("patient_compartment")
    return {
        type_: tuple((tuple(r["steps"]), r["owner"]) for r in found) for type_, found in published.items()
    }


def _at(node: Any, steps: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    if isinstance(node, list):
        for child in node:
            yield from _at(child, steps)
    elif isinstance(node, dict):
        if not steps:
            yield node
        elif steps[0] in node:
            yield from _at(node[steps[0]], steps[1:])


def _patient(reference: dict[str, Any], is_owner: bool) -> str | None:
    value = reference.get("reference")
    if not isinstance(value, str):
        return None
    if match := _PATIENT.fullmatch(value):
        return match[1]
    if value.startswith("urn:") and (
        reference.get("type") == "Patient" or (is_owner and "type" not in reference)
    ):
        return value
    return None
