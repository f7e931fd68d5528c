"""FHIR R4 as a hospital's systems send it -> entries with our ids, one per patient."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from esb.errors import Issue, Malformed, NotSupported, NotValid
from esb.fhir.bundles import transaction
from esb.fhir.lexemes import dumps, loads
from esb.fhir.references import references, rewrite
from esb.fhir.types import RESOURCE_TYPES
from esb.fhir.validation import check_resource
from front_end_processor.normalise.fhir_groups import Item, by_patient, compose
from front_end_processor.normalise.fhir_ids import (
    Recall,
    Resolve,
    has_other_names,
    id_of,
    identifiers,
    is_own_id,
    local_id,
    name_own_number,
    names_of,
    target_of,
)
from front_end_processor.normalise.ids import Ids
from front_end_processor.normalise.model import Normalised

Resource = dict[str, Any]

BUNDLE_TYPES = ("transaction", "batch", "collection", "document", "message")
MAX_ISSUES = 50
_URL = re.compile(r"/?([A-Z][A-Za-z]+)(?:/([A-Za-z0-9.-]{1,64}))?(?:\?(.*))?")
_ADDRESS = re.compile(rb'"(?:url|uri|valueUri|valueUrl|valueUuid|valueOid)"\s*:\s*"urn:(?:uuid|oid):')
# Types whose `identifier` repeats and which people look for by the hospital's number.
_NUMBERED = frozenset(
    """
    Account AllergyIntolerance Appointment CarePlan CareTeam ChargeItem Claim ClinicalImpression
    Communication Condition Consent Coverage Device DiagnosticReport DocumentReference Encounter
    EpisodeOfCare ExplanationOfBenefit FamilyMemberHistory Flag Goal HealthcareService ImagingStudy
    Immunization Invoice List Location Media MedicationAdministration MedicationDispense
    MedicationRequest MedicationStatement Observation Organization Patient Practitioner PractitionerRole
    Procedure RelatedPerson RiskAssessment ServiceRequest Specimen Task
    """.split()  # noqa: SIM905 - a list of words reads better as text
)


class UnknownType(NotSupported):
    """There is no such type; the address takes /fhir, /fhir/<Type>, /fhir/<Type>/<id>."""

    http = 404
    code = "not-found"


@dataclass(frozen=True, slots=True)
class FhirMade:
    """What a request became: entries per patient, names to remember, an answer per entry of the request."""

    entries: Sequence[Normalised]
    aliases: Sequence[tuple[str, str, str]]
    answers: Sequence[tuple[str, str]] = field(default=())


def normalise_fhir(
    raw: bytes,
    request: str,
    ids: Ids,
    resolve: Resolve,
    recall: Recall,
    *,
    sender: str,
    control_id: str,
    now: datetime,
) -> FhirMade:
    """Return what a FHIR request becomes.

    Args:
        request: method and address below the base: `POST `, `PUT Patient/p1`.
        resolve, recall: find the id of what an earlier message brought; of many such.
        now: the source time where the content names none.
    Returns: answers are (status, `Type/id`) in the order of the request's entries.
    Raises: NotValid, Malformed, NotSupported, UnknownType.
    """
    method, _, url = request.partition(" ")
    content = loads(raw) if raw.strip() else {}
    bundle_type = ""
    if not url.strip("/"):
        bundle_type = _bundle_type(content)
        items = _items(content, bundle_type)
    else:
        items = [_single(content, method, url)]
    _check(items)
    _give_ids(items, ids, recall)
    _check_distinct(items)
    warnings = _point(items, ids, resolve, _ADDRESS.search(raw) is not None)
    source_at = _source_at(content, items, now)
    kind = f"Bundle {bundle_type}" if bundle_type else f"{items[0].method} {items[0].type}"
    aliases = [
        (item.type, name, item.id)
        for item in items
        if item.resource is not None
        for name in names_of(item.resource, item.requested, item.local, ids)
        if id_of(item.type, name, ids) != item.id
    ]
    # After the names: the sender may still ask for the number without its system.
    for item in items:
        if item.resource is not None:
            name_own_number(item.resource, ids)
    entries = [
        Normalised(
            kind=kind,
            sender=sender,
            control_id=control_id,
            source_at=source_at,
            patient_key=patient,
            bundle=dumps(transaction(compose(group, patient))),
            charset="utf-8",
            warnings=warnings,
        )
        for patient, group in by_patient(items)
    ]
    answers = [(_STATUS[item.method], item.target) for item in items]
    return FhirMade(entries, aliases, answers)


_STATUS: Mapping[str, str] = {"POST": "201 Created", "PUT": "200 OK", "DELETE": "204 No Content"}


def _bundle_type(content: Resource) -> str:
    if content.get("resourceType") != "Bundle":
        raise NotValid(
            issues=[Issue("Bundle", "the base address takes a Bundle; send a resource to /fhir/<type>")]
        )
    bundle_type = content.get("type")
    if bundle_type not in BUNDLE_TYPES:
        raise NotValid(issues=[Issue("Bundle.type", f"must be one of {', '.join(BUNDLE_TYPES)}", "value")])
    if not isinstance(content.get("entry"), list) or not content["entry"]:
        raise NotValid(issues=[Issue("Bundle.entry", "must hold at least one entry", "required")])
    return str(bundle_type)


def _items(content: Resource, bundle_type: str) -> list[Item]:
    has_requests = bundle_type in ("transaction", "batch")
    items: list[Item] = []
    issues: list[Issue] = []
    for place, entry in enumerate(content["entry"]):
        path = f"Bundle.entry[{place}]"
        try:
            if not isinstance(entry, dict):
                raise NotValid(issues=[Issue(path, "must be an object", "structure")])
            items.append(_item(entry, path) if has_requests else _stated(entry, path))
        except NotValid as fault:
            issues += fault.issues
    if issues:
        raise NotValid(issues=issues[:MAX_ISSUES])
    return items


def _stated(entry: Resource, path: str) -> Item:
    """Return an entry of a collection, document or message: a resource that is so."""
    resource = _resource(entry.get("resource"), f"{path}.resource")
    full_url = str(entry.get("fullUrl", ""))
    return Item(f"{path}.resource", "PUT", resource["resourceType"], "", full_url, resource)


def _item(entry: Resource, path: str) -> Item:
    request = entry.get("request")
    if not isinstance(request, dict):
        raise NotValid(issues=[Issue(f"{path}.request", "is required in a transaction or batch", "required")])
    method, url = str(request.get("method")), request.get("url")
    if method not in _STATUS:
        text = "must be POST, PUT or DELETE; reading and patching are not possible here"
        raise NotValid(issues=[Issue(f"{path}.request.method", text, "not-supported")])
    match = _URL.fullmatch(url) if isinstance(url, str) else None
    if match is None or match[1] not in RESOURCE_TYPES:
        raise NotValid(
            issues=[Issue(f"{path}.request.url", "must be <Type>, <Type>/<id> or <Type>?identifier=…")]
        )
    requested = _requested(method, match, f"{path}.request.url")
    if method == "DELETE":
        return Item(path, method, match[1], requested, "", None)
    resource = _resource(entry.get("resource"), f"{path}.resource")
    if resource["resourceType"] != match[1]:
        raise NotValid(
            issues=[Issue(f"{path}.request.url", f"names {match[1]}, the resource is another type")]
        )
    full_url = str(entry.get("fullUrl", ""))
    item = Item(f"{path}.resource", method, match[1], requested, full_url, resource)
    item.create_only = method == "POST" and bool(request.get("ifNoneExist"))
    return item


def _requested(method: str, match: re.Match[str], path: str) -> str:
    """Return the id an address asks for; of `Type?identifier=…` the resource's own identifier decides."""
    if method == "POST" and match[2]:
        raise NotValid(issues=[Issue(path, "POST takes <Type> without an id")])
    if method == "DELETE" and not match[2]:
        raise NotValid(issues=[Issue(path, "DELETE takes <Type>/<id>")])
    if method == "PUT" and not match[2] and not match[3]:
        raise NotValid(issues=[Issue(path, "PUT takes <Type>/<id>")])
    return match[2] or ""


