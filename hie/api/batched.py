"""What of a batch only a route of its own answers: operations, histories, compartments."""

from __future__ import annotations

from contextvars import copy_context
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import orjson
from flask import Response, current_app, g, request
from werkzeug.http import parse_date
from werkzeug.test import EnvironBuilder

from esb.fhir import lexemes
from esb.fhir.bundles import operation_outcome, outcome_of
from hie.api import answers, asking
from hie.api.requested import READING, wrong
from hie.errors import HieError, Issue, TooLarge
from hie.repository.content import instant_text
from hie.repository.query import check_few
from hie.security import audit
from hie.security.access import ACTOR

METHODS = ("GET", "HEAD", "POST")
JSON = "application/fhir+json"
FORM = "application/x-www-form-urlencoded"
MOST_STEPS = 5
JOBS = "_job"  # their files and answers are as large as they like
TOGETHER = "The answers of this batch together are too large; ask for fewer at a time."
NO_JSON = "What this answers is no FHIR JSON; ask for it by a request of its own."
DONE = "This was done; its answer is left out. "


def is_apart(entry: Any) -> bool:
    """Say whether an entry asks for what is neither a resource, a version nor a search of one type."""
    asked = entry.get("request") if isinstance(entry, dict) else None
    if not isinstance(asked, dict) or asked.get("method") not in METHODS:
        return False
    if not isinstance(asked.get("url"), str):
        return False
    path, query = _parts(asked["url"])
    steps = [step for step in unquote(path).split("/") if step]
    if steps[:1] == [JOBS]:
        return False
    if not steps:
        return asked["method"] != "POST" and bool(query)
    is_version = len(steps) == 4 and steps[2] == "_history"
    is_made = steps[0] in asking.MADE_BY_THE_HUB or steps == ["metadata"]
    is_named = any(step[0] in "$_" for step in steps)
    return len(steps) <= MOST_STEPS and not is_version and (is_named or is_made or len(steps) > 2)


def answer(entry: dict[str, Any], place: str) -> bytes:
    """Ask for one such entry in the name of who sent the batch; return its answer.

    It is a request of its own, with its own transaction and audit row.

    Args:
        place: where the entry stands in the batch.

    Raises: NotValid; TooLarge where the answers before hold all that an answer may: nothing was done.
    """
    most = asking.hub().config.max_body
    if g.get("batched_bytes", 0) > most:
        raise TooLarge(TOGETHER)
    environ = _environ(entry, place) | {ACTOR: asking.actor()}
    app = current_app._get_current_object()  # type: ignore[attr-defined]

    def ask() -> tuple[Response, bytes | None]:
        # An app context of its own, or it would share `g`, and with it the actor, with the batch.
        with app.app_context(), app.request_context(environ):
            response: Response = app.full_dispatch_request()
            return response, _content(response)

    response, content = copy_context().run(ask)
    audit.note_written()
    g.batched_bytes = g.get("batched_bytes", 0) + len(content or b"")
    if response.status_code < 400 and content is None:
        return _withheld(entry, response, asking.NotAcceptable(NO_JSON))
    if response.status_code < 400 and g.batched_bytes > most:
        return _withheld(entry, response, TooLarge(TOGETHER))
    return _answered(response, content or b"")


def refused(error: HieError) -> bytes:
    """Return the answer to an entry that was refused or failed."""
    status = f"{error.http} {HTTPStatus(error.http).phrase}"
    return orjson.dumps({"response": {"status": status, "outcome": outcome_of(error)}})


def _content(response: Response) -> bytes | None:
    """Return what an answer holds; None if that is no FHIR JSON, or is made only while it is sent."""
    if response.is_streamed:
        response.close()
        return None
    content: bytes = response.get_data()
    return content if response.mimetype == JSON or not content else None


def _withheld(entry: dict[str, Any], response: Response, error: HieError) -> bytes:
    """Return the answer to what was done but cannot be given here; what wrote is told to be done."""
    if entry["request"]["method"] in READING:
        return refused(error)
    outcome = operation_outcome([Issue("", DONE + error.text, error.code)], "warning")
    return orjson.dumps({"response": _said(response) | {"outcome": outcome}})


def _parts(url: str) -> tuple[str, str]:
    path, _, query = url.removeprefix(answers.base()).removeprefix("/").partition("?")
    return path, query


def _environ(entry: dict[str, Any], place: str) -> dict[str, Any]:
    asked = entry["request"]
    path, query = _parts(asked["url"])
    check_few(query)
    resource = entry.get("resource")
    headers = {"Accept": JSON, "X-Request-Id": asking.actor().request_id or ""}
    if "Prefer" in request.headers:
        headers["Prefer"] = request.headers["Prefer"]
    if "ifNoneMatch" in asked:
        tags = asked["ifNoneMatch"]
        if not (isinstance(tags, str) and tags.isascii() and tags.isprintable()):
            raise wrong(f"{place}.request.ifNoneMatch", 'takes versions as in W/"3", or *')
        headers["If-None-Match"] = tags
    builder = EnvironBuilder(
        f"/fhir/{path}",
        method=asked["method"],
        query_string=query,
        headers=list(headers.items()),
        data=lexemes.dumps(resource) if isinstance(resource, dict) else None,
        content_type=JSON if isinstance(resource, dict) else FORM if path.endswith("_search") else JSON,
        environ_overrides={"REMOTE_ADDR": request.remote_addr or ""},
    )
    try:
        return builder.get_environ()
    finally:
        builder.close()


def _said(response: Response) -> dict[str, Any]:
    said: dict[str, Any] = {"status": f"{response.status_code} {HTTPStatus(response.status_code).phrase}"}
    for name, header in (("location", "Location"), ("etag", "ETag")):
        if header in response.headers:
            said[name] = response.headers[header]
    changed = parse_date(response.headers.get("Last-Modified"))
    if changed is not None:
        said["lastModified"] = instant_text(changed)
    return said


def _answered(response: Response, content: bytes) -> bytes:
    said = _said(response)
    if content and response.status_code >= 400:
        return orjson.dumps({"response": said | {"outcome": orjson.Fragment(content)}})
    made: dict[str, Any] = {"resource": orjson.Fragment(content)} if content else {}
    return orjson.dumps(made | {"response": said})
