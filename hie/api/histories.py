"""Histories of a resource, of a type and of everything, in pages (FHIR R4 http.html#history)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson
from flask import Blueprint, Response, request
from sqlalchemy.orm import Session

from hie.api import answers, asking, binaries
from hie.api.forms import in_address
from hie.errors import NotValid
from hie.repository.content import instant_text
from hie.repository.dates import EARLIEST, LATEST, Range, span
from hie.repository.history import Wanted, count_versions, history_page, safe_instant
from hie.repository.paging import make_cursor, query_digest, read_cursor
from hie.repository.read import Stored
from hie.security import audit
from hie.security.access import access

COUNT, MOST = 50, 1000
FORM = frozenset({"_format", "_pretty", "_cursor"})
# What a prefix makes of the instants [start, end) behind it.
PERIODS: dict[str, Callable[[datetime, datetime], Range]] = {
    "eq": lambda start, end: (start, end),
    "ge": lambda start, _: (start, LATEST),
    "gt": lambda _, end: (end, LATEST),
    "sa": lambda _, end: (end, LATEST),
    "le": lambda _, end: (EARLIEST, end),
    "lt": lambda start, _: (EARLIEST, start),
    "eb": lambda start, _: (EARLIEST, start),
}
NEVER: Range = LATEST, EARLIEST
KNOWN = FORM | {"_since", "_at", "_count"}


def add_routes(blueprint: Blueprint) -> None:
    """Open the routes of this module."""
    blueprint.add_url_rule("/_history", view_func=history_of_all, methods=["GET"])
    blueprint.add_url_rule("/<type_>/_history", view_func=history_of_type, methods=["GET"])
    blueprint.add_url_rule("/<type_>/<id_>/_history", view_func=history_of_one, methods=["GET"])


@access("history-system")
def history_of_all() -> Response:
    """Answer the versions of all resources that the asker may see, newest first."""
    return _answer("history-system", None, None)


@access("history-type")
def history_of_type(type_: str) -> Response:
    """Answer the versions of all resources of a type, newest first."""
    return _answer("history-type", type_, None)


@access("history-instance")
def history_of_one(type_: str, id_: str) -> Response:
    """Answer the versions of a resource, the present one first; late arrivals stand in their place."""
    return _answer("history-instance", type_, id_)


def _answer(operation: str, type_: str | None, id_: str | None) -> Response:
    asking.check_accept()
    decision = asking.permitted("read" if id_ else "search", type_ or "*")
    if type_ in asking.MADE_BY_THE_HUB:
        raise asking.NotOffered(f"A {type_} is made anew whenever it is read; it has no history.")
    path = "/".join(part for part in (type_, id_, "_history") if part)
    params = in_address()
    # Else the self link shows what was understood.
    asking.check_names(KNOWN, "A history takes _since, _at, _count, _format and _pretty.")
    digest = query_digest(path, [pair for pair in params if pair[0] != "_cursor"])
    secret = asking.page_secret()
    after: list[Any] = []
    if "_cursor" in request.args:
        after = read_cursor(secret, digest, asking.now(), request.args["_cursor"])
    wanted = Wanted(type_, id_, _since(), _at(), _count(), after[1:], decision.past)
    total = None
    with asking.hub().look() as session:
        safe = after[0] if after else instant_text(safe_instant(session))
        page = history_page(session, wanted, decision.where)
        if id_:
            total = count_versions(session, wanted, decision.where)
        _audit(session, operation, wanted, page.versions)
    links = [("self", answers.query_url(path, [pair for pair in params if pair[0] in KNOWN]))]
    if page.last is not None:
        cursor = make_cursor(secret, digest, asking.now(), [safe, *page.last])
        asked = [pair for pair in params if pair[0] in KNOWN - {"_cursor"}]
        links.append(("next", answers.query_url(path, [*asked, ("_cursor", cursor)])))
    entries = map(_entry, page.versions)
    return answers.answer(answers.bundle("history", entries, links=links, total=total, updated=safe))


def _since() -> datetime | None:
    given = request.args.get("_since")
    return None if given is None else _range("_since", given)[0]


def _at() -> Range | None:
    """Return the time that all `_at` mean together; one may begin with a prefix (search.html#prefix)."""
    given = request.args.getlist("_at")
    if not given:
        return None
    low, high = EARLIEST, LATEST
    for text in given:
        prefix = text.strip()[:2]
        prefix, date = (prefix, text.strip()[2:]) if prefix in PERIODS else ("eq", text)
        start, end = PERIODS[prefix](*_range("_at", date))
        low, high = max(low, start), min(high, end)
    return (low, high) if low < high else NEVER


def _range(name: str, given: str) -> Range:
    # A "+" of an offset that was not escaped arrives as a space.
    found = span(given.strip().replace(" ", "+"), asking.hub().config.zone)
    if found is None:
        raise NotValid(f"{name} is no FHIR date or instant, such as 2026-03-01T08:00:00Z.")
    return found


def _count() -> int:
    given = request.args.get("_count", str(COUNT))
    if not given.isascii() or not given.isdigit() or len(given) > 9 or int(given) == 0:
        raise NotValid("_count is a whole number of at least 1.")
    return min(int(given), MOST)


def _entry(stored: Stored) -> bytes:
    method = "DELETE" if stored.deleted else "POST" if stored.version == 1 else "PUT"
    address = stored.type if method == "POST" else f"{stored.type}/{stored.id}"
    described: dict[str, Any] = {
        "fullUrl": f"{answers.base()}/{stored.type}/{stored.id}",
        "request": {"method": method, "url": address},
        "response": {
            "status": "204" if stored.deleted else "201" if stored.version == 1 else "200",
            "etag": f'W/"{stored.version}"',
            "lastModified": instant_text(stored.updated_at),
        },
    }
    if not stored.deleted:
        described["resource"] = orjson.Fragment(binaries.part(stored.type, stored.content))
    return orjson.dumps(described)


def _audit(session: Session, operation: str, wanted: Wanted, versions: list[Stored]) -> None:
    audit.record_each(
        session,
        {version.compartment for version in versions},
        actor=asking.actor(),
        action="R",
        operation=operation,
        resource_type=wanted.type,
        resource_id=wanted.id,
        detail={"versions": len(versions)},
    )
