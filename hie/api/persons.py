"""The person behind source Patients as a read-only FHIR Person (IHE PMIR; FHIR R4 person.html)."""

from __future__ import annotations

import uuid

import orjson
from flask import Blueprint, Response
from sqlalchemy.orm import Session

from hie.api import answers, asking
from hie.api.forms import in_address, in_form
from hie.errors import Issue, NotFound, NotValid
from hie.mpi.people import person_resource, persons_of
from hie.repository.query import FORM, check_text, unknown
from hie.security import audit
from hie.security.access import access

MOST = 100
NAMING = ("patient", "link", "_id")


def add_routes(blueprint: Blueprint) -> None:
    """Open the routes of this module."""
    blueprint.add_url_rule("/Person/<id_>", view_func=read_person, methods=["GET"])
    blueprint.add_url_rule("/Person", view_func=search_persons, methods=["GET"])
    blueprint.add_url_rule("/Person/_search", view_func=search_persons, methods=["GET", "POST"])


@access("read")
def read_person(id_: str) -> Response:
    """Answer which source Patients are one person, those that the asker may see."""
    asking.check_accept()
    decision = asking.permitted("read", "Person")
    try:
        person = uuid.UUID(id_)
    except ValueError:
        raise NotFound from None
    with asking.hub().look() as session:
        found = person_resource(session, person, decision.people)
        if found is None:
            raise NotFound
        _audit(session, "R", "read", person)
    return answers.answer(orjson.dumps(found))


@access("search-type")
def search_persons() -> Response:
    """Answer the persons of some Patients: `Person?patient=Patient/x`, or of some ids."""
    asking.check_accept()
    decision = asking.permitted("search", "Person")
    remarks: list[Issue] = []
    used = []
    with asking.hub().look() as session:
        wanted: set[uuid.UUID] | None = None
        given = in_address() + in_form()
        for name, value in given:
            check_text(name + value)
            if name in NAMING:
                named = _ids(value) if name == "_id" else _persons(session, value)
                wanted = named if wanted is None else wanted & named
                used.append((name, value))
            elif name not in FORM:
                error = unknown(name, "Person is found by patient, link and _id")
                if asking.is_strict() or (wanted is None and len(given) == 1):
                    raise error
                remarks += error.issues
        if len(wanted or ()) > MOST:
            raise NotValid(f"At most {MOST} persons are answered at once; name fewer.")
        found = [person_resource(session, person, decision.people) for person in sorted(wanted or ())]
        _audit(session, "E", "search-type", None)
    entries = [answers.match_entry("Person", one["id"], orjson.dumps(one)) for one in found if one]
    if remarks:
        entries.append(answers.remarks_entry(remarks))
    links = [("self", answers.query_url("Person", used))]
    return answers.answer(answers.bundle("searchset", entries, links=links))


def _persons(session: Session, value: str) -> set[uuid.UUID]:
    return set(persons_of(session, [one.rpartition("/")[2] for one in value.split(",")]).values())


def _ids(value: str) -> set[uuid.UUID]:
    found = set()
    for one in value.split(","):
        try:
            found.add(uuid.UUID(one))
        except ValueError:
            continue
    return found


def _audit(session: Session, action: str, operation: str, person: uuid.UUID | None) -> None:
    audit.record(
        session,
        actor=asking.actor(),
        action=action,
        operation=operation,
        resource_type="Person",
        resource_id=str(person) if person else None,
        person_id=person,
    )
