"""What a section says to a human reader, in Chinese and English (FHIR R4 narrative.html)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import tzinfo
from html import escape
from typing import Any

from hie.services.summary.sections import Item, Json, Section, moment, when

XHTML = 'xmlns="http://www.w3.org/1999/xhtml"'
HEADS = (("项目", "Item"), ("内容", "Value"), ("日期", "Date"), ("医院", "Hospital"))
NOTHING = "没有资料 · No information is available."
CODES = ("medicationCodeableConcept", "vaccineCode", "code", "type", "category")


def narrative(
    section: Section, items: Sequence[Item], left_out: int, names: Mapping[str, str], zone: tzinfo
) -> Json:
    """Return the text of a section: a table, one row for each item.

    Args:
        left_out: how many more there are. names: of the facilities, by their codes.
        zone: whose days and hours are shown.
    """
    if not items:
        return _generated(f"<p>{NOTHING}</p>")
    head = "".join(f"<th>{zh} {en}</th>" for zh, en in HEADS)
    rows = "".join(f"<tr>{_cells(item, names, zone)}</tr>" for item in items)
    more = f"<p>另有 {left_out} 项未列出 · {left_out} more are not listed</p>" if left_out else ""
    return _generated(f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{more}")


def heading(patient: Json, names: Sequence[str]) -> Json:
    """Return the text of the whole: whose it is, and which hospitals' records it was made of."""
    name = next((spoken(one) for one in patient.get("name") or ()), "")
    listed = "、".join(escape(one) for one in names if one)
    return _generated(
        f"<p>患者 Patient: {escape(name)}</p><p>资料来源 Sources: {listed}</p>"
        "<p>本摘要只含申请者有权查阅的内容。 This summary holds what its requester may see.</p>"
    )


def spoken(name: Json) -> str:
    """Return a HumanName as written."""
    parts = [str(name.get("family") or ""), *map(str, name.get("given") or ())]
    return str(
        name.get("text") or ("".join(parts) if not "".join(parts).isascii() else " ".join(parts)).strip()
    )


def _generated(inner: str) -> Json:
    return {"status": "generated", "div": f"<div {XHTML}>{inner}</div>"}


def _cells(item: Item, names: Mapping[str, str], zone: tzinfo) -> str:
    resource = item.resource
    told = (
        _subject_matter(resource),
        _value(resource),
        _shown(resource, zone),
        names.get(item.facility, item.facility),
    )
    return "".join(f"<td>{escape(one)}</td>" for one in told)


def _shown(resource: Json, zone: tzinfo) -> str:
    """Return the date of an item as the region reads it: a day as written, an instant to the minute."""
    written, at = when(resource), moment(resource, zone)
    return written if "T" not in written or at is None else at.astimezone(zone).strftime("%Y-%m-%d %H:%M")


def _subject_matter(resource: Json) -> str:
    for name in CODES:
        if said := words(resource.get(name)):
            return said
    for name in ("medicationReference", "device"):
        if said := str((resource.get(name) or {}).get("display") or ""):
            return said
    return str(resource.get("title") or resource.get("description") or resource["resourceType"])


def words(concept: Any) -> str:
    """Return what a CodeableConcept, or the first of several, says."""
    if isinstance(concept, list):
        return words(concept[0]) if concept else ""
    if not isinstance(concept, dict):
        return ""
    shown = (c.get("display") or c.get("code") for c in concept.get("coding") or ())
    return str(concept.get("text") or next((one for one in shown if one), ""))


def _value(resource: Json) -> str:
    parts = [_measured(resource)]
    parts += [f"{words(part.get('code'))} {_measured(part)}" for part in resource.get("component") or ()]
    dosage = [d.get("text") for d in [*resource.get("dosage", ()), *resource.get("dosageInstruction", ())]]
    parts += [str(text) for text in dosage if text]
    parts += [str(resource[name]) for name in ("conclusion", "criticality") if resource.get(name)]
    parts.append(words(resource.get("clinicalStatus")))
    return "; ".join(part for part in parts if part)


def _measured(part: Json) -> str:
    quantity = part.get("valueQuantity")
    if isinstance(quantity, dict):
        number = f"{quantity.get('comparator', '')}{quantity.get('value', '')}"
        return f"{number} {quantity.get('unit') or quantity.get('code') or ''}".strip()
    return words(part.get("valueCodeableConcept")) or str(part.get("valueString") or "")
