"""The FHIR R4 API (RESTful interactions, search, operations), mounted by `hie.app` at /fhir."""

from flask import Blueprint

from hie.api import (
    audit_events,
    bundles,
    everything,
    exports,
    histories,
    imports,
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
    imports,
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
blueprint.before_request(jobs.take_on_if_asked)

__all__ = ["blueprint"]
