"""The hub's web application: mounts API, portal, token endpoint and blobs; denies what is not marked open."""

import logging
import re
import uuid
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import psycopg
from flask import Blueprint, Flask, Response, current_app, g, jsonify, request
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException
from werkzeug.test import EnvironBuilder

from esb.fhir.bundles import operation_outcome
from esb.fhir.lexemes import dumps
from hie import api, portal
from hie.api import bodies
from hie.api.asking import ReadOnly
from hie.api.failures import as_hie_error
from hie.config import Config
from hie.directory.own_keys import read_own_keys
from hie.errors import Issue, Malformed, NotAuthenticated, NotNow, NotPermitted, TooManyTries, without_text
from hie.repository.blobs import put_blob, read_blob
from hie.security import audit
from hie.security.access import ACTOR, Access, access, access_of
from hie.security.actor import NOBODY, Actor
from hie.security.hub import Hub, open_hub
from hie.security.oauth import bearer_token, named_client, smart_configuration, token_answer
from hie.security.policy import decide

log = logging.getLogger("hie.web")

FHIR_JSON = "application/fhir+json"
MACHINES = ("/fhir", "/oauth", "/blobs", "/.well-known", "/healthz")
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
ACTIONS = {"GET": "R", "HEAD": "R", "POST": "C", "PUT": "U", "PATCH": "U", "DELETE": "D"}
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
}

root = Blueprint("root", __name__)
blobs = Blueprint("blobs", __name__, url_prefix="/blobs")


