"""What of a batch only a route of its own answers: operations, histories, compartments."""

from __future__ import annotations

from contextvars import copy_context
from http import HTTPStatus
from typing import Any

import orjson
from flask import Response, current_app, g, request
from werkzeug.http import parse_date
from werkzeug.test import EnvironBuilder

from esb.fhir import lexemes
from hie.api import answers, asking
from hie.errors import TooLarge
from hie.repository.content import instant_text
from hie.security import audit
from hie.security.access import ACTOR

METHODS = ("GET", "HEAD", "POST")
JSON = "application/fhir+json"
FORM = "application/x-www-form-urlencoded"
MOST_STEPS = 5


def is_apart(entry: Any) -> bool:
    """Say whether an entry asks for what is neither a resource, a version nor a search of one type."""
    asked = entry.get("request") if isinstance(entry, dict) else None
    if not isinstance(asked, dict) or asked.get("method") not in METHODS:
        return False
    if not isinstance(asked.get("url"), str):
        return False
    path, query = _parts(asked["url"])
    steps = [step for step in path.split("/") if step]
    if not steps:
        return asked["method"] != "POST" and bool(query)
    is_version = len(steps) == 4 and steps[2] == "_history"
    is_made = steps[0] in asking.MADE_BY_THE_HUB or steps == ["metadata"]
    is_named = any(step[0] in "$_" for step in steps)
    return len(steps) <= MOST_STEPS and not is_version and (is_named or is_made or len(steps) > 2)


def answer(entry: dict[str, Any]) -> bytes:
    """Ask for one such entry in the name of who sent the batch; return its answer.

    It is a request of its own, with its own transaction and audit row.

    Raises: TooLarge where the answers of the batch hold more than a request may.
    """
    environ = _environ(entry) | {ACTOR: asking.actor()}
    app = current_app._get_current_object()  # type: ignore[attr-defined]

    def ask() -> Response:
        # An app context of its own, or it would share `g`, and with it the actor, with the batch.
        with app.app_context(), app.request_context(environ):
            response: Response = app.full_dispatch_request()
            response.get_data()
            return response

    response = copy_context().run(ask)
    audit.note_written()
    g.batched_bytes = g.get("batched_bytes", 0) + len(response.get_data())
    if g.batched_bytes > asking.hub().config.max_body:
        raise TooLarge("The answers of this batch together are too large; ask for fewer at a time.")
    return _answered(response)


def _parts(url: str) -> tuple[str, str]:
    path, _, query = url.removeprefix(answers.base()).removeprefix("/").partition("?")
    return path, query


def _environ(entry: dict[str, Any]) -> dict[str, Any]:
    asked = entry["request"]
    path, query = _parts(asked["url"])
    resource = entry.get("resource")
    headers = {"Accept": JSON, "X-Request-Id": asking.actor().request_id or ""}
    if "Prefer" in request.headers:
        headers["Prefer"] = request.headers["Prefer"]
    if isinstance(asked.get("ifNoneMatch"), str) and asked["ifNoneMatch"].isascii():
        headers["If-None-Match"] = asked["ifNoneMatch"]
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


def _answered(response: Response) -> bytes:
    said: dict[str, Any] = {"status": f"{response.status_code} {HTTPStatus(response.status_code).phrase}"}
    for name, header in (("location", "Location"), ("etag", "ETag")):
        if header in response.headers:
            said[name] = response.headers[header]
    changed = parse_date(response.headers.get("Last-Modified"))
    if changed is not None:
        said["lastModified"] = instant_text(changed)
    made: dict[str, Any] = {"response": said}
    content = response.get_data()
    if content and response.status_code >= 400:
        said["outcome"] = orjson.Fragment(content)
    elif content:
        made = {"resource": orjson.Fragment(content)} | made
    return orjson.dumps(made)
