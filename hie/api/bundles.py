"""Transaction and batch (FHIR R4 http.html#transaction)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import orjson
from flask import Blueprint, Response
from sqlalchemy.orm import Session

from esb.fhir import lexemes
from esb.fhir.bundles import outcome_of
from hie.api import answers, asking, reading, recording, requested
from hie.api.requested import Asked
from hie.errors import HieError, NotValid
from hie.repository.content import instant_text
from hie.repository.writes import Outcome
from hie.security import audit
from hie.security.access import access

MOST_ENTRIES = 20_000
STATUS = {
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
    raw = asking.body_text()
    bundle = lexemes.loads(raw)
    entries = bundle.get("entry", [])
    if bundle.get("resourceType") != "Bundle" or bundle.get("type") not in ("transaction", "batch"):
        raise NotValid("A Bundle of type transaction or batch is expected here.")
    if not isinstance(entries, list) or len(entries) > MOST_ENTRIES:
        raise NotValid(f"A Bundle has at most {MOST_ENTRIES} entries.")
    if bundle["type"] == "batch":
        return answers.answer(answers.bundle("batch-response", [_alone(entry) for entry in entries]))
    with asking.hub().begin() as session:
        conditional = requested.MAY_BE_CONDITIONAL.search(raw) is not None
        done = _together(session, entries, has_conditional_references=conditional)
    return answers.answer(answers.bundle("transaction-response", done))


def _together(
    session: Session, entries: Sequence[Any], *, has_conditional_references: bool = True
) -> list[bytes]:
    """Do all entries in the session's transaction; return the entries of the answer."""
    asked = requested.read_entries(entries)
    requested.resolve(session, asked, has_conditional_references=has_conditional_references)
    writes = [item.write for item in asked if item.write is not None]
    named = Counter((write.type, write.id) for write in writes)
    if named and named.most_common(1)[0][1] > 1:
        raise NotValid("Two entries of the transaction write the same resource; leave one of them.")
    outcomes = recording.record(session, writes, asking.now(), asking.hub().config)
    found = {(outcome.type, outcome.id): outcome for outcome in outcomes}
    _audit(session, asked, outcomes)
    return [_done(session, item, found) for item in asked]


def _alone(entry: Any) -> bytes:
    """Do one entry in a transaction of its own; return its answer, an OperationOutcome if it failed."""
    try:
        with asking.hub().begin() as session:
            return _together(session, [entry])[0]
    except HieError as error:
        if error.http >= 500:
            raise
        return orjson.dumps({"response": {"status": str(error.http), "outcome": outcome_of(error)}})


def _done(session: Session, item: Asked, found: dict[tuple[str, str], Outcome]) -> bytes:
    if item.write is None:
        if item.known is not None:
            return _response("200 OK", f"{item.type}/{item.known.id}")
        return reading.entry(session, item)
    outcome = found[item.write.type, item.write.id]
    response: dict[str, Any] = {"status": STATUS[outcome.fate]}
    if outcome.version:
        response["etag"] = f'W/"{outcome.version}"'
        response["lastModified"] = instant_text(outcome.updated_at)
        if outcome.fate != "deleted":
            response["location"] = f"{outcome.type}/{outcome.id}/_history/{outcome.version}"
    return orjson.dumps({"response": response})


def _response(status: str, location: str) -> bytes:
    return orjson.dumps({"response": {"status": status, "location": location}})


def _audit(session: Session, asked: Sequence[Asked], outcomes: Sequence[Outcome]) -> None:
    """Write the one row of the request: what was done to which types, and whose records if one patient's."""
    compartments = {outcome.compartment for outcome in outcomes if outcome.compartment}
    counts: Counter[str] = Counter(outcome.fate for outcome in outcomes)
    counts.update("read" for item in asked if item.method == "GET")
    audit.record(
        session,
        actor=asking.actor(),
        action="E",
        operation="transaction",
        compartment=compartments.pop() if len(compartments) == 1 else None,
        detail={"types": sorted({item.type for item in asked}), **dict(counts)},
    )
