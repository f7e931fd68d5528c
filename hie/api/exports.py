"""$export of the system, of patients and of groups (HL7 Bulk Data Access IG 2, kick-off)."""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import Any

from flask import Blueprint, Response, request
from sqlalchemy import ColumnElement
from sqlalchemy.orm import Session

from esb.fhir import lexemes
from hie.api import answers, asking, jobs
from hie.api.operations import add_operation
from hie.errors import Gone, NotFound, NotValid, TooLarge
from hie.repository import criteria, read
from hie.repository.dates import span_of
from hie.repository.search import limited
from hie.security.access import access
from hie.services.exports import asked
from hie.services.exports.asked import Export

MOST_GROUPS = 100


def add_routes(blueprint: Blueprint) -> None:
    """Open the routes of this module."""
    add_operation(blueprint, "export", export)


@access("$export")
def export(type_: str | None = None, id_: str | None = None) -> Response:
    """Take on an export of the system, of all patients, or of a Group's present members."""
    level = "group" if id_ else "patient" if type_ else "system"
    wanted = _asked(level)
    if id_ is not None:
        wanted = _of_group(wanted, id_)
    return jobs.accepted("export", wanted.stored(), "$export")


def _of_group(export: Export, id_: str) -> Export:
    decision = asking.permitted("read", "Group")
    with asking.hub().begin() as session:
        members = _members(session, id_, decision.where)
    named = export.patients
    if named is not None and not set(named) <= set(members):
        raise NotValid("patient names somebody who is no member of the group.")
    export.patients = sorted(set(members if named is None else named))
    return export


def _members(session: Session, id_: str, where: ColumnElement[bool]) -> list[str]:
    """Return the Patients who are members of a Group now, or of a Group that is, as far as it may be seen.

    Raises: NotFound, Gone for the Group itself; TooLarge.
    """
    zone, now = asking.hub().config.zone, asking.now()
    patients: list[str] = []
    known, waiting = {id_}, [id_]
    while waiting:
        one = waiting.pop()
        try:
            group = lexemes.loads(read.read(session, "Group", one, where).content)
        except (NotFound, Gone):
            if one == id_:
                raise
            continue
        for member in group.get("member", []):
            type_, of = _entity(member) if _is_present(member, now, zone) else ("", "")
            if type_ == "Patient":
                patients.append(of)
            elif type_ == "Group" and of not in known:
                known.add(of)
                waiting.append(of)
        if len(known) > MOST_GROUPS:
            raise TooLarge(f"At most {MOST_GROUPS} Groups within each other are exported at once.")
    return patients


def _is_present(member: dict[str, Any], now: datetime, zone: tzinfo) -> bool:
    """Say whether somebody is a member now: not inactive, and within the period if there is one."""
    period = span_of(member.get("period"), zone)
    return member.get("inactive") is not True and (period is None or period[0] <= now < period[1])


def _entity(member: dict[str, Any]) -> tuple[str, str]:
    """Return type and id of a member that is kept here."""
    reference = str(member.get("entity", {}).get("reference", "")).removeprefix(answers.base() + "/")
    type_, _, id_ = reference.partition("/_history/")[0].partition("/")
    return type_, id_


def _asked(level: str) -> Export:
    """Return what the request asks for. Raises: NotValid, NotSupported, NotPermitted."""
    jobs.check_async()
    asking.check_accept(in_parts=True)
    asking.permitted("search", "*")
    lenient = "handling=lenient" in request.headers.get("Prefer", "").replace(" ", "")
    params = [pair for pair in request.args.items(multi=True) if pair[0] not in ("_format", "_pretty")]
    if request.method == "POST":
        # What has nothing to say may leave the body away (operations.html#request).
        raw = asking.body_text()
        params += parameters(lexemes.loads(raw)) if raw.strip() else []
    elif "patient" in request.args:
        raise NotValid("patient is given in the Parameters of a POST.")
    export = asked.read(level, params, asking.hub().config.zone, lenient=lenient)
    for type_ in export.types:
        asking.permitted("search", type_)
    if export.filters:
        _check_filters(export)
    return export


def _check_filters(export: Export) -> None:
    """Check that the filters of an export can be searched by. Raises: NotValid, NotSupported, TooCostly."""
    zone, now = asking.hub().config.zone, asking.now()
    with asking.hub().begin() as session:
        for type_, texts in export.filters.items():
            where = asking.permitted("search", type_).where
            for text in texts:
                with limited(session):
                    criteria.condition(session, where, text, zone, now)


def parameters(resource: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the simple values of a Parameters resource. Raises: NotValid."""
    given = resource.get("parameter", [])
    if resource.get("resourceType") != "Parameters" or not isinstance(given, list):
        raise NotValid("The body of this operation is a Parameters resource.")
    found = []
    for one in given:
        value = (
            next((one[key] for key in one if key.startswith("value")), None)
            if isinstance(one, dict)
            else None
        )
        value = value.get("reference") if isinstance(value, dict) else value
        if not isinstance(value, str) or not isinstance(one.get("name"), str):
            raise NotValid("A parameter of the operation has no value that is read here.")
        found.append((one["name"], value))
    return found
