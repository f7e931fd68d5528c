"""The hub's doors: closed by default, one answer to an error, one audit row per request, tokens."""

import base64
import re
import uuid
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from hie.app import MACHINES, create_app
from hie.config import Config
from hie.directory.clients import put_client
from hie.errors import NotFound
from hie.schema import AccessToken, AuditEventRow
from hie.security import audit
from hie.security.access import access, access_of
from hie.security.actor import NOBODY
from hie.security.oauth import NO_CLIENT
from hie.security.policy import decide
from hie.security.rules import READING, WRITING

NAME = "张三"
SECRET = "a secret of some length"
# Routes anybody may call. A new one here needs a reason.
PUBLIC = {
    "root.token",
    "root.well_known",
    "root.health",
    "api.metadata",
    "api.openapi",
    "portal.sign_in",
    "portal.static_file",
    "breaks",
    "undone",
}
# Routes that show nobody's data and write nothing: they leave no audit row (docs/security.md names them).
UNAUDITED = {
    "root.well_known",
    "root.health",
    "api.metadata",
    "api.openapi",
    "portal.sign_in",
    "portal.static_file",
    "portal.extend_session",
    "portal.choose_again",
    "portal.find_again",
    "portal.find_records_again",
}


@pytest.fixture(scope="module")
def app(module_database_url: str) -> Iterator[Flask]:
    """The application with two clients, and views that a developer got wrong."""
    made = create_app(Config.from_env({"HIE_DATABASE_URL": module_database_url}))

    @made.get("/forgotten")
    def forgotten() -> str:
        return "a view that nobody opened"

    @made.get("/fhir-breaks")
    @access("breaks", public=True)
    def breaks() -> str:
        raise ValueError(NAME)

    @made.get("/fhir-undone")
    @access("undone", public=True)
    def undone() -> str:
        with made.extensions["hie"].begin() as session:
            audit.record(session, actor=NOBODY, action="R", operation="undone")
            raise NotFound

    @made.get("/fhir-outside")
    @access("outside")
    def outside() -> str:
        return "a view of no blueprint"

    with Session(made.extensions["hie"].engine) as session, session.begin():
        put_client(session, "bench", SECRET, "system/*.cruds", None)
        put_client(session, "reader", SECRET, "system/Patient.r", None)
    yield made
    made.extensions["hie"].engine.dispose()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A browser or machine without credentials."""
    return app.test_client()


def basic(user: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()}


def bearer(client: FlaskClient, user: str = "bench") -> dict[str, str]:
    answer = client.post(
        "/oauth/token", data={"grant_type": "client_credentials"}, headers=basic(user, SECRET)
    )
    return {"Authorization": f"Bearer {answer.get_json()['access_token']}"}


def audit_rows(app: Flask) -> list[tuple[str, str, int, int]]:
    query = sa.select(AuditEventRow.actor, AuditEventRow.operation, AuditEventRow.outcome, AuditEventRow.http)
    with app.extensions["hie"].engine.connect() as connection:
        return [tuple(row) for row in connection.execute(query.order_by(AuditEventRow.id))]


def test_a_connection_that_the_database_ended_while_idle_is_not_noticed(
    app: Flask, client: FlaskClient
) -> None:
    assert client.get("/healthz").status_code == 200
    other = sa.create_engine(app.extensions["hie"].config.database_url)
    with other.connect() as connection:
        mine = "datname = current_database() AND pid <> pg_backend_pid()"
        ended = connection.execute(
            sa.text(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {mine}")
        )
        assert all(ended.scalars())
    other.dispose()
    assert client.get("/healthz").status_code == 200


def test_every_route_says_what_it_is_for(app: Flask) -> None:
    unmarked = {
        rule.endpoint
        for rule in app.url_map.iter_rules()
        if access_of(app.view_functions[rule.endpoint]) is None
    }
    assert unmarked == {"forgotten"}


def test_only_these_routes_are_open_to_anybody(app: Flask) -> None:
    marks = {name: access_of(view) for name, view in app.view_functions.items()}
    assert {name for name, mark in marks.items() if mark and mark.public} == PUBLIC


def test_only_these_routes_leave_no_audit_row(app: Flask) -> None:
    marks = {name: access_of(view) for name, view in app.view_functions.items()}
    assert {name for name, mark in marks.items() if mark and not mark.audited} == UNAUDITED


def test_nobody_may_do_nothing() -> None:
    assert not any(decide(NOBODY, action, "Patient").allowed for action in (*READING, *WRITING))


def test_a_route_nobody_opened_is_refused(client: FlaskClient) -> None:
    assert client.get("/forgotten").status_code == 403


def closed_doors(app: Flask) -> Iterator[tuple[str, str]]:
    """Yield (method, path) of every route that is not public, with something in each place of its path."""
    for rule in app.url_map.iter_rules():
        mark = access_of(app.view_functions[rule.endpoint])
        if mark is not None and not mark.public:
            path = re.sub(r"<[^>]+>", str(uuid.UUID(int=1)), rule.rule)
            yield from ((method, path) for method in sorted((rule.methods or set()) - {"OPTIONS"}))


def test_every_route_that_is_not_public_refuses_a_stranger(app: Flask, client: FlaskClient) -> None:
    doors = list(closed_doors(app))
    assert ("DELETE", f"/fhir/{uuid.UUID(int=1)}/{uuid.UUID(int=1)}") in doors
    for method, path in doors:
        answer = client.open(path, method=method)
        if path.startswith(MACHINES):
            assert answer.status_code == 401, (method, path)
            assert "Bearer" in answer.headers["WWW-Authenticate"]
            assert method == "HEAD" or answer.get_json()["resourceType"] == "OperationOutcome"
        else:
            assert answer.status_code == 303, (method, path)
            assert answer.headers["Location"].startswith("/sign-in?")


def test_who_has_not_signed_in_is_in_the_trail_without_a_purpose_of_treatment(
    app: Flask, client: FlaskClient
) -> None:
    for method, path in (("GET", "/"), ("GET", "/fhir/Patient"), ("POST", "/oauth/token")):
        client.open(path, method=method)
    query = sa.select(AuditEventRow.purpose).order_by(AuditEventRow.id.desc()).limit(3)
    with app.extensions["hie"].engine.connect() as connection:
        assert connection.scalars(query).all() == ["HOPERAT"] * 3


@pytest.mark.parametrize("way", ["basic", "form"])
def test_a_token_is_given_by_basic_and_by_form(client: FlaskClient, way: str) -> None:
    form = {"grant_type": "client_credentials"}
    if way == "form":
        form |= {"client_id": "bench", "client_secret": SECRET}
    answer = client.post("/oauth/token", data=form, headers=basic("bench", SECRET) if way == "basic" else {})
    assert answer.status_code == 200
    assert answer.get_json()["token_type"] == "Bearer"
    assert answer.get_json()["expires_in"] >= 3600
    assert answer.get_json()["scope"] == "system/*.cruds"
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_stored_token_is_not_the_token(app: Flask, client: FlaskClient) -> None:
    token = bearer(client)["Authorization"].removeprefix("Bearer ").encode()
    with app.extensions["hie"].engine.connect() as connection:
        assert token not in connection.scalars(sa.select(AccessToken.token_hash)).all()


@pytest.mark.parametrize(("user", "secret"), [("bench", "wrong"), ("nobody", SECRET)])
def test_a_wrong_secret_and_an_unknown_client_are_refused_alike(
    client: FlaskClient, user: str, secret: str
) -> None:
    answers = [
        client.post("/oauth/token", data={"grant_type": "client_credentials"}, headers=basic(user, secret)),
        client.post(
            "/oauth/token",
            data={"grant_type": "client_credentials", "client_id": user, "client_secret": secret},
        ),
    ]
    assert [(one.status_code, one.get_json()) for one in answers] == [(401, NO_CLIENT)] * 2
    assert "check both" in NO_CLIENT["error_description"]


@pytest.mark.parametrize("user", ["a\0b", b"\xff\xff:".decode("latin-1")])
def test_a_client_id_that_is_no_text_is_refused_like_an_unknown_one(
    app: Flask, client: FlaskClient, user: str
) -> None:
    header = "Basic " + base64.b64encode(f"{user}:x".encode("latin-1")).decode()
    form = {"grant_type": "client_credentials"}
    answers = [
        client.post("/oauth/token", data=form, headers={"Authorization": header}),
        client.post("/oauth/token", data=form | {"client_id": user, "client_secret": "x"}),
    ]
    assert [(one.status_code, one.get_json()) for one in answers] == [(401, NO_CLIENT)] * 2
    assert [row[1:] for row in audit_rows(app)[-2:]] == [("token", 4, 401)] * 2


def test_what_cannot_be_written_into_the_trail_is_not_given(app: Flask, client: FlaskClient) -> None:
    token = bearer(client)
    assert client.get("/fhir-outside", headers=token).status_code == 200
    with app.extensions["hie"].engine.begin() as connection:
        connection.execute(
            sa.text("ALTER TABLE audit_event ADD CONSTRAINT full_up CHECK (operation <> 'outside') NOT VALID")
        )
    answer = client.get("/fhir-outside", headers=token)
    with app.extensions["hie"].engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE audit_event DROP CONSTRAINT full_up"))
    assert (answer.status_code, "a view" in answer.text) == (503, False)
    assert answer.headers["Retry-After"]


def test_guessing_is_slowed_down_for_that_name_only(client: FlaskClient) -> None:
    form = {"grant_type": "client_credentials", "client_id": "guessed", "client_secret": "wrong"}
    codes = [client.post("/oauth/token", data=form).status_code for _ in range(12)]
    assert codes == [401] * 10 + [429] * 2
    assert bearer(client)


def test_a_scope_narrower_than_the_clients_is_honoured(client: FlaskClient) -> None:
    form = {"grant_type": "client_credentials", "scope": "system/Observation.rs"}
    answer = client.post("/oauth/token", data=form, headers=basic("bench", SECRET))
    token = {"Authorization": f"Bearer {answer.get_json()['access_token']}"}
    assert client.get("/fhir/Observation", headers=token).status_code == 200
    assert client.get("/fhir/Patient", headers=token).status_code == 403


def test_a_scope_the_client_does_not_have_is_refused(client: FlaskClient) -> None:
    form = {"grant_type": "client_credentials", "scope": "system/Observation.cruds"}
    answer = client.post("/oauth/token", data=form, headers=basic("reader", SECRET))
    assert (answer.status_code, answer.get_json()["error"]) == (400, "invalid_scope")


def test_another_grant_is_refused(client: FlaskClient) -> None:
    answer = client.post("/oauth/token", data={"grant_type": "password"}, headers=basic("bench", SECRET))
    assert (answer.status_code, answer.get_json()["error"]) == (400, "unsupported_grant_type")


@pytest.mark.parametrize("header", ["Bearer nonsense", "Bearer ", "Basic abc", "nonsense"])
def test_a_bad_token_is_refused(client: FlaskClient, header: str) -> None:
    assert client.get("/fhir/Patient", headers={"Authorization": header}).status_code == 401


def test_each_request_leaves_one_audit_row_permitted_or_denied(app: Flask, client: FlaskClient) -> None:
    token = bearer(client)
    reader = bearer(client, "reader")
    before = len(audit_rows(app))
    client.get("/fhir/Patient/none", headers=token)
    client.get("/fhir/Patient", headers=token)
    client.get("/fhir/Observation", headers=reader)
    client.get("/fhir/Patient", headers={"Authorization": "Bearer nonsense"})
    client.get("/fhir/NoSuchType/x", headers=token)
    client.get("/fhir/a/b/c/d", headers=token)
    client.post("/fhir/Patient", data="{", headers=token, content_type="application/fhir+json")
    client.get("/forgotten")
    assert audit_rows(app)[before:] == [
        ("bench", "read", 4, 404),
        ("bench", "search-type", 0, 200),
        ("reader", "search-type", 4, 403),
        ("anonymous", "search-type", 4, 401),
        ("bench", "read", 4, 404),
        ("anonymous", "unknown", 4, 404),
        ("bench", "create", 4, 400),
        ("anonymous", "unknown", 4, 403),
    ]


def test_an_audit_row_that_was_rolled_back_is_written_anew(app: Flask, client: FlaskClient) -> None:
    before = len(audit_rows(app))
    assert client.get("/fhir-undone").status_code == 404
    assert audit_rows(app)[before:] == [("anonymous", "undone", 4, 404)]


def test_a_failure_tells_and_logs_nothing_of_a_patient(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    answer = client.get("/fhir-breaks", headers={"X-Request-Id": "request-0001"})
    assert answer.status_code == 500
    assert NAME not in answer.text
    assert NAME not in caplog.text
    assert "request-0001" in caplog.text
    assert "breaks" in caplog.text


def test_an_answer_carries_the_request_id_and_is_not_cached(client: FlaskClient) -> None:
    answer = client.get("/fhir/Patient", headers={"X-Request-Id": "request-0002"})
    assert answer.headers["X-Request-Id"] == "request-0002"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_while_the_database_is_away_the_answer_is_try_again() -> None:
    away = create_app(Config.from_env({"HIE_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}))
    answer = away.test_client().get("/fhir/Patient", headers={"Authorization": "Bearer x"})
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]


def test_the_smart_configuration_names_the_token_endpoint(client: FlaskClient) -> None:
    answer = client.get("/.well-known/smart-configuration")
    assert answer.get_json()["token_endpoint"].endswith("/oauth/token")
