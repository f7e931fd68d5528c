"""Transaction and batch (FHIR R4 http.html#transaction)."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

import orjson
import psycopg
from flask import Blueprint, Response
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from esb.fhir import lexemes
from hie.api import answers, asking, batched, binaries, overlaps, reading, recording, requested, resolving
from hie.api.failures import as_hie_error
from hie.api.reading import Given
from hie.api.requested import READING, Asked, at
from hie.api.written import outcome_of_write
from hie.errors import NotValid, TooLarge, without_text
from hie.repository.content import instant_text
from hie.repository.writes import Fate, Outcome
from hie.security import audit
from hie.security.access import access

log = logging.getLogger("hie.web")

MOST_ENTRIES = 20_000
STATUS: dict[Fate, str] = {
    "created": "201 Created",
    "updated": "200 OK",
    "unchanged": "200 OK",
    "superseded": "200 OK",
    "kept": "200 OK",
    "deleted": "204 No Content",
}


def add_routes(blueprint: Blueprint) -> None:
    """Open the routes of this module."""
    blueprint.add_url_rule("/", view_func=transaction_or_batch, methods=["POST"])
    blueprint.add_url_rule("", view_func=transaction_or_batch, methods=["POST"])


@access("transaction")
def transaction_or_batch() -> Response:
    """Do all entries of a transaction or none; or each entry of a batch by itself."""
    asking.check_accept()
    raw = asking.body_text()
    bundle = lexemes.loads(raw)
    entries = bundle.get("entry", [])
    if bundle.get("resourceType") != "Bundle" or bundle.get("type") not in ("transaction", "batch"):
        raise NotValid("A Bundle of type transaction or batch is expected here.")
    if not isinstance(entries, list):
        raise NotValid("Bundle.entry must be a list.")
    if len(entries) > MOST_ENTRIES:
        raise TooLarge(f"A Bundle has at most {MOST_ENTRIES} entries; send it in parts.")
    if bundle["type"] == "batch":
        done = [_alone(entry, number) for number, entry in enumerate(entries)]
        return answers.answer(answers.bundle("batch-response", done))
    with asking.hub().begin() as session:
        done = _together(session, requested.read_entries(entries), "transaction", raw)
    return answers.answer(answers.bundle("transaction-response", done))


def _together(
    session: Session, asked: Sequence[Asked], operation: str, raw: bytes | None = None
) -> list[bytes]:
    """Do all entries in the session's transaction, writes before reads; return the entries of the answer."""
    are_definite = resolving.resolve(session, asked, raw)
    writing = [item for item in asked if item.write is not None]
    writes = [item.write for item in asked if item.write is not None]
    named = Counter((write.type, write.id) for write in writes)
    if named and named.most_common(1)[0][1] > 1:
        twice = next(item for item in writing if named[item.type, str(item.id)] > 1)
        raise at(twice.path, NotValid("Two entries write the same resource; leave one of them."))
    places = {(item.type, str(item.id)): f"{item.path}.resource" for item in writing}
    outcomes = recording.record(
        session, writes, asking.now(), asking.hub().config, are_definite=are_definite, places=places
    )
    overlaps.check(session, asked, outcomes)
    found = {(outcome.type, outcome.id): outcome for outcome in outcomes}
    wanted = asking.returned("minimal")
    done = [_done(session, item, found, wanted) for item in asked]
    compartments = {outcome.compartment for outcome in outcomes}.union(*(of for _, of in done))
    _audit(session, asked, outcomes, compartments, operation)
    return [entry for entry, _ in done]


def _alone(entry: Any, number: int) -> bytes:
    """Do one entry in a transaction of its own; return its answer, an OperationOutcome if it failed."""
    try:
        if batched.is_apart(entry):
            return batched.answer(entry, f"Bundle.entry[{number}]")
        with asking.hub().begin() as session:
            asked = requested.read_entries([entry], first=number)
            return _together(session, asked, "batch")[0]
    except Exception as error:  # what is committed already must be told
        known = as_hie_error(error)
        if known.http >= 500:
            place = without_text(error)
            log.error("request %s: entry %d failed", asking.actor().request_id, number, exc_info=place)
        _audit_failed(entry, known.http)
        return batched.refused(known)


def _done(session: Session, item: Asked, found: dict[tuple[str, str], Outcome], wanted: str) -> Given:
    """Return the entry that answers one, and whose records it gives."""
    if item.method in READING:
        return reading.entry(session, item)
    if item.write is None:
        return _untouched(session, item, wanted)
    outcome = found[item.write.type, item.write.id]
    response: dict[str, Any] = {"status": STATUS[outcome.fate]}
    if item.method == "DELETE":
        response["status"] = STATUS["deleted"]
    elif outcome.version:
        response["location"] = f"{outcome.type}/{outcome.id}/_history/{outcome.version}"
    if outcome.version:
        response["etag"] = f'W/"{outcome.version}"'
        response["lastModified"] = instant_text(outcome.updated_at)
    answered: dict[str, Any] = {"response": response}
    if wanted == "OperationOutcome":
        response["outcome"] = outcome_of_write(outcome.fate)
    elif wanted == "representation" and outcome.content:
        answered["resource"] = orjson.Fragment(binaries.whole(outcome.type, outcome.content))
    return orjson.dumps(answered), {outcome.compartment}


def _untouched(session: Session, item: Asked, wanted: str) -> Given:
    """Return the answer to a condition that left nothing to do: the resource is there, or nothing is."""
    if item.known is None:
        return orjson.dumps({"response": {"status": STATUS["deleted"]}}), set()
    return reading.known(session, item, with_content=wanted == "representation")


def _audit(
    session: Session,
    asked: Sequence[Asked],
    outcomes: Sequence[Outcome],
    compartments: set[str],
    operation: str,
) -> None:
    """Write the one row of the request, which names every patient: what was done to which types."""
    counts: Counter[str] = Counter(outcome.fate for outcome in outcomes)
    counts.update("read" for item in asked if item.method in READING)
    alone = asked[0] if len(asked) == 1 else None
    audit.record_each(
        session,
        compartments,
        actor=asking.actor(),
        action="E",
        operation=operation,
        resource_type=alone.type if alone else None,
        resource_id=alone.id if alone else None,
        detail={"types": sorted({item.type for item in asked}), **dict(counts)},
    )


def _audit_failed(entry: Any, http: int) -> None:
    """Write the row of an entry of a batch that was refused or failed."""
    request = entry.get("request") if isinstance(entry, dict) else None
    method = request.get("method") if isinstance(request, dict) else None
    try:
        audit.record_denied(
            asking.hub().engine,
            actor=asking.actor(),
            action="E",
            operation="batch",
            http=http,
            outcome=4 if http < 500 else 8,
            detail={"method": method} if isinstance(method, str) and method in requested.ACTIONS else None,
        )
    except (SQLAlchemyError, psycopg.Error):
        log.error("request %s: the audit row of an entry could not be written", asking.actor().request_id)
