"""The FHIR R4 API (RESTful interactions, search, operations), mounted by `hie.app` at /fhir."""

from flask import Blueprint

from hie.api import (
    audit_events,
    binaries,
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
    operations_document,
    operations_lastn,
    operations_match,
    operations_meta,
    operations_summary,
    operations_validate,
    persons,
    searches,
    subscriptions,
    terminology,
    terminology_local,
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
    terminology_local,
    operations_lastn,
    operations_meta,
    operations_validate,
    operations_document,
    operations,
    searches,
    histories,
    instances,
    matched,
    bundles,
):
    _module.add_routes(blueprint)
blueprint.before_request(jobs.take_on_if_asked)
blueprint.after_request(binaries.forget_unwritten)

__all__ = ["blueprint"]
