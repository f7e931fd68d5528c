"""$everything of a person, an encounter, everybody (FHIR R4 patient-operation-everything)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, Response, request
from sqlalchemy import ColumnElement
from sqlalchemy.orm import Session

from esb.fhir.types import RESOURCE_TYPES
from hie.api import answers, asking, operations, parameters
from hie.api.parameters import Values
from hie.errors import NotFound, NotPermitted, NotValid
from hie.mpi.people import compartments_around
from hie.repository import everything as gathered
from hie.repository import read
from hie.repository.dates import Range, span
from hie.repository.everything import Asked, Limits
from hie.repository.paging import make_cursor, query_digest, read_cursor
from hie.repository.search import Search
from hie.security import audit
from hie.security.access import access

COUNT, MOST = 500, 1000
CURSOR = "_cursor"


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose everything it is: a condition over `Resource`, and the compartments it spans if they are few.

    around: the patients who are referred to, rather than asked for.
    """

    within: ColumnElement[bool]
    compartments: tuple[str, ...] = ()
    by_patient: bool = False
    around: tuple[str, ...] = ()


def add_routes(blueprint: Blueprint) -> None:
    """Open the routes of this module."""
    operations.add_operation(blueprint, "everything", everything)


@access("$everything")
def everything(type_: str, id_: str | None = None) -> Response:
    """Answer all records of a person, of an encounter or of everybody, in pages if they are asked for."""
    asking.check_accept()
    given = parameters.asked(operations.operation("everything", "instance" if id_ else "type", type_))
    limits = _limits(given)
    decision = asking.permitted("everything", type_)
    reach = asking.permitted("everything", "*")
    path = f"{type_}/{id_}/$everything" if id_ else f"{type_}/$everything"
    asked = _as_asked(given)
    count = min(parameters.one(given, "_count", 0 if id_ else COUNT), MOST) or None
    with asking.hub().look() as session:
        how = asking.search_by(session, reach.where)
        if id_ is None:
            subject = _everybody()
        else:
            found = read.read(session, type_, id_, decision.where)
            subject = SUBJECTS[type_](session, found, reach.people)
        wanted = Asked(subject.within, reach.where, limits, answers.base(), subject.by_patient)
        following, compartments = None, set(subject.compartments)
        is_plain = id_ is not None and type_ == "Patient" and not given
        if is_plain:
            entries = gathered.record(session, wanted, subject.compartments)
        elif count is None:
            entries = gathered.whole(session, wanted)
        else:
            entries, last, compartments = gathered.page(session, wanted, count, _after(how, path, asked))
            following = make_cursor(how.secret, query_digest(path, asked), how.now, last) if last else None
        if is_plain and not entries:
            raise NotFound
        joined = b",".join(entries)
        others = gathered.outside(session, joined, wanted, patients=subject.around)
        audit.record_each(
            session,
            compartments.union(subject.around, {id_} if type_ == "Patient" and id_ else ()),
            actor=asking.actor(),
            action="R",
            operation="$everything",
            resource_type=type_,
            resource_id=id_,
            detail={"matches": len(entries), "records": len(subject.compartments)},
        )
    links = [("self", answers.query_url(path, asked))]
    if following:
        links.append(("next", answers.query_url(path, [*asked, (CURSOR, following)])))
    total = len(entries) if count is None else None
    parts = [joined, *others] if entries else others
    return answers.answer(answers.bundle("searchset", parts, links=links, total=total))


def _of_person(session: Session, found: read.Stored, people: ColumnElement[bool]) -> Subject:
    compartments = tuple(compartments_around(session, found.id, people) or [found.id])
    return Subject(gathered.of_patients(compartments), compartments)


def _of_encounter(session: Session, found: read.Stored, people: ColumnElement[bool]) -> Subject:
    within = gathered.of_encounter(found.compartment, found.id)
    return Subject(within, (found.compartment,), around=(found.compartment,))


SUBJECTS = {"Patient": _of_person, "Encounter": _of_encounter}


def _everybody() -> Subject:
    """All patients, one after the other. Raises: NotPermitted for whom the region is not open as a whole."""
    if asking.actor().role != "system":
        raise NotPermitted("Only a system of the region may ask for everybody; ask for one Patient.")
    return Subject(gathered.of_all_patients(), by_patient=True)


def _limits(given: Values) -> Limits:
    types = tuple(name for value in given.get("_type", ()) for name in value.split(",") if name)
    if not RESOURCE_TYPES.issuperset(types):
        raise NotValid("_type names a type that FHIR R4 does not have.")
    return Limits(types, *(_instants(given, name) for name in ("_since", "start", "end")))


def _instants(given: Values, name: str) -> Range | None:
    if name not in given:
        return None
    found = span(given[name][0], asking.hub().config.zone)
    if found is None:
        raise NotValid(f"{name} is no FHIR date.")
    return found


def _as_asked(given: Values) -> list[tuple[str, str]]:
    """Return what was asked, by GET or by POST, as the parameters of a link."""
    return [(name, str(value)) for name, values in given.items() for value in values]


def _after(how: Search, path: str, asked: Sequence[tuple[str, str]]) -> list[str]:
    cursor = request.args.get(CURSOR)
    if cursor is None:
        return []
    return [str(part) for part in read_cursor(how.secret, query_digest(path, asked), how.now, cursor)]
