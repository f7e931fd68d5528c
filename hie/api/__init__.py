"""The FHIR R4 API (RESTful interactions, search, operations), mounted by `hie.app` at /fhir."""

from flask import Blueprint

from hie.api import (
    audit_events,
    bundles,
    everything,
    exports,
    histories,
    instances,
    jobs,
    matched,
    metadata,
    openapi,
    operations,
    operations_match,
    operations_summary,
    persons,
    searches,
    subscriptions,
    terminology,
)

blueprint = Blueprint("api", __name__)
for _module in (
    metadata,
    openapi,
    jobs,
    exports,
    subscriptions,
    audit_events,
    persons,
    everything,
    operations_match,
    operations_summary,
    terminology,
    operations,
    searches,
    histories,
    instances,
    matched,
    bundles,
):
    _module.add_routes(blueprint)

__all__ = ["blueprint"]
