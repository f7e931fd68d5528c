"""Observation/$lastn: the newest results of each test (FHIR R4 observation-operation-lastn)."""

from __future__ import annotations

from flask import Blueprint, Response

from hie.api import answers, asking, operations, parameters
from hie.errors import NotValid
from hie.repository.conditions import LOGICAL_ID
from hie.repository.lastn import newest, observations
from hie.security import audit
from hie.security.access import access

OF_WHOM = ("patient", "subject")


def add_routes(blueprint: Blueprint) -> None:
    """Open the routes of this module."""
    operations.add_operation(blueprint, "lastn", lastn)


@access("$lastn")
def lastn() -> Response:
    """Answer the newest Observations of each code, of the patients who are named."""
    asking.check_accept()
    decision = asking.permitted("search", "Observation")
    given = parameters.asked(operations.operation("lastn", "type", "Observation"))
    most = parameters.one(given, "max", 1)
    params = [(name, str(value)) for name, values in given.items() if name != "max" for value in values]
    if not any(name in OF_WHOM for name, _ in params):
        raise NotValid("$lastn needs the parameter patient or subject.")
    with asking.hub().begin() as session:
        how = asking.search_by(session, decision.where)
        found = newest(observations(how, params), most, how.zone)
        named = (one for name, value in params if name in OF_WHOM for one in value.split(","))
        whom = {one.rpartition("/")[2] for one in named}
        audit.record_each(
            session,
            {one for one in whom if LOGICAL_ID.fullmatch(one)},
            actor=asking.actor(),
            action="E",
            operation="$lastn",
            resource_type="Observation",
            detail={"matches": len(found)},
        )
    entries = [answers.match_entry(*match) for match in found]
    links = [("self", answers.query_url("Observation/$lastn", [*params, ("max", str(most))]))]
    return answers.answer(answers.bundle("searchset", entries, links=links, total=len(entries)))