def create_app(config: Config) -> Flask:
    """Return the hub's web application; nothing is connected before the first request."""
    app = Flask("hie", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = config.max_body
    app.config["MAX_FORM_MEMORY_SIZE"] = config.max_body
    app.url_map.strict_slashes = False
    app.extensions["hie"] = open_hub(config, connections=config.web_threads + 2)
    app.before_request(open_route)
    portal.init_app(app)
    app.register_blueprint(root)
    app.register_blueprint(api.blueprint, url_prefix="/fhir")
    app.register_blueprint(blobs)
    app.register_blueprint(portal.blueprint)
    app.register_error_handler(Exception, answer_error)
    app.after_request(close_route)
    return app


def answer_for(config: Config, actor: Actor, asked: dict[str, Any], body: bytes) -> tuple[int, bytes]:
    """Do a request that was asked before, in the name of who asked it; return its status and content.

    Args:
        asked: method, path, query and headers, as they came in.
    """
    given = {"method": asked["method"], "query_string": asked["query"], "headers": asked["headers"]}
    environ = EnvironBuilder(asked["path"], data=body, **given).get_environ()
    app = _own_app(config)
    try:
        with app.request_context(environ | {ACTOR: actor}):
            answer = app.full_dispatch_request()
            return answer.status_code, answer.get_data()
    finally:
        app.extensions["hie"].engine.dispose()


@lru_cache(maxsize=2)
def _own_app(config: Config) -> Flask:
    """Return the application of a process that serves nobody; made when it is first needed."""
    return create_app(config)


def hub() -> Hub:
    """Return the hub behind the request at hand."""
    found: Hub = current_app.extensions["hie"]
    return found


def open_route() -> None:
    """Let a request in: its route must be marked open and, unless public, its caller known.

    Raises: NotPermitted for a route without a mark; NotAuthenticated for an unknown caller; Malformed for an
        address that no database can hold.
    """
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
    g.actor = NOBODY.for_request(g.request_id)
    g.access = None
    audit.begin_trail()
    bodies.watch(request.environ, hub().config.max_body)
    if request.routing_exception is not None:
        return
    g.access = access_of(current_app.view_functions.get(request.endpoint or ""))
    if g.access is None:
        raise NotPermitted("This route is not open.")
    # The portal knows its people by their cookie, in `portal.pages`; everything else needs a token.
    if not g.access.public and request.blueprint != portal.blueprint.name:
        known: Actor = request.environ.get(ACTOR) or bearer_actor()
        g.actor = known.for_request(g.request_id)
    if "\0" in request.path or b"%00" in request.query_string:
        raise Malformed("The address holds characters that are no text.")
    # The API checks the forms that it reads itself; names that are no text are nobody's when one signs in.
    is_form = request.blueprint == portal.blueprint.name and not g.access.public
    if is_form and any("\0" in value for _, value in request.form.items(multi=True)):
        raise Malformed("The form holds characters that are no text.")


def bearer_actor() -> Actor:
    """Return the actor behind the request's bearer token. Raises: NotAuthenticated."""
    token = bearer_token(request.headers.get("Authorization"))
    return hub().tokens.actor(hub().engine, token, datetime.now(UTC))


def answer_error(error: Exception) -> Response:
    """Turn any error into its one answer: an OperationOutcome for machines, a page for people."""
    if isinstance(error, HTTPException) and error.code is not None and error.code < 400:
        return Response(error.get_response(request.environ).data, error.code, error.get_headers())
    known = as_hie_error(error)
    if known.http >= 500:
        # The text of a foreign exception may hold a value: its kind and place are enough to find it.
        log.error("request %s: %s", g.get("request_id"), type(error).__name__, exc_info=without_text(error))
    g.failed = known
    if not request.path.startswith(MACHINES):
        return current_app.make_response(portal.error_page(known))
    issues = known.issues or (Issue("", known.text, known.code),)
    response = Response(dumps(operation_outcome(issues)), known.http, content_type=FHIR_JSON)
    if isinstance(known, NotAuthenticated):
        response.headers["WWW-Authenticate"] = 'Bearer realm="hie"'
    if isinstance(known, NotNow | TooManyTries):
        response.headers["Retry-After"] = "2" if isinstance(known, NotNow) else "60"
    if known.http == 405:  # RFC 9110 §15.5.6
        methods = known.methods if isinstance(known, ReadOnly) else getattr(error, "valid_methods", None)
        response.headers["Allow"] = ", ".join(sorted(methods or ()))
    return response


def close_route(response: Response) -> Response:
    """Give the answer its headers, and the request its audit row if the view wrote none."""
    close_headers(response)
    mark: Access | None = g.get("access")
    wanted = mark.audited if mark else request.url_rule is not None or request.path.startswith(MACHINES)
    if wanted and not audit.is_recorded() and not record_plainly(mark, response.status_code):
        # What cannot be written down is not given either; a refusal gives nothing.
        return response if response.status_code >= 400 else close_headers(answer_error(NotNow()))
    return response


def close_headers(response: Response) -> Response:
    """Give an answer the headers that each has."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["X-Request-Id"] = g.get("request_id", "")
    if response.status_code == 204:  # there is nothing to have a type
        response.headers.pop("Content-Type", None)
    return response


def record_plainly(mark: Access | None, status: int) -> bool:
    """Write the audit row of a request whose view wrote none: refused, failed, or without a subject.

    Returns: whether it could be written.
    """
    named = request.view_args or {}
    kind = next((named[key] for key in ("resource_type", "type_", "type") if key in named), None)
    resource_id = next((named[key] for key in ("resource_id", "id_", "id") if key in named), None)
    try:
        audit.record_denied(
            hub().engine,
            actor=g.actor,
            action=ACTIONS.get(request.method, "E"),
            operation=mark.operation if mark else "unknown",
            http=status,
            outcome=0 if status < 400 else 4 if status < 500 else 8,
            resource_type=_kept(kind),
            resource_id=_kept(resource_id),
            # Whether there is such a person or not: the row says only who was asked for.
            person_id=named.get("person_id"),
        )
    except (SQLAlchemyError, psycopg.Error):
        log.error("request %s: the audit row could not be written", g.get("request_id"))
        return False
    return True


def _kept(named: object) -> str | None:
    """Return as much of a part of an address as an audit row can hold."""
    return str(named).replace("\0", "")[:64] if named else None


@root.post("/oauth/token")
@access("token", public=True)
def token() -> tuple[Response, int]:
    """Give an access token for client credentials, by Basic or in the form (RFC 6749 §4.4)."""
    form, headers = request.form.to_dict(), dict(request.headers)
    named = named_client(headers, form)
    g.actor = Actor("client", named, None, "nobody", purpose=NOBODY.purpose, request_id=g.request_id)
    guesser = f"{named} {request.remote_addr}"
    hub().throttle.check(guesser)
    with hub().begin() as session:
        answer = token_answer(
            session,
            headers,
            form,
            now=datetime.now(UTC),
            lifetime_s=hub().config.token_lifetime_s,
        )
        is_given = answer.status == 200
        audit.record(
            session,
            actor=g.actor,
            action="E",
            operation="token",
            outcome=0 if is_given else 4,
            http=answer.status,
        )
    (hub().throttle.succeeded if is_given else hub().throttle.failed)(guesser)
    response = jsonify(answer.body)
    for name, value in answer.headers:
        response.headers[name] = value
    return response, answer.status


@root.get("/.well-known/smart-configuration")
@root.get("/fhir/.well-known/smart-configuration")
@access("smart-configuration", public=True, audited=False)
def well_known() -> Response:
    """Say where and how a token is had (SMART App Launch 2.2 §2.1)."""
    return jsonify(smart_configuration(hub().config.base_url))


@blobs.put("/<name>")
@access("blob.put")
def put_content(name: str) -> tuple[str, int]:
    """Keep a large content that a hospital sealed, under the SHA-256 of its plain form."""
    config, actor = hub().config, g.actor
    if actor.role != "facility" or not decide(actor, "create", "Binary").allowed:
        raise NotPermitted("Only a member hospital's systems may bring large contents.")
    own = read_own_keys(config.key_dir)
    with hub().begin() as session:
        is_new = put_blob(
            session,
            config.blob_dir,
            own,
            facility=actor.facility,
            name=name,
            sealed=request.get_data(),
            suite=config.suite,
        )
        audit.record(session, actor=actor, action="C", operation="blob.put", detail={"new": is_new}, http=201)
    return "", 201


@blobs.get("/<name>")
@access("blob.get")
def get_content(name: str) -> Response:
    """Give a large content to whoever may read the resource that names it: ?of=DocumentReference/x."""
    type_, _, id_ = request.args.get("of", "").partition("/")
    decision = decide(g.actor, "read", type_)
    if not decision.allowed:
        raise NotPermitted
    config = hub().config
    own = read_own_keys(config.key_dir)
    with hub().begin() as session:
        content, compartment = read_blob(
            session, config.blob_dir, own, name=name, resource=(type_, id_), where=decision.where
        )
        audit.record(
            session,
            actor=g.actor,
            action="R",
            operation="blob.get",
            resource_type=type_,
            resource_id=id_,
            compartment=compartment or None,
        )
    return Response(content, content_type="application/octet-stream")


@root.get("/healthz")
@access("health", public=True, audited=False)
def health() -> Response:
    """Say that this process answers and its database too."""
    with hub().engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    return jsonify({"status": "ok"})
