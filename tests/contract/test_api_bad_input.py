"""Bad input of every kind gets a clear 4xx that repeats nothing of it."""

import gzip
import random
import zlib
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from hie.api import asking
from hie.schema import Resource
from tests.hub_world import PATCH, Caller, Json, entry, is_outcome, patient, transaction

DEEP = b'{"resourceType":"Patient","extension":' + b"[" * 50_000 + b"]" * 50_000 + b"}"


BAD = {
    "empty": b"",
    "no JSON": b"hello",
    "cut off": b'{"resourceType":"Patient"',
    "an array": b"[]",
    "a number": b"7",
    "null": b"null",
    "no type": b"{}",
    "type no text": b'{"resourceType":7}',
    "wrong type": b'{"resourceType":"Observation","status":"final","code":{"text":"x"}}',
    "unknown element": b'{"resourceType":"Patient","nmae":[]}',
    "wrong shape": b'{"resourceType":"Patient","name":"x"}',
    "bad code": b'{"resourceType":"Patient","gender":"m"}',
    "bad date": b'{"resourceType":"Patient","birthDate":"2026-02-30"}',
    "not UTF-8": b'{"resourceType":"Patient","name":[{"text":"\xd5\xc5"}]}',
    "lone surrogate": b'{"resourceType":"Patient","name":[{"text":"\\ud800"}]}',
    "twice the same key": b'{"resourceType":"Patient","gender":"male","gender":"female"}',
    "NaN": b'{"resourceType":"Patient","multipleBirthInteger":NaN}',
    "deep": DEEP,
    "huge number": b'{"resourceType":"Patient","multipleBirthInteger":' + b"9" * 5000 + b"}",
    "exponent": b'{"resourceType":"Patient","multipleBirthInteger":1e999999}',
    "exponent beyond all": b'{"resourceType":"Patient","multipleBirthInteger":1e99999999999999999999}',
    "NUL": b'{"resourceType":"Patient","name":[{"text":"a\\u0000b"}]}',
    "NUL in a key": b'{"resourceType":"Patient","a\\u0000b":1}',
    "key with half a character": b'{"resourceType":"Patient","\\ud800":1}',
    "meta no object": b'{"resourceType":"Patient","meta":"x"}',
    "many keys": b'{"resourceType":"Patient"' + b"".join(b',"k%d":1' % n for n in range(20000)) + b"}",
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize(("method", "path"), [("POST", "/Patient"), ("PUT", "/Patient/bad"), ("POST", "/")])
def test_bad_content_gets_a_clear_no(call: Caller, method: str, path: str, body: bytes) -> None:
    answer = call(method, path, body)
    assert 400 <= answer.status_code < 500, answer.text
    assert is_outcome(answer)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (BAD["lone surrogate"], "Patient.name[0].text"),
        (BAD["NUL"], "Patient.name[0].text"),
        (BAD["twice the same key"], "Patient.gender"),
        (BAD["exponent beyond all"], "Patient.multipleBirthInteger"),
        (BAD["unknown element"], "Patient.nmae"),
        (BAD["wrong shape"], "Patient.name"),
    ],
)
def test_bad_content_is_refused_with_its_element_named(call: Caller, body: bytes, place: str) -> None:
    issue = call("POST", "/Patient", body).get_json()["issue"][0]
    assert issue["expression"] == [place]


def test_a_gzip_is_taken_whole_or_not_at_all(call: Caller) -> None:
    content = bytes(range(256)) * 400
    packed = gzip.compress(content)
    sent = {"Content_Type": "application/pdf", "Content_Encoding": "gzip"}
    assert call("POST", "/Binary", packed[:-30], **sent).status_code == 400
    assert call("POST", "/Binary", gzip.compress(b"") * 1000, **sent).status_code == 400
    members = gzip.compress(content[:1000]) + gzip.compress(content[1000:])
    made = call("POST", "/Binary", members, **sent)
    assert made.status_code == 201
    place = made.headers["Location"].partition("/fhir")[2].partition("/_history")[0]
    assert call("GET", place, Accept="application/pdf").data == content


def test_a_small_gzip_that_unpacks_to_too_much_is_refused(call: Caller) -> None:
    bomb = gzip.compress(b'{"resourceType":"Patient","id":"' + b"a" * 80_000_000 + b'"}')
    answer = call("POST", "/Patient", bomb, Content_Encoding="gzip")
    assert answer.status_code == 413
    assert is_outcome(answer)


