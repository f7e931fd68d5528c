"""Parts of a resource: its summary or some of its elements, marked SUBSETTED (FHIR R4 search.html)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from esb.fhir.definitions import load

SUBSETTED = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "SUBSETTED",
    "display": "Resource encoded in summary mode",
}
ALWAYS = frozenset({"resourceType", "id", "meta"})
Json = dict[str, Any]


def keys_named(type_: str, name: str) -> list[str]:
    """Return the JSON keys that an element's name stands for: `value` for valueQuantity; none if unknown."""
    elements: list[str] = load("shapes")[type_]["elements"]
    if name in elements:
        return [name]
    stem = name.removesuffix("[x]")
    return (
        [key for key in elements if key.startswith(stem) and key[len(stem) :][:1].isupper()] if stem else []
    )


def element_names(type_: str) -> list[str]:
    """Return the names of a type's elements."""
    return list(load("shapes")[type_]["elements"])


def with_elements(resource: Json, names: Collection[str]) -> Json:
    """Return a resource with some elements and those that none goes without: mandatory and modifying ones."""
    type_ = resource["resourceType"]
    shown = {key for name in names for key in keys_named(type_, name)}
    return _marked(_only(resource, ALWAYS | shown | set(load("shapes")[type_]["kept"])))


def summarised(resource: Json, summary: str) -> Json:
    """Return the part of a resource that `_summary` true, text or data asks for."""
    return SUMMARIES[summary](resource)


def _short(resource: Json) -> Json:
    tree = load("shapes")[resource["resourceType"]]["summary"]
    return _marked({"resourceType": resource["resourceType"]} | _pruned(resource, tree))


def _text(resource: Json) -> Json:
    kept = load("shapes")[resource["resourceType"]]["kept"]
    return _marked(_only(resource, ALWAYS | {"text"} | set(kept)))


def _data(resource: Json) -> Json:
    return _marked({key: value for key, value in resource.items() if key != "text"})


def _only(resource: Json, keys: Collection[str]) -> Json:
    return {key: value for key, value in resource.items() if key.removeprefix("_") in keys}


def _pruned(node: Json, tree: Mapping[str, Any]) -> Json:
    """Return what a tree shows of a node; 1 stands for all of an element."""
    shown: Json = {}
    for key, value in node.items():
        below = tree.get(key.removeprefix("_"))
        if below == 1:
            shown[key] = value
        elif below is not None:
            shown[key] = (
                [_pruned(v, below) for v in value] if isinstance(value, list) else _pruned(value, below)
            )
    return shown


def _marked(resource: Json) -> Json:
    """Return a resource with the tag that says it is not whole, so that nobody writes it back."""
    meta = resource.get("meta") or {}
    tags = [tag for tag in meta.get("tag") or () if tag.get("code") != SUBSETTED["code"]]
    return resource | {"meta": meta | {"tag": [*tags, SUBSETTED]}}


SUMMARIES: dict[str, Callable[[Json], Json]] = {"true": _short, "text": _text, "data": _data}
