"""The CapabilityStatement, made from what is really there (FHIR R4 http.html#capabilities)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import orjson
from flask import Blueprint, Response, current_app

from esb.fhir.search_parameters import PARAMETERS, Parameter
from esb.fhir.types import RESOURCE_TYPES
from hie.api import answers, asking, persons
from hie.api.operations import Operation, operations_of
from hie.api.routes import OF_A_TYPE, OF_THE_SYSTEM, Route, of_type, routes_of
from hie.repository.conditions import modifiers_of
from hie.repository.definitions import EVERY_TYPE, indexed_parameters
from hie.repository.includes import may_point
from hie.security import trail
from hie.security.access import access
from hie.services.subscriptions.channel import BACKPORT
from hie.services.subscriptions.topics import TOPICS

DATE = "2026-11-21"
# The guides whose servers this one is.
GUIDES = (
    "http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data",
    "http://hl7.org/fhir/uv/subscriptions-backport/CapabilityStatement/backport-subscription-server-r4",
)
FORMATS = ["application/fhir+json", "json"]
PACKAGE = "hie"
# What several types are searched by beside what all of them share.
OF_SEVERAL = (
    {"name": "_type", "type": "special", "documentation": "The types to search, separated by commas"},
    {"name": "_list", "type": "special", "documentation": "The entries of a List, by its id"},
    {"name": "_has", "type": "special", "documentation": "What is pointed at by something that matches"},
)
# What the types that the hub makes are found by.
FOUND_BY: dict[str, tuple[str, ...]] = {
    "AuditEvent": (*(name for name in trail.SEARCH if ":" not in name), "date", "_lastUpdated"),
    "Person": persons.NAMING,
}


def add_routes(blueprint: Blueprint) -> None:
    """Open the routes of this module."""
    blueprint.add_url_rule("/metadata", view_func=metadata, methods=["GET"])


@access("capabilities", public=True, audited=False)
def metadata() -> Response:
    """Answer the CapabilityStatement."""
    asking.check_accept()
    routes = routes_of(current_app._get_current_object())  # type: ignore[attr-defined]
    return answers.answer(statement(asking.hub().config.base_url, routes))


@lru_cache(maxsize=4)
def statement(base_url: str, routes: tuple[Route, ...]) -> bytes:
    """Return the CapabilityStatement of a hub at this address with these routes."""
    served = {code for route in routes for code in OF_THE_SYSTEM.get(route.operation, ())}
    rest: dict[str, Any] = {
        "mode": "server",
        "security": _security(base_url),
        "resource": [_resource(type_, of_type(routes, type_)) for type_ in sorted(RESOURCE_TYPES)],
        "interaction": [
            {"code": code} for codes in OF_THE_SYSTEM.values() for code in codes if code in served
        ],
    }
    if any(route.operation == "search-compartment" for route in routes):
        rest["compartment"] = ["http://hl7.org/fhir/CompartmentDefinition/patient"]
    if "search-system" in served:
        rest["searchParam"] = _of_all_types()
    if operations := _operations(operations_of("system")):
        rest["operation"] = operations
    return orjson.dumps(
        {
            "resourceType": "CapabilityStatement",
            "status": "active",
            "date": DATE,
            "kind": "instance",
            "instantiates": list(GUIDES),
            "software": {"name": PACKAGE, "version": version(PACKAGE)},
            "implementation": {
                "description": "Regional health information exchange",
                "url": f"{base_url}/fhir",
            },
            "fhirVersion": "4.0.1",
            "format": FORMATS,
            "patchFormat": [asking.PATCH_TYPE, FORMATS[0]],
            "rest": [rest],
        }
    )


def _security(base_url: str) -> dict[str, Any]:
    smart = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
    system = "http://terminology.hl7.org/CodeSystem/restful-security-service"
    return {
        "extension": [{"url": smart, "extension": [{"url": "token", "valueUri": f"{base_url}/oauth/token"}]}],
        "cors": False,
        "service": [
            {"coding": [{"system": system, "code": "SMART-on-FHIR"}]},
            {"coding": [{"system": system, "code": "OAuth"}]},
        ],
        "description": "OAuth 2.0 client credentials with SMART v2 scopes; "
        f"see {base_url}/.well-known/smart-configuration",
    }


def _resource(type_: str, routes: list[Route]) -> dict[str, Any]:
    words = {route.operation for route in routes if route.asked is None}
    by_type = {route.method for route in routes if len(route.steps) == 1}
    described: dict[str, Any] = {"type": type_}
    if type_ == "Subscription":
        # Backport IG, "Topic Discovery": which topics there are is said here.
        topic = BACKPORT + "capabilitystatement-subscriptiontopic-canonical"
        described["extension"] = [{"url": topic, "valueCanonical": url} for url in TOPICS]
        described["supportedProfile"] = [BACKPORT + "backport-subscription"]
    if codes := [{"code": code} for code in OF_A_TYPE if code in words]:
        described["interaction"] = codes
    if "update" in words:
        described |= {
            "versioning": "versioned-update",
            "readHistory": "vread" in words,
            "updateCreate": True,
            "conditionalCreate": "create" in words,
            "conditionalRead": "full-support",
            "conditionalUpdate": "PUT" in by_type,
            "conditionalDelete": "multiple" if "DELETE" in by_type else "not-supported",
            "referencePolicy": ["literal", "logical", "local"],
        }
    if includes := _includes(type_):
        described["searchInclude"] = ["*", *includes]
    if pointing := _pointing().get(type_):
        described["searchRevInclude"] = ["*", *pointing]
    if type_ not in asking.NEVER_KEPT:
        described["searchParam"] = search_parameters(type_)
    if operations := _operations([*operations_of("type", type_), *operations_of("instance", type_)]):
        described["operation"] = operations
    return described


def search_parameters(type_: str) -> list[dict[str, str]]:
    """Return what a type can be searched by: name, type, and the modifiers that are answered."""
    if type_ in FOUND_BY:
        return [{"name": code, "type": PARAMETERS[type_][code].kind} for code in FOUND_BY[type_]]
    return [_search_parameter(code, parameter) for code, parameter in indexed_parameters(type_).items()]


def _of_all_types() -> list[dict[str, str]]:
    """Return what a search over several types takes."""
    first, *others = (indexed_parameters(type_) for type_ in EVERY_TYPE)
    shared = {code: first[code] for code in first if all(code in other for other in others)}
    return [*OF_SEVERAL, *(_search_parameter(code, parameter) for code, parameter in shared.items())]


def _search_parameter(code: str, parameter: Parameter) -> dict[str, str]:
    described = {"name": code, "type": parameter.kind}
    if parameter.url:
        described["definition"] = parameter.url
    if modifiers := modifiers_of(parameter):
        described["documentation"] = "Modifiers: " + " ".join(f":{name}" for name in modifiers)
    return described


def _operations(asked: Iterable[Operation]) -> list[dict[str, str]]:
    """Return operations as they are stated, each once."""
    found = {operation.name: operation.definition for operation in asked}
    return [{"name": name, "definition": url} for name, url in sorted(found.items())]


def _includes(type_: str) -> list[str]:
    if type_ in asking.MADE_BY_THE_HUB:
        return []
    return [f"{type_}:{code}" for code, p in indexed_parameters(type_).items() if p.kind == "reference"]


@lru_cache(maxsize=1)
def _pointing() -> dict[str, list[str]]:
    """Return, by type, the reference parameters by which others may point at it."""
    found: dict[str, list[str]] = {type_: [] for type_ in EVERY_TYPE}
    for source in EVERY_TYPE:
        for code, parameter in indexed_parameters(source).items():
            if parameter.kind == "reference":
                for type_ in EVERY_TYPE:
                    if may_point(parameter, type_):
                        found[type_].append(f"{source}:{code}")
    return found
