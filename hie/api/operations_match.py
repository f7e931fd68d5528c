"""Patient/$match: who this is, graded (FHIR R4 patient-operation-match, IHE PDQm ITI-119)."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Blueprint, Response
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from esb.fhir import lexemes
from esb.fhir.validation import check_resource
from hie.api import answers, asking, operations, parameters
from hie.errors import NotValid
from hie.mpi.people import persons_of
from hie.repository.search import Search
from hie.schema.repository import Resource
from hie.security import audit
from hie.security.access import access
from hie.security.policy import decide
from hie.services.lookup.masking import mask_name
from hie.services.lookup.naming import name_of
from hie.services.matching import Candidate, candidates

COUNT, MOST = 20, 100
GRADE = "http://hl7.org/fhir/StructureDefinition/match-grade"
REASONS = "urn:hie:match-reasons"
LABELS = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue"
# Somebody whom the asker may not see is shown, masked, only where the grade says that they are meant.
# One score for each grade: an exact one would tell, trial by trial, which phone or birth date they have.
MEANT = {"certain": 1.0, "probable": 0.6}


def add_routes(blueprint: Blueprint) -> None:
    """Open the routes of this module."""
    operations.add_operation(blueprint, "match", match)


@access("$match")
def match() -> Response:
    """Answer the source Patients that may be meant, the best first, each with its score and grade."""
    asking.check_accept()
    reach = asking.permitted("match", "Patient")
    given = parameters.asked(operations.operation("match", "type", "Patient"))
    patient = parameters.one(given, "resource")
    if patient.get("resourceType") != "Patient":
        raise NotValid("$match takes a Patient as its resource.")
    check_resource(patient)
    seen = decide(asking.actor(), "search", "Patient")
    with asking.hub().look() as session:
        how = asking.search_by(session, or_(seen.where, reach.where))
        found = candidates(how, patient)
        open_ones = _readable(how, found, seen.where) if reach.masked else {one.id for one in found}
        shown = [one for one in found if one.id in open_ones or one.verdict.grade in MEANT]
        if parameters.one(given, "onlyCertainMatches", False):
            shown = _certain(session, shown)
        shown.sort(key=lambda one: (-_score(one, is_open=one.id in open_ones), one.id))
        shown = shown[: min(parameters.one(given, "count", COUNT), MOST)]
        entries = [_entry(one, is_open=one.id in open_ones) for one in shown]
        audit.record_each(
            session,
            {one.id for one in shown},
            actor=asking.actor(),
            action="E",
            operation="$match",
            resource_type="Patient",
            detail={"matches": len(shown), "masked": sum(one.id not in open_ones for one in shown)},
        )
    return answers.answer(answers.bundle("searchset", entries, total=len(entries)))


def _readable(how: Search, found: list[Candidate], where: Any) -> set[str]:
    """Return the ids of those that the asker may read as they are."""
    ids = [one.id for one in found]
    wanted = select(Resource.id).where(
        Resource.type == "Patient", Resource.compartment.in_(ids), Resource.id.in_(ids), where
    )
    return set(how.session.scalars(wanted))


def _certain(session: Session, found: list[Candidate]) -> list[Candidate]:
    """Return the certain matches if they are all of one person, and nobody otherwise."""
    certain = [one for one in found if one.verdict.grade == "certain"]
    persons = persons_of(session, [one.id for one in certain])
    return certain if len(set(persons.values())) == 1 else []


def _score(one: Candidate, *, is_open: bool) -> float:
    return one.verdict.score if is_open else MEANT[one.verdict.grade]


def _entry(one: Candidate, *, is_open: bool) -> bytes:
    said: list[dict[str, Any]] = [{"url": GRADE, "valueCode": one.verdict.grade}]
    content: Any = orjson.Fragment(one.content)
    if is_open:
        said.append({"url": REASONS, "valueString": one.verdict.explained()})
    else:
        content = masked(lexemes.loads_kept(one.content))
    return orjson.dumps(
        {
            "fullUrl": f"{answers.base()}/Patient/{one.id}",
            "resource": content,
            "search": {"extension": said, "mode": "match", "score": _score(one, is_open=is_open)},
        }
    )


def masked(patient: dict[str, Any]) -> dict[str, Any]:
    """Return what may be shown of a Patient before there is a relation; it is labelled as masked."""
    shown: dict[str, Any] = {
        "resourceType": "Patient",
        "id": patient["id"],
        "meta": {
            "security": [{"system": LABELS, "code": "MASKED"}],
            "tag": [{"system": LABELS, "code": "SUBSETTED"}],
        },
        "name": [{"text": mask_name(name_of(patient) or "")}],
    }
    if patient.get("gender"):
        shown["gender"] = patient["gender"]
    if patient.get("birthDate"):
        shown["birthDate"] = patient["birthDate"][:4]
    return shown
