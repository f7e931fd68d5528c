"""Expands the value sets that a required binding names, where they can be listed (FHIR R4 valueset.html)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# System -> codes; None where the set is a grammar (MIME types, UCUM) or not published with R4.
Expansion = dict[str, list[str]]


class ValueSets:
    """The published ValueSets and CodeSystems, by their canonical URL."""

    def __init__(self, resources: list[dict[str, Any]]) -> None:
        self._value_sets = {r["url"]: r for r in resources if r["resourceType"] == "ValueSet"}
        self._code_systems = {r["url"]: r for r in resources if r["resourceType"] == "CodeSystem"}

    def expand(self, canonical: str) -> Expansion | None:
        """Return every code of a value set, or None if it cannot be listed."""
        value_set = self._value_sets.get(canonical.partition("|")[0])
        if value_set is None:
            return None
        expansion: Expansion = {}
        for include in value_set["compose"]["include"]:
            codes = self._included(include)
            if codes is None:
                return None
            for system, listed in codes.items():
                expansion.setdefault(system, []).extend(listed)
        for exclude in value_set["compose"].get("exclude", ()):
            for system, listed in (self._included(exclude) or {}).items():
                expansion[system] = [code for code in expansion[system] if code not in listed]
        return {system: sorted(set(listed)) for system, listed in expansion.items()}

    def _included(self, include: dict[str, Any]) -> Expansion | None:
        if "filter" in include:
            return None
        if "valueSet" in include:
            united: Expansion = {}
            for canonical in include["valueSet"]:
                expansion = self.expand(canonical)
                if expansion is None:
                    return None
                united |= expansion
            return united
        system = include["system"]
        if "concept" in include:
            return {system: [concept["code"] for concept in include["concept"]]}
        published = self._code_systems.get(system)
        if published is None or published["content"] != "complete":
            return None
        return {system: list(_codes(published.get("concept", [])))}


def _codes(concepts: list[dict[str, Any]]) -> Iterator[str]:
    for concept in concepts:
        yield concept["code"]
        yield from _codes(concept.get("concept", []))
