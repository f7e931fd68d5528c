"""Checks resources against FHIR R4 (4.0.1): structure, cardinality, bindings, invariants.

Pass or fail first, by compiled rules; the reasons are looked for only when it failed. Issues name the
element and what is expected, never what stands there. What is checked, and what not: docs/validation.md.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import islice
from typing import Any, cast

from jsonschema_rs import Draft202012Validator, RegexOptions

from esb.errors import Issue, NotValid
from esb.fhir.definitions import load
from esb.fhir.explanation import beyond, explain, path_of
from esb.fhir.invariants import ELEMENT_RULES, RESOURCE_RULES, Rule, local_links
from esb.fhir.rare_rules import RARE_RULES
from esb.fhir.types import RESOURCE_TYPES

Resource = dict[str, Any]
MAX_ISSUES = 20

# What the road carries every day; the rules of the other types are compiled when first needed.
COMMON_TYPES = frozenset(
    """
    Account AllergyIntolerance Appointment Binary Bundle CarePlan CareTeam ChargeItem Claim Composition
    Condition Consent Coverage Device DiagnosticReport DocumentReference Encounter EpisodeOfCare
    ExplanationOfBenefit Goal Immunization ImagingStudy Invoice Location MeasureReport Medication
    MedicationAdministration MedicationDispense MedicationRequest MedicationStatement Observation
    OperationOutcome Organization Patient Practitioner PractitionerRole Procedure Provenance
    RelatedPerson ServiceRequest Specimen Task
    """.split()  # noqa: SIM905
)


def prepare() -> None:
    """Compile the rules of the common types now, such as before a web server forks."""
    _validator(True, False)


def is_valid(resource: Any) -> bool:
    """Whether a parsed resource (by `lexemes.loads` or orjson) keeps the rules of R4; about 5 us."""
    return _passes(resource, local=False)


def check_resource(resource: Any, path_prefix: str = "") -> None:
    """Refuse a resource that breaks the rules of R4.

    Args:
        path_prefix: where it stands, such as `Bundle.entry[3].resource`; else its type.
    Raises: NotValid with up to 20 issues.
    """
    if _passes(resource, local=False):
        return
    issues = list(islice(_issues(resource, path_prefix, local=False), MAX_ISSUES))
    first = issues[0]
    more = f" ({len(issues)} findings)" if len(issues) > 1 else ""
    raise NotValid(f"{first.path or 'The content'} {first.text}{more}", issues=issues)


def _passes(resource: Any, local: bool) -> bool:
    type_ = resource.get("resourceType") if isinstance(resource, dict) else None
    if not isinstance(type_, str) or type_ not in RESOURCE_TYPES:
        return False
    has_contained = "contained" in resource
    local = local or has_contained
    validator = _validator(type_ in COMMON_TYPES, local)
    if not _holds(validator, {type_: resource}):
        patched = _without_nulls(resource)
        if patched is resource or not _holds(validator, {type_: patched}):
            return False
    for rule in _rules(type_):
        if not rule.holds(resource):
            return False
    if has_contained and next(local_links(resource), None):
        return False
    if has_contained or type_ in _CARRIERS:
        return all(_passes(inner, inner_local) for _, inner, inner_local in _inner(resource))
    return True


def _holds(validator: Any, resource: Any) -> bool:
    try:
        return bool(validator.is_valid(resource))
    except (RuntimeError, ValueError):
        # Nothing can be asked about a number that no double holds.
        if next(beyond(resource, ""), None) is None:
            raise
        return False


def _issues(resource: Any, prefix: str, local: bool) -> Iterator[Issue]:
    type_ = resource.get("resourceType") if isinstance(resource, dict) else None
    if not isinstance(type_, str) or type_ not in RESOURCE_TYPES:
        yield Issue(prefix, "is no resource of FHIR R4; give a known resourceType", "structure")
        return
    prefix = prefix or type_
    local = local or "contained" in resource
    validator = _validator(type_ in COMMON_TYPES, local)
    found = list(beyond(resource, prefix))
    yield from found
    if found:
        return
    found = list(explain(validator, _schemas(local), type_, _without_nulls(resource), prefix))
    yield from found
    if found:  # what the functions below rely on does not hold
        return
    for rule in _rules(type_):
        if not rule.holds(resource):
            yield Issue(f"{prefix}.{rule.element}", f"breaks {rule.key}: {rule.text}", "invariant")
    for key, text in local_links(resource) if "contained" in resource else ():
        yield Issue(f"{prefix}.contained", f"breaks {key}: {text}", "invariant")
    for path, inner, inner_local in _inner(resource):
        yield from _issues(inner, path_of(prefix, path), inner_local)


@cache
def _rules(type_: str) -> tuple[Rule, ...]:
    return (*RESOURCE_RULES.get(type_, ()), *RARE_RULES.get(type_, ()))


def _inner(resource: Resource) -> Iterator[tuple[list[str | int], Any, bool]]:
    """Yield (path, resource, whether it may refer to its container) of the resources inside a resource."""
    for index, contained in enumerate(resource.get("contained", ())):
        yield ["contained", index], contained, True
    carrier = _CARRIERS.get(resource["resourceType"])
    if carrier == "entry":
        for index, entry in enumerate(resource.get("entry", ())):
            if "resource" in entry:
                yield ["entry", index, "resource"], entry["resource"], False
            if "outcome" in entry.get("response", ()):
                yield ["entry", index, "response", "outcome"], entry["response"]["outcome"], False
    elif carrier == "parameter":
        yield from _parameters(resource, "parameter", [])


def _parameters(
    node: Resource, key: str, path: list[str | int]
) -> Iterator[tuple[list[str | int], Any, bool]]:
    for index, parameter in enumerate(node.get(key, ())):
        here = [*path, key, index]
        if "resource" in parameter:
            yield [*here, "resource"], parameter["resource"], False
        yield from _parameters(parameter, "part", here)


_CARRIERS = {"Bundle": "entry", "Parameters": "parameter"}


def _without_nulls(node: Any) -> Any:
    """Return the same without the nulls whose `_` companion says more, or the node itself if there are none.

    Source: FHIR R4 json.html#null. A null is replaced by another value of the list: places stay the same.
    """
    if isinstance(node, list):
        items = [_without_nulls(item) for item in node]
        return items if any(new is not old for new, old in zip(items, node, strict=True)) else node
    if not isinstance(node, dict):
        return node
    changed = {}
    for key, value in node.items():
        new = _without_nulls(value) if isinstance(value, (dict, list)) else value
        if isinstance(value, list) and None in value and _is_companion_for(node.get(f"_{key}"), value):
            known = [item for item in value if item is not None]
            new = [item if item is not None else known[0] for item in value] if known else _ABSENT
        if new is not value:
            changed[key] = new
    if not changed:
        return node
    return {key: value for key, value in (node | changed).items() if value is not _ABSENT}


def _is_companion_for(companion: Any, values: list[Any]) -> bool:
    return (
        isinstance(companion, list)
        and len(companion) == len(values)
        and all(
            value is not None or isinstance(said, dict) for value, said in zip(values, companion, strict=True)
        )
    )


_ABSENT = object()


class _Invariants:
    """The schema's keyword `invariants`: functions that look at one element."""

    def __init__(self, parent_schema: dict[str, Any], value: Any, schema_path: list[str | int]) -> None:
        self._rules = [(key, ELEMENT_RULES[key][1]) for key in value]

    def validate(self, instance: Any) -> None:
        """Raise if the element breaks one; what has the wrong type for it breaks a rule of the schema."""
        if not isinstance(instance, dict):
            return
        for key, holds in self._rules:
            try:
                is_kept = holds(instance)
            except (TypeError, ValueError, AttributeError, ArithmeticError):
                continue
            if not is_kept:
                raise ValueError(key)


