"""The portal over HTTP, without a browser: who may be confirmed, what the trail shows, odd requests."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from hie.app import create_app
from hie.config import Config
from hie.portal.pages import POLICY
from hie.portal.session import COOKIE, FORM_COOKIE, csrf_token, open_session
from hie.schema.mpi import Identity
from hie.security.actor import Actor
from hie.security.policy import decide
from hie.security.trail import search_audit
from tests.journey.portal_world import BORN, NAME, make_world, patient, report, send

TREAT = "TREAT"
LIMIT = 2_000_000


@dataclass
class Portal:
    """The portal of the small world, and what its tests ask of it."""

    app: Flask
    engine: sa.Engine

    def person_of(self, identity: str) -> str:
        with Session(self.engine) as session:
            return str(session.scalars(sa.select(Identity.person_id).where(Identity.id == identity)).one())

    def rows(self, operation: str, patient_id: str = "") -> list[dict[str, Any]]:
        """Return the AuditEvents of an operation, the newest first, as the region's auditor finds them."""
        auditor = Actor("user", "auditor", None, "auditor")
        where = decide(auditor, "search", "AuditEvent").where
        asked = [("subtype", operation)] + ([("patient", f"Patient/{patient_id}")] if patient_id else [])
        with Session(self.engine) as session:
            return search_audit(session, asked, where, zone=UTC).resources


class Visitor:
    """A browser with a session."""

    def __init__(self, portal: Portal, username: str) -> None:
        self._client: FlaskClient = portal.app.test_client()
        with Session(portal.engine) as session, session.begin():
            self._cookie = open_session(session, username, datetime.now(UTC))
        self._client.set_cookie(COOKIE, self._cookie)

    def get(self, path: str, **args: Any) -> TestResponse:
        return self._client.get(path, query_string=args)

    def post(self, path: str, **form: str) -> TestResponse:
        return self._client.post(path, data={"csrf": csrf_token(self._cookie), **form})

    def confirm(self, person: str, **given: str) -> int:
        return self.post(f"/people/{person}/confirm", purpose=TREAT, **given).status_code


def who_is_not_known() -> dict[str, Any]:
    """Return a Patient whose hospital wrote what stands for "not known" where numbers belong."""
    made = patient("H03", "h03-placeholders", "何听雨", "2002-03-04", "female")
    made["identifier"] += [
        {"system": "urn:hie:H03:card", "value": value} for value in ("-", "000000", "无", "未知", "111111")
    ]
    return {**made, "identifier": [*made["identifier"], {"system": "urn:hie:H03:visit"}]}


def original(content_type: str, name: str) -> dict[str, Any]:
    """Return a report whose original is a document of its own kind."""
    data = base64.b64encode(b"what a hospital sent").decode()
    attachment = [{"contentType": content_type, "data": data}]
    return {**report("h02-main", f"h02-{name}", "胸片", datetime.now(UTC)), "presentedForm": attachment}


@pytest.fixture(scope="module")
def portal(module_database_url: str) -> Iterator[Portal]:
    """The portal with the small world of the journeys behind it."""
    engine = sa.create_engine(module_database_url, hide_parameters=True)
    with Session(engine) as session, session.begin():
        make_world(session, datetime.now(UTC))
        send(session, "H03", [who_is_not_known()], datetime.now(UTC))
        send(
            session,
            "H02",
            [original("image/png", "image"), original("application/pdf", "pdf")],
            datetime.now(UTC),
        )
    app = create_app(Config.from_env({"HIE_DATABASE_URL": module_database_url, "HIE_MAX_BODY": str(LIMIT)}))
    yield Portal(app, engine)
    app.extensions["hie"].engine.dispose()
    engine.dispose()


@pytest.fixture
def visit(portal: Portal) -> Callable[[str], Visitor]:
    return lambda username: Visitor(portal, username)


def open_main(portal: Portal, visitor: Visitor) -> str:
    """Confirm who the person with records in three hospitals is, and return that person."""
    person = portal.person_of("h02-main")
    assert visitor.confirm(person, name=NAME, birth_date=BORN) == 303
    assert visitor.get(f"/people/{person}").status_code == 200
    return person


