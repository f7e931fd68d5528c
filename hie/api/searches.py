"""Search by GET and by POST _search: of a type, of several, of a compartment (FHIR R4 search.html)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import orjson
from flask import Blueprint, Response
from sqlalchemy import ColumnElement, and_, or_
from sqlalchemy.orm import Session

from esb.fhir.types import RESOURCE_TYPES
from hie.api import answers, asking, binaries
from hie.api.forms import Params, in_address, in_form
from hie.api.shaping import shaped
from hie.errors import NotFound, NotPermitted, NotSupported, NotValid
from hie.repository.compartments import COMPARTMENT, in_compartment
from hie.repository.conditions import Condition
from hie.repository.definitions import APART, EVERY_TYPE
from hie.repository.explaining import explained
from hie.repository.includes import included
from hie.repository.search import Match, Page, Target, bounded, is_quick, search
from hie.schema.repository import Resource
from hie.security import audit
from hie.security.access import access
from hie.security.policy import decide

MOST_TYPES = 40  # that `_type` may name


def add_routes(blueprint: Blueprint) -> None:
    """Open the routes of this module."""
    for rule in ("/", ""):
        blueprint.add_url_rule(rule, view_func=search_system, methods=["GET"])
    blueprint.add_url_rule("/_search", view_func=search_system_by_post, methods=["POST"])
    blueprint.add_url_rule("/<type_>", view_func=search_type, methods=["GET"])
    blueprint.add_url_rule("/<type_>/_search", view_func=search_by_post, methods=["POST", "GET"])
    # As wide as the routes of an instance, so that those with a name of their own go before it.
    blueprint.add_url_rule("/<type_>/<id_>/<inner>", view_func=search_compartment, methods=["GET"])
    blueprint.add_url_rule(
        "/<type_>/<id_>/<inner>/_search", view_func=search_compartment_by_post, methods=["POST"]
    )
    blueprint.add_url_rule(
        "/<type_>/<id_>/_search", view_func=search_whole_compartment_by_post, methods=["POST"]
    )


@access("search-type")
def search_type(type_: str) -> Response:
    """Answer a page of what matches."""
    return _answer_type(type_, in_address())


@access("search-type")
def search_by_post(type_: str) -> Response:
    """Answer a page of what matches, the parameters in the URL and in a form."""
    return _answer_type(type_, in_address() + in_form())


@access("search-system")
def search_system() -> Response:
    """Answer a page of what matches of several types."""
    return _answer_several("", in_address(), None)


@access("search-system")
def search_system_by_post() -> Response:
    """Answer a page of what matches of several types, the parameters in the URL and in a form."""
    return _answer_several("", in_address() + in_form(), None)


@access("search-compartment")
def search_compartment(type_: str, id_: str, inner: str) -> Response:
    """Answer a page of what is about a patient: of one type, or `*` of all."""
    return _answer_compartment(type_, id_, inner, in_address())


@access("search-compartment")
def search_compartment_by_post(type_: str, id_: str, inner: str) -> Response:
    """Answer a page of what is about a patient, the parameters in the URL and in a form."""
    return _answer_compartment(type_, id_, inner, in_address() + in_form())


@access("search-compartment")
def search_whole_compartment_by_post(type_: str, id_: str) -> Response:
    """Answer a page of all that is about a patient, the parameters in the URL and in a form."""
    return _answer_compartment(type_, id_, "*", in_address() + in_form())


def _answer_type(type_: str, params: Params) -> Response:
    asking.check_accept(in_parts=True)
    decision = asking.permitted("search", type_)
    return _answer("search-type", Target(type_, (type_,)), decision.where, params)


def _answer_compartment(compartment: str, id_: str, inner: str, params: Params) -> Response:
    if compartment != COMPARTMENT or (inner != "*" and inner not in RESOURCE_TYPES):
        raise NotFound
    within = in_compartment(id_, EVERY_TYPE if inner == "*" else (inner,))
    path = f"{compartment}/{id_}/{inner}"
    if inner == "*":
        return _answer_several(path, params, within)
    asking.check_accept(in_parts=True)
    decision = asking.permitted("search", inner)
    return _answer("search-compartment", Target(path, (inner,), within), decision.where, params, id_)


def _answer_several(path: str, params: Params, within: Condition | None) -> Response:
    asking.check_accept(in_parts=True)
    named = [value for name, value in params if name == "_type"]
    if named:
        types = tuple(sorted({type_ for value in named for type_ in value.split(",") if type_}))
        check_types(types)
        where = or_(*(and_(Resource.type == t, asking.permitted("search", t).where) for t in types))
    else:
        types = EVERY_TYPE
        where = asking.permitted("search", "*").where
    operation = "search-compartment" if within is not None else "search-system"
    owner = path.split("/")[1] if within is not None else None
    return _answer(operation, Target(path, types, within), where, params, owner)


def check_types(types: Sequence[str]) -> None:
    """Check the types that `_type` names. Raises: NotValid."""
    if not types or len(types) > MOST_TYPES:
        raise NotValid(f"_type names from one to {MOST_TYPES} resource types, separated by commas.")
    if not set(types) <= set(EVERY_TYPE):
        raise NotValid("_type names types of FHIR R4; AuditEvent and Person are searched by themselves.")


def _answer(
    operation: str, target: Target, where: ColumnElement[bool], params: Params, owner: str | None = None
) -> Response:
    if _is_explained(params):
        return _explained(operation, target, where, params)
    hub = asking.hub()
    with hub.look() if is_quick(params) else hub.begin() as session:
        content, page, compartments = searchset(session, target, where, params)
        _audit(session, operation, target, page, compartments | {owner or ""})
    return answers.answer(content)


def _is_explained(params: Params) -> bool:
    """Say whether an operator wants to see how a search runs. Raises: NotValid, NotPermitted for others."""
    wanted = {value for name, value in params if name == "__explain"}
    if not wanted <= {"true", "false"}:
        raise NotValid("__explain is true or false.")
    if "true" not in wanted:
        return False
    if not decide(asking.actor(), "explain", "Search").allowed:
        raise NotPermitted("How a search runs is shown to operators only; leave __explain out.")
    return True


def _explained(operation: str, target: Target, where: ColumnElement[bool], params: Params) -> Response:
    with asking.hub().begin() as session:
        how = asking.search_by(session, where)
        content = explained(how, target, params, strict=asking.is_strict())
        audit.record(
            session,
            actor=asking.actor(),
            action="E",
            operation=operation,
            resource_type=target.types[0] if len(target.types) == 1 else None,
            detail={"explained": True},
        )
    return answers.answer(orjson.dumps(content))


def searchset(
    session: Session, target: Target, where: ColumnElement[bool], params: Params
) -> tuple[bytes, Page, set[str]]:
    """Return the Bundle that answers a search, the page in it, and whose records it is about.

    Raises: as `search`.
    """
    if not APART.isdisjoint(target.types):
        raise NotSupported("AuditEvent and Person are searched by themselves: AuditEvent?patient=Patient/...")
    how = asking.search_of(session, target, where)
    page = search(how, target, params, strict=asking.is_strict())
    remarks = list(page.remarks)
    query = page.query
    compartments = page.compartments | set(query.patients)
    is_whole = query.summary == "false" and not query.elements
    entries = [
        answers.match_entry(t, i, content if is_whole else shaped(content, query.summary, query.elements))
        for t, i, content in _parts(page.matches)
    ]
    if page.matches and (query.includes or query.revincludes):
        with bounded(session, params):
            brought, cut, around = included(session, asking.reach, query, page.matches)
            compartments |= around
        entries += [
            answers.match_entry(t, i, shaped(content, query.summary), mode="include")
            for t, i, content in _parts(brought)
        ]
        remarks += cut
    if remarks:
        entries.append(answers.remarks_entry(remarks))
    links = _links(target.path, params, page)
    return answers.bundle("searchset", entries, links=links, total=page.total), page, set(compartments)


def _parts(matches: Sequence[Match]) -> Iterator[Match]:
    return ((type_, id_, binaries.part(type_, content)) for type_, id_, content in matches)


def _links(path: str, params: Params, page: Page) -> list[tuple[str, str]]:
    """Return the addresses of this page, the first and the next, with exactly what was understood."""
    here = [(name, value) for name, value in params if name == "_cursor"][:1]
    links = [("self", answers.query_url(path, [*page.used, *here]))]
    if here or page.cursor:
        links.append(("first", answers.query_url(path, page.used)))
    if page.cursor:
        links.append(("next", answers.query_url(path, [*page.used, ("_cursor", page.cursor)])))
    return links


def _audit(session: Session, operation: str, target: Target, page: Page, compartments: set[str]) -> None:
    names = sorted({name.partition(":")[0][:40] for name, _ in page.used})
    audit.record_each(
        session,
        compartments,
        actor=asking.actor(),
        action="E",
        operation=operation,
        resource_type=target.types[0] if len(target.types) == 1 else None,
        detail={"parameters": names, "matches": len(page.matches)},
    )
