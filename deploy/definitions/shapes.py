"""What a summary of each resource type shows, and what no part of it goes without (FHIR R4 search.html)."""

from __future__ import annotations

from typing import Any

from deploy.definitions.elements import Definitions


def shapes(definitions: Definitions) -> dict[str, Any]:
    """Return, by type: all elements, those always kept (mandatory or modifying), and the tree of its summary.

    In the tree an element is 1 where all of it is shown, or the tree of what is shown of it.
    """
    return {
        type_: {
            "elements": _keys(definitions, type_, lambda element: True),
            "kept": _keys(definitions, type_, lambda element: element.low > 0 or element.modifies),
            "summary": _summary(definitions, type_),
        }
        for type_ in definitions.resources
    }


def _keys(definitions: Definitions, path: str, is_wanted: Any) -> list[str]:
    return [
        key
        for element in definitions.children(path).values()
        if is_wanted(element)
        for key in [*element.keys()]
    ]


def _summary(definitions: Definitions, path: str) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for element in definitions.children(path).values():
        if element.in_summary or element.low > 0 or element.modifies:
            below = definitions.below(path, element)
            # Elements of data types are shown whole; only those a resource defines itself are chosen from.
            own = below == f"{path}.{element.name}" and definitions.is_type(below)
            for key in [*element.keys()]:
                tree[key] = _summary(definitions, below) if own else 1
    return tree
