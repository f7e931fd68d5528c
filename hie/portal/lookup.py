"""Find a person, confirm who it is and why, read the record."""

import json
import uuid
from typing import Any

from flask import Response, current_app, g, redirect, request, url_for

from hie.errors import NotFound, NotPermitted
from hie.portal.pages import as_date, as_whole, blueprint, hospital_names, hub, now, page, zone
from hie.security import audit
from hie.security.access import access
from hie.security.policy import decide
from hie.services.lookup.confirm import NEEDED, PURPOSES, Given
from hie.services.lookup.confirm import confirm as confirm_person
from hie.services.lookup.find import find_people, masked_person
from hie.services.lookup.laboratory import Test
from hie.services.lookup.laboratory import trend as trend_of
from hie.services.lookup.people import open_people
from hie.services.lookup.query import NoSuchDay, Unclear, parse_query
from hie.services.lookup.record import Record, read_attachment, read_record
from hie.services.lookup.timeline import KINDS, Filter
from hie.services.lookup.timeline import page as page_of

PDF = "application/pdf"
INLINE = frozenset({PDF, "image/png", "image/jpeg"})
# What came from a hospital runs nothing and loads nothing. A browser shows no PDF in a sandbox.
DOCUMENT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; frame-ancestors 'none'"
BOXED_POLICY = f"sandbox; {DOCUMENT_POLICY}"


@blueprint.route("/", methods=["GET", "POST"])
@access("portal.home")
def home() -> Response:
    """Show the first page of the user's role."""
    if decide(g.actor, "review", "Person").allowed:
        return current_app.make_response(redirect(url_for("portal.reviews"), 303))
    if decide(g.actor, "find", "Person").allowed:
        with hub().begin() as session:
            opened = open_people(session, now(), g.actor)
        return page(
            "find.html", q="", searched=False, unclear=False, found=(), more=False, open_people=opened
        )
    if decide(g.actor, "search", "AuditEvent").allowed:
        return current_app.make_response(redirect(url_for("portal.trail"), 303))
    if decide(g.actor, "map", "Code").allowed:
        return current_app.make_response(redirect(url_for("portal.codes"), 303))
    raise NotPermitted


@blueprint.post("/find")
@access("portal.find")
def find() -> Response:
    """Show who matches the search box, masked."""
    text = request.form.get("q", "")[:80]
    with hub().begin() as session:
        try:
            answer = find_people(session, text, now=now(), zone=zone(), by=g.actor)
        except Unclear as fault:
            marks = {"unclear": True, "no_such_day": isinstance(fault, NoSuchDay)}
            return page("find.html", 422, q=text, searched=True, found=(), more=False, **marks)
    return page("find.html", q=text, searched=True, unclear=False, found=answer.people, more=answer.more)


@blueprint.get("/people/<uuid:person_id>/choose")
@access("portal.ask", audited=False)
def choose_again(person_id: uuid.UUID) -> Response:
    """Send a reloaded choice to the page that asks."""
    return current_app.make_response(redirect(url_for("portal.ask_confirmation", person_id=person_id), 303))


@blueprint.get("/find")
@access("portal.find", audited=False)
def find_again() -> Response:
    """Send a reloaded or bookmarked search back to the search box."""
    return current_app.make_response(redirect(url_for("portal.home"), 303))


@blueprint.get("/people/<uuid:person_id>/confirm")
@access("portal.ask")
def ask_confirmation(person_id: uuid.UUID) -> Response:
    """Ask for two identifiers and a purpose."""
    check_may_confirm()
    return ask(person_id, prefilled(""))


@blueprint.post("/people/<uuid:person_id>/choose")
@access("portal.ask")
def choose(person_id: uuid.UUID) -> Response:
    """Ask for two identifiers and a purpose, with what the search said filled in."""
    check_may_confirm()
    return ask(person_id, prefilled(request.form.get("q", "")))


def check_may_confirm() -> None:
    """Refuse roles that may not confirm. Raises: NotPermitted."""
    if not decide(g.actor, "confirm", "Person").allowed:
        raise NotPermitted


@blueprint.post("/people/<uuid:person_id>/confirm")
@access("portal.confirm")
def confirm(person_id: uuid.UUID) -> Response:
    """Open the record where two identifiers agree."""
    check_may_confirm()
    shown = {
        name: request.form.get(name, "").strip()[:60] for name in ("name", "birth_date", "number", "purpose")
    }
    given = Given(shown["name"], as_date(shown["birth_date"]), shown["number"])
    misread = bool(shown["birth_date"]) and given.birth_date is None
    if given.count < NEEDED or misread or shown["purpose"] not in PURPOSES:
        return ask(person_id, shown, 422, too_few=True)
    with hub().begin() as session:
        agrees = confirm_person(
            session,
            person_id,
            given,
            shown["purpose"],
            hours=hub().config.confirmed_hours,
            now=now(),
            by=g.actor,
        )
    if not agrees:
        return ask(person_id, shown, 403, refused=True)
    return current_app.make_response(redirect(url_for("portal.record", person_id=person_id), 303))


