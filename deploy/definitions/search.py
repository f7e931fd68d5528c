"""Search parameters and the patient compartment as lists of element paths (FHIR R4, search.html).

A compiled path is `{"steps": [...], "type": leaf type}` with, where they apply, `target` (the type that
`resolve()` must give), `exists` and `systems` (of a code: its codes by their system). A step is an
element's JSON key, `[0]` (the first only) or
`?key=value` (those whose element has this value).
"""

from __future__ import annotations

import re
from typing import Any

from deploy.definitions.corrections import COMPONENTS, NOT_R4_PARAMETERS, NOT_R4_TYPES
from deploy.definitions.elements import Definitions
from deploy.definitions.region import OWN, SAME, url_of
from deploy.definitions.valuesets import Expansion, ValueSets

Path = dict[str, Any]

# search.html#table: which data types a parameter of a kind can read.
READABLE = {
    "token": "CodeableConcept Coding code boolean Identifier ContactPoint string id uri canonical",
    "string": "string markdown code id uri HumanName Address Annotation CodeableConcept",
    "date": "date dateTime instant Period Timing",
    "quantity": "Quantity Age Duration Count Distance Money Range SampledData",
    "number": "integer positiveInt unsignedInt decimal Range",
    "reference": "Reference canonical uri Resource",
    "uri": "uri url canonical oid uuid",
    "special": "BackboneElement",
}
# Who the patient of a resource is, when several references could say so: the first that does.
OWNERS = ("subject", "patient", "beneficiary", "individual")
# Belong to several people, or are the person.
NOT_IN_ONE_COMPARTMENT = frozenset({"Group", "Person", "Patient"})

_CAST = re.compile(r"^\((?P<path>[^()]+) as (?P<type>\w+)\)")
_STEP = re.compile(r"(\w+\([^()]*(?:\(\)[^()]*)?\)|[\w%]+)(\[\d+\])?(?:\.|$)")
_WHERE = re.compile(r"where\((\w+)='([^']+)'\)")
_RESOLVE = re.compile(r"where\(resolve\(\) is (\w+)\)")
_AS = re.compile(r"as\((\w+)\)")


def compile_expression(
    definitions: Definitions, expression: str, *, base: str, kind: str, root: str = ""
) -> list[Path]:
    """Compile the alternatives of an expression that begin at a type.

    Args:
        base: the resource type asked for; alternatives for other types are left out.
        root: the path relative to which a composite's component is read, else empty.
    """
    paths: list[Path] = []
    for alternative in re.split(r"\s*\|\s*", expression):
        if alternative.endswith("!= false"):
            paths.append({"steps": ["deceased"], "type": "boolean", "exists": True})
            continue
        text = _CAST.sub(r"\g<path>.as(\g<type>)", alternative)
        tokens = [(name, index) for name, index in _STEP.findall(text)]
        if tokens[0][0] == "%resource":
            paths += [path | {"from_resource": True} for path in _walk(definitions, base, tokens[1:], kind)]
        elif root:
            paths += _walk(definitions, root, tokens, kind)
        elif tokens[0][0] in (base, "Resource", "DomainResource"):
            paths += _walk(definitions, base, tokens[1:], kind)
        elif definitions.child(base, tokens[0][0]):
            paths += _walk(definitions, base, tokens, kind)
    return paths


def _walk(definitions: Definitions, start: str, tokens: list[tuple[str, str]], kind: str) -> list[Path]:
    """Follow the steps from a type to its leaves; several where the last element is a choice."""
    ends: list[tuple[list[str], str, str]] = [([], start, start)]
    target = None
    for position, (token, index) in enumerate(tokens):
        if match := _WHERE.fullmatch(token):
            ends = [([*steps, f"?{match[1]}={match[2]}"], at, type_) for steps, at, type_ in ends]
        elif match := _RESOLVE.fullmatch(token):
            target = match[1]
        elif not _AS.fullmatch(token):
            following = _AS.fullmatch(tokens[position + 1][0]) if position + 1 < len(tokens) else None
            found = [
                (steps, step)
                for steps, at, _ in ends
                for step in _step(definitions, at, token, following[1] if following else "")
            ]
            suffix = [index] if index else []
            ends = [([*steps, key, *suffix], below, type_) for steps, (key, below, type_) in found]
    wanted = READABLE.get(kind, "").split()
    choices = len(ends) > 1
    return [
        {"steps": steps, "type": type_} | ({"target": target} if target else {})
        for steps, _, type_ in ends
        if not choices or not wanted or type_ in wanted
    ]


