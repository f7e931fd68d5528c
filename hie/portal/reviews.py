"""The steward's pages: open questions of the index, two records side by side, each step undoable."""

import uuid
from collections.abc import Callable
from secrets import token_bytes
from typing import Any

from flask import Response, current_app, g, redirect, request, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session

from hie.errors import Conflict, NotFound, NotPermitted
from hie.mpi import links, people
from hie.portal.pages import as_whole, blueprint, hub, now, page, zone
from hie.repository.search import Search
from hie.schema.mpi import Identity, NotSame
from hie.security import audit
from hie.security.access import access
from hie.security.actor import Actor
from hie.security.policy import Decision, decide
from hie.services.lookup.compare import compare, differences
from hie.services.lookup.find import matching
from hie.services.lookup.people import patients
from hie.services.lookup.query import NoSuchDay, Unclear, parse_query

SHOWN = 100


def reach(action: str) -> Decision:
    """Return how far the user may act on the index. Raises: NotPermitted."""
    decision = decide(g.actor, action, "Person", now=now())
    if not decision.allowed:
        raise NotPermitted
    return decision


@blueprint.get("/identities")
@access("portal.reviews")
def reviews() -> Response:
    """Show the open review items."""
    decision = reach("review")
    with hub().begin() as session:
        items = people.open_reviews(session, decision.people, limit=SHOWN + 1)
        wanted = {i for item in items for i in (item.identity_a, item.identity_b)}
        known = {str(p["id"]): p for p in patients(session, wanted)}
    return page("reviews.html", items=items[:SHOWN], more=len(items) > SHOWN, known=known, q="", found=None)


@blueprint.post("/identities/find")
@access("portal.reviews.find")
def find_records() -> Response:
    """Show the source records that a number or a name with birth date names, to compare two of them."""
    decision = reach("find")
    text = request.form.get("q", "")[:80]
    with hub().begin() as session:
        try:
            query = parse_query(text, now().astimezone(zone()).date())
        except Unclear as fault:
            marks = {"unclear": True, "no_such_day": isinstance(fault, NoSuchDay)}
            return page("reviews.html", 422, items=(), more=False, known={}, q=text, found=(), **marks)
        ids = matching(Search(session, decision.where, zone(), token_bytes(), now()), query)
        rows = session.execute(
            select(Identity.id, Identity.facility, Identity.person_id)
            .where(Identity.id.in_(ids), decision.people)
            .order_by(Identity.person_id, Identity.facility)
        ).all()
        siblings = session.execute(
            select(Identity.id, Identity.facility, Identity.person_id)
            .where(Identity.person_id.in_([row.person_id for row in rows]), decision.people)
            .order_by(Identity.person_id, Identity.facility)
        ).all()
        known = {str(p["id"]): p for p in patients(session, [row.id for row in siblings])}
        audit.record(
            session,
            actor=g.actor,
            action="E",
            operation="portal.reviews.find",
            resource_type="Patient",
            detail={"found": len(siblings)},
        )
    return page("reviews.html", items=(), more=False, known=known, q=text, found=siblings)


@blueprint.get("/identities/find")
@access("portal.reviews.find", audited=False)
def find_records_again() -> Response:
    """Send a reloaded search back to the list."""
    return current_app.make_response(redirect(url_for("portal.reviews"), 303))


@blueprint.get("/identities/pair")
@access("portal.review")
def review() -> Response:
    """Show two source records side by side."""
    return show_pair(request.args.get("a", ""), request.args.get("b", ""))


def show_pair(one: str, other: str, status: int = 200, **marks: Any) -> Response:
    """Return the page that compares two records, with the log of what was decided about them."""
    decision = reach("review")
    with hub().begin() as session:
        rows = {
            row.id: row
            for row in session.execute(
                select(Identity.id, Identity.facility, Identity.person_id, Identity.updated_at).where(
                    Identity.id.in_([one, other]), decision.people
                )
            )
        }
        known = {str(p["id"]): p for p in patients(session, rows)}
        if one == other or not {one, other} <= rows.keys() or not {one, other} <= known.keys():
            raise NotFound
        first, second = sorted((one, other))
        declared = session.get(NotSame, (first, second)) is not None
        steps = people.steps_of(session, [one, other])
        item = next(iter(people.open_reviews(session, decision.people, limit=1, pair=(one, other))), None)
        record_both(session, "R", "portal.review", one, other, rows[one].person_id, status)
    fields = compare(known[one], known[other])
    return page(
        "review.html",
        status,
        one=rows[one],
        other=rows[other],
        patients=(known[one], known[other]),
        rows=fields,
        differing=differences(fields),
        is_linked=rows[one].person_id == rows[other].person_id,
        is_declared=declared,
        steps=steps,
        item=item,
        **{"conflict": False, "reason": "", **marks},
    )


def record_both(
    session: Session, action: str, operation: str, one: str, other: str, person: uuid.UUID | None, http: int
) -> None:
    """Add the audit row of what was done to two records; the trail of either shows it."""
    audit.record_each(
        session,
        [one, other],
        actor=g.actor,
        action=action,
        operation=operation,
        resource_type="Patient",
        resource_id=one,
        person_id=person,
        http=http,
    )


def link(session: Session, one: str, other: str, reason: str, by: Actor) -> None:
    """Bring the first record to the person of the second."""
    links.link(session, one, other, reason=reason, now=now(), by=by)


def unlink(session: Session, one: str, other: str, reason: str, by: Actor) -> None:
    """Give the second record a person of its own."""
    links.unlink(session, other, reason=reason, now=now(), by=by)


def not_same(session: Session, one: str, other: str, reason: str, by: Actor) -> None:
    """Declare the two records different people."""
    links.not_same(session, one, other, reason=reason, now=now(), by=by)


def undo(session: Session, one: str, other: str, reason: str, by: Actor) -> None:
    """Take back a step of one of the two records."""
    seq = as_whole(request.form.get("seq", ""))
    if seq is None or seq not in {s.seq for s in people.steps_of(session, [one, other])}:
        raise NotFound
    links.undo(session, seq, now=now(), by=by)


Step = Callable[[Session, str, str, str, Actor], None]
STEPS: dict[str, Step] = {"link": link, "unlink": unlink, "not_same": not_same, "undo": undo}


@blueprint.post("/identities/pair")
@access("portal.review.decide")
def decide_pair() -> Response:
    """Carry out what the steward decided about two records."""
    one, other, action = (request.form.get(name, "") for name in ("a", "b", "action"))
    reason = request.form.get("reason", "").strip()[:200]
    decision = reach("link")
    if action not in STEPS:
        raise NotFound
    if not reason:
        return show_pair(one, other, 422, reason_missing=True)
    try:
        with hub().begin() as session:
            seen = set(
                session.scalars(select(Identity.id).where(Identity.id.in_([one, other]), decision.people))
            )
            if seen != {one, other}:
                raise NotFound
            person = links.person_of(session, one)
            STEPS[action](session, one, other, reason, g.actor)
            record_both(session, "U", f"mpi.{action.replace('_', '-')}", one, other, person, 303)
    except Conflict:
        return show_pair(one, other, 409, conflict=True, reason=reason)
    return current_app.make_response(redirect(url_for("portal.review", a=one, b=other, done=action), 303))
