"""The OpenAPI 3 document of the hub, made from its routes and the tables of the CapabilityStatement."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson
from flask import Blueprint, Response, current_app

from esb.fhir.types import RESOURCE_TYPES
from hie.api import answers, asking
from hie.api.metadata import FOUND_BY, search_parameters
from hie.api.routes import FHIR, Route, routes_of
from hie.security.access import access

FHIR_JSON = "application/fhir+json"
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
Json = dict[str, Any]

# Addresses that differ by type in what they can be asked: one each, instead of `{type}`.
BY_TYPE = (f"{FHIR}/{{type}}", f"{FHIR}/{{type}}/_search")
NAMED_PLACES: dict[str, Json] = {
    "type": {"type": "string", "enum": sorted(RESOURCE_TYPES)},
    "id": {"type": "string", "pattern": "^[A-Za-z0-9.-]{1,64}$"},
    "version": {"type": "string", "pattern": "^[0-9]{1,9}$"},
    "number": {"type": "string", "pattern": "^[0-9]{1,6}$"},
}
HEADERS: dict[str, Json] = {
    "If-Match": {"type": "string", "pattern": '^(W/"[0-9]{1,9}"|\\*)$'},
    "If-None-Match": {"type": "string", "pattern": '^(\\*|W/"[0-9]{1,9}"(, ?W/"[0-9]{1,9}")*)$'},
    "If-None-Exist": {"type": "string", "maxLength": 2000},
    "Prefer": {"type": "string", "maxLength": 200},
}
QUERY: dict[str, Json] = {
    "_count": {"type": "integer", "minimum": 0, "maximum": 1000},
    "_format": {"type": "string", "enum": ["json", "application/fhir+json"]},
    "_pretty": {"type": "string", "enum": ["true", "false"]},
    "_include": {"type": "string"},
    "_revinclude": {"type": "string"},
    "_sort": {"type": "string"},
    "_summary": {"type": "string", "enum": ["true", "text", "data", "count", "false"]},
    "_total": {"type": "string", "enum": ["none", "accurate", "estimate"]},
}
FORM_OF_ANSWER = ("_format", "_pretty")
CONTROLS = tuple(QUERY)
EXAMPLE: Json = {"resourceType": "Basic", "code": {"text": "example"}}


@dataclass(frozen=True, slots=True)
class Shape:
    """What goes in and comes out of a kind of interaction.

    sent, answered: (media type, schema) of the body. statuses: of success.
    """

    statuses: tuple[int, ...] = (200,)
    answered: tuple[str, str] | None = (FHIR_JSON, "Resource")
    sent: tuple[tuple[str, str], ...] = ()
    headers: tuple[str, ...] = ()
    query: tuple[str, ...] = FORM_OF_ANSWER


# By the word a route is marked with.
SHAPES: dict[str, Shape] = {
    "read": Shape((200, 304), headers=("If-None-Match",)),
    "vread": Shape(),
    "history-instance": Shape(answered=(FHIR_JSON, "Bundle")),
    "history-type": Shape(answered=(FHIR_JSON, "Bundle")),
    "history-system": Shape(answered=(FHIR_JSON, "Bundle")),
    "create": Shape((200, 201), sent=((FHIR_JSON, "Resource"),), headers=("If-None-Exist", "Prefer")),
    "update": Shape(
        (200, 201), sent=((FHIR_JSON, "Resource"),), headers=("If-Match", "If-None-Match", "Prefer")
    ),
    "patch": Shape(
        sent=((asking.PATCH_TYPE, "JsonPatch"), (FHIR_JSON, "Resource")), headers=("If-Match", "Prefer")
    ),
    "delete": Shape((200, 204), answered=None, headers=("If-Match",), query=()),
    "search-type": Shape(answered=(FHIR_JSON, "Bundle"), headers=("Prefer",), query=CONTROLS),
    "search-system": Shape(answered=(FHIR_JSON, "Bundle"), headers=("Prefer",), query=CONTROLS),
    "transaction": Shape(answered=(FHIR_JSON, "Bundle"), sent=((FHIR_JSON, "Bundle"),)),
    "job.status": Shape((200, 202)),
    "job.delete": Shape((202,)),
    "job.file": Shape(answered=("application/fhir+ndjson", "Octets"), query=()),
    "token": Shape(answered=(JSON, "Token"), sent=((FORM, "TokenRequest"),), query=()),
    "smart-configuration": Shape(answered=(JSON, "Object"), query=()),
    "capabilities": Shape(),
    "openapi": Shape(answered=(JSON, "Object"), query=()),
    "health": Shape(answered=(JSON, "Object"), query=()),
    "blob.get": Shape(answered=("application/octet-stream", "Octets"), query=()),
    "blob.put": Shape((201,), None, (("application/octet-stream", "Octets"),), query=()),
}
OPERATION = Shape((200, 202, 204), sent=((FHIR_JSON, "Resource"),), headers=("Prefer",))
UNNAMED = Shape((200, 201, 202, 204))
SENDING = ("POST", "PUT", "PATCH")

SCHEMAS: Json = {
    "Object": {"type": "object"},
    "Octets": {"type": "string", "format": "binary"},
    "Resource": {
        "type": "object",
        "required": ["resourceType"],
        "properties": {"resourceType": {"type": "string", "enum": sorted(RESOURCE_TYPES | {"Parameters"})}},
        "example": EXAMPLE,
    },
    "Bundle": {
        "type": "object",
        "required": ["resourceType", "type"],
        "properties": {
            "resourceType": {"type": "string", "enum": ["Bundle"]},
            "type": {"type": "string"},
            "total": {"type": "integer", "minimum": 0},
            "entry": {"type": "array", "items": {"type": "object"}},
        },
        "example": {
            "resourceType": "Bundle",
            "type": "batch",
            "entry": [{"resource": EXAMPLE, "request": {"method": "POST", "url": "Basic"}}],
        },
    },
    "OperationOutcome": {
        "type": "object",
        "required": ["resourceType", "issue"],
        "properties": {
            "resourceType": {"type": "string", "enum": ["OperationOutcome"]},
            "issue": {
                "type": "array",
                "minItems": 1,
                "items": {"type": "object", "required": ["severity", "code"]},
            },
        },
    },
    "JsonPatch": {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["op", "path"],
            "properties": {
                "op": {"type": "string", "enum": ["add", "remove", "replace", "move", "copy", "test"]},
                "path": {"type": "string"},
                "from": {"type": "string"},
            },
        },
        "example": [{"op": "add", "path": "/language", "value": "zh"}],
    },
    "Search": {"type": "object", "additionalProperties": {"type": "string"}},
    "Token": {
        "type": "object",
        "required": ["access_token", "token_type", "expires_in"],
        "properties": {"access_token": {"type": "string"}, "expires_in": {"type": "integer"}},
    },
    "TokenError": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}},
    "TokenRequest": {
        "type": "object",
        "required": ["grant_type"],
        "properties": {
            "grant_type": {"type": "string", "enum": ["client_credentials"]},
            "client_id": {"type": "string"},
            "client_secret": {"type": "string"},
            "scope": {"type": "string"},
        },
    },
}


def add_routes(blueprint: Blueprint) -> None:
    """Open the routes of this module."""
    blueprint.add_url_rule("/openapi.json", view_func=openapi, methods=["GET"])


@access("openapi", public=True, audited=False)
def openapi() -> Response:
    """Answer the OpenAPI document."""
    routes = routes_of(current_app._get_current_object())  # type: ignore[attr-defined]
    response = answers.answer(document(asking.hub().config.base_url, routes))
    response.headers["Content-Type"] = JSON
    return response


@lru_cache(maxsize=4)
def document(base_url: str, routes: tuple[Route, ...]) -> bytes:
    """Return the OpenAPI document of a hub at this address with these routes."""
    paths: dict[str, Json] = {}
    for route in routes:
        for path, type_ in addresses(route):
            paths.setdefault(path, {})[route.method.lower()] = _operation(route, path, type_)
    return orjson.dumps(
        {
            "openapi": "3.0.3",
            "info": {
                "title": "Regional health information exchange",
                "version": "4.0.1",
                "description": "FHIR R4. What each resource type holds: http://hl7.org/fhir/R4/resourcelist.html",
            },
            "servers": [{"url": base_url}],
            "security": [{"oauth": []}],
            "paths": paths,
            "components": {
                "schemas": SCHEMAS,
                "parameters": dict(_shared_parameters()),
                "securitySchemes": {
                    "oauth": {
                        "type": "oauth2",
                        "flows": {
                            "clientCredentials": {
                                "tokenUrl": f"{base_url}/oauth/token",
                                "scopes": {"system/*.cruds": "everything", "system/*.rs": "read and search"},
                            }
                        },
                    }
                },
            },
        }
    )


def addresses(route: Route) -> Iterator[tuple[str, str | None]]:
    """Yield the addresses a route stands at in the document, with the type where it is one's own."""
    if route.path not in BY_TYPE:
        yield route.path, route.type
        return
    for type_ in sorted(RESOURCE_TYPES - asking.MADE_BY_THE_HUB):
        yield route.path.replace("{type}", type_), type_


