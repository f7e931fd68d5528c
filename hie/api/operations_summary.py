"""Patient/$summary: the International Patient Summary of a person (IPS 1.1, OperationDefinition summary)."""

from __future__ import annotations

from flask import Blueprint, Response

from esb.fhir import lexemes
from hie.api import answers, asking, operations, parameters
from hie.errors import NotPermitted, NotSupported
from hie.mpi.people import compartments_around
from hie.repository import read
from hie.security import audit
from hie.security.access import access
from hie.security.scopes import allowed_types
from hie.services.summary.document import IPS, document
from hie.services.summary.gather import gather

PROFILES = tuple(IPS + name for name in ("Bundle-uv-ips", "Composition-uv-ips"))


def add_routes(blueprint: Blueprint) -> None:
    """Open the routes of this module."""
    operations.add_operation(blueprint, "summary", summary)


@access("$summary")
def summary(id_: str) -> Response:
    """Answer the summary of the person behind a source Patient, of all hospitals."""
    asking.check_accept()
    decision = asking.permitted("everything", "Patient")
    reach = asking.permitted("everything", "*")
    by = asking.actor()
    if by.kind == "client" and allowed_types(by.scopes, "r") is not None:
        # "Nothing is known" may not be said of what the token hides.
        raise NotPermitted("A summary needs the right to read all types: system/*.r.")
    given = parameters.asked(operations.operation("summary", "instance", "Patient"))
    if parameters.one(given, "profile", IPS + "Bundle-uv-ips").partition("|")[0] not in PROFILES:
        raise NotSupported("profile: the International Patient Summary alone is made here.")
    with asking.hub().look() as session:
        found = read.read(session, "Patient", id_, decision.where)
        compartments = compartments_around(session, id_, reach.people) or [id_]
        record = gather(session, found, compartments, reach.where, answers.base(), asking.hub().config.zone)
        content = lexemes.dumps(document(record, asking.now()))
        audit.record_each(
            session,
            {id_, *compartments},
            actor=by,
            action="R",
            operation="$summary",
            resource_type="Patient",
            resource_id=id_,
            detail={"matches": len(record.items), "records": len(compartments)},
        )
    return answers.answer(content)
