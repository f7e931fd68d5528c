"""The elements of every R4 type, read from the StructureDefinitions (FHIR R4, structuredefinition.html)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# These came after 4.0.1, or with the package, and are no part of R4.
NOT_R4 = frozenset({"SubscriptionStatus"})

_FHIR_TYPE = "http://hl7.org/fhir/StructureDefinition/structuredefinition-fhir-type"


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a type: what may stand there and how often."""

    name: str
    types: tuple[str, ...]
    targets: tuple[str, ...]
    low: int
    many: bool
    forbidden: bool
    value_set: str | None
    content: str | None

    @property
    def is_choice(self) -> bool:
        """Whether the element is written value[x]."""
        return self.name.endswith("[x]")

    def keys(self) -> dict[str, str]:
        """Return JSON key -> type; more than one only for a choice."""
        if not self.is_choice:
            return {self.name: self.types[0] if self.types else ""}
        stem = self.name[:-3]
        return {stem + code[0].upper() + code[1:]: code for code in self.types}


class Definitions:
    """Elements by the path of their parent: `children("Observation.component")`."""

    def __init__(self, structures: list[dict[str, Any]]) -> None:
        self.resources: list[str] = []
        self.complex_types: list[str] = []
        self.backbones: list[str] = []
        self._children: dict[str, dict[str, Element]] = {}
        for structure in structures:
            self._read(structure)
        self.resources.sort()

    def _read(self, structure: dict[str, Any]) -> None:
        name = structure["name"]
        if name in NOT_R4 or structure.get("derivation") == "constraint" or structure["kind"] == "logical":
            return
        if structure["kind"] == "resource" and not structure["abstract"]:
            self.resources.append(name)
        elif structure["kind"] == "complex-type":
            self.complex_types.append(name)
        for raw in structure["snapshot"]["element"]:
            parent, _, leaf = raw["path"].rpartition(".")
            if parent:
                self._children.setdefault(parent, {})[leaf] = _element(leaf, raw)
                if parent != name and parent not in self.backbones:
                    self.backbones.append(parent)

    def children(self, path: str) -> dict[str, Element]:
        """Return the elements of a type or of a backbone path, by name."""
        return self._children.get(path, {})

    def child(self, path: str, key: str) -> tuple[Element, str] | None:
        """Return the element under a path and the path of its own children; a choice by its stem."""
        children = self.children(path)
        element = children.get(key) or children.get(f"{key}[x]")
        return (element, self.below(path, element)) if element else None

    def below(self, path: str, element: Element) -> str:
        """Return where the children of an element are defined."""
        if element.content:
            return element.content
        own = f"{path}.{element.name}"
        return own if own in self._children else (element.types[0] if element.types else own)


def _element(leaf: str, raw: dict[str, Any]) -> Element:
    types = []
    targets: list[str] = []
    for entry in raw.get("type", []):
        code = entry["code"]
        if code.startswith("http"):
            code = next(
                (e["valueUrl"] for e in entry.get("extension", ()) if e["url"] == _FHIR_TYPE), "string"
            )
        types.append(code)
        targets += [profile.rpartition("/")[2] for profile in entry.get("targetProfile", ())]
    binding = raw.get("binding", {})
    required = binding.get("strength") == "required"
    return Element(
        name=leaf,
        types=tuple(types),
        targets=tuple(targets),
        low=int(raw.get("min", 0)),
        many=raw.get("max", "1") not in ("0", "1"),
        forbidden=raw.get("max") == "0",
        value_set=binding.get("valueSet") if required else None,
        content=raw["contentReference"].rpartition("#")[2] if "contentReference" in raw else None,
    )