def _operation(route: Route, path: str, type_: str | None) -> Json:
    default = OPERATION if route.asked else UNNAMED
    shape = SHAPES.get(route.operation, default)
    described: Json = {
        "operationId": re.sub(r"[^A-Za-z0-9]+", "_", f"{route.method} {path}").strip("_").lower()
        + ("_root" if path.endswith("/") else ""),
        "summary": route.asked.title if route.asked else route.summary,
        "tags": [type_ or route.operation],
        "parameters": [*_places(path), *_asked(route, shape, type_)],
        "responses": _responses(route, shape),
    }
    if route.public:
        described["security"] = []
    sent = ((FORM, "Search"),) if route.operation.startswith("search-") else shape.sent
    if route.method in SENDING and sent:
        content = {media: {"schema": _schema(name)} for media, name in sent}
        described["requestBody"] = {"content": content, "required": not route.operation.startswith("search-")}
    return described


def _responses(route: Route, shape: Shape) -> Json:
    found: Json = {}
    for status in shape.statuses:
        found[str(status)] = {"description": "Done"}
        if shape.answered and status not in (204, 304):
            media, name = shape.answered
            found[str(status)]["content"] = {media: {"schema": _schema(name)}}
    refused = {JSON: {"schema": _schema("TokenError")}} if route.operation == "token" else {}
    refused |= {FHIR_JSON: {"schema": _schema("OperationOutcome")}}
    found["4XX"] = {"description": "Refused, and why", "content": refused}
    found["503"] = {
        "description": "Try again later",
        "content": {FHIR_JSON: {"schema": _schema("OperationOutcome")}},
    }
    return found


