"""Which id a resource of the hospital's own FHIR systems gets, and where references to it point.

In this order, so that a re-send and the other inlets of the hospital arrive at the same id:
1. An id of this processor (26 characters of base32hex), as an earlier answer gave it: as it is.
2. The hospital's own number where all inlets agree on one (patient, visit, order, charge, ...).
3. For people, places and organisations that are referenced by identifier: their first identifier.
4. The id the sending system uses (`PUT Type/id`, resource.id).
5. The first identifier; else the fullUrl; else the content.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl

from esb.fhir.lexemes import dumps
from esb.fhir.types import RESOURCE_TYPES
from front_end_processor.normalise.ids import Ids

Resource = dict[str, Any]
# (type, what the hospital calls it) -> id, from earlier messages; None if never seen
Resolve = Callable[[str, str], str | None]

# (type, what the hospital calls it) of many -> the ids of those seen in earlier messages
Recall = Callable[[Collection[tuple[str, str]]], Mapping[tuple[str, str], str]]

OWN_ID = re.compile(r"[0-9a-v]{26}")
_ID = r"[A-Za-z0-9.-]{1,64}"
_LITERAL = re.compile(rf"(?:.*/)?([A-Z][A-Za-z]+)/({_ID})(?:/_history/{_ID})?(#.*)?")
_CONDITIONAL = re.compile(r"([A-Z][A-Za-z]+)\?(.+)")

# Type -> the hospital's number range whose value alone is the local id (see normalise/ids.py).
AGREED: Mapping[str, str] = {
    "Patient": "mrn",
    "Encounter": "visit",
    "ServiceRequest": "order",
    "ChargeItem": "charge",
    "Invoice": "settlement",
    "Appointment": "appointment",
    "DocumentReference": "document",
    "Specimen": "specimen",
}
DIRECTORY = frozenset(
    {
        "Practitioner",
        "PractitionerRole",
        "Organization",
        "Location",
        "HealthcareService",
        "Device",
        "Endpoint",
    }
)


def is_own_id(text: str) -> bool:
    """Return whether a text is an id as this exchange gives them."""
    return OWN_ID.fullmatch(text) is not None


def identifiers(resource: Resource) -> Iterator[tuple[str, str]]:
    """Yield (system, value) of a resource's identifiers that are in use."""
    found = resource.get("identifier") or []
    for each in found if isinstance(found, list) else [found]:
        if isinstance(each, dict) and isinstance(each.get("value"), str) and each.get("use") != "old":
            yield str(each.get("system", "")), each["value"]


def agreed_number(resource: Resource, ids: Ids) -> str:
    """Return the hospital's own number of a resource that all inlets agree on; empty if it has none."""
    type_ = resource["resourceType"]
    kind = AGREED.get(type_)
    if kind is None:
        return ""
    system = ids.system(kind)
    for found_system, value in identifiers(resource):
        if found_system == system:
            return value
    found = _medical_record(resource) if type_ == "Patient" else None
    return str(found["value"]) if found else ""


def name_own_number(resource: Resource, ids: Ids) -> None:
    """Give a Patient's number of type MR that came without a system the hospital's own, as HL7 v2 does."""
    system = ids.system("mrn")
    if resource["resourceType"] != "Patient" or any(found == system for found, _ in identifiers(resource)):
        return
    found = _medical_record(resource)
    if found is not None and not found.get("system"):
        found["system"] = system


def _medical_record(patient: Resource) -> Resource | None:
    """Return the identifier of type MR that is in use, the first of them."""
    for each in patient.get("identifier") or []:
        codes = [coding.get("code") for coding in (each.get("type") or {}).get("coding") or []]
        if "MR" in codes and each.get("value") and each.get("use") != "old":
            found: Resource = each
            return found
    return None


def key_of(system: str, value: str, type_: str, ids: Ids) -> str:
    """Return the local id that an identifier stands for."""
    kind = AGREED.get(type_)
    return value if kind and system == ids.system(kind) else f"{system}|{value}"


def local_id(resource: Resource, requested: str, full_url: str, ids: Ids) -> str:
    """Return what the hospital calls a resource, by the order above; never empty.

    Args: requested: the id in the request's address; full_url: the entry's fullUrl.
    """
    type_ = resource["resourceType"]
    sent = requested or str(resource.get("id", ""))
    if is_own_id(sent):
        return sent
    if number := agreed_number(resource, ids):
        return number
    first = next((key_of(system, value, type_, ids) for system, value in identifiers(resource)), "")
    if type_ in DIRECTORY and first:
        return first
    content = {key: value for key, value in resource.items() if key not in ("id", "meta", "text")}
    return sent or first or full_url or hashlib.sha256(dumps(content)).hexdigest()


def id_of(type_: str, local: str, ids: Ids) -> str:
    """Return the id of a resource by what the hospital calls it."""
    return local if is_own_id(local) else ids.of(type_, local)


def has_other_names(type_: str) -> bool:
    """Return whether the id of a type may come from more than the id its sender uses."""
    return type_ in AGREED or type_ in DIRECTORY


def names_of(resource: Resource, requested: str, local: str, ids: Ids) -> list[str]:
    """Return what else the hospital may call a resource later, to be remembered: its ids and identifiers."""
    type_ = resource["resourceType"]
    names = {requested, str(resource.get("id", ""))}
    if has_other_names(type_):
        # With its system: a server's id may be another patient's number.
        names |= {
            f"{system}|{value}"
            for system, value in identifiers(resource)
            if key_of(system, value, type_, ids) != local
        }
    return sorted(name for name in names - {local, ""} if not is_own_id(name) and len(name) <= 200)


def target_of(reference: str, ids: Ids, resolve: Resolve) -> str | None:
    """Return where a reference out of the Bundle points (`Type/id`); None if it names nothing."""
    if match := _CONDITIONAL.fullmatch(reference):
        type_, query = match.groups()
        system, bar, value = dict(parse_qsl(query)).get("identifier", "").rpartition("|")
        if type_ not in RESOURCE_TYPES or not bar or not value:
            return None
        known = resolve(type_, f"{system}|{value}") or ids.of(type_, key_of(system, value, type_, ids))
        return f"{type_}/{known}"
    if (match := _LITERAL.fullmatch(reference)) and match[1] in RESOURCE_TYPES:
        type_, name, fragment = match[1], match[2], match[3] or ""
        known = name if is_own_id(name) else resolve(type_, name) or ids.of(type_, name)
        return f"{type_}/{known}{fragment}"
    return None
