"""Conditional interactions: one resource, however many ask at once."""

import threading

from flask import Flask

from hie.api.conditional import LOCKS, locks_of
from tests.hub_world import Caller, created, entry, ids, patient, transaction


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
