"""Interactions with one resource: read, vread, history, create, update, patch, delete (FHIR R4 http.html)."""

from __future__ import annotations

import uuid
from typing import Any

from flask import Blueprint, Response, request
from sqlalchemy.orm import Session

from esb.fhir import lexemes
from esb.fhir.validation import check_resource
from hie.api import answers, asking, conditional, recording, shaping
from hie.errors import Conflict, Malformed, NotFound, NotValid, PreconditionFailed
from hie.repository import read
from hie.repository.writes import Outcome, Write
from hie.security import audit
from hie.security.access import access


def add_routes(blueprint: Blueprint) -> None:
    """Open the routes of this module."""
    one = "/<type_>/<id_>"
    blueprint.add_url_rule(one, view_func=read_one, methods=["GET"])
    blueprint.add_url_rule(f"{one}/_history/<version>", view_func=read_version, methods=["GET"])
    blueprint.add_url_rule("/<type_>", view_func=create, methods=["POST"])
    blueprint.add_url_rule(one, view_func=update, methods=["PUT"])
    blueprint.add_url_rule("/<type_>", view_func=update_conditionally, methods=["PUT"])
    blueprint.add_url_rule(one, view_func=patch, methods=["PATCH"])
    blueprint.add_url_rule(one, view_func=delete, methods=["DELETE"])


@access("read")
def read_one(type_: str, id_: str) -> Response:
    """Answer the present version of a resource; 304 where the asker has it already."""
    asking.check_accept(in_parts=True)
    decision = asking.permitted("read", type_)
    with asking.hub().look() as session:
        found = read.read(session, type_, id_, decision.where)
        _audit(session, "R", "read", found.type, found.id, found.compartment)
    if request.headers.get("If-None-Match") == f'W/"{found.version}"':
        return answers.versioned(b"", found.version, found.updated_at, 304)
    content = shaping.as_asked(found.content)
    return answers.versioned(content, found.version, found.updated_at)


@access("vread")
def read_version(type_: str, id_: str, version: str) -> Response:
    """Answer one version of a resource."""
    asking.check_accept(in_parts=True)
    decision = asking.permitted("read", type_)
    if not version.isascii() or not version.isdigit() or len(version) > 9:
        raise NotFound
    with asking.hub().look() as session:
        found = read.vread(session, type_, id_, int(version), decision.where)
        _audit(session, "R", "vread", found.type, found.id, found.compartment)
    content = shaping.as_asked(found.content)
    return answers.versioned(content, found.version, found.updated_at)


@access("create")
def create(type_: str) -> Response:
    """Store a new resource under an id of ours; If-None-Exist makes it conditional."""
    decision = asking.permitted("create", type_)
    resource = _checked(asking.body_resource(), type_)
    criteria = request.headers.get("If-None-Exist")
    now = asking.now()
    with asking.hub().begin() as session:
        if criteria is not None:
            known = conditional.match(session, type_, criteria, decision.where, lock=True)
            if known is not None:
                _audit(session, "R", "create", type_, known.id, known.compartment)
                return _stored_answer(session, known, decision.where)
        resource["id"] = str(uuid.uuid4())
        write = Write("create", type_, resource["id"], resource, asking.actor().facility)
        outcome = recording.record(session, [write], now, asking.hub().config)[0]
        _audit(session, "C", "create", type_, outcome.id, outcome.compartment, 201)
    return _written(outcome)


def _stored_answer(session: Session, known: conditional.Known, where: Any) -> Response:
    found = read.read(session, known.type, known.id, where)
    place = answers.location(found.type, found.id, found.version)
    return answers.versioned(found.content, found.version, found.updated_at, Location=place)


