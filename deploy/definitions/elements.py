"""The elements of every R4 type, read from the StructureDefinitions (FHIR R4, structuredefinition.html)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deploy.definitions.corrections import NOT_R4_TYPES, elements_of

_FHIR_TYPE = "http://hl7.org/fhir/StructureDefinition/structuredefinition-fhir-type"


# Stated of every element in every snapshot; the schema states them once, in its own way.
_EVERYWHERE = frozenset({"ele-1", "ext-1", "dom-2", "dom-3", "dom-4", "dom-5", "dom-6"})


@dataclass(frozen=True, slots=True)
class Constraint:
    """An invariant, as published."""

    key: str
    human: str
    expression: str


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a type: what may stand there and how often."""

    name: str
    types: tuple[str, ...]
    targets: tuple[str, ...]
    low: int
    many: bool
    forbidden: bool
    attribute: bool  # id and url: written without a companion `_id`
    value_set: str | None
    content: str | None
    profile: str | None = None
    constraints: tuple[Constraint, ...] = ()
    in_summary: bool = False
    modifies: bool = False

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
        self.constraints: dict[str, tuple[Constraint, ...]] = {}
        self._children: dict[str, dict[str, Element]] = {}
        for structure in structures:
            self._read(structure)
        self.resources.sort()

    def _read(self, structure: dict[str, Any]) -> None:
        name = structure["name"]
        if (
            name in NOT_R4_TYPES
            or structure.get("derivation") == "constraint"
            or structure["kind"] == "logical"
        ):
            return
        if structure["kind"] == "resource" and not structure["abstract"]:
            self.resources.append(name)
        elif structure["kind"] == "complex-type":
            self.complex_types.append(name)
        for raw in elements_of(structure):
            parent, _, leaf = raw["path"].rpartition(".")
            if parent:
                self._children.setdefault(parent, {})[leaf] = _element(leaf, raw)
                if parent != name and parent not in self.backbones:
                    self.backbones.append(parent)
            self.constraints[raw["path"]] = _constraints(raw)

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

    def is_type(self, path: str) -> bool:
        """Whether a path is a type, or an element with children of its own."""
        return path in self._children


def _element(leaf: str, raw: dict[str, Any]) -> Element:
    types = []
    targets: list[str] = []
    attribute = False
    profile = None
    for entry in raw.get("type", []):
        code = entry["code"]
        if code.startswith("http"):
            named = (e["valueUrl"] for e in entry.get("extension", ()) if e["url"] == _FHIR_TYPE)
            code = next(named, "string")
            attribute = True
        types.append(code)
        targets += [target.rpartition("/")[2] for target in entry.get("targetProfile", ())]
        for canonical in entry.get("profile", ()):
            profile = canonical.rpartition("/")[2]
    binding = raw.get("binding", {})
    required = binding.get("strength") == "required"
    return Element(
        name=leaf,
        types=tuple(types),
        targets=tuple(targets),
        low=int(raw.get("min", 0)),
        many=raw.get("max", "1") not in ("0", "1"),
        forbidden=raw.get("max") == "0",
        attribute=attribute,
        value_set=binding.get("valueSet") if required else None,
        content=raw["contentReference"].rpartition("#")[2] if "contentReference" in raw else None,
        profile=profile,
        constraints=_constraints(raw),
        in_summary=raw.get("isSummary", False),
        modifies=raw.get("isModifier", False),
    )


def _constraints(raw: dict[str, Any]) -> tuple[Constraint, ...]:
    return tuple(
        Constraint(c["key"], c["human"], c["expression"])
        for c in raw.get("constraint", ())
        if c["severity"] == "error" and c["key"] not in _EVERYWHERE and "expression" in c
    )