def test_a_look_across_hospitals_is_in_the_trail_of_each_of_the_persons_records(
    portal: Portal, visit: Callable[[str], Visitor]
) -> None:
    open_main(portal, visit("doctor.h02"))
    for operation in ("portal.confirm", "portal.record"):
        newest = portal.rows(operation)[0]["id"]
        for record in ("h01-main", "h02-main", "h03-main"):
            assert portal.rows(operation, record)[0]["id"] == newest
        assert portal.rows(operation, "h01-namesake") == []


def test_a_look_that_was_refused_is_in_the_trail_of_the_persons_records_too(
    portal: Portal, visit: Callable[[str], Visitor]
) -> None:
    doctor, person = visit("doctor.h01"), portal.person_of("h03-placeholders")
    for path in ("", "/timeline", "/tests", "/documents/DiagnosticReport/x"):
        assert doctor.get(f"/people/{person}{path}").status_code == 404
    for operation in ("portal.record", "portal.timeline", "portal.trend", "portal.document"):
        (row,) = portal.rows(operation, "h03-placeholders")
        assert (row["outcome"], row["agent"][0]["who"]["identifier"]["value"]) == ("4", "doctor.h01")


def test_the_auditor_finds_it_by_each_record_and_by_the_person(
    portal: Portal, visit: Callable[[str], Visitor]
) -> None:
    person = open_main(portal, visit("doctor.h02"))
    auditor = visit("auditor")
    for asked in ("h01-main", "h03-main", person):
        assert "portal.record" in auditor.get("/audit", patient=asked).text
    assert "portal.record" not in auditor.get("/audit", patient="h01-namesake").text


def test_two_records_side_by_side_are_in_the_trail_of_both(
    portal: Portal, visit: Callable[[str], Visitor]
) -> None:
    steward = visit("steward")
    assert steward.get("/identities/pair", a="h01-twin", b="h03-twin").status_code == 200
    form = {"a": "h01-twin", "b": "h03-twin", "action": "not_same", "reason": "与本人核对"}
    assert steward.post("/identities/pair", **form).status_code == 303
    for operation in ("portal.review", "mpi.not-same"):
        for record in ("h01-twin", "h03-twin"):
            assert len(portal.rows(operation, record)) == 1


@pytest.mark.parametrize("number", ["-", " · ", "000000", "无", "未知", "111111"])
def test_what_stands_for_no_number_confirms_nobody(
    portal: Portal, visit: Callable[[str], Visitor], number: str
) -> None:
    doctor, empty = visit("doctor.h03"), portal.person_of("h03-placeholders")
    assert doctor.confirm(empty, name="何听雨", number=number) == 422
    assert doctor.get(f"/people/{empty}").status_code == 404


def test_what_stands_for_no_number_does_not_stop_two_that_agree(
    portal: Portal, visit: Callable[[str], Visitor]
) -> None:
    person = portal.person_of("h03-empty")
    assert visit("doctor.h01").confirm(person, name="何听澜", birth_date="2001-02-03", number="无") == 303


