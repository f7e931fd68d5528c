"""The CapabilityStatement, made from what is really there (FHIR R4 http.html#capabilities)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import orjson
from flask import Blueprint, Response

from esb.fhir.types import RESOURCE_TYPES
from hie.api import answers, asking
from hie.repository.definitions import indexed_parameters
from hie.security.access import access

INTERACTIONS = ("read", "vread", "history-instance", "create", "update", "patch", "delete", "search-type")
DATE = "2026-11-21"


def add_routes(blueprint: Blueprint) -> None:
    """Open the routes of this module."""
    blueprint.add_url_rule("/metadata", view_func=metadata, methods=["GET"])


@access("capabilities", public=True, audited=False)
def metadata() -> Response:
    """Answer the CapabilityStatement."""
    asking.check_accept()
    return answers.answer(statement(asking.hub().config.base_url))


@lru_cache(maxsize=4)
def statement(base_url: str) -> bytes:
    """Return the CapabilityStatement of a hub at this address."""
    return orjson.dumps(
        {
            "resourceType": "CapabilityStatement",
            "status": "active",
            "date": DATE,
            "kind": "instance",
            "software": {"name": "hie"},
            "implementation": {
                "description": "Regional health information exchange",
                "url": f"{base_url}/fhir",
            },
            "fhirVersion": "4.0.1",
            "format": ["application/fhir+json", "json"],
            "patchFormat": [asking.PATCH_TYPE],
            "rest": [
                {
                    "mode": "server",
                    "security": _security(base_url),
                    "resource": [_resource(type_) for type_ in sorted(RESOURCE_TYPES)],
                    "interaction": [{"code": "transaction"}, {"code": "batch"}],
                }
            ],
        }
    )


def _security(base_url: str) -> dict[str, Any]:
    smart = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
    coding = {"system": "http://terminology.hl7.org/CodeSystem/restful-security-service", "code": "OAuth"}
    return {
        "extension": [{"url": smart, "extension": [{"url": "token", "valueUri": f"{base_url}/oauth/token"}]}],
        "service": [{"coding": [coding]}],
        "description": "OAuth 2.0 client credentials, SMART v2 scopes",
    }


def _resource(type_: str) -> dict[str, Any]:
    interactions = ("read", "search-type") if type_ in asking.MADE_BY_THE_HUB else INTERACTIONS
    described: dict[str, Any] = {
        "type": type_,
        "interaction": [{"code": code} for code in interactions],
        "versioning": "versioned-update",
        "readHistory": True,
        "updateCreate": True,
        "conditionalCreate": True,
        "conditionalUpdate": True,
        "searchParam": [
            {"name": code, "type": parameter.kind} for code, parameter in indexed_parameters(type_).items()
        ],
    }
    if includes := _includes(type_):
        described["searchInclude"] = includes
    if type_ in asking.MADE_BY_THE_HUB:
        for name in ("versioning", "readHistory", "updateCreate", "conditionalCreate", "conditionalUpdate"):
            del described[name]
    if type_ == "Patient":
        definition = "http://hl7.org/fhir/OperationDefinition/Patient-everything"
        described["operation"] = [{"name": "everything", "definition": definition}]
    return described


def _includes(type_: str) -> list[str]:
    return [f"{type_}:{code}" for code, p in indexed_parameters(type_).items() if p.kind == "reference"]
