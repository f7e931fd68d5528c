"""Conditions of requests: ETags, If-Modified-Since, conditional update, patch and delete."""

import json
import threading
from typing import Any

import pytest
from flask import Flask

from tests.hub_world import PATCH, Caller, created, entry, ids, observation, patient, transaction

GENDER = [{"op": "add", "path": "/gender", "value": "female"}]


def test_a_reader_who_has_the_version_gets_nothing_again(call: Caller) -> None:
    made = created(call, patient("c1"))
    path = f"/Patient/{made['id']}"
    whole = call("GET", path)
    for headers in (
        {"If_None_Match": 'W/"1"'},
        {"If_None_Match": '"1"'},
        {"If_None_Match": 'W/"7", W/"1"'},
        {"If_None_Match": "*"},
        {"If_Modified_Since": whole.headers["Last-Modified"]},
    ):
        answer = call("GET", path, **headers)
        assert (answer.status_code, answer.data) == (304, b""), headers
        assert answer.headers["ETag"] == 'W/"1"'
        assert call("GET", f"{path}/_history/1", **headers).status_code == 304
    for headers in (
        {"If_None_Match": 'W/"2"'},
        {"If_Modified_Since": "Thu, 01 Jan 2026 00:00:00 GMT"},
        {"If_Modified_Since": "yesterday"},
        {"If_None_Match": 'W/"2"', "If_Modified_Since": whole.headers["Last-Modified"]},
    ):
        assert call("GET", path, **headers).data == whole.data, headers


def test_head_gives_the_headers_alone(call: Caller) -> None:
    made = created(call, patient("c2"))
    answer = call("HEAD", f"/Patient/{made['id']}")
    assert (answer.status_code, answer.data, answer.headers["ETag"]) == (200, b"", 'W/"1"')
    assert call("HEAD", "/Patient/never-there").status_code == 404


def test_if_none_match_of_an_update_insists_on_nothing_being_there(call: Caller) -> None:
    body = patient("c3") | {"id": "c3"}
    assert call("PUT", "/Patient/c3", body, If_None_Match="*").status_code == 201
    assert call("PUT", "/Patient/c3", body, If_None_Match="*").status_code == 412
    again = transaction(entry(body, "PUT", "Patient/c3", ifNoneMatch="*"))
    assert call("POST", "/", again).status_code == 412
    assert call("PUT", "/Patient/c3", body, If_None_Match='W/"1"').status_code == 400
    call("DELETE", "/Patient/c3")
    assert call("PUT", "/Patient/c3", body, If_None_Match="*").status_code == 201


@pytest.mark.parametrize("etag", ['W/"9"', '"9"'])
def test_a_stale_if_match_is_refused_everywhere(call: Caller, etag: str) -> None:
    made = created(call, patient("c4" + etag))
    path, criteria = f"/Patient/{made['id']}", f"/Patient?_id={made['id']}"
    patch = json.dumps(GENDER).encode()
    for address in (path, criteria):
        assert call("PUT", address, made | {"gender": "male"}, If_Match=etag).status_code == 412
        assert call("PATCH", address, patch, Content_Type=PATCH, If_Match=etag).status_code == 412
        assert call("DELETE", address, If_Match=etag).status_code == 412
    for request in (
        entry(made, "PUT", path[1:], ifMatch=etag),
        entry(None, "DELETE", path[1:], ifMatch=etag),
    ):
        assert call("POST", "/", transaction(request)).status_code == 412
    assert call("GET", path).headers["ETag"] == 'W/"1"'
    assert call("PUT", path, made, If_Match="nonsense").status_code == 400


def test_a_conditional_patch_changes_the_one_that_matches(call: Caller) -> None:
    made = created(call, patient("c5"))
    path = "/Patient?identifier=urn:hie:test|c5"
    answer = call("PATCH", path, GENDER, Content_Type=PATCH)
    assert (answer.status_code, answer.get_json()["gender"]) == (200, "female")
    assert answer.get_json()["id"] == made["id"]
    assert (
        call("PATCH", "/Patient?identifier=urn:hie:test|none", GENDER, Content_Type=PATCH).status_code == 404
    )
    created(call, patient("c5"))
    assert call("PATCH", path, GENDER, Content_Type=PATCH).status_code == 412
    assert call("PATCH", "/Patient", GENDER, Content_Type=PATCH).status_code == 400


def test_a_conditional_delete_takes_one_or_as_many_as_the_asker_says(call: Caller) -> None:
    made = [created(call, patient("c6"))["id"] for _ in range(3)]
    path = "/Patient?identifier=urn:hie:test|c6"
    assert call("DELETE", path).status_code == 412
    assert call("DELETE", f"{path}&_count=2").status_code == 412
    assert {call("GET", f"/Patient/{id_}").status_code for id_ in made} == {200}
    assert call("DELETE", f"{path}&_count=3").status_code == 204
    assert {call("GET", f"/Patient/{id_}").status_code for id_ in made} == {410}
    assert call("DELETE", path).status_code == 204
    for wrong in ("/Patient", "/Patient?_count=5", f"{path}&_count=0", f"{path}&_count=x", "/Patient?nmae=x"):
        assert call("DELETE", wrong).status_code == 400, wrong