def _single(content: Resource, method: str, url: str) -> Item:
    match = _URL.fullmatch(url)
    if match is None or match[1] not in RESOURCE_TYPES:
        raise UnknownType
    requested = _requested(method, match, match[1])
    if method == "DELETE":
        return Item("", method, match[1], requested, "", None)
    if method not in _STATUS:
        raise NotSupported("This inlet takes POST, PUT and DELETE; read from the hub.")
    resource = _resource(content, match[1])
    if resource["resourceType"] != match[1]:
        raise NotValid(issues=[Issue("resourceType", f"the address names {match[1]}", "value")])
    if requested and resource.get("id", requested) != requested:
        raise NotValid(issues=[Issue(f"{match[1]}.id", "is not the id in the address", "value")])
    return Item(match[1], method, match[1], requested, "", resource)


def _resource(found: Any, path: str) -> Resource:
    if not isinstance(found, dict) or not isinstance(found.get("resourceType"), str):
        raise NotValid(issues=[Issue(path, "must be a resource", "required")])
    if found["resourceType"] not in RESOURCE_TYPES:
        raise NotValid(issues=[Issue(f"{path}.resourceType", "is no resource type of FHIR R4", "value")])
    return found


def _check(items: Sequence[Item]) -> None:
    issues: list[Issue] = []
    for item in items:
        if item.resource is not None:
            try:
                check_resource(item.resource, item.path)
            except NotValid as fault:
                issues += fault.issues
                if len(issues) >= MAX_ISSUES:
                    break
    if issues:
        raise NotValid(issues=issues[:MAX_ISSUES])