def _places(path: str) -> Iterator[Json]:
    for name in re.findall(r"\{([^}]+)\}", path):
        schema = NAMED_PLACES.get(name, {"type": "string"})
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _asked(route: Route, shape: Shape, type_: str | None) -> Iterator[Json]:
    for name in shape.headers:
        yield {"$ref": f"#/components/parameters/{name}"}
    for name in shape.query:
        yield {"$ref": f"#/components/parameters/{name}"}
    if route.asked and route.method == "GET":
        for param in route.asked.params:
            yield {"name": param.name, "in": "query", "schema": {"type": "string"}}
    if route.operation == "search-type" and type_ and route.method == "GET":
        for parameter in search_parameters(type_):
            yield {"$ref": f"#/components/parameters/{_shared_name(type_, parameter)}"}


def _shared_name(type_: str, parameter: dict[str, str]) -> str:
    name = parameter["name"]
    return name if name.startswith("_") and type_ not in FOUND_BY else f"{type_}.{name}"


def _shared_parameters() -> Iterable[tuple[str, Json]]:
    for name, schema in HEADERS.items():
        yield name, {"name": name, "in": "header", "schema": schema}
    for name, schema in QUERY.items():
        yield name, {"name": name, "in": "query", "schema": schema}
    for type_ in sorted(RESOURCE_TYPES):
        for parameter in search_parameters(type_):
            described: Json = {"name": parameter["name"], "in": "query", "schema": {"type": "string"}}
            described["description"] = ". ".join(
                text for text in (parameter["type"], parameter.get("documentation")) if text
            )
            yield _shared_name(type_, parameter), described


def _schema(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}
