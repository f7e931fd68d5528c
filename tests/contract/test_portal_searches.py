"""The operator's page of search plans: who may see it, what it says, what it never shows."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from hie.app import create_app
from hie.config import Config
from hie.directory.users import put_user
from hie.portal.session import COOKIE, csrf_token, open_session
from hie.schema import AuditEventRow
from hie.schema.directory import Facility

USERS = {"operator": None, "auditor": None, "steward": None, "doctor": "H01", "engineer": "H01"}
Visit = Callable[..., TestResponse]


@pytest.fixture(scope="module")
def app(module_database_url: str) -> Iterator[Flask]:
    """The hub with a user of each role."""
    made = create_app(Config.from_env({"HIE_DATABASE_URL": module_database_url}))
    with Session(made.extensions["hie"].engine) as session, session.begin():
        session.add(Facility(code="H01", name="甲院", name_en="First", jwks={}))
        session.flush()
        for role, facility in USERS.items():
            put_user(session, role, "a long enough password", role=role, facility=facility, name=role)
    yield made
    made.extensions["hie"].engine.dispose()


@pytest.fixture
def visit(app: Flask) -> Visit:
    """Ask for the page as the user of a role; with a search, send the form."""

    def ask(role: str, search: str | None = None, **form: str) -> TestResponse:
        client: FlaskClient = app.test_client()
        with Session(app.extensions["hie"].engine) as session, session.begin():
            cookie = open_session(session, role, datetime.now(UTC))
        client.set_cookie(COOKIE, cookie)
        if search is None:
            return client.get("/searches")
        return client.post("/searches", data={"csrf": csrf_token(cookie), "search": search, **form})

    return ask


def test_an_operator_sees_how_a_search_runs_in_both_languages(visit: Visit) -> None:
    for asked in (
        "Observation?patient=x-7319&code=718-7",
        "https://hub.example/fhir/Observation?patient=x-7319",
    ):
        chinese, english = visit("operator", asked), visit("operator", asked, lang="en")
        for answer, title in ((chinese, "执行计划"), (english, "Plan")):
            assert answer.status_code == 200
            assert title in answer.text
            assert "Index" in answer.text, "the plan"
            assert "reference at Observation.subject" in answer.text
            assert "FROM resource" in answer.text


def test_values_stand_nowhere_but_in_the_form(visit: Visit) -> None:
    answer = visit("operator", "Patient?identifier=7319-2211&birthdate=1958-04-12")
    shown = answer.text.rpartition('id="search"')[2].partition("</form>")[2]
    assert ("执行计划" in shown, "understood-title" in shown) == (True, True)
    assert not [value for value in ("7319-2211", "1958") if value in shown]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("Nonsense?x=1", "resource type"),
        ("Patient?birthdate=yesterday", "birthdate"),
        ("'; DROP TABLE resource; --", "resource type"),
        ("AuditEvent?patient=x", "by themselves"),
        ("Patient?name=%00", "name"),
    ],
)
def test_what_cannot_be_searched_is_said_in_words(visit: Visit, asked: str, said: str) -> None:
    answer = visit("operator", asked)
    assert answer.status_code == 422
    assert said in answer.text


def test_the_field_of_a_faulty_search_names_its_fault_and_has_the_focus(visit: Visit) -> None:
    fields = {}
    for asked in ("Patient?birthdate=yesterday", "Patient?name=x"):
        told = visit("operator", asked).text
        fields[asked] = told.partition('id="search"')[2].partition(">")[0]
        assert ('id="search-fault"' in told) == ('aria-describedby="search-fault ' in fields[asked])
    assert [("aria-invalid" in field, "autofocus" in field) for field in fields.values()] == [
        (True, True),
        (False, False),
    ]


def test_an_unknown_parameter_is_shown_as_left_aside(visit: Visit) -> None:
    answer = visit("operator", "Patient?brithdate=1958", lang="en")
    assert (answer.status_code, "Left aside" in answer.text, "birthdate" in answer.text) == (200, True, True)


@pytest.mark.parametrize("role", ["auditor", "steward", "doctor", "engineer"])
def test_nobody_else_is_offered_the_page(visit: Visit, role: str) -> None:
    assert visit(role).status_code == 403
    assert visit(role, "Patient?name=x").status_code == 403


def test_each_look_leaves_one_row_without_the_search(app: Flask, visit: Visit) -> None:
    def rows() -> list[AuditEventRow]:
        with Session(app.extensions["hie"].engine) as session:
            wanted = sa.select(AuditEventRow).where(AuditEventRow.operation == "portal.explain")
            return list(session.scalars(wanted.order_by(AuditEventRow.id)))

    before = len(rows())
    visit("operator", "Patient?name=x")
    visit("operator", "Nonsense?name=x")
    found = rows()[before:]
    assert [(row.actor, row.detail) for row in found] == [
        ("operator", {"explained": True}),
        ("operator", {"explained": False}),
    ]