def _give_ids(items: Sequence[Item], ids: Ids, recall: Recall) -> None:
    """Give the entries their ids; one that says no more than the sender's own id reaches what it brought."""
    short = set()
    for item in items:
        if item.resource is None:
            item.local = sent = item.requested
        else:
            sent = item.requested or str(item.resource.get("id", ""))
            item.local = local_id(item.resource, item.requested, item.full_url, ids)
        if item.local == sent and has_other_names(item.type) and not is_own_id(sent):
            short.add((item.type, sent))
    known = recall(short) if short else {}
    for item in items:
        item.id = known.get((item.type, item.local)) or id_of(item.type, item.local, ids)


def _check_distinct(items: list[Item]) -> None:
    """Raises: NotValid if two entries have one id and differ."""
    seen: dict[str, Item] = {}
    for item in items:
        other = seen.setdefault(item.target, item)
        if other is not item and (item.method == "DELETE") != (other.method == "DELETE"):
            raise NotValid(
                issues=[Issue(item.path, f"is deleted and written by one Bundle ({other.path})", "conflict")]
            )
        if other is not item and _core(item) != _core(other):
            raise NotValid(
                issues=[Issue(item.path, f"is the same thing as {other.path} with other content", "conflict")]
            )


def _core(item: Item) -> Resource:
    return {key: value for key, value in (item.resource or {}).items() if key not in ("id", "meta", "text")}


def _point(items: Sequence[Item], ids: Ids, resolve: Resolve, has_addresses: bool) -> tuple[str, ...]:
    """Point every reference at our ids, and give the resources theirs; return warnings.

    Args: has_addresses: whether other elements than references name entries by their urn.
    """
    mapping: dict[str, str] = {}
    for item in items:
        mapping[f"{item.type}/{item.requested or (item.resource or {}).get('id', '')}"] = item.target
        if item.full_url:
            mapping[item.full_url] = item.target
        for system, value in identifiers(item.resource or {}):
            mapping.setdefault(f"{item.type}?identifier={system}|{value}", item.target)
    warnings: list[str] = []
    for item in items:
        if item.resource is None:
            continue
        for container, value in references(item.resource):
            if value.startswith("#"):
                continue
            target = mapping.get(value) or target_of(value, ids, resolve)
            if target is None:
                warnings.append(f"{item.path}: a reference points at nothing that is known here")
                continue
            container["reference"] = mapping[value] = target
        if has_addresses:
            rewrite(item.resource, mapping)
        _own(item, ids)
    return tuple(dict.fromkeys(warnings))


def _own(item: Item, ids: Ids) -> None:
    """Give a resource its id; keep what the hospital calls it as an identifier; leave versions to the hub."""
    resource = item.resource
    assert resource is not None
    sent = item.requested or str(resource.get("id", ""))
    resource["id"] = item.id
    meta = {
        key: value
        for key, value in resource.get("meta", {}).items()
        if key not in ("versionId", "lastUpdated")
    }
    resource.pop("meta", None)
    if meta:
        resource["meta"] = meta
    if sent and not is_own_id(sent) and item.type in _NUMBERED:
        number = {"system": ids.system("fhir"), "value": sent}
        found = resource.setdefault("identifier", [])
        if all(value != sent for _, value in identifiers(resource)):
            found.append(number)


def _source_at(content: Resource, items: Sequence[Item], now: datetime) -> datetime:
    stated = [content.get("timestamp"), (content.get("meta") or {}).get("lastUpdated")]
    for text in stated:
        if isinstance(text, str) and (instant := _instant(text)):
            return instant
    return now


def _instant(text: str) -> datetime | None:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    return instant.astimezone(UTC) if instant.tzinfo else None


def read_control_id(raw: bytes) -> str:
    """Return the business identifier of a Bundle, by which its sender would send it again; empty if none."""
    try:
        identifier = loads(raw).get("identifier")
    except Malformed:
        return ""
    if isinstance(identifier, dict) and isinstance(identifier.get("value"), str):
        return f"{identifier.get('system', '')}|{identifier['value']}".strip("|")
    return ""
