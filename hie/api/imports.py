"""$import: NDJSON files that a system of the region brings (in the manner of the SMART Bulk Import)."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from esb.fhir.types import RESOURCE_TYPES
from hie.api import asking, jobs
from hie.api.operations import add_operation
from hie.errors import NotPermitted, NotSupported, NotValid
from hie.security.access import access
from hie.security.allowed import is_allowed
from hie.services.exports.asked import FORMATS

MOST_INPUTS = 1000
REFUSED_TYPES = asking.MADE_BY_THE_HUB | {"Subscription"}


def add_routes(blueprint: Blueprint) -> None:
    """Open the routes of this module."""
    add_operation(blueprint, "import", take_in)


@access("$import")
def take_in() -> Response:
    """Take on an import of NDJSON files; their resources have ids, and are written as by PUT."""
    jobs.check_async()
    if asking.actor().facility is not None:
        raise NotPermitted("Only a system of the region may import.")
    asking.permitted("update", "*")
    body = asking.body_resource()
    asked = _of_parameters(body) if body.get("resourceType") == "Parameters" else body
    if str(asked.get("inputFormat", "application/fhir+ndjson")) not in FORMATS:
        raise NotSupported("inputFormat is application/fhir+ndjson.")
    inputs = asked.get("input")
    if not isinstance(inputs, list) or not 0 < len(inputs) <= MOST_INPUTS:
        raise NotValid(f"input lists 1 to {MOST_INPUTS} files, each with type and url.")
    return jobs.accepted("import", {"input": [_input(one) for one in inputs]}, "$import")


def _input(one: Any) -> dict[str, str]:
    type_, url = (one.get("type"), one.get("url")) if isinstance(one, dict) else (None, None)
    if not isinstance(type_, str) or type_ not in RESOURCE_TYPES or not isinstance(url, str):
        raise NotValid("Each input has the type of its resources and the url of its file.")
    if type_ in REFUSED_TYPES:
        raise NotSupported(f"{type_} cannot be imported.")
    for action in ("create", "update"):
        asking.permitted(action, type_)
    if not is_allowed(url, asking.hub().config.import_from):
        raise NotPermitted("An input is not under an address that the operator has listed.")
    return {"type": type_, "url": url}


def _of_parameters(resource: dict[str, Any]) -> dict[str, Any]:
    """Return what a Parameters resource says, as the JSON form has it. Raises: NotValid."""
    given = resource.get("parameter", [])
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise NotValid("Parameters.parameter is a list.")
    asked: dict[str, Any] = {"input": []}
    for one in given:
        if one.get("name") == "input":
            parts = one.get("part", [])
            if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
                raise NotValid("Parameters.parameter.part is a list.")
            asked["input"].append({str(part.get("name")): _value(part) for part in parts})
        else:
            asked[str(one.get("name"))] = _value(one)
    return asked


def _value(one: dict[str, Any]) -> Any:
    return next((one[key] for key in one if key.startswith("value")), None)
