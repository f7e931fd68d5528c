"""The FHIR R4 API (RESTful interactions, search, operations), mounted by `hie.app` at /fhir."""

from flask import Blueprint

from hie.api import audit_events, bundles, everything, instances, metadata, operations, persons, searches

blueprint = Blueprint("api", __name__)
for _module in (metadata, audit_events, persons, everything, operations, searches, instances, bundles):
    _module.add_routes(blueprint)

__all__ = ["blueprint"]
