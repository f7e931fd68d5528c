"""Patient/$summary: the International Patient Summary of a person (IPS 1.1, OperationDefinition summary)."""

from __future__ import annotations

from urllib.parse import urlencode

from flask import Blueprint, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from esb.fhir import lexemes
from hie.api import answers, asking, operations, parameters
from hie.errors import NotFound, NotPermitted, NotSupported, PreconditionFailed
from hie.mpi.people import compartments_around
from hie.repository import criteria, read
from hie.schema.repository import Resource
from hie.security import audit
from hie.security.access import access
from hie.security.policy import Decision
from hie.security.scopes import allowed_types
from hie.services.summary.document import IPS, document
from hie.services.summary.gather import gather

MOST_RECORDS = 100  # of one person under one identifier
PROFILES = tuple(IPS + name for name in ("Bundle-uv-ips", "Composition-uv-ips"))


def add_routes(blueprint: Blueprint) -> None:
    """Open the routes of this module."""
    operations.add_operation(blueprint, "summary", summary)


@access("$summary")
def summary(type_: str, id_: str | None = None) -> Response:
    """Answer the summary of the person behind a source Patient or an identifier, of all hospitals."""
    asking.check_accept()
    decision = asking.permitted("everything", "Patient")
    reach = asking.permitted("everything", "*")
    by = asking.actor()
    if by.kind == "client" and allowed_types(by.scopes, "r") is not None:
        # "Nothing is known" may not be said of what the token hides.
        raise NotPermitted("A summary needs the right to read all types: system/*.r.")
    given = parameters.asked(operations.operation("summary", "instance" if id_ else "type", type_))
    if parameters.one(given, "profile", IPS + "Bundle-uv-ips").partition("|")[0] not in PROFILES:
        raise NotSupported("profile: the International Patient Summary alone is made here.")
    with asking.hub().look() as session:
        id_ = id_ or _with_identifier(session, given["identifier"][0], decision, reach)
        found = read.read(session, "Patient", id_, decision.where)
        compartments = compartments_around(session, id_, reach.people) or [id_]
        base, zone, now = answers.base(), asking.hub().config.zone, asking.now()
        record = gather(session, found, compartments, reach.where, base, zone, now)
        content = lexemes.dumps(document(record, now))
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


def _with_identifier(session: Session, identifier: str, decision: Decision, reach: Decision) -> str:
    """Return the source Patient with an identifier that was written last.

    Raises: NotFound; PreconditionFailed if the identifier is of several people.
    """
    asked = "Patient?" + urlencode({"identifier": identifier})
    zone = asking.hub().config.zone
    wanted = criteria.condition(session, decision.where, asked, zone, asking.now())
    found = session.scalars(
        select(Resource.id)
        .where(Resource.type == "Patient", ~Resource.deleted, decision.where, wanted)
        .order_by(Resource.updated_at.desc(), Resource.id)
        .limit(MOST_RECORDS)
    ).all()
    if not found:
        raise NotFound
    if not {*found} <= {found[0], *compartments_around(session, found[0], reach.people)}:
        raise PreconditionFailed("The identifier is of several people; ask by Patient/id/$summary.")
    return found[0]