@access("update")
def update(type_: str, id_: str) -> Response:
    """Store a new version of a resource, or the first one under the asker's own id."""
    asking.permitted("update", type_)
    resource = _checked(asking.body_resource(), type_)
    if resource.get("id") != id_:
        raise NotValid("The id in the body must be the id in the address.")
    if request.headers.get("If-None-Match") == "*":
        try:
            return _write(Write("create", type_, id_, resource, asking.actor().facility), "C", "update")
        except Conflict:
            raise PreconditionFailed(f"{type_}/{id_} exists already.") from None
    write = Write("put", type_, id_, resource, asking.actor().facility, if_match=asking.if_match())
    return _write(write, "U", "update")


@access("update")
def update_conditionally(type_: str) -> Response:
    """Store a new version of the one resource that matches, or a new resource where none does."""
    decision = asking.permitted("update", type_)
    resource = _checked(asking.body_resource(), type_)
    criteria = request.query_string.decode("utf-8", "replace")
    with asking.hub().begin() as session:
        known = conditional.match(session, type_, criteria, decision.where, lock=True)
        if known is not None and resource.get("id", known.id) != known.id:
            raise NotValid("The id in the body is not that of the resource the condition matches.")
        resource["id"] = known.id if known else resource.get("id") or str(uuid.uuid4())
        write = Write("put", type_, resource["id"], resource, asking.actor().facility)
        outcome = recording.record(session, [write], asking.now(), asking.hub().config)[0]
        http = 201 if outcome.fate == "created" else 200
        _audit(session, "U", "update", type_, outcome.id, outcome.compartment, http)
    return _written(outcome)


@access("patch")
def patch(type_: str, id_: str) -> Response:
    """Apply a JSON Patch (RFC 6902) to a resource."""
    decision = asking.permitted("patch", type_)
    if asking.media_type() not in (asking.PATCH_TYPE, "application/json"):
        raise asking.UnsupportedMedia("A patch is sent as application/json-patch+json.")
    operations = lexemes.loads_any(asking.body_bytes())
    if not isinstance(operations, list):
        raise Malformed("A JSON Patch is a list of operations.")
    write = Write(
        "patch", type_, id_, None, asking.actor().facility, if_match=asking.if_match(), patch=operations
    )
    now = asking.now()
    with asking.hub().begin() as session:
        read.read(session, type_, id_, decision.where)
        outcome = recording.record(session, [write], now, asking.hub().config)[0]
        _audit(session, "U", "patch", type_, id_, outcome.compartment)
    return _written(outcome)


@access("delete")
def delete(type_: str, id_: str) -> Response:
    """Delete a resource; its versions stay. Deleting what is not there is no error."""
    asking.permitted("delete", type_)
    write = Write("delete", type_, id_, None, asking.actor().facility, if_match=asking.if_match())
    return _write(write, "D", "delete")


def _write(write: Write, action: str, operation: str) -> Response:
    now = asking.now()
    with asking.hub().begin() as session:
        outcome = recording.record(session, [write], now, asking.hub().config)[0]
        http = 204 if action == "D" else 201 if outcome.fate == "created" else 200
        _audit(session, action, operation, write.type, write.id, outcome.compartment, http)
    return _written(outcome)


def _checked(resource: dict[str, Any], type_: str) -> dict[str, Any]:
    if resource.get("resourceType") != type_:
        raise NotValid("The resourceType in the body must be the type in the address.")
    check_resource(resource)
    return resource


def _written(outcome: Outcome) -> Response:
    """Return the answer to a write."""
    if outcome.fate == "deleted" or not outcome.content:
        headers = {"ETag": f'W/"{outcome.version}"'} if outcome.version else {}
        return Response(status=204, headers=headers)
    status = 201 if outcome.fate == "created" else 200
    content = b"" if asking.wants_nothing_back() else outcome.content
    place = answers.location(outcome.type, outcome.id, outcome.version)
    return answers.versioned(content, outcome.version, outcome.updated_at, status, Location=place)


def _audit(
    session: Session, action: str, operation: str, type_: str, id_: str, compartment: str, http: int = 200
) -> None:
    audit.record(
        session,
        actor=asking.actor(),
        action=action,
        operation=operation,
        resource_type=type_,
        resource_id=id_,
        compartment=compartment or None,
        http=http,
    )
