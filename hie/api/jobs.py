"""Long work as its asker sees it: where it stands, what came of it, its files (FHIR R4 async.html)."""

from __future__ import annotations

import re
from datetime import UTC
from typing import Any

import orjson
from flask import Blueprint, Response, current_app, request
from werkzeug.http import http_date

from esb.fhir.bundles import operation_outcome
from hie.api import answers, asking
from hie.errors import Issue, NotFound, NotValid
from hie.repository.content import instant_text
from hie.schema.exports import Job, JobFile
from hie.security import audit
from hie.security.access import ACTOR, access, access_of
from hie.services.exports import files, jobs

NDJSON = "application/fhir+ndjson"
RETRY_AFTER_S = "2"
# What may be asked for later.
LATER = frozenset(
    {"search-type", "search-system", "transaction", "history-type", "history-system", "$everything"}
)


def add_routes(blueprint: Blueprint) -> None:
    """Open the routes of this module."""
    blueprint.add_url_rule("/_job/<id_>", view_func=status, methods=["GET"])
    blueprint.add_url_rule("/_job/<id_>", view_func=cancel, methods=["DELETE"])
    blueprint.add_url_rule("/_job/<id_>/<number>", view_func=file, methods=["GET"])


def check_async() -> None:
    """Check that the asker is ready to wait. Raises: NotValid."""
    if not wants_to_wait():
        raise NotValid("This takes long; ask for it with the header Prefer: respond-async.")


def wants_to_wait() -> bool:
    """Say whether the asker prefers to fetch the answer later (Prefer: respond-async)."""
    return "respond-async" in request.headers.get("Prefer", "")


def take_on_if_asked() -> Response | None:
    """Take a search, a batch or the like on for later, if the asker prefers that (R5 async-bundle.html)."""
    mark = access_of(current_app.view_functions.get(request.endpoint or ""))
    if mark is None or mark.operation not in LATER or ACTOR in request.environ or not wants_to_wait():
        return None
    type_ = (request.view_args or {}).get("type_")
    if mark.operation.startswith("search"):
        asking.permitted("search", type_ or "*")
    kept = {name: request.headers[name] for name in ("Accept", "Content-Type") if name in request.headers}
    prefer = [one for one in re.split(r"[;,]\s*", request.headers["Prefer"]) if one != "respond-async"]
    asked = {
        "method": request.method,
        "path": request.path,
        "query": request.query_string.decode("ascii", "replace"),
        "headers": kept | ({"Prefer": ", ".join(prefer)} if prefer else {}),
        "writes": mark.operation == "transaction",
    }
    return accepted(
        "request", asked, mark.operation, asking.body_bytes() if request.method == "POST" else b""
    )


def accepted(kind: str, asked: dict[str, Any], operation: str, body: bytes = b"") -> Response:
    """Take work on, in a transaction with its audit row, and say where it can be followed."""
    with asking.hub().begin() as session:
        id_ = jobs.ask(session, kind, _asked_url(), asked, asking.actor())
        if body:
            files.append(files.path_of(asking.hub().config.export_dir, id_, 0), 0, body)
        audit.record(session, actor=asking.actor(), action="E", operation=operation, http=202)
    return said(
        f"Taken on; follow it at the Content-Location ({id_[:8]}).", 202, f"{answers.base()}/_job/{id_}"
    )


def said(text: str, status: int, location: str | None = None) -> Response:
    """Return an OperationOutcome that informs."""
    outcome = operation_outcome([Issue("", text, "informational")], "information")
    response = answers.answer(orjson.dumps(outcome), status)
    if location:
        response.headers["Content-Location"] = location
    return response


def _asked_url() -> str:
    path = request.full_path.rstrip("?").removeprefix("/fhir")
    return answers.base() + path