def _step(definitions: Definitions, at: str, name: str, cast: str) -> list[tuple[str, str, str]]:
    """Return (key, path of its children, type) of an element: one for each type of a choice."""
    found = definitions.child(at, name)
    if found is None:
        raise LookupError(f"{at} has no element {name}")
    element, below = found
    if not element.is_choice:
        return [(name, below, element.types[0] if element.types else "BackboneElement")]
    return [
        (key, type_, type_)
        for key, type_ in element.keys().items()
        if not cast or type_.lower() == cast.lower()
    ]


def search_parameters(
    definitions: Definitions, value_sets: ValueSets, published: list[dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return type -> code -> parameter; parameters of every resource stand under "Resource"."""
    by_url = {parameter["url"]: parameter for parameter in published}
    out: dict[str, dict[str, Any]] = {"Resource": {}}
    for parameter in published:
        if "expression" not in parameter:
            continue
        for base in parameter["base"]:
            if base in NOT_R4_TYPES or (base, parameter["code"]) in NOT_R4_PARAMETERS:
                continue
            owner = "Resource" if base in ("Resource", "DomainResource") else base
            compiled = _parameter(definitions, parameter, base, by_url)
            if compiled["paths"]:
                out.setdefault(owner, {})[parameter["code"]] = compiled
    _add_the_regions(definitions, out)
    for type_, parameters in out.items():
        for path in (path for parameter in parameters.values() for path in parameter["paths"]):
            if path["type"] == "code" and (
                systems := _systems(definitions, value_sets, type_, path["steps"])
            ):
                path["systems"] = systems
    return {type_: dict(sorted(codes.items())) for type_, codes in sorted(out.items())}


def _systems(
    definitions: Definitions, value_sets: ValueSets, type_: str, steps: list[str]
) -> Expansion | None:
    """Return the codes that an element may have, by their system, which a code does not state itself."""
    at, value_set = type_, None
    for step in steps:
        if step[0] not in "?[":
            found = definitions.child(at, step)
            if found is None:
                return None
            value_set, at = found[0].value_set, found[1]
    return value_sets.expand(value_set) if value_set else None


def _add_the_regions(definitions: Definitions, out: dict[str, dict[str, Any]]) -> None:
    """Add the region's own parameters, each with its canonical; `as` is the one it is another name of."""
    for (type_, code), published in SAME.items():
        out[type_][code] = out[type_][published] | {"as": published, "url": url_of(type_, code)}
    for own in OWN:
        type_, code = own["base"], own["code"]
        compiled = _parameter(definitions, own | {"expression": f"{type_}.{code}"}, type_, {})
        out[type_][code] = compiled | {"url": url_of(type_, code)}


def _parameter(
    definitions: Definitions, parameter: dict[str, Any], base: str, by_url: dict[str, Any]
) -> dict[str, Any]:
    kind = parameter["type"]
    paths = compile_expression(definitions, parameter["expression"], base=base, kind=kind)
    compiled: dict[str, Any] = {"kind": kind, "paths": paths}
    targets = [target for target in parameter.get("target", ()) if target not in NOT_R4_TYPES]
    if targets and len(targets) < len(definitions.resources) - 20:  # else: any resource
        compiled["targets"] = sorted(targets)
    if kind == "composite":
        if not paths:  # `Observation`: the resource itself is the root
            paths.append({"steps": [], "type": base})
        compiled["components"] = [
            _component(definitions, component, base, paths, by_url) for component in parameter["component"]
        ]
    return compiled


def _component(
    definitions: Definitions, component: dict[str, Any], base: str, roots: list[Path], by_url: dict[str, Any]
) -> dict[str, Any]:
    defined = by_url[component["definition"]]
    expression = COMPONENTS.get((base, defined["code"]), component["expression"])
    paths: list[Path] = []
    for root in roots:
        at = base
        for step in root["steps"]:
            at = definitions.child(at, step)[1]  # type: ignore[index]
        compiled = compile_expression(definitions, expression, base=base, kind=defined["type"], root=at)
        paths += [path for path in compiled if path not in paths]
    return {"code": defined["code"], "kind": defined["type"], "paths": paths}


def patient_compartment(
    compartment: dict[str, Any], parameters: dict[str, dict[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    """Return type -> references that may name its patient, the most telling first.

    Source: FHIR R4 CompartmentDefinition/patient.
    """
    out: dict[str, list[dict[str, Any]]] = {}
    for resource in compartment["resource"]:
        type_ = resource["code"]
        if "param" not in resource or type_ in NOT_IN_ONE_COMPARTMENT:
            continue
        params = [param for param in resource["param"] if param in parameters[type_]]
        params.sort(key=lambda param: OWNERS.index(param) if param in OWNERS else len(OWNERS))
        references: list[Path] = []
        for param in params:
            for path in parameters[type_][param]["paths"]:
                if path["type"] == "Reference" and path["steps"] not in [r["steps"] for r in references]:
                    references.append({"steps": path["steps"], "owner": param in OWNERS})
        out[type_] = references
    return out
