"""$meta, $meta-add, $meta-delete: profiles, tags, security labels (FHIR R4 resource-operation-meta)."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response
from sqlalchemy import select

from esb.fhir import lexemes
from esb.fhir.validation import check_resource
from hie.api import answers, asking, binaries, operations, parameters, recording
from hie.api.written import audited
from hie.errors import NotFound
from hie.repository import labels, read
from hie.repository.contents import BINARY
from hie.repository.labels import Meta
from hie.repository.writes import Write
from hie.schema.repository import ResourceKey
from hie.security.access import access


def add_routes(blueprint: Blueprint) -> None:
    """Open the routes of this module."""
    operations.add_operation(blueprint, "meta", meta)
    of_a_version = "/<type_>/<id_>/_history/<version>/$meta"
    blueprint.add_url_rule(of_a_version, view_func=meta_of_version, methods=["GET", "POST"])
    operations.add_operation(blueprint, "meta-add", meta_add)
    operations.add_operation(blueprint, "meta-delete", meta_delete)


@access("$meta")
def meta(type_: str | None = None, id_: str | None = None) -> Response:
    """Answer the meta of one resource, or what is in use of a type or altogether."""
    asking.check_accept()
    decision = asking.permitted("read" if id_ else "search", type_ or "*")
    level: operations.Level = "instance" if id_ else "type" if type_ else "system"
    parameters.asked(operations.operation("meta", level, type_))
    compartment = None
    with asking.hub().begin() as session:
        if type_ and id_:
            stored = read.read(session, type_, id_, decision.where)
            compartment = stored.compartment or None
            found = lexemes.loads(stored.content)["meta"]
        else:
            found = labels.in_use(session, decision.where, type_)
        audited(session, "R", "$meta", type_, id_, compartment)
    return _answer(found)


@access("$meta")
def meta_of_version(type_: str, id_: str, version: str) -> Response:
    """Answer the meta of one version of a resource."""
    asking.check_accept()
    decision = asking.permitted("read", type_)
    parameters.asked(operations.operation("meta", "instance", type_))
    if not version.isascii() or not version.isdigit() or len(version) > 9:
        raise NotFound
    with asking.hub().begin() as session:
        if type_ == BINARY:
            stored = binaries.read_version(session, id_, int(version), decision.where)
        else:
            stored = read.vread(session, type_, id_, int(version), decision.where)
        audited(session, "R", "$meta", type_, id_, stored.compartment or None)
    return _answer(lexemes.loads(stored.content)["meta"])


@access("$meta-add")
def meta_add(type_: str, id_: str) -> Response:
    """Add profiles, tags and labels; answer the meta as it is then."""
    return _change("meta-add", type_, id_, labels.added)


@access("$meta-delete")
def meta_delete(type_: str, id_: str) -> Response:
    """Take profiles, tags and labels away; answer the meta as it is then."""
    return _change("meta-delete", type_, id_, labels.without)


def _change(name: str, type_: str, id_: str, change: Callable[[Meta, Meta], Meta]) -> Response:
    asking.check_accept()
    asking.permitted("update", type_)
    decision = asking.permitted("read", type_)
    given = parameters.asked(operations.operation(name, "instance", type_))
    other = parameters.one(given, "meta")
    now = asking.now()
    with asking.hub().begin() as session:
        # Who changes it at the same time waits, so that no label is lost.
        key = select(ResourceKey.id).where(ResourceKey.type == type_, ResourceKey.id == id_)
        session.execute(key.with_for_update())
        stored = read.read(session, type_, id_, decision.where)
        resource = lexemes.loads(stored.content)
        resource["meta"] = change(resource["meta"], other)
        check_resource(resource)
        write = Write("put", type_, id_, resource, asking.actor().facility, if_match=stored.version)
        outcome = recording.record(session, [write], now, asking.hub().config)[0]
        audited(session, "U", f"${name}", type_, id_, outcome.compartment)
    return _answer(lexemes.loads(outcome.content)["meta"])


def _answer(found: Meta) -> Response:
    made = {"resourceType": "Parameters", "parameter": [{"name": "return", "valueMeta": found}]}
    return answers.answer(lexemes.dumps(made))
