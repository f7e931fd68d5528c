"""The page of hospitals' own codes that no map translates: the list, as CSV too, and the filled list back."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from flask import Response, current_app, g, redirect, request, url_for

from hie.errors import NotPermitted
from hie.portal import words
from hie.portal.pages import as_whole, blueprint, hub, language, now, page, zone
from hie.security import audit
from hie.security.access import access
from hie.security.policy import decide
from hie.services.vocabulary import publish
from hie.terminology import local_codes
from hie.terminology.kinds import KINDS
from hie.terminology.reading import NotLoaded

SHOWN, MOST_AS_CSV = 200, 10_000
LONGEST_LIST = 5 << 20


def _facility() -> str | None:
    """Return the facility whose codes alone the user may see; None for all. Raises: NotPermitted."""
    if not decide(g.actor, "map", "Code").allowed:
        raise NotPermitted
    facility: str | None = g.actor.facility
    return facility


@blueprint.get("/codes")
@access("portal.codes")
def codes() -> Response:
    """Show the codes without a map, the most frequent first."""
    return _listed()


def _listed(status: int = 200, **marks: Any) -> Response:
    facility = _facility()
    with hub().begin() as session:
        is_complete = local_codes.gather_if_free(session)
        total = local_codes.number_unmapped(session, facility)
        found = local_codes.unmapped(session, facility, SHOWN)
        audit.record(session, actor=g.actor, action="E", operation="portal.codes", detail={"codes": total})
        session.expunge_all()
    done = as_whole(request.args.get("done", ""))
    given = {"more_to_read": not is_complete, "done": done, "faults": (), **marks}
    given |= {"targets": _targets(), "is_of_all": facility is None}
    return page("codes.html", status, codes=found, total=total, **given)


def _targets() -> list[tuple[str, str]]:
    """Return the code systems that a hospital's own codes are mapped to, with their titles."""
    is_chinese = language() == "zh"
    found: dict[str, str] = {}
    for kind in KINDS.values():
        found.setdefault(kind.url, kind.title if is_chinese else kind.title_en)
    return list(found.items())


@blueprint.get("/codes/list.csv")
@access("portal.codes.list")
def codes_as_csv() -> Response:
    """Give the list as a file that is filled in and sent back."""
    facility = _facility()
    with hub().begin() as session:
        found = local_codes.unmapped(session, facility, MOST_AS_CSV)
        content = local_codes.work_list(found)
        detail = {"codes": len(found)}
        audit.record(session, actor=g.actor, action="E", operation="portal.codes.list", detail=detail)
    # A spreadsheet takes a file for UTF-8 by its first character.
    response = Response("\ufeff" + content, content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = 'attachment; filename="codes.csv"'
    return response


@blueprint.post("/codes")
@access("portal.codes.map")
def map_codes() -> Response:
    """Take the filled list in, all of it or nothing."""
    facility = _facility()
    sent = request.files.get("list")
    raw = b""
    if sent is not None:
        with closing(sent):
            raw = sent.read(LONGEST_LIST + 1)
    if not raw or len(raw) > LONGEST_LIST:
        return _listed(422, no_file=not raw, too_long=bool(raw))
    try:
        with hub().begin() as session:
            counts = local_codes.map_answers(session, raw, facility)
            publish(session, now(), zone())
            audit.record(session, actor=g.actor, action="U", operation="portal.codes.map", detail=counts)
    except NotLoaded as error:
        told = [(issue.path, issue.text) for issue in error.issues] or [("", error.text)]
        return _listed(422, faults=[words.list_fault(*one) for one in told])
    done = sum(counts.values())
    return current_app.make_response(redirect(url_for("portal.codes", done=done), 303))