def test_a_conditional_update_may_bring_its_own_id_once(call: Caller) -> None:
    path = "/Patient?identifier=urn:hie:test|c7"
    body = patient("c7") | {"id": "c7-own"}
    assert call("PUT", path, body).status_code == 201
    assert call("PUT", path, body | {"id": "other"}).status_code == 400
    elsewhere = patient("c7-x") | {"id": "c7-own"}
    assert call("PUT", "/Patient?identifier=urn:hie:test|c7-x", elsewhere).status_code == 409
    call("DELETE", "/Patient/c7-own")
    again = call("PUT", path, body)
    assert (again.status_code, again.headers["ETag"]) == (201, 'W/"3"')


def test_any_version_will_do_but_there_must_be_one(call: Caller) -> None:
    made = created(call, patient("c10"))
    address = f"/Patient/{made['id']}"
    assert call("PUT", address, made | {"gender": "male"}, If_Match="*").status_code == 200
    assert call("PATCH", address, GENDER, Content_Type=PATCH, If_Match="*").status_code == 200
    in_one = transaction(entry(made, "PUT", address[1:], ifMatch="*"))
    assert call("POST", "/", in_one).status_code == 200
    assert call("DELETE", address, If_Match="*").status_code == 204
    assert call("PUT", address, made, If_Match="*").status_code == 412
    assert call("DELETE", address, If_Match="*").status_code == 412
    assert call("POST", "/", in_one).status_code == 412
    never = made | {"id": "c10-never"}
    assert call("PUT", "/Patient/c10-never", never, If_Match="*").status_code == 412
    assert (
        call("PUT", "/Patient?identifier=c10-never", made | {"id": "c10-new"}, If_Match="*").status_code
        == 412
    )
    assert call("GET", "/Patient/c10-never").status_code == 404


def test_what_another_hospital_keeps_gives_the_same_neutral_no(h01: Caller, h02: Caller) -> None:
    hidden, gone = created(h01, patient("c8"))["id"], created(h01, patient("c9"))["id"]
    h01("DELETE", f"/Patient/{gone}")
    criteria = "identifier=urn:hie:test|c8"
    patch: dict[str, Any] = {"Content_Type": PATCH}
    answers = [
        h02("POST", "/Patient", patient("c8"), If_None_Exist=criteria),
        h02("PUT", f"/Patient?{criteria}", patient("c8")),
        h02("PATCH", f"/Patient?{criteria}", GENDER, **patch),
        h02("DELETE", f"/Patient?{criteria}"),
        h02("PUT", f"/Patient/{hidden}", patient("c8") | {"id": hidden}),
        h02("PUT", f"/Patient/{hidden}", patient("c8") | {"id": hidden}, If_None_Match="*"),
        h02("PUT", f"/Patient/{gone}", patient("c9") | {"id": gone}),
    ]
    assert {answer.status_code for answer in answers} == {403}
    assert len({answer.data for answer in answers}) == 1
    created(h01, patient("c8"))
    assert h02("PUT", f"/Patient?{criteria}", patient("c8")).data == answers[0].data
    absent, denied = (
        h02("PATCH", "/Patient/no", GENDER, **patch),
        h02("PATCH", f"/Patient/{hidden}", GENDER, **patch),
    )
    assert (absent.status_code, denied.status_code) == (404, 404)
    assert absent.data == denied.data
    assert h01("GET", f"/Patient/{hidden}").headers["ETag"] == 'W/"1"'


def test_a_reference_to_what_another_hospital_keeps_is_as_one_to_nothing(h01: Caller, h02: Caller) -> None:
    hidden = created(h01, patient("c10"))["id"]
    absent, denied = (h02("POST", "/Observation", observation(f"Patient/{id_}")) for id_ in ("no", hidden))
    assert (absent.status_code, denied.status_code) == (422, 422)
    assert absent.data == denied.data
    assert absent.get_json()["issue"][0]["expression"] == ["Observation.subject"]


def together(app: Flask, times: int, act: Any) -> list[int]:
    """Let so many clients act at the same moment; return the codes they got."""
    callers = [Caller(app) for _ in range(8)]
    start, codes = threading.Barrier(times), []

    def run(number: int) -> None:
        start.wait()
        codes.append(act(callers[number % 8], number))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(codes) == times
    return codes


def test_sixty_four_identical_creates_at_once_make_exactly_one_resource_each(
    app: Flask, call: Caller
) -> None:
    numbers = [f"many{n}" for n in range(8)]

    def create(caller: Caller, thread: int) -> int:
        worst = 0
        for turn, number in enumerate(numbers):
            # Some ask with the system, some without it, some in a transaction: they mean the same resource.
            criteria = f"identifier={'' if (thread + turn) % 4 == 1 else 'urn:hie:test|'}{number}"
            if (thread + turn) % 2:
                body = transaction(entry(patient(number), "POST", "Patient", ifNoneExist=criteria))
                worst = max(worst, caller("POST", "/", body).status_code)
            else:
                worst = max(
                    worst, caller("POST", "/Patient", patient(number), If_None_Exist=criteria).status_code
                )
        return worst

    assert set(together(app, 64, create)) <= {200, 201}
    for number in numbers:
        assert len(ids(call("GET", f"/Patient?identifier=urn:hie:test|{number}"))) == 1


def test_many_conditional_updates_at_once_write_to_one_resource(app: Flask, call: Caller) -> None:
    def update(caller: Caller, number: int) -> int:
        body = patient("c11", birthDate=f"19{10 + number}-01-01")
        return int(caller("PUT", "/Patient?identifier=urn:hie:test|c11", body).status_code)

    codes = together(app, 24, update)
    assert sorted(codes) == [200] * 23 + [201]
    assert len(ids(call("GET", "/Patient?identifier=urn:hie:test|c11"))) == 1
