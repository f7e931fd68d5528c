"""The operator's page: how a search runs - what its parameters were understood as, its statement and plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response, g, request
from sqlalchemy.orm import Session

from hie.errors import HieError, NotPermitted, NotSupported
from hie.portal.pages import blueprint, hub, now, page, zone
from hie.repository import criteria
from hie.repository.explaining import explained
from hie.repository.query import Target
from hie.repository.search import Search
from hie.security import audit
from hie.security.access import access
from hie.security.actor import system_actor
from hie.security.policy import decide

LONGEST = 2000
APART = frozenset({"AuditEvent", "Person"})  # made by the hub, and found in tables of their own
# Whose search is shown: one that no right narrows. What stands in the record is not.
ASKER = system_actor("explain")


@blueprint.route("/searches", methods=["GET", "POST"])
@access("portal.explain")
def searches() -> Response:
    """Show how a search would run, without any value of it or anything it would find."""
    if not decide(g.actor, "explain", "Search").allowed:
        raise NotPermitted
    asked = request.form.get("search", "")[:LONGEST].strip()
    if not asked:
        return page("searches.html", asked="", shown=None, faults=())
    shown: Mapping[str, list[Any]] | None = None
    faults: list[str] = []
    with hub().begin() as session:
        try:
            with session.begin_nested():
                shown = _shown(session, asked)
        except HieError as error:
            if error.http >= 500:
                raise
            faults = [issue.text for issue in error.issues] or [error.text]
        detail = {"explained": shown is not None}
        audit.record(session, actor=g.actor, action="E", operation="portal.explain", detail=detail)
    return page("searches.html", 422 if faults else 200, asked=asked, shown=shown, faults=faults)


def _shown(session: Session, asked: str) -> Mapping[str, list[Any]]:
    """Return what there is to say of a search, by kind. Raises: as a search of the API."""
    type_, params = criteria.split(asked.rpartition("/fhir/")[2].lstrip("/"))
    if type_ in APART:
        raise NotSupported("AuditEvent and Person are searched by themselves: there is no plan to show.")
    where = decide(ASKER, "search", type_).where
    how = Search(session, where, zone(), b"", now(), lambda _: where)
    told: dict[str, list[Any]] = {}
    for one in explained(how, Target(type_, (type_,)), params, strict=False)["parameter"]:
        said = [part["valueString"] for part in one["part"]] if "part" in one else one["valueString"]
        told.setdefault(one["name"].replace("-", "_"), []).append(said)
    return told
