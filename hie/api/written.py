"""The answer to a write: what the asker wants back of it (FHIR R4 http.html#ops, Prefer: return)."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Response
from sqlalchemy.orm import Session

from esb.errors import Issue
from esb.fhir.bundles import operation_outcome
from hie.api import answers, asking, binaries
from hie.repository.writes import Fate, Outcome
from hie.security import audit

SAID: dict[Fate, str] = {
    "created": "It was created.",
    "updated": "It was updated.",
    "unchanged": "It was there like this already; no new version was made.",
    "superseded": "A newer version is there; this one was added to the history.",
    "kept": "It was there already and was kept.",
    "deleted": "It was deleted; its versions are kept.",
}
NOTHING = "There was nothing to delete."


def outcome_of_write(fate: Fate) -> dict[str, Any]:
    """Return the OperationOutcome that says what became of a write."""
    return operation_outcome([Issue("", SAID[fate], "informational")], "information")


def _outcome_of_delete(outcome: Outcome) -> dict[str, Any]:
    if outcome.version:
        return outcome_of_write("deleted")
    return operation_outcome([Issue("", NOTHING, "informational")], "information")


def written(outcome: Outcome) -> Response:
    """Return the answer to a write of one resource."""
    wanted = asking.returned("representation")
    if outcome.fate == "deleted" or not outcome.content:
        response = Response(status=204)
        if wanted == "OperationOutcome":
            response = answers.answer(orjson.dumps(_outcome_of_delete(outcome)))
        if outcome.version:
            response.headers["ETag"] = f'W/"{outcome.version}"'
        return response
    status = 201 if outcome.fate == "created" else 200
    content = b""
    if wanted == "representation" and binaries.is_echoed(outcome.type, outcome.content):
        content = binaries.whole(outcome.type, outcome.content)
    if wanted == "OperationOutcome":
        content = orjson.dumps(outcome_of_write(outcome.fate))
    place = answers.location(outcome.type, outcome.id, outcome.version)
    return answers.versioned(content, outcome.version, outcome.updated_at, status, Location=place)


def audited(
    session: Session,
    action: str,
    operation: str,
    type_: str | None,
    id_: str | None,
    compartment: str | None,
    http: int = 200,
) -> None:
    """Write the audit row of an interaction with one resource."""
    audit.record(
        session,
        actor=asking.actor(),
        action=action,
        operation=operation,
        resource_type=type_,
        resource_id=id_,
        compartment=compartment or None,
        http=http,
    )