@access("job.status")
def status(id_: str) -> Response:
    """Say how far a job is (202), or what came of it (200: manifest or Bundle); 429 to who asks too often."""
    with asking.hub().begin() as session:
        job = jobs.own(session, id_, asking.actor())
        is_open = job.state in jobs.OPEN
        soon = is_open and jobs.is_polled_too_soon(job, asking.now())
        http = 429 if soon else 202 if is_open else 500 if job.state == "failed" else 200
        outcome = 8 if http >= 500 else 4 if http >= 400 else 0
        audit.record(
            session, actor=asking.actor(), action="R", operation="job.status", outcome=outcome, http=http
        )
        if is_open:
            text = "Asked too often; wait as long as Retry-After says." if soon else "Not done yet."
            # Some clients ask next where the last answer says it stands.
            response = said(text, http, f"{answers.base()}/_job/{id_}")
            response.headers["Retry-After"] = RETRY_AFTER_S
            response.headers["X-Progress"] = job.progress
            return response
        if job.state == "failed":
            return answers.answer(
                orjson.dumps(operation_outcome([Issue("", job.failure or "", "processing")])), 500
            )
        content = RESULTS[job.kind](job, list(jobs.files(session, id_)))
        response = answers.answer(content)
        if job.expires_at:
            response.headers["Expires"] = http_date(job.expires_at.astimezone(UTC))
        return response


@access("job.delete")
def cancel(id_: str) -> Response:
    """Stop a job, and let its files go."""
    with asking.hub().begin() as session:
        jobs.own(session, id_, asking.actor())
        jobs.cancel(session, id_, asking.now())
        audit.record(session, actor=asking.actor(), action="D", operation="job.delete", http=202)
    jobs.clear(asking.hub().config.export_dir, id_)
    return said("Deleted.", 202)


@access("job.file")
def file(id_: str, number: str) -> Response:
    """Give a file of a finished job, gzipped where the asker takes that."""
    if not number.isascii() or not number.isdigit() or len(number) > 6:
        raise NotFound
    with asking.hub().begin() as session:
        job = jobs.own(session, id_, asking.actor())
        found = session.get(JobFile, (id_, int(number)))
        if found is None or job.state != "done":
            raise NotFound
        detail = {"type": found.type, "count": found.count}
        audit.record(session, actor=asking.actor(), action="R", operation="job.file", detail=detail)
        length = found.bytes
    path = files.path_of(asking.hub().config.export_dir, id_, int(number))
    if not path.exists():
        raise NotFound
    if asking.accepts_gzip():
        headers = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding", "Content-Length": str(length)}
        return Response(files.packed(path, length), headers=headers, content_type=NDJSON)
    return Response(files.plain(path, length), headers={"Vary": "Accept-Encoding"}, content_type=NDJSON)


def _manifest(job: Job, found: list[JobFile]) -> bytes:
    """The manifest of an export or import (Bulk Data Access IG 2, "Complete Status")."""
    lists: dict[str, list[dict[str, Any]]] = {"output": [], "deleted": [], "error": []}
    for one in found:
        url = f"{answers.base()}/_job/{job.id}/{one.number}"
        type_ = "Bundle" if one.kind == "deleted" else one.type
        line = {"type": type_, "url": url, "count": one.count}
        if job.kind == "import":
            line["inputUrl"] = job.request["input"][(one.number - 1) // 2]["url"]
        lists[one.kind].append(line)
    at = job.transaction_at or job.finished_at or job.asked_at
    return orjson.dumps(
        {"transactionTime": instant_text(at), "request": job.url, "requiresAccessToken": True} | lists
    )


def _result(job: Job, found: list[JobFile]) -> bytes:
    """The Bundle around the answer of an asynchronous request (FHIR R5 async-bundle.html, for R4)."""
    path = files.path_of(asking.hub().config.export_dir, job.id, 1)
    content = b"".join(files.plain(path, found[0].bytes)).strip() if found else b""
    entry: dict[str, Any] = {"response": {"status": str(job.position.get("http", 200))}}
    if content:
        place = "resource" if job.position.get("http", 200) < 400 else None
        if place:
            entry[place] = orjson.Fragment(content)
        else:
            entry["response"]["outcome"] = orjson.Fragment(content)
    return orjson.dumps({"resourceType": "Bundle", "type": "batch-response", "entry": [entry]})


RESULTS = {"export": _manifest, "import": _manifest, "request": _result}
