"""Composes the document: Composition, what it refers to, the hub as author (IPS 1.1 Bundle and Composition).

What the hub itself states is built and checked by fhir.resources; what hospitals wrote is taken over with
every digit, its facility noted in `meta.tag`, its subject the one Patient the summary is of.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from fhir.resources.R4B.allergyintolerance import AllergyIntolerance
from fhir.resources.R4B.composition import Composition
from fhir.resources.R4B.condition import Condition
from fhir.resources.R4B.medicationstatement import MedicationStatement
from fhir.resources.R4B.organization import Organization

from esb.fhir.references import references, rewrite
from hie.services.summary.narrative import heading, narrative
from hie.services.summary.sections import ABSENT, LOINC, SECTIONS, Item, Json, Section, chosen

IPS = "http://hl7.org/fhir/uv/ips/StructureDefinition/"
FACILITY = "urn:hie:facility"
SPACE = uuid.UUID("5a1c9d0e-6d8b-5a53-9b1c-2f6d3f1f7a10")
UNKNOWN = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
EMPTY = "http://terminology.hl7.org/CodeSystem/list-empty-reason"
CLINICAL = "http://terminology.hl7.org/CodeSystem/"
HUB = {"zh": "区域健康信息平台", "en": "Regional health information exchange"}
MODELS = {model.__name__: model for model in (AllergyIntolerance, Condition, MedicationStatement)}


@dataclass(frozen=True, slots=True)
class Record:
    """What a summary is made of.

    patient: the one it is of. compartments: all Patients of the person. items: of the types of the sections.
    others: what the items refer to outside, by Type/id. names: of facilities. base: the address of the API.
    zone: what a day means.
    """

    patient: Item
    compartments: Sequence[str]
    items: Sequence[Item]
    others: Mapping[str, Json]
    names: Mapping[str, str]
    base: str
    zone: tzinfo


def document(record: Record, now: datetime) -> Json:
    """Return the summary as a document Bundle; write it with `lexemes.dumps`.

    Ids are made of what is in it: the same content gives the same document.
    """
    sections = [(section, chosen(section, record.items, now, record.zone)) for section in SECTIONS]
    kept = {_name(item.resource): item for _, (items, _) in sections for item in items}
    patient = _patient(record)
    identity = _identity(record, kept.values())
    hub = _hub(record.base)
    about = f"{record.base}/Patient/{record.patient.resource['id']}"
    absent = {s.key: _absent(s, about, identity) for s, (items, _) in sections if s.absent and not items}
    composition = _composition(record, sections, absent, identity, hub, about, now)
    _point_at_one(record, kept.values())
    entries = [_entry(composition), {"fullUrl": about, "resource": patient}, _entry(hub)]
    entries += [_entry(one) for one in absent.values()]
    entries += [
        {"fullUrl": f"{record.base}/{n}", "resource": _tagged(i, record.names)} for n, i in kept.items()
    ]
    entries += [
        {"fullUrl": f"{record.base}/{n}", "resource": one} for n, one in _referred(record, kept.values())
    ]
    return {
        "resourceType": "Bundle",
        "id": str(identity),
        "meta": {"profile": [IPS + "Bundle-uv-ips"]},
        "identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{identity}"},
        "type": "document",
        "timestamp": now.isoformat(timespec="milliseconds"),
        "entry": entries,
    }


def _composition(
    record: Record,
    sections: Sequence[tuple[Section, tuple[list[Item], int]]],
    absent: Mapping[str, Json],
    identity: uuid.UUID,
    hub: Json,
    about: str,
    now: datetime,
) -> Json:
    author = {"reference": f"urn:uuid:{hub['id']}", "display": f"{HUB['zh']} {HUB['en']}"}
    facilities = sorted({record.patient.facility, *(i.facility for _, (items, _) in sections for i in items)})
    at = now.isoformat(timespec="seconds")
    return _checked(
        Composition,
        {
            "id": str(uuid.uuid5(identity, "composition")),
            "meta": {"profile": [IPS + "Composition-uv-ips"]},
            "language": "zh-CN",
            "text": heading(record.patient.resource, [record.names.get(f, f) for f in facilities]),
            "status": "final",
            "type": _coded(LOINC, "60591-5", "Patient summary Document"),
            "subject": {"reference": about},
            "date": at,
            "author": [author],
            "title": "国际患者摘要 · International Patient Summary",
            "confidentiality": "N",
            "attester": [{"mode": "official", "time": at, "party": author}],
            "custodian": author,
            "section": [_section(record, section, *found, absent) for section, found in sections],
        },
    )


def _section(
    record: Record, section: Section, items: Sequence[Item], left_out: int, absent: Mapping[str, Json]
) -> Json:
    made: Json = {
        "title": f"{section.zh} · {section.en}",
        "code": _coded(LOINC, section.loinc, section.display),
        "text": narrative(section, items, left_out, record.names, record.zone),
    }
    if items:
        made["entry"] = [{"reference": f"{record.base}/{_name(item.resource)}"} for item in items]
    elif section.key in absent:
        made["entry"] = [{"reference": f"urn:uuid:{absent[section.key]['id']}"}]
    else:
        made["emptyReason"] = _coded(EMPTY, "unavailable", "Unavailable")
    return made


def _absent(section: Section, about: str, identity: uuid.UUID) -> Json:
    """Return the resource that says that nothing is known, as IPS wants it in a required section."""
    assert section.absent is not None
    type_, code, display = section.absent
    concept = _coded(ABSENT, code, display)
    whose = {"reference": about}
    stated: dict[str, Json] = {
        "MedicationStatement": {
            "status": "unknown", "medicationCodeableConcept": concept, "subject": whose,
            "_effectiveDateTime": {"extension": [UNKNOWN]},
        },
        "AllergyIntolerance": {
            "clinicalStatus": _coded(CLINICAL + "allergyintolerance-clinical", "active", "Active"),
            "code": concept, "patient": whose,
        },
        "Condition": {
            "clinicalStatus": _coded(CLINICAL + "condition-clinical", "active", "Active"),
            "code": concept, "subject": whose,
        },
    }  # fmt: skip
    profile = {"meta": {"profile": [f"{IPS}{type_}-uv-ips"]}}
    return _checked(MODELS[type_], {"id": str(uuid.uuid5(identity, code))} | profile | stated[type_])


def _hub(base: str) -> Json:
    made = {"id": str(uuid.uuid5(SPACE, base)), "name": HUB["zh"], "alias": [HUB["en"]], "active": True}
    return _checked(Organization, made | {"identifier": [{"system": "urn:ietf:rfc:3986", "value": base}]})


def _checked(model: Any, made: Json) -> Json:
    """Return what we compose ourselves after fhir.resources has checked it."""
    found: Json = model.model_validate(made).model_dump(mode="json")
    return {"resourceType": model.__name__} | {k: v for k, v in found.items() if k != "resourceType"}


def _identity(record: Record, items: Any) -> uuid.UUID:
    versions = sorted(f"{_name(i.resource)}/{(i.resource.get('meta') or {}).get('versionId')}" for i in items)
    return uuid.uuid5(SPACE, "\n".join([record.base, str(record.patient.resource["id"]), *versions]))


def _patient(record: Record) -> Json:
    patient = _tagged(record.patient, record.names)
    if not patient.get("birthDate"):
        patient["_birthDate"] = {"extension": [UNKNOWN]}
    if not patient.get("name"):
        patient["name"] = [{"_text": {"extension": [UNKNOWN]}}]
    return patient


def _tagged(item: Item, names: Mapping[str, str]) -> Json:
    """Return a hospital's resource with its facility noted."""
    tag = {"system": FACILITY, "code": item.facility, "display": names.get(item.facility, item.facility)}
    meta = item.resource.get("meta") or {}
    tags = [*meta.get("tag", ()), tag] if item.facility else meta.get("tag")
    return item.resource | {"meta": meta | ({"tag": tags} if tags else {})}


def _point_at_one(record: Record, items: Any) -> None:
    """Let all items point at the one Patient, whichever record of the person they were written to."""
    target = f"Patient/{record.patient.resource['id']}"
    mapping = {f"Patient/{one}": target for one in record.compartments}
    for item in items:
        rewrite(item.resource, mapping)


def _referred(record: Record, items: Any) -> list[tuple[str, Json]]:
    named = {value for item in (record.patient, *items) for _, value in references(item.resource)}
    return [(name, one) for name, one in record.others.items() if name in named]


def _name(resource: Json) -> str:
    return f"{resource['resourceType']}/{resource['id']}"


def _entry(made: Json) -> Json:
    return {"fullUrl": f"urn:uuid:{made['id']}", "resource": made}


def _coded(system: str, code: str, display: str) -> Json:
    return {"coding": [{"system": system, "code": code, "display": display}]}
