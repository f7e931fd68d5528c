"""R4's own code systems and value sets, as the hub takes them in (FHIR R4 terminologies.html)."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from typing import Any

OWN = ("http://hl7.org/fhir/", "http://terminology.hl7.org/")
HELD = ("complete", "fragment", "example")  # the others hold no codes
KEPT = {
    "CodeSystem": (
        "resourceType", "url", "version", "name", "title", "status", "content", "caseSensitive", "valueSet",
        "concept",
    ),
    "ValueSet": ("resourceType", "url", "version", "name", "title", "status", "compose"),
}  # fmt: skip
OF_CONCEPT = ("code", "display", "definition", "designation", "property", "concept")
LANGUAGES = ("zh", "en")  # that the region speaks


def published(resources: Iterable[dict[str, Any]]) -> bytes:
    """Return what is kept of the resources, one in a line, gzipped; the same bytes for the same resources."""
    lines = [
        json.dumps(_trimmed(one), ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        for one in sorted(resources, key=lambda one: (one["resourceType"], one["url"]))
        if one["url"].startswith(OWN) and one.get("content", HELD[0]) in HELD
    ]
    return gzip.compress("\n".join(lines).encode(), 9, mtime=0)


def _trimmed(resource: dict[str, Any]) -> dict[str, Any]:
    kept = {name: resource[name] for name in KEPT[resource["resourceType"]] if name in resource}
    if "concept" in kept:
        kept["concept"] = [_concept(one) for one in kept["concept"]]
    return kept


def _concept(concept: dict[str, Any]) -> dict[str, Any]:
    kept = {name: concept[name] for name in OF_CONCEPT if name in concept}
    spoken = [one for one in kept.pop("designation", ()) if one.get("language", "")[:2] in LANGUAGES]
    if spoken:
        kept["designation"] = [{"language": one["language"], "value": one["value"]} for one in spoken]
    if "concept" in kept:
        kept["concept"] = [_concept(one) for one in kept["concept"]]
    return kept
