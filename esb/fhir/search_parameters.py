"""The search parameters of FHIR R4 (4.0.1), from the published definitions (search.html).

`PARAMETERS["Observation"]["code"].paths[0].steps == ("code",)`; the parameters of every resource
(`_id`, `_lastUpdated`, `_tag`, `_profile`, `_security`, `_source`) stand under every type. Those of the
region's own have a canonical; where one is another name of a published one, it has that one's code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from esb.fhir.definitions import load
from esb.fhir.types import RESOURCE_TYPES

__all__ = ["PARAMETERS", "Component", "Parameter", "Path", "values"]


@dataclass(frozen=True, slots=True)
class Path:
    """Where a value stands.

    A step is an element's JSON key (`valueQuantity`), `?key=value` (only those whose key has this
    value) or `[0]` (only the first). No steps: the resource or component itself.
    """

    steps: tuple[str, ...]
    type: str
    target: str | None = None  # only references to this type
    exists: bool = False  # the value is whether the element is there and not false
    from_resource: bool = False  # in a composite: from the resource, not from the root
    # Of a code: the codes of each system it may be of.
    systems: tuple[tuple[str, frozenset[str]], ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Component:
    """One part of a composite; its paths begin at each element the composite's own paths give."""

    code: str
    kind: str
    paths: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One search parameter of one resource type.

    kind: token, string, reference, date, quantity, number, uri, composite or special (Location.near).
    targets: the types a reference may point to; empty for any. url: canonical of the region's own ones.
    """

    code: str
    kind: str
    paths: tuple[Path, ...]
    targets: tuple[str, ...] = ()
    components: tuple[Component, ...] = ()
    url: str = ""


class _Parameters(Mapping[str, Mapping[str, Parameter]]):
    """Type -> code -> parameter; a type's are read when first asked for."""

    def __init__(self) -> None:
        self._types: dict[str, dict[str, Parameter]] = {}

    def __getitem__(self, type_: str) -> dict[str, Parameter]:
        if type_ not in self._types:
            if type_ not in RESOURCE_TYPES:
                raise KeyError(type_)
            published = load("search_parameters")
            found = published["Resource"] | published.get(type_, {})
            self._types[type_] = {code: _parameter(code, raw) for code, raw in found.items()}
        return self._types[type_]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(RESOURCE_TYPES))

    def __len__(self) -> int:
        return len(RESOURCE_TYPES)


PARAMETERS: Mapping[str, Mapping[str, Parameter]] = _Parameters()


def values(node: dict[str, Any], path: Path) -> list[Any]:
    """Return what stands at a path; elements that repeat are flattened."""
    if path.exists:
        return [any(value is not False for key, value in node.items() if key.startswith(path.steps[0]))]
    found: list[Any] = [node]
    for step in path.steps:
        if step[0] == "?":
            key, _, wanted = step[1:].partition("=")
            found = [item for item in found if item.get(key) == wanted]
        elif step[0] == "[":
            found = found[:1]
        else:
            following: list[Any] = []
            for item in found:
                if isinstance(item, dict) and (value := item.get(step)) is not None:
                    if isinstance(value, list):
                        following += value
                    else:
                        following.append(value)
            found = following
    return found


def _parameter(code: str, raw: dict[str, Any]) -> Parameter:
    return Parameter(
        code=raw.get("as", code),
        kind=raw["kind"],
        paths=_paths(raw["paths"]),
        targets=tuple(raw.get("targets", ())),
        components=tuple(
            Component(part["code"], part["kind"], _paths(part["paths"])) for part in raw.get("components", ())
        ),
        url=raw.get("url", ""),
    )


def _paths(raw: list[dict[str, Any]]) -> tuple[Path, ...]:
    return tuple(
        Path(
            **path
            | {
                "steps": tuple(path["steps"]),
                "systems": tuple(
                    (system, frozenset(codes)) for system, codes in path.get("systems", {}).items()
                ),
            }
        )
        for path in raw
    )
