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
_NODES = frozenset({dict, list})
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
    queue: list[tuple[str, Any]] = [(key, resource)]
    for name, node in queue:  # grows while it is read: no recursion, the tuples are those of the dicts
        if type(node) is list:
            queue += [(name, child) for child in node if type(child) in _NODES]
        elif type(node) is dict:
            if _is_reference(name, node):
                yield node, node["reference"]
            queue += [item for item in node.items() if type(item[1]) in _NODES]


def rewrite(resource: Resource, mapping: Mapping[str, str]) -> int:
    """Replace in place the references, and the addresses that are urns, found in a mapping; return how many.

    Source: FHIR R4 http.html#trules. A fragment behind the address ("urn:uuid:...#x") is kept.
    """
    changed = 0
    queue: list[tuple[str, Any]] = [("", resource)]
    for name, node in queue:
        if type(node) is list:
            queue += [(name, child) for child in node if type(child) in _NODES]
            continue
        if _is_reference(name, node) and node["reference"] in mapping:
            node["reference"] = mapping[node["reference"]]
            changed += 1
        for item in node.items():
            if type(item[1]) in _NODES:
                queue.append(item)
            elif item[0] in _ADDRESSES and type(item[1]) is str and item[1].startswith("urn:"):
                address, sharp, fragment = item[1].partition("#")
                if address in mapping:
                    node[item[0]] = mapping[address] + sharp + fragment
                    changed += 1
    return changed


def _is_reference(name: str, node: dict[str, Any]) -> bool:
    return type(node.get("reference")) is str and name not in _PLAIN and _PLAIN.isdisjoint(node)


@cache
def _compartment() -> dict[str, tuple[tuple[tuple[str, ...], bool], ...]]:
    published = load("patient_compartment")
    # Not in the published compartment, but treated as what its context is (FHIR R4 binary.html#security).
    published["Binary"] = [{"steps": ["securityContext"], "owner": True}]
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
