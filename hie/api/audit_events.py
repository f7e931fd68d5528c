"""The audit trail by search and read, as FHIR AuditEvents (IHE BALP, ITI-81)."""

from __future__ import annotations

import orjson
from flask import Blueprint, Response
from sqlalchemy.orm import Session

from hie.api import answers, asking
from hie.api.forms import Params, in_address, in_form
from hie.errors import Issue, NotFound
from hie.repository.paging import make_cursor, query_digest, read_cursor
from hie.repository.query import FORM, check_text, unknown
from hie.security import audit, trail
from hie.security.access import access

KNOWN = frozenset({*trail.SEARCH, "_count", "_sort", "_summary", "_total", "date", "_lastUpdated"})


def add_routes(blueprint: Blueprint) -> None:
    """Open the routes of this module."""
    blueprint.add_url_rule("/AuditEvent", view_func=search_events, methods=["GET"])
    blueprint.add_url_rule("/AuditEvent/_search", view_func=search_events, methods=["GET", "POST"])
    blueprint.add_url_rule("/AuditEvent/<id_>", view_func=read_event, methods=["GET"])


@access("search-type")
def search_events() -> Response:
    """Answer a page of the events that match, newest first."""
    asking.check_accept()
    decision = asking.permitted("search", "AuditEvent")
    given: Params = in_address() + in_form()
    params, remarks = _understood(given)
    digest = query_digest("AuditEvent", params)
    with asking.hub().look() as session:
        how = asking.search_by(session, decision.where)
        cursors = [value for name, value in given if name == "_cursor"]
        after = read_cursor(how.secret, digest, how.now, cursors[0])[0] if cursors else None
        page = trail.search_audit(session, params, how.where, zone=how.zone, after=after)
        _audit(session, "E", "search-type", None, len(page.resources))
    entries = [answers.match_entry("AuditEvent", one["id"], orjson.dumps(one)) for one in page.resources]
    if remarks:
        entries.append(answers.remarks_entry(remarks))
    links = [("self", answers.query_url("AuditEvent", params))]
    if page.next is not None:
        cursor = make_cursor(how.secret, digest, how.now, [page.next])
        links.append(("next", answers.query_url("AuditEvent", [*params, ("_cursor", cursor)])))
    return answers.answer(answers.bundle("searchset", entries, links=links, total=page.total))


def _understood(given: Params) -> tuple[Params, list[Issue]]:
    """Return the parameters that the trail knows, and remarks on the others. Raises: Unknown if strict."""
    params: Params = []
    remarks: list[Issue] = []
    for name, value in given:
        check_text(name + value)
        if name in KNOWN:
            params.append((name, value))
        elif name not in FORM:
            error = unknown(name, "AuditEvent has no such search parameter")
            if asking.is_strict():
                raise error
            remarks += error.issues
    return params, remarks


@access("read")
def read_event(id_: str) -> Response:
    """Answer one event."""
    asking.check_accept()
    decision = asking.permitted("read", "AuditEvent")
    with asking.hub().look() as session:
        event = trail.read_audit(session, id_, decision.where)
        if event is None:
            raise NotFound
        _audit(session, "R", "read", id_, 1)
    return answers.answer(orjson.dumps(event))


def _audit(session: Session, action: str, operation: str, id_: str | None, matches: int) -> None:
    audit.record(
        session,
        actor=asking.actor(),
        action=action,
        operation=operation,
        resource_type="AuditEvent",
        resource_id=id_,
        detail={"matches": matches},
    )
