"""Interactions with one resource: read, vread, create, update, patch, delete (FHIR R4 http.html)."""

from __future__ import annotations

import uuid
from typing import Any

from flask import Blueprint, Response, request
from sqlalchemy.orm import Session

from esb.fhir.validation import check_resource
from hie.api import answers, asking, binaries, conditional, patches, recording, shaping
from hie.api.written import audited, written
from hie.errors import NotFound, NotValid
from hie.repository import contents, read
from hie.repository.contents import BINARY
from hie.repository.writes import Write
from hie.security import audit
from hie.security.access import access

# Where criteria go that stand in the address of a write.
OF_A_READ = frozenset({"_format", "_pretty", "_summary", "_elements"})
TAKEN = "A read takes _format, _pretty, _summary and _elements."
OF_A_CREATE = "put a condition into If-None-Exist, and search by POST to Type/_search"
OF_AN_ID = "name an id, as in Type/id, or criteria, as in Type?identifier=..., not both"


def add_routes(blueprint: Blueprint) -> None:
    """Open the routes of this module."""
    one = "/<type_>/<id_>"
    blueprint.add_url_rule(one, view_func=read_one, methods=["GET"])
    blueprint.add_url_rule(f"{one}/_history/<version>", view_func=read_version, methods=["GET"])
    blueprint.add_url_rule("/<type_>", view_func=create, methods=["POST"])
    blueprint.add_url_rule(one, view_func=update, methods=["PUT"])
    blueprint.add_url_rule(one, view_func=patch, methods=["PATCH"])
    blueprint.add_url_rule(one, view_func=delete, methods=["DELETE"])


@access("read")
def read_one(type_: str, id_: str) -> Response:
    """Answer the present version of a resource; 304 where the asker has it already."""
    if not binaries.goes_raw(type_):
        asking.check_accept(in_parts=True)
    decision = asking.permitted("read", type_)
    asking.check_names(OF_A_READ, TAKEN)
    with asking.hub().look() as session:
        if type_ == BINARY:
            found = binaries.read_one(session, id_, decision.where)
            audited(session, "R", "read", found.type, found.id, found.compartment)
        else:
            row = audit.audit_row(asking.actor(), "R", "read", resource_type=type_, resource_id=id_, http=200)
            found = read.read_noted(session, type_, id_, decision.where, row)
    return _shown(found)


@access("vread")
def read_version(type_: str, id_: str, version: str) -> Response:
    """Answer one version of a resource."""
    asking.check_accept(in_parts=True)
    decision = asking.permitted("read", type_)
    asking.check_names(OF_A_READ, TAKEN)
    if not version.isascii() or not version.isdigit() or len(version) > 9:
        raise NotFound
    with asking.hub().look() as session:
        if type_ == BINARY:
            found = binaries.read_version(session, id_, int(version), decision.where)
        else:
            found = read.vread(session, type_, id_, int(version), decision.where)
        audited(session, "R", "vread", found.type, found.id, found.compartment)
    return _shown(found)


def _shown(found: read.Stored) -> Response:
    if binaries.goes_raw(found.type):
        return binaries.shown(found)
    if asking.has_it_already(found.version, found.updated_at):
        return answers.versioned(b"", found.version, found.updated_at, 304)
    content = shaping.as_asked(binaries.whole(found.type, found.content))
    return answers.versioned(content, found.version, found.updated_at)


@access("create")
def create(type_: str) -> Response:
    """Store a new resource under an id of ours; If-None-Exist makes it conditional."""
    asking.check_accept()
    decision = asking.permitted("create", type_)
    asking.check_no_criteria(OF_A_CREATE)
    resource = body_of_type(type_)
    criteria = request.headers.get("If-None-Exist")
    now = asking.now()
    with asking.hub().begin() as session:
        if criteria is not None:
            known = conditional.match(session, type_, criteria, decision.where, alone=True)
            if known is not None:
                audited(session, "R", "create", type_, known.id, known.compartment)
                return _stored_answer(session, known, decision.where)
        resource["id"] = str(uuid.uuid4())
        write = Write("create", type_, resource["id"], resource, asking.actor().facility)
        outcome = recording.record(session, [write], now, asking.hub().config)[0]
        audited(session, "C", "create", type_, outcome.id, outcome.compartment, 201)
    return written(outcome)


def _stored_answer(session: Session, known: conditional.Known, where: Any) -> Response:
    found = conditional.stored(session, known, where)
    is_echoed = binaries.is_echoed(found.type, found.content) and not asking.wants_nothing_back()
    content = binaries.whole(found.type, found.content) if is_echoed else b""
    place = answers.location(found.type, found.id, found.version)
    return answers.versioned(content, found.version, found.updated_at, Location=place)


@access("update")
def update(type_: str, id_: str) -> Response:
    """Store a new version of a resource, or the first one under the asker's own id."""
    asking.check_accept()
    asking.permitted("update", type_)
    asking.check_no_criteria(OF_AN_ID)
    resource = body_of_type(type_)
    if resource.get("id") != id_:
        raise NotValid("The id in the body must be the id in the address.")
    wanted = 0 if asking.must_be_new() else asking.if_match()
    return _write(Write("put", type_, id_, resource, asking.actor().facility, if_match=wanted), "U", "update")


@access("patch")
def patch(type_: str, id_: str) -> Response:
    """Apply a JSON Patch (RFC 6902) or a FHIRPath Patch (a Parameters) to a resource."""
    asking.check_accept()
    decision = asking.permitted("patch", type_)
    asking.check_no_criteria(OF_AN_ID)
    sent = patches.from_body()
    write = Write("patch", type_, id_, None, asking.actor().facility, if_match=asking.if_match(), patch=sent)
    now = asking.now()
    with asking.hub().begin() as session:
        read.read(session, type_, id_, decision.where)
        outcome = recording.record(session, [write], now, asking.hub().config)[0]
        audited(session, "U", "patch", type_, id_, outcome.compartment)
    return written(outcome)


@access("delete")
def delete(type_: str, id_: str) -> Response:
    """Delete a resource; its versions stay. Deleting what is not there is no error."""
    asking.check_accept()
    asking.permitted("delete", type_)
    asking.check_no_criteria(OF_AN_ID)
    write = Write("delete", type_, id_, None, asking.actor().facility, if_match=asking.if_match())
    return _write(write, "D", "delete")


def _write(write: Write, action: str, operation: str) -> Response:
    now = asking.now()
    with asking.hub().begin() as session:
        outcome = recording.record(session, [write], now, asking.hub().config)[0]
        http = 204 if action == "D" else 201 if outcome.fate == "created" else 200
        audited(session, action, operation, write.type, write.id, outcome.compartment, http)
    return written(outcome)


def body_of_type(type_: str) -> dict[str, Any]:
    """Return the resource in the request's body, checked against R4. Raises: as `body_resource`."""
    if binaries.comes_raw(type_):
        resource = binaries.resource_of_body((request.view_args or {}).get("id_"))
        check_resource(resource)
        return resource
    resource = asking.body_resource()
    contents.check(resource)
    if resource.get("resourceType") != type_:
        raise NotValid("The resourceType in the body must be the type in the address.")
    check_resource(resource)
    return resource
