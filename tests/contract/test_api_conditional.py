"""Conditional interactions: one resource, however many ask at once."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from hie.api.conditional import LOCKS, lock, locks_of
from tests.hub_world import Caller, created, entry, ids, observation, patient, transaction

WAITING = sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")


def test_sixteen_conditional_creates_at_once_make_one(app: Flask, call: Caller) -> None:
    callers = [Caller(app, "bench") for _ in range(16)]
    start = threading.Barrier(16)
    answers: list[int] = []

    def create(number: int) -> None:
        start.wait()
        criteria = "identifier=urn:hie:test|17"
        if number % 2:
            body = transaction(entry(patient("17"), "POST", "Patient", ifNoneExist=criteria))
            answers.append(callers[number]("POST", "/", body).status_code)
        else:
            answers.append(
                callers[number]("POST", "/Patient", patient("17"), If_None_Exist=criteria).status_code
            )

    threads = [threading.Thread(target=create, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(answers) == 16
    assert set(answers) <= {200, 201}
    assert len(ids(call("GET", "/Patient?identifier=urn:hie:test|17"))) == 1


@pytest.mark.parametrize("kind", ["alone", "transaction"])
@pytest.mark.parametrize(
    ("number", "criteria"),
    [
        ("31", "Observation?patient.identifier=urn:hie:test|{}"),
        ("32", "Patient?_has:Observation:patient:code=2823-3&identifier=urn:hie:test|{}"),
        ("33", "Patient?name:contains=hua{}"),
    ],
)
def test_who_waited_for_another_finds_what_that_one_wrote(
    app: Flask, call: Caller, number: str, criteria: str, kind: str
) -> None:
    number += kind
    type_, _, asked = criteria.format(number).partition("?")
    mine = patient(number) if type_ == "Patient" else json.loads(observation("Patient/1"))
    mine.pop("subject", None)

    def create() -> str:
        if kind == "alone":
            return call("POST", f"/{type_}", mine, If_None_Exist=asked).status
        one = transaction(entry(mine, "POST", type_, ifNoneExist=asked))
        return str(call("POST", "/", one).get_json()["entry"][0]["response"]["status"])

    with ThreadPoolExecutor(1) as pool:
        with Session(app.extensions["hie"].engine) as session, session.begin():
            lock(session, locks_of(type_, asked))
            answer = pool.submit(create)
            _until_somebody_waits(session)
            subject = created(call, patient(number, name=f"Wanghua{number}"))["id"]
            created(call, observation(f"Patient/{subject}"))
        assert answer.result(60).startswith("200")


def _until_somebody_waits(session: Session) -> None:
    until = time.monotonic() + 30
    while not session.scalar(WAITING):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_the_locks_of_any_number_of_criteria_fit_the_servers_table() -> None:
    held = {number for n in range(50_000) for number in locks_of("Patient", f"identifier=urn:x|{n}")}
    assert len(held) <= LOCKS
    assert locks_of("Patient", "identifier=7") == locks_of("Patient", "active=true&identifier=urn:x|7")


def test_a_conditional_update_changes_the_one_that_matches(call: Caller) -> None:
    path = "/Patient?identifier=urn:hie:test|18"
    first = call("PUT", path, patient("18"))
    assert first.status_code == 201
    second = call("PUT", path, patient("18", gender="male"))
    assert (second.status_code, second.get_json()["id"]) == (200, first.get_json()["id"])
    created(call, patient("18"))
    assert call("PUT", path, patient("18")).status_code == 412


@pytest.mark.parametrize(("method", "rest"), [("POST", ""), ("PUT", "/x"), ("PATCH", "/x"), ("DELETE", "/x")])
def test_criteria_in_the_address_of_a_write_of_one_resource_are_refused(
    call: Caller, method: str, rest: str
) -> None:
    body = patient("criteria") | ({"id": "x"} if rest else {})
    answer = call(method, f"/Patient{rest}?identifier=criteria", json.dumps(body).encode())
    assert answer.status_code == 400, answer.get_json()
    assert "no search parameters" in answer.get_json()["issue"][0]["diagnostics"]
    assert ids(call("GET", "/Patient?identifier=criteria")) == []


def test_the_form_of_the_answer_may_stand_in_the_address_of_a_create(call: Caller) -> None:
    body = json.dumps(patient("formed")).encode()
    assert call("POST", "/Patient?_format=json&_pretty=true", body).status_code == 201


def test_an_identifier_in_another_case_is_the_same_condition(call: Caller) -> None:
    body = patient("Case-7x")
    first = call(
        "POST", "/Patient", json.dumps(body).encode(), If_None_Exist="identifier=urn:hie:test|Case-7x"
    )
    again = call(
        "POST", "/Patient", json.dumps(body).encode(), If_None_Exist="identifier=urn:hie:test|CASE-7X"
    )
    assert (first.status_code, again.status_code) == (201, 200)
    assert locks_of("Patient", "identifier=urn:hie:test|Case-7x") == locks_of("Patient", "identifier=CASE-7X")
    both = [entry(body, "POST", "Patient", ifNoneExist=f"identifier={number}") for number in ("Z-9", "z-9")]
    refused = call("POST", "/", transaction(*both))
    assert refused.status_code == 400
    assert "same condition" in refused.text
