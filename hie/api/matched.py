"""Conditional update, patch and delete: the address names criteria instead of an id (http.html#cud)."""

from __future__ import annotations

import uuid
from dataclasses import replace

from flask import Blueprint, Response, request
from sqlalchemy.orm import Session

from hie.api import asking, conditional, patches, recording
from hie.api.instances import body_of_type
from hie.api.written import audited, written
from hie.errors import NotFound, NotValid
from hie.repository.writes import Outcome, Write
from hie.security import audit
from hie.security.access import access

MOST_DELETED = 100


def add_routes(blueprint: Blueprint) -> None:
    """Open the routes of this module."""
    blueprint.add_url_rule("/<type_>", view_func=update_conditionally, methods=["PUT"])
    blueprint.add_url_rule("/<type_>", view_func=patch_conditionally, methods=["PATCH"])
    blueprint.add_url_rule("/<type_>", view_func=delete_conditionally, methods=["DELETE"])


@access("update")
def update_conditionally(type_: str) -> Response:
    """Store a new version of the one resource that matches, or a new resource where none does."""
    asking.check_accept()
    decision = asking.permitted("update", type_)
    resource = body_of_type(type_)
    now = asking.now()
    with asking.hub().begin() as session:
        known = conditional.match(session, type_, _criteria(), decision.where, alone=True)
        own_id = resource.get("id")
        if known is not None and own_id not in (None, known.id):
            raise NotValid("The id in the body is not that of the resource the condition matches.")
        resource["id"] = known.id if known else own_id or str(uuid.uuid4())
        wanted = 0 if asking.must_be_new() else asking.if_match()
        write = Write("put", type_, resource["id"], resource, asking.actor().facility, if_match=wanted)
        if known is None and wanted is None:
            write = replace(write, method="create")
        outcome = recording.record(session, [write], now, asking.hub().config)[0]
        http = 201 if outcome.fate == "created" else 200
        audited(session, "U", "update", type_, outcome.id, outcome.compartment, http)
    return written(outcome)


@access("patch")
def patch_conditionally(type_: str) -> Response:
    """Patch the one resource that matches."""
    asking.check_accept()
    decision = asking.permitted("patch", type_)
    sent = patches.from_body()
    now = asking.now()
    with asking.hub().begin() as session:
        known = conditional.match(session, type_, _criteria(), decision.where, alone=True)
        if known is None:
            raise NotFound("The condition of the patch matches nothing.")
        facility = asking.actor().facility
        write = Write("patch", type_, known.id, None, facility, if_match=asking.if_match(), patch=sent)
        outcome = recording.record(session, [write], now, asking.hub().config)[0]
        audited(session, "U", "patch", type_, known.id, outcome.compartment)
    return written(outcome)


@access("delete")
def delete_conditionally(type_: str) -> Response:
    """Delete the one resource that matches, or all of them if `_count` says how many they may be at most."""
    asking.check_accept()
    decision = asking.permitted("delete", type_)
    most = _most()
    now = asking.now()
    with asking.hub().begin() as session:
        known = conditional.match_all(session, type_, _criteria(), decision.where, most=most, alone=True)
        facility, wanted = asking.actor().facility, asking.if_match()
        writes = [Write("delete", type_, one.id, None, facility, if_match=wanted) for one in known]
        outcomes = recording.record(session, writes, now, asking.hub().config)
        _audit(session, type_, outcomes)
    return written(outcomes[0] if outcomes else Outcome(type_, "", 0, "unchanged", b"", now))


def _audit(session: Session, type_: str, outcomes: list[Outcome]) -> None:
    """Write the one row of the request, which names every patient, and the resource if it is one."""
    audit.record_each(
        session,
        {outcome.compartment for outcome in outcomes},
        actor=asking.actor(),
        action="D",
        operation="delete",
        resource_type=type_,
        resource_id=outcomes[0].id if len(outcomes) == 1 else None,
        http=204,
        detail={"deleted": len(outcomes)},
    )


def _criteria() -> str:
    """Return the criteria in the address, without what is about the interaction itself."""
    return request.query_string.decode("utf-8", "replace")


def _most() -> int:
    given = request.args.get("_count", "1")
    if not given.isascii() or not given.isdigit() or len(given) > 3 or not 1 <= int(given) <= MOST_DELETED:
        raise NotValid(f"_count of a conditional delete is a whole number of 1 to {MOST_DELETED}.")
    return int(given)
