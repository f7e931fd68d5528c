"""Person: which source Patients are one human, as the index sees it; read only (R4 person.html, PIXm)."""

from __future__ import annotations

import uuid

import orjson
from flask import Blueprint, Response, request

from hie.api import answers, asking
from hie.errors import NotFound, NotSupported, NotValid
from hie.mpi.people import person_of, person_resource
from hie.security import audit
from hie.security.access import access


def add_routes(blueprint: Blueprint) -> None:
    """Open the routes of this module."""
    blueprint.add_url_rule("/Person/<id_>", view_func=read_person, methods=["GET"])
    blueprint.add_url_rule("/Person", view_func=search_person, methods=["GET"])
    blueprint.add_url_rule("/Person", view_func=write_person, methods=["POST"])
    blueprint.add_url_rule("/Person/<id_>", view_func=write_person, methods=["PUT", "PATCH", "DELETE"])


@access("read")
def read_person(id_: str) -> Response:
    """Answer a person with the Patients that the asker may see."""
    asking.check_accept()
    decision = asking.permitted("read", "Person")
    try:
        person = uuid.UUID(id_)
    except ValueError:
        raise NotFound from None
    with asking.hub().begin() as session:
        found = person_resource(session, person, decision.people)
        if found is None:
            raise NotFound
        audit.record(
            session,
            actor=asking.actor(),
            action="R",
            operation="read",
            resource_type="Person",
            resource_id=str(person),
            person_id=person,
        )
    return answers.answer(orjson.dumps(found))


@access("search-type")
def search_person() -> Response:
    """Answer the person of a Patient: ?link=Patient/x or ?patient=Patient/x."""
    asking.check_accept()
    decision = asking.permitted("search", "Person")
    named = request.args.get("link") or request.args.get("patient")
    if not named:
        raise NotValid("Search a Person by link or patient, e.g. ?link=Patient/x.")
    entries = []
    with asking.hub().begin() as session:
        person = person_of(session, named.rpartition("/")[2])
        found = person_resource(session, person, decision.people) if person else None
        if found is not None:
            entries.append(answers.match_entry("Person", found["id"], orjson.dumps(found)))
        audit.record(
            session,
            actor=asking.actor(),
            action="E",
            operation="search-type",
            resource_type="Person",
            person_id=person if found else None,
            detail={"matches": len(entries)},
        )
    links = [("self", answers.query_url("Person", list(request.args.items(multi=True))))]
    return answers.answer(answers.bundle("searchset", entries, links=links, total=len(entries)))


@access("update")
def write_person(id_: str = "") -> Response:
    """Refuse to write: the index decides who is one person, and stewards in the portal."""
    raise NotSupported("A Person is read only; records are linked and unlinked by stewards in the portal.")
