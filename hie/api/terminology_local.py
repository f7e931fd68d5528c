"""Hospitals' own codes over HTTP: the work list of those without a map, and its answers."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from hie.api import asking
from hie.api.operations import add_operation, operation
from hie.api.parameters import asked, one
from hie.api.terminology_asking import answer_parameters, audited
from hie.errors import NotPermitted, TooLarge
from hie.repository.content import instant_text
from hie.schema import LocalCode
from hie.security.access import access
from hie.security.policy import decide
from hie.services.vocabulary import publish
from hie.terminology import local_codes

CSV = "text/csv"
SHOWN, MOST_SHOWN = 1000, 10_000
LONGEST_LIST = 5 << 20
LARGEST = 2_147_483_647


def add_routes(blueprint: Blueprint) -> None:
    """Open the routes of this module."""
    add_operation(blueprint, "unmapped", unmapped)
    add_operation(blueprint, "map", map_codes)


@access("$unmapped")
def unmapped() -> Response:
    """Answer the codes of hospitals' own that no map translates, the most frequent first.

    A hospital is told its own. `complete` is false where more was stored since than is read at
    once, or another is reading.
    """
    is_csv = _wants_csv()
    if not is_csv:
        asking.check_accept()
    asking.permitted("read", "ConceptMap")
    given = asked(operation("unmapped", "type", "ConceptMap"))
    facility, named = _facility(), one(given, "facility")
    count = min(one(given, "count", MOST_SHOWN if is_csv else SHOWN), MOST_SHOWN)
    with asking.hub().begin() as session:
        is_complete = local_codes.gather_if_free(session)
        found, total = [], 0
        if named is None or facility in (None, named):
            of = facility or named
            total = local_codes.number_unmapped(session, of)
            found = local_codes.unmapped(session, of, count, one(given, "offset", 0))
        audited(session, "$unmapped", "ConceptMap", None, facility=facility or named, matches=len(found))
        if is_csv:
            response = Response(local_codes.work_list(found), content_type=f"{CSV}; charset=utf-8")
            response.headers["Content-Disposition"] = 'attachment; filename="unmapped.csv"'
            return response
        told: list[dict[str, Any]] = [
            {"name": "total", "valueInteger": total},
            {"name": "complete", "valueBoolean": is_complete},
        ]
        return answer_parameters([*told, *map(_told, found)])


def _wants_csv() -> bool:
    wanted = request.args.get("_format")
    if wanted is not None:
        return wanted.partition(";")[0].strip().lower() in ("csv", CSV)
    return CSV in request.headers.get("Accept", "")


def _facility() -> str | None:
    """Return the facility whose codes alone the asker may see; None for all. Raises: NotPermitted."""
    actor = asking.actor()
    if not decide(actor, "map", "Code").allowed:
        raise NotPermitted("Only clients of the region and of hospitals ask this.")
    return actor.facility


def _told(code: LocalCode) -> dict[str, Any]:
    coding = {"system": code.system, "code": code.code} | ({"display": code.display} if code.display else {})
    parts: list[dict[str, Any]] = [
        {"name": "facility", "valueString": code.facility},
        {"name": "coding", "valueCoding": coding},
        {"name": "count", "valueInteger": min(code.count, LARGEST)},
        {"name": "firstSeen", "valueInstant": instant_text(code.first_seen)},
        {"name": "lastSeen", "valueInstant": instant_text(code.last_seen)},
        {"name": "type", "valueCode": code.example_type},
    ]
    return {"name": "code", "part": parts}


@access("$map")
def map_codes() -> Response:
    """Take in a filled work list: each line's code becomes, or corrects, one of its hospital's map."""
    asking.check_accept()
    asking.permitted("update", "ConceptMap")
    facility = _facility()
    if asking.media_type() == CSV:
        asking.check_no_criteria("send the list as the body.")
        raw = asking.body_bytes()
    else:
        raw = one(asked(operation("map", "type", "ConceptMap")), "list").encode()
    if len(raw) > LONGEST_LIST:
        raise TooLarge("A work list has at most 5 MB; send it in parts.")
    with asking.hub().begin() as session:
        counts = local_codes.map_answers(session, raw, facility)
        publish(session, asking.now(), asking.hub().config.zone)
        audited(session, "$map", "ConceptMap", None, **counts)
    return answer_parameters([_mapped(of, count) for of, count in counts.items()])


def _mapped(facility: str, count: int) -> dict[str, Any]:
    parts = [{"name": "facility", "valueString": facility}, {"name": "codes", "valueInteger": count}]
    return {"name": "mapped", "part": parts}