BAD_BUNDLES: dict[str, Any] = {
    "no type": {"resourceType": "Bundle"},
    "searchset": transaction(kind="searchset"),
    "entry no list": {"resourceType": "Bundle", "type": "transaction", "entry": {}},
    "entry null": {"resourceType": "Bundle", "type": "transaction", "entry": [None]},
    "no request": transaction({"resource": patient("b")}),
    "method": transaction(entry(patient("b"), "FLY", "Patient")),
    "url a number": transaction({"request": {"method": "GET", "url": 7}}),
    "url elsewhere": transaction(entry(patient("b"), "PUT", "http://elsewhere.example/Patient/1")),
    "url climbing": transaction(entry(patient("b"), "PUT", "../Patient/1")),
    "unknown type": transaction(entry({"resourceType": "Cat"}, "POST", "Cat")),
    "post with id": transaction(entry(patient("b"), "POST", "Patient/1")),
    "put without id": transaction(entry(patient("b"), "PUT", "Patient")),
    "put another id": transaction(entry(patient("b") | {"id": "a"}, "PUT", "Patient/b")),
    "no resource": transaction(entry(None, "POST", "Patient")),
    "resource a text": transaction({"resource": "x", "request": {"method": "POST", "url": "Patient"}}),
    "fullUrl a number": transaction(entry(patient("b"), "POST", "Patient") | {"fullUrl": 7}),
    "ifMatch": transaction(entry(patient("b") | {"id": "b"}, "PUT", "Patient/b", ifMatch="x")),
    "ifNoneExist bad": transaction(entry(patient("b"), "POST", "Patient", ifNoneExist="nmae=x")),
    "ifNoneExist empty": transaction(entry(patient("b"), "POST", "Patient", ifNoneExist="?")),
    "one fullUrl twice": transaction(
        entry(patient("b"), "POST", "Patient", "urn:uuid:0c2a1d5e-0000-4000-8000-000000000009"),
        entry(patient("b"), "POST", "Patient", "urn:uuid:0c2a1d5e-0000-4000-8000-000000000009"),
    ),
    "an operation": transaction(entry(None, "GET", "Patient/b/$everything")),
    "an id and a condition": transaction(entry(None, "DELETE", "Patient/b?name=x")),
    "an AuditEvent": transaction(entry(None, "GET", "AuditEvent/1")),
    "a search for AuditEvents": transaction(entry(None, "GET", "AuditEvent?patient=Patient/b")),
    "a Person": transaction(entry(None, "GET", "Person?patient=Patient/b")),
    "a version written to": transaction(entry(patient("b") | {"id": "b"}, "PUT", "Patient/b/_history/1")),
    "an ETag for a PUT": transaction(
        entry(patient("b") | {"id": "b"}, "PUT", "Patient/b", ifNoneMatch='W/"1"')
    ),
    "patch no base64": transaction(
        entry({"resourceType": "Binary", "contentType": PATCH, "data": "eA=="}, "PATCH", "Patient/b")
    ),
    "Parameters kept": transaction(entry({"resourceType": "Parameters"}, "POST", "Parameters")),
    "patch no patch": transaction(
        entry({"resourceType": "Binary", "contentType": "x"}, "PATCH", "Patient/b")
    ),
}


@pytest.mark.parametrize("body", BAD_BUNDLES.values(), ids=BAD_BUNDLES.keys())
def test_a_bad_transaction_is_refused_as_a_whole(call: Caller, body: Json) -> None:
    answer = call("POST", "/", body)
    assert 400 <= answer.status_code < 500, answer.text
    assert is_outcome(answer)


def test_errors_never_repeat_what_was_sent(call: Caller) -> None:
    answer = call("POST", "/Patient", patient("19", gender="王小明的性别", birthDate="13800138000"))
    assert answer.status_code == 400
    assert "王小明" not in answer.text
    assert "13800138000" not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/Cat/1", 404),
        ("GET", "/Cat", 404),
        ("POST", "/Cat", 404),
        ("GET", "/Patient/no_such-id!", 404),
        ("GET", "/Patient/x/_history/abc", 404),
        ("GET", "/Patient/x/$fly", 404),
        ("DELETE", "/Patient", 400),
        ("GET", "/Patient?birthdate=soon", 400),
        ("GET", "/Patient?_count=-1", 400),
        ("GET", "/Patient?_cursor=abc", 400),
    ],
)
def test_what_is_not_there_is_said_so(call: Caller, method: str, path: str, status: int) -> None:
    answer = call(method, path, {} if method == "POST" else None)
    assert answer.status_code == status
    assert is_outcome(answer)


def test_nothing_of_a_refused_request_is_stored(app: Flask, call: Caller) -> None:
    with app.extensions["hie"].engine.connect() as connection:
        stored = connection.execute(sa.select(sa.func.count()).where(Resource.id == "bad")).scalar_one()
    assert stored == 0


def test_a_gzip_is_not_copied_again_for_each_piece_that_comes_out_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = random.Random(1).randbytes(4 << 20)
    given: list[int] = []

    class Counted:
        def __init__(self, wbits: int) -> None:
            self.of = zlib.decompressobj(wbits)

        def decompress(self, part: bytes, most: int) -> bytes:
            given.append(len(part))
            return self.of.decompress(part, most)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.of, name)

    packed = gzip.compress(content)
    monkeypatch.setattr(asking, "zlib", SimpleNamespace(**vars(zlib) | {"decompressobj": Counted}))
    assert asking.unpacked(packed, 5 << 20) == content
    assert sum(given) < 3 * len(packed)