def test_tries_side_by_side_are_counted_like_tries_one_after_the_other(
    portal: Portal, visit: Callable[[str], Visitor]
) -> None:
    person, answers = portal.person_of("h01-twin"), list[int]()
    doctors = [visit("doctor.h01") for _ in range(10)]
    start = threading.Barrier(len(doctors))

    def try_once(doctor: Visitor, number: int) -> None:
        start.wait(30)
        answers.append(doctor.confirm(person, name="梁书宁", number=f"guess{number}"))

    threads = [threading.Thread(target=try_once, args=(d, n)) for n, d in enumerate(doctors)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(answers) == [403] * 5 + [429] * 5


def test_the_page_that_asks_shows_the_masked_row_of_the_person_chosen(
    portal: Portal, visit: Callable[[str], Visitor]
) -> None:
    doctor, person = visit("doctor.h03"), portal.person_of("h01-namesake")
    for answer in (
        doctor.get(f"/people/{person}/confirm"),
        doctor.post(f"/people/{person}/choose", q=f"{NAME} 1984-11-30"),
        doctor.post(f"/people/{person}/confirm", name=NAME),
    ):
        assert "祝**" in answer.text and "1984" in answer.text and "江临省立医院" in answer.text
        assert NAME not in answer.text.replace(f'value="{NAME}"', "") and "1984-11-30" not in answer.text
    assert [row["outcome"] for row in portal.rows("portal.ask", "h01-namesake")] == ["4", "0", "0"]


def test_the_page_that_asks_cannot_tell_a_restricted_person_from_nobody(
    portal: Portal, visit: Callable[[str], Visitor]
) -> None:
    doctor, nobody = visit("doctor.h02"), "0" * 8 + "-0000-4000-8000-" + "0" * 12
    hidden = portal.person_of("h01-hidden")
    texts = [doctor.get(f"/people/{person}/confirm").text for person in (hidden, nobody)]
    assert texts[0].replace(hidden, nobody) == texts[1] and "谢" not in texts[0]


def test_an_original_document_comes_with_its_own_strict_policy(
    portal: Portal, visit: Callable[[str], Visitor]
) -> None:
    doctor = visit("doctor.h02")
    person = open_main(portal, doctor)
    for type_, policy in (("image", "sandbox; default-src 'none'"), ("pdf", "default-src 'none'")):
        answer = doctor.get(f"/people/{person}/documents/DiagnosticReport/h02-{type_}")
        assert answer.status_code == 200
        assert answer.headers["Content-Security-Policy"].startswith(policy)
    assert doctor.get(f"/people/{person}").headers["Content-Security-Policy"] == POLICY


@pytest.mark.parametrize(("language", "title"), [("zh", "内容太大"), ("en", "Too large")])
def test_a_form_over_the_limit_is_answered_with_a_page(
    portal: Portal, visit: Callable[[str], Visitor], language: str, title: str
) -> None:
    answer = visit("doctor.h02").post(f"/find?lang={language}", q="x" * (LIMIT + 1))
    assert answer.status_code == 413
    assert title in answer.text and answer.headers["Content-Security-Policy"] == POLICY


def test_characters_that_no_database_holds_are_refused_in_every_form(
    portal: Portal, visit: Callable[[str], Visitor]
) -> None:
    steward, doctor = visit("steward"), visit("doctor.h02")
    assert steward.post("/identities/pair", a="a\0", b="b", action="link", reason="x").status_code == 400
    assert steward.post("/identities/find", q="\0").status_code == 400
    assert doctor.post("/find", q="张三\0 1965-03-02").status_code == 400
    nobody = portal.app.test_client()
    nobody.set_cookie(FORM_COOKIE, "cookie")
    form = {"csrf": csrf_token("cookie"), "username": "doctor.h02\0", "password": "\0"}
    assert nobody.post("/sign-in", data=form).status_code == 400


@pytest.mark.parametrize(("who", "path"), [("doctor.h02", "/find"), ("steward", "/identities/find")])
def test_a_birth_date_that_no_calendar_has_is_named_as_such(
    visit: Callable[[str], Visitor], who: str, path: str
) -> None:
    answer = visit(who).post(path, q="张三 1965-02-30")
    assert (answer.status_code, "没有这样的出生日期" in answer.text) == (422, True)
    english = visit(who).post(path, q="张三 1965-02-30", lang="en")
    assert "There is no such birth date" in english.text
    assert "没有这样的出生日期" not in visit(who).post(path, q="张三").text


@pytest.mark.parametrize("args", [{"until": "9999-12-31"}, {"since": "0001-01-01"}, {"before": "9" * 30}])
def test_the_auditor_may_ask_for_any_day(visit: Callable[[str], Visitor], args: dict[str, str]) -> None:
    assert visit("auditor").get("/audit", **args).status_code == 200


def test_an_error_page_asks_a_database_that_is_away_nothing(portal: Portal) -> None:
    away = create_app(Config.from_env({"HIE_DATABASE_URL": "postgresql+psycopg://nobody@127.0.0.1:1/none"}))
    browser = away.test_client()
    browser.set_cookie(COOKIE, "a cookie")
    answer = browser.get("/audit?lang=en")
    assert answer.status_code == 503 and "Cannot be reached" in answer.text
