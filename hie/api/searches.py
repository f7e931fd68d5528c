"""Search by GET and by POST _search; pages, totals, includes (FHIR R4 search.html)."""

from __future__ import annotations

from flask import Blueprint, Response, request
from sqlalchemy.orm import Session

from hie.api import answers, asking, included
from hie.errors import NotValid
from hie.repository.search import Page, search
from hie.security import audit
from hie.security.access import access

MOST_PARAMETERS = 200
MOST_CHARACTERS = 1_000_000


def add_routes(blueprint: Blueprint) -> None:
    """Open the routes of this module."""
    blueprint.add_url_rule("/<type_>", view_func=search_type, methods=["GET"])
    blueprint.add_url_rule("/<type_>/_search", view_func=search_by_post, methods=["POST", "GET"])


@access("search-type")
def search_type(type_: str) -> Response:
    """Answer a page of what matches."""
    return _answer(type_, list(request.args.items(multi=True)))


@access("search-type")
def search_by_post(type_: str) -> Response:
    """Answer a page of what matches, the parameters in a form."""
    params = [*request.args.items(multi=True), *request.form.items(multi=True)]
    return _answer(type_, params)


def _answer(type_: str, params: list[tuple[str, str]]) -> Response:
    asking.check_accept()
    decision = asking.permitted("search", type_)
    if len(params) > MOST_PARAMETERS or sum(len(value) for _, value in params) > MOST_CHARACTERS:
        raise NotValid(f"A search has at most {MOST_PARAMETERS} parameters.")
    with asking.hub().begin() as session:
        page = search(asking.search_by(session, decision.where), type_, params, strict=asking.is_strict())
        entries = [answers.match_entry(*found) for found in page.matches]
        entries += [answers.match_entry(*found, mode="include") for found in included.of(session, page)]
        _audit(session, type_, page)
    if page.remarks:
        entries.append(answers.remarks_entry(page.remarks))
    return answers.answer(
        answers.bundle("searchset", entries, links=_links(type_, params, page), total=page.total)
    )


def _links(type_: str, params: list[tuple[str, str]], page: Page) -> list[tuple[str, str]]:
    links = [("self", answers.query_url(type_, page.used))]
    if page.cursor:
        asked = [(name, value) for name, value in params if name != "_cursor"]
        links.append(("next", answers.query_url(type_, [*asked, ("_cursor", page.cursor)])))
    return links


def _audit(session: Session, type_: str, page: Page) -> None:
    names = sorted({name.partition(":")[0][:40] for name, _ in page.used})
    audit.record(
        session,
        actor=asking.actor(),
        action="E",
        operation="search-type",
        resource_type=type_,
        compartment=page.query.patients[0] if len(page.query.patients) == 1 else None,
        detail={"parameters": names, "matches": len(page.matches)},
    )
