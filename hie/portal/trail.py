"""The auditor's page: who did what, when, for which purpose, and how it ended (IHE BALP, read only)."""

import uuid
from datetime import date, datetime, time, timedelta

from flask import Response, g, request
from sqlalchemy import ColumnElement, select

from hie.errors import NotPermitted
from hie.portal.pages import as_date, as_whole, blueprint, hub, now, page, zone
from hie.schema.security import AuditEventRow as Row
from hie.security import audit
from hie.security.access import access
from hie.security.policy import decide
from hie.security.trail import about_patient

SHOWN = 100
FIELDS = ("actor", "facility", "operation", "outcome", "patient", "since", "until", "before")


@blueprint.get("/audit")
@access("portal.audit")
def trail() -> Response:
    """Show the audit rows that the user may see, the newest first."""
    decision = decide(g.actor, "search", "AuditEvent", now=now())
    if not decision.allowed:
        raise NotPermitted
    asked = {name: request.args.get(name, "").strip()[:64] for name in FIELDS}
    query = select(Row).where(decision.where).order_by(Row.id.desc()).limit(SHOWN + 1)
    for name, column in (("actor", Row.actor), ("facility", Row.facility), ("operation", Row.operation)):
        if asked[name]:
            query = query.where(column == asked[name])
    if asked["patient"]:
        query = query.where(about(asked["patient"]))
    if (outcome := as_whole(asked["outcome"])) in audit.OUTCOMES:
        query = query.where(Row.outcome == outcome)
    if (since := as_date(asked["since"])) is not None:
        query = query.where(Row.at >= datetime.combine(since, time.min, zone()))
    if (until := as_date(asked["until"])) is not None and until < date.max:
        query = query.where(Row.at < datetime.combine(until + timedelta(days=1), time.min, zone()))
    if (before := as_whole(asked["before"])) is not None:
        query = query.where(Row.id < before)
    with hub().begin() as session:
        rows = session.scalars(query).all()
        session.expunge_all()
        audit.record(
            session,
            actor=g.actor,
            action="E",
            operation="portal.audit",
            resource_type="AuditEvent",
            detail={"by": [name for name in FIELDS if asked[name]], "found": len(rows[:SHOWN])},
        )
    following = rows[SHOWN - 1].id if len(rows) > SHOWN else None
    return page("trail.html", rows=rows[:SHOWN], asked=asked, following=following)


def about(asked: str) -> ColumnElement[bool]:
    """Rows about a source record or, where a person's id is asked for, about that person."""
    try:
        return Row.person_id == uuid.UUID(asked)
    except ValueError:
        return about_patient(asked)
