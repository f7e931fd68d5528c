"""$validate: our rules, and a second opinion (FHIR R4 resource-operation-validate)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fhir.resources.R4B import get_fhir_model_class
from flask import Blueprint, Response
from pydantic import ValidationError

from esb.errors import Issue
from esb.fhir import lexemes
from esb.fhir.bundles import operation_outcome
from esb.fhir.explanation import path_of
from esb.fhir.validation import check_resource
from hie.api import answers, asking, operations, parameters
from hie.api.parameters import Values
from hie.errors import NotSupported, NotValid
from hie.repository import read
from hie.security import audit
from hie.security.access import access

BASE = "http://hl7.org/fhir/StructureDefinition/"
# mode: what the actor must be allowed to do; without one, to read.
MODES = {"create": "create", "update": "update", "delete": "delete", "profile": "read"}
MOST_ISSUES = 20
LABEL = "Second opinion (fhir.resources, R4B): "
# What pydantic found; its own messages may repeat a value.
KINDS = {"missing": "a required element is missing", "extra_forbidden": "there is no such element"}
OTHERWISE = "the value has not the form of its type"


def add_routes(blueprint: Blueprint) -> None:
    """Open the routes of this module."""
    operations.add_operation(blueprint, "validate", validate)


@access("$validate")
def validate(type_: str, id_: str | None = None) -> Response:
    """Answer what is wrong with the resource given, or with the one that is stored."""
    asking.check_accept()
    given = parameters.asked(operations.operation("validate", "instance" if id_ else "type", type_))
    mode = _mode(given, id_)
    decision = asking.permitted("read", type_)
    asking.permitted(MODES.get(mode, "read"), type_)
    _check_profile(given, type_)
    resource = parameters.one(given, "resource")
    if resource is None and id_ is None:
        raise NotValid("$validate of a type needs the parameter resource.")
    compartment = None
    with asking.hub().begin() as session:
        if id_ is not None and (resource is None or mode == "delete"):
            stored = read.read(session, type_, id_, decision.where)
            compartment = stored.compartment or None
            if resource is None and mode != "delete":
                resource = lexemes.loads(stored.content)
        ours, theirs = [], []
        if resource is not None:
            ours = list(_ours(resource, type_, id_, must_have_id=mode == "update"))
            theirs = list(_second_opinion(resource, type_))
        audit.record(
            session,
            actor=asking.actor(),
            action="E",
            operation="$validate",
            resource_type=type_,
            resource_id=id_,
            compartment=compartment,
            detail={"errors": len(ours), "warnings": len(theirs)},
        )
    found = operation_outcome(ours)
    if theirs:
        found["issue"] = (found["issue"] if ours else []) + operation_outcome(theirs, "warning")["issue"]
    return answers.answer(lexemes.dumps(found))


def _mode(given: Values, id_: str | None) -> str:
    mode = str(parameters.one(given, "mode", ""))
    if mode and mode not in MODES:
        raise NotValid(f"mode is one of {', '.join(MODES)}.")
    if mode in ("update", "delete") and id_ is None:
        raise NotValid(f"mode={mode} is asked of one resource: Type/id/$validate.")
    return mode


def _check_profile(given: Values, type_: str) -> None:
    profile = str(parameters.one(given, "profile", "")).partition("|")[0]
    if profile and profile != BASE + type_:
        raise NotSupported(
            f"profile: the definition of R4 itself is checked, {BASE}{type_}, and no other here."
        )


def _ours(
    resource: dict[str, Any], type_: str, id_: str | None, *, must_have_id: bool = False
) -> Iterator[Issue]:
    if resource.get("resourceType") != type_:
        yield Issue("resourceType", f"must be {type_}, the type in the address", "invalid")
        return
    if id_ is not None and resource.get("id", None if must_have_id else id_) != id_:
        yield Issue(f"{type_}.id", "must be the id in the address", "invalid")
    try:
        check_resource(resource)
    except NotValid as error:
        yield from error.issues


def _second_opinion(resource: dict[str, Any], type_: str) -> Iterator[Issue]:
    """Yield what fhir.resources says, in our words: element and kind, never a value."""
    try:
        model = get_fhir_model_class(type_)
    except ValueError:
        yield Issue("", f"{LABEL}it does not know this type.", "not-supported")
        return
    if resource.get("resourceType") != type_:
        return
    try:
        model.model_validate(resource)
    except ValidationError as error:
        for one in error.errors(include_input=False, include_context=False, include_url=False)[:MOST_ISSUES]:
            yield Issue(path_of(type_, one["loc"]), LABEL + KINDS.get(one["type"], OTHERWISE), "invalid")
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        yield Issue("", f"{LABEL}it cannot read this resource.", "processing")