def ask(person_id: uuid.UUID, given: dict[str, str], status: int = 200, **marks: bool) -> Response:
    """Show the page that asks for two identifiers: about the person only what a search shows, masked."""
    with hub().begin() as session:
        chosen = masked_person(session, person_id, now=now(), by=g.actor)
        # A refusal was recorded as such, with the act.
        if not marks.get("refused"):
            audit.record(
                session,
                actor=g.actor,
                action="R",
                operation="portal.ask",
                resource_type="Patient",
                person_id=chosen.person_id if chosen else None,
                outcome=0 if status < 400 else 4,
                http=status,
            )
    context = {"refused": False, "too_few": False, "chosen": chosen, **marks}
    return page("confirm.html", status, person_id=person_id, given=given, purposes=PURPOSES, **context)


def prefilled(text: str) -> dict[str, str]:
    """Return the number the search box already said, so that it is not typed twice.

    A name and birth date are not filled in: the search itself would then have confirmed whoever was chosen,
    the namesake as well.
    """
    empty = {"name": "", "birth_date": "", "number": "", "purpose": ""}
    try:
        query = parse_query(text[:80], now().astimezone(zone()).date())
    except Unclear:
        return empty
    return {**empty, "number": query.number or ""}


@blueprint.get("/people/<uuid:person_id>")
@access("portal.record")
def record(person_id: uuid.UUID) -> Response:
    """Show the merged record of a person."""
    found = read(person_id, "portal.record")
    return page("record.html", **timeline_context(found), record=found, person_id=person_id, kinds=KINDS)


@blueprint.get("/people/<uuid:person_id>/timeline")
@access("portal.timeline")
def timeline(person_id: uuid.UUID) -> Response:
    """Show a page of the timeline: a fragment for htmx."""
    found = read(person_id, "portal.timeline")
    if not request.headers.get("HX-Request"):
        args: dict[str, Any] = filter_args()
        target = url_for("portal.record", person_id=person_id, _anchor="visits", **args)
        return current_app.make_response(redirect(target, 303))
    return page("timeline_fragment.html", **timeline_context(found), person_id=person_id)


@blueprint.get("/people/<uuid:person_id>/tests")
@access("portal.trend")
def trend(person_id: uuid.UUID) -> Response:
    """Show all results of a test with their trend: a fragment for htmx, a page otherwise."""
    found = read(person_id, "portal.trend")
    test = found.tests.get(request.args.get("test", ""))
    if test is None:
        raise NotFound
    context: dict[str, Any] = {"test": test, "chart": chart(test), "person_id": person_id}
    if request.headers.get("HX-Request"):
        return page("trend.html", **context, in_page=True)
    return page("trend_page.html", **context, record=found, in_page=False)


@blueprint.get("/people/<uuid:person_id>/documents/<type_>/<id_>")
@access("portal.document")
def attachment(person_id: uuid.UUID, type_: str, id_: str) -> Response:
    """Give the original of a report or document."""
    with hub().begin() as session:
        content_type, data = read_attachment(
            session,
            person_id,
            type_,
            id_,
            blob_dir=hub().config.blob_dir,
            key_dir=hub().config.key_dir,
            now=now(),
            zone=zone(),
            by=g.actor,
        )
    plain = content_type.split(";")[0].strip().lower()
    inline = plain in INLINE
    response = Response(data, content_type=plain if inline else "application/octet-stream")
    response.headers["Content-Disposition"] = "inline" if inline else f'attachment; filename="{id_}"'
    response.headers["Content-Security-Policy"] = DOCUMENT_POLICY if plain == PDF else BOXED_POLICY
    return response


def read(person_id: uuid.UUID, operation: str) -> Record:
    """Return the record, read in a transaction of its own."""
    with hub().begin() as session:
        return read_record(session, person_id, operation, now=now(), zone=zone(), by=g.actor)


def filter_args() -> dict[str, Any]:
    """Return the filter of the timeline as it stands in the URL."""
    return {
        name: request.args[name] for name in ("facility", "kind", "since", "until") if request.args.get(name)
    }


def timeline_context(found: Record) -> dict[str, Any]:
    """Return what the timeline's template needs."""
    args = filter_args()
    wanted = Filter(
        args.get("facility", ""),
        args.get("kind", ""),
        as_date(args.get("since", "")),
        as_date(args.get("until", "")),
    )
    begin = request.args.get("begin", "0")
    begin_at = as_whole(begin) or 0
    visits = page_of(found.timeline, wanted, zone(), begin_at)
    return {"visits": visits, "wanted": wanted, "filter_args": args, "begin": begin_at}


def chart(test: Test) -> str:
    """Return the chart's data as JSON, with the hospitals' names in the page's language."""
    names = hospital_names()
    drawn = trend_of(test)
    for point in drawn["points"]:
        point["hospital"] = names.get(point["facility"], point["facility"])
        point["when"] = point.pop("at_text")
    return json.dumps(drawn, ensure_ascii=False)