class _Digits:
    """The schema's keyword `digits`: a whole number is written without point and exponent."""

    def __init__(self, parent_schema: dict[str, Any], value: Any, schema_path: list[str | int]) -> None:
        pass

    # Raises TypeError for all but an int, at a fifth of the cost of a function of our own.
    validate = staticmethod(cast("Callable[[Any], None]", operator.index))


@cache
def _validator(is_common: bool, local: bool) -> Any:
    """Return the compiled rules of the common types, or of all others; about 0.1 s, once per process.

    They look at `{type: resource}`: one set of data types serves many resource types.

    Args:
        local: allow references within the resource ("#x"), as it contains others.
    """
    types = COMMON_TYPES if is_common else RESOURCE_TYPES - COMMON_TYPES
    schemas = _schemas(local)
    return Draft202012Validator(
        {
            "properties": {type_: {"$ref": f"#/$defs/{type_}"} for type_ in types},
            "$defs": {name: schemas[name] for name in _closure(types)},
        },
        pattern_options=RegexOptions(),
        keywords={"invariants": _Invariants, "digits": _Digits},
        validate_formats=False,
        offline=True,
    )


@cache
def _schemas(local: bool) -> dict[str, Any]:
    published: dict[str, Any] = load("schema")
    return {name: _with_local(schema) for name, schema in published.items()} if local else published


def _with_local(node: Any) -> Any:
    """Return a schema whose reference patterns are the ones that allow local references."""
    if isinstance(node, dict):
        if "local" in node and "pattern" in node:
            return node | {"pattern": node["local"]}
        children = {key: _with_local(value) for key, value in node.items()}
        return children if any(children[key] is not value for key, value in node.items()) else node
    if isinstance(node, list):
        items = [_with_local(value) for value in node]
        return items if any(new is not old for new, old in zip(items, node, strict=True)) else node
    return node


def _closure(types: Iterable[str]) -> set[str]:
    """Return the names of the definitions that the rules of some types refer to."""
    schemas = load("schema")
    seen: set[str] = set()
    waiting = list(types)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += _referred(schemas[name])
    return seen


def _referred(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value.removeprefix("#/$defs/")
            else:
                yield from _referred(value)
    elif isinstance(node, list):
        for value in node:
            yield from _referred(value)
