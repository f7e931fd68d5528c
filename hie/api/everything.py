"""Patient/$everything: all that the region holds of the person behind a source Patient (FHIR R4)."""

from __future__ import annotations

from flask import Blueprint, Response, request

from esb.fhir.types import RESOURCE_TYPES
from hie.api import answers, asking, operations, parameters
from hie.errors import NotFound, NotValid
from hie.mpi.people import compartments_around
from hie.repository import read
from hie.repository.dates import span
from hie.security import audit
from hie.security.access import access

ENTRY = b'{"fullUrl":"%b/%b/%b","resource":%b,"search":{"mode":"match"}}'


def add_routes(blueprint: Blueprint) -> None:
    """Open the routes of this module."""
    operations.add_operation(blueprint, "everything", everything)


@access("$everything")
def everything(id_: str) -> Response:
    """Answer the records of all hospitals of a person, one after the other."""
    asking.check_accept()
    decision = asking.permitted("everything", "Patient")
    reach = asking.permitted("everything", "*")
    given = parameters.asked(operations.operation("everything", "instance", "Patient"))
    types = [name for value in given.get("_type", ()) for name in value.split(",") if name]
    if not RESOURCE_TYPES.issuperset(types):
        raise NotValid("_type names a type that FHIR R4 does not have.")
    since = None
    if "_since" in given:
        since = span(given["_since"][0], asking.hub().config.zone)
        if since is None:
            raise NotValid("_since is no FHIR instant.")
    base = answers.base().encode()
    with asking.hub().begin() as session:
        read.read(session, "Patient", id_, decision.where)
        compartments = compartments_around(session, id_, reach.people) or [id_]
        found = read.everything_raw(
            session, compartments, reach.where, types=types, since=since[0] if since else None
        )
        audit.record(
            session,
            actor=asking.actor(),
            action="R",
            operation="$everything",
            resource_type="Patient",
            resource_id=id_,
            compartment=id_,
            detail={"matches": len(found), "records": len(compartments)},
        )
    if not found and not types and since is None:
        raise NotFound
    entries = [ENTRY % (base, *row) for row in found]
    links = [("self", answers.query_url(f"Patient/{id_}/$everything", list(request.args.items(multi=True))))]
    return answers.answer(answers.bundle("searchset", entries, links=links, total=len(entries)))
