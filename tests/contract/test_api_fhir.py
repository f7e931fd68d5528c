"""The FHIR API as a foreign client sees it: codes, headers, bundles, and a clear 4xx to all bad input."""

import base64
import gzip
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from esb.fhir.validation import is_valid
from hie.app import create_app
from hie.config import Config
from hie.directory.clients import put_client
from hie.schema import AuditEventRow, Resource
from hie.schema.directory import Facility

SECRET = "a secret of some length"
RESIDENT = "urn:oid:2.16.156.10011.1.3"
JSON = "application/fhir+json"
Json = dict[str, Any]


@pytest.fixture(scope="module")
def app(module_database_url: str) -> Iterator[Flask]:
    """The application with the region's client and one client of each of two hospitals."""
    made = create_app(Config.from_env({"HIE_DATABASE_URL": module_database_url, "HIE_WEB_THREADS": "20"}))
    with Session(made.extensions["hie"].engine) as session, session.begin():
        session.add_all([Facility(code=code, name=code, name_en=code, jwks={}) for code in ("H01", "H02")])
        session.flush()
        put_client(session, "bench", SECRET, "system/*.cruds", None)
        put_client(session, "h01", SECRET, "system/*.cruds", "H01")
        put_client(session, "h02", SECRET, "system/*.cruds", "H02")
        put_client(session, "reader", SECRET, "system/Patient.rs", None)
    yield made
    made.extensions["hie"].engine.dispose()


class Caller:
    """A client of the API with its token."""

    def __init__(self, app: Flask, name: str) -> None:
        self._client: FlaskClient = app.test_client()
        basic = base64.b64encode(f"{name}:{SECRET}".encode()).decode()
        given = self._client.post(
            "/oauth/token",
            data={"grant_type": "client_credentials"},
            headers={"Authorization": f"Basic {basic}"},
        )
        self._token = given.get_json()["access_token"]

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> TestResponse:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent |= {"Authorization": f"Bearer {self._token}"}
        if body is not None:
            sent.setdefault("Content-Type", JSON)
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        return self._client.open(f"/fhir{path}", method=method, data=data, headers=sent)


@pytest.fixture(scope="module")
def call(app: Flask) -> Caller:
    """The region's own client."""
    return Caller(app, "bench")


@pytest.fixture(scope="module")
def h01(app: Flask) -> Caller:
    """A system of hospital H01."""
    return Caller(app, "h01")


@pytest.fixture(scope="module")
def h02(app: Flask) -> Caller:
    """A system of hospital H02."""
    return Caller(app, "h02")


def patient(number: str, name: str = "王芳", **more: Any) -> Json:
    identifier = [{"system": "urn:hie:test", "value": number}]
    return {"resourceType": "Patient", "name": [{"text": name}], "identifier": identifier} | more


def observation(subject: str, value: str = "5.10") -> bytes:
    return (
        '{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://loinc.org",'
        f'"code":"2823-3"}}]}},"subject":{{"reference":"{subject}"}},"effectiveDateTime":"2026-03-01T09:00:00Z",'
        f'"valueQuantity":{{"value":{value},"unit":"mmol/L"}}}}'
    ).encode()


def created(call: Caller, body: Any) -> Json:
    type_ = json.loads(body)["resourceType"] if isinstance(body, bytes) else body["resourceType"]
    answer = call("POST", f"/{type_}", body)
    assert answer.status_code == 201, answer.text
    return answer.get_json()


def ids(answer: TestResponse) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [e["resource"]["id"] for e in answer.get_json().get("entry", []) if e["search"]["mode"] == "match"]


def is_outcome(answer: TestResponse) -> bool:
    return bool(answer.get_json()["resourceType"] == "OperationOutcome" and answer.get_json()["issue"])


def test_a_created_resource_is_read_back_digit_for_digit(call: Caller) -> None:
    subject = created(call, patient("1"))
    answer = call("POST", "/Observation", observation(f"Patient/{subject['id']}", "5.10"))
    assert answer.status_code == 201
    assert answer.headers["ETag"] == 'W/"1"'
    found = call("GET", answer.headers["Location"].partition("/fhir")[2])
    assert b'"value":5.10' in found.data
    read = call("GET", f"/Observation/{found.get_json()['id']}")
    assert read.data == found.data == answer.data
    assert read.headers["Content-Type"].startswith(JSON)
    assert read.headers["Last-Modified"]


def test_a_resource_has_versions_and_a_history(call: Caller) -> None:
    first = created(call, patient("2"))
    path = f"/Patient/{first['id']}"
    second = call("PUT", path, first | {"gender": "female"}, If_Match='W/"1"')
    assert (second.status_code, second.headers["ETag"]) == (200, 'W/"2"')
    assert call("PUT", path, first | {"gender": "male"}, If_Match='W/"1"').status_code == 412
    assert call("PUT", path, first | {"gender": "female"}).headers["ETag"] == 'W/"2"'
    assert "gender" not in call("GET", f"{path}/_history/1").get_json()
    history = call("GET", f"{path}/_history").get_json()
    assert [e["response"]["etag"] for e in history["entry"]] == ['W/"2"', 'W/"1"']
    assert call("GET", path, If_None_Match='W/"2"').status_code == 304
    assert call("GET", f"{path}/_history/9").status_code == 404


def test_a_deleted_resource_is_gone_but_its_past_is_not(call: Caller) -> None:
    made = created(call, patient("3"))
    path = f"/Patient/{made['id']}"
    assert call("DELETE", path).status_code == 204
    assert call("GET", path).status_code == 410
    assert ids(call("GET", "/Patient?identifier=urn:hie:test|3")) == []
    assert call("GET", f"{path}/_history/1").status_code == 200
    assert call("GET", f"{path}/_history/2").status_code == 410
    assert call("DELETE", path).status_code == 204
    assert call("DELETE", "/Patient/never-there").status_code == 204


def test_update_creates_under_the_askers_own_id(call: Caller) -> None:
    body = patient("4") | {"id": "own-id"}
    assert call("PUT", "/Patient/own-id", body).status_code == 201
    assert call("PUT", "/Patient/own-id", body, If_None_Match="*").status_code == 412
    assert call("PUT", "/Patient/other-id", body).status_code == 400
    assert call("PUT", "/Observation/own-id", body).status_code == 400


def test_a_patch_changes_one_element(call: Caller) -> None:
    made = created(call, patient("5"))
    patch = [{"op": "add", "path": "/birthDate", "value": "1980-01-02"}]
    kind = "application/json-patch+json"
    answer = call("PATCH", f"/Patient/{made['id']}", json.dumps(patch).encode(), Content_Type=kind)
    assert (answer.status_code, answer.get_json()["birthDate"]) == (200, "1980-01-02")
    bad = [{"op": "add", "path": "/birthDate", "value": "soon"}]
    assert call("PATCH", f"/Patient/{made['id']}", bad, Content_Type=kind).status_code == 400
    assert call("GET", f"/Patient/{made['id']}").get_json()["birthDate"] == "1980-01-02"
    assert call("PATCH", "/Patient/never-there", patch, Content_Type=kind).status_code == 404


def test_search_works_by_get_and_by_post(call: Caller) -> None:
    made = created(call, patient("6", "诸葛孔明"))
    for answer in (
        call("GET", "/Patient?name=诸葛孔明"),
        call("GET", "/Patient?name=zhugekm"),
        call(
            "POST",
            "/Patient/_search",
            b"name=zhugekongming",
            Content_Type="application/x-www-form-urlencoded",
        ),
        call("GET", "/Patient?identifier=6"),
        call("GET", f"/Patient?_id={made['id']}"),
    ):
        assert ids(answer) == [made["id"]]


def test_pages_follow_their_links(call: Caller) -> None:
    subject = created(call, patient("7"))["id"]
    made = {created(call, observation(f"Patient/{subject}", f"{n}.0"))["id"] for n in range(7)}
    url = f"/Observation?patient={subject}&_sort=-date&_count=3"
    seen: list[str] = []
    while url:
        page = call("GET", url)
        seen += ids(page)
        links = {link["relation"]: link["url"] for link in page.get_json()["link"]}
        url = links.get("next", "").partition("/fhir")[2]
    assert sorted(seen) == sorted(made)


def test_includes_bring_what_is_pointed_at_and_what_points(call: Caller) -> None:
    subject = created(call, patient("8"))["id"]
    made = created(call, observation(f"Patient/{subject}"))["id"]
    bundle = call("GET", f"/Observation?_id={made}&_include=Observation:subject").get_json()
    assert [(e["resource"]["id"], e["search"]["mode"]) for e in bundle["entry"]] == [
        (made, "match"),
        (subject, "include"),
    ]
    bundle = call("GET", f"/Patient?_id={subject}&_revinclude=Observation:patient").get_json()
    assert [e["resource"]["id"] for e in bundle["entry"]] == [subject, made]


def test_everything_crosses_to_the_hospitals_of_the_person(call: Caller, h01: Caller, h02: Caller) -> None:
    who = {"birthDate": "1980-02-03", "gender": "male"}
    who["identifier"] = [{"system": RESIDENT, "value": "110101198002030013"}]  # type: ignore[assignment]
    one = created(h01, patient("x", "赵六") | who)["id"]
    two = created(h02, patient("x", "赵六") | who)["id"]
    first = created(h01, observation(f"Patient/{one}"))["id"]
    second = created(h02, observation(f"Patient/{two}"))["id"]
    assert set(ids(call("GET", f"/Patient/{one}/$everything"))) == {one, two, first, second}
    assert set(ids(call("GET", f"/Patient/{two}/$everything?_type=Observation"))) == {first, second}
    assert h01("GET", f"/Patient/{two}/$everything").status_code == 404
    assert call("GET", "/Patient/never-there/$everything").status_code == 404


def test_a_person_shows_which_patients_are_linked_and_cannot_be_written(call: Caller, h01: Caller) -> None:
    made = created(h01, patient("28"))["id"]
    found = call("GET", f"/Person?patient=Patient/{made}").get_json()["entry"]
    assert len(found) == 1
    person = call("GET", f"/Person/{found[0]['resource']['id']}").get_json()
    assert [link["target"]["reference"] for link in person["link"]] == [f"Patient/{made}"]
    assert is_valid(person)
    assert call("PUT", f"/Person/{person['id']}", person).status_code == 405
    assert call("POST", "/", transaction(entry(person, "PUT", f"Person/{person['id']}"))).status_code == 405
    assert call("POST", "/AuditEvent", {"resourceType": "AuditEvent"}).status_code == 405
    assert call("GET", "/Person/never-there").status_code == 404


def test_what_another_hospital_keeps_looks_absent_and_cannot_be_written_to(h01: Caller, h02: Caller) -> None:
    hidden = created(h01, patient("9"))["id"]
    absent, denied = h02("GET", "/Patient/never-there"), h02("GET", f"/Patient/{hidden}")
    assert (absent.status_code, denied.status_code) == (404, 404)
    assert absent.data == denied.data
    assert ids(h02("GET", "/Patient?identifier=urn:hie:test|9")) == []
    assert h02("POST", "/Observation", observation(f"Patient/{hidden}")).status_code == 422
    assert h02("PUT", f"/Patient/{hidden}", patient("9") | {"id": hidden}).status_code in (403, 404, 422)
    assert h02("DELETE", f"/Patient/{hidden}").status_code in (403, 404, 422)
    assert h01("GET", f"/Patient/{hidden}").status_code == 200


def transaction(*entries: Json, kind: str = "transaction") -> Json:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def entry(resource: Json | None, method: str, url: str, full_url: str | None = None, **request: str) -> Json:
    made: Json = {"request": {"method": method, "url": url} | request}
    if resource is not None:
        made["resource"] = resource
    if full_url:
        made["fullUrl"] = full_url
    return made


def test_a_transaction_resolves_references_in_any_order(call: Caller) -> None:
    body = json.loads(observation("urn:uuid:0c2a1d5e-0000-4000-8000-000000000001"))
    answer = call(
        "POST",
        "/",
        transaction(
            entry(body, "POST", "Observation", "urn:uuid:0c2a1d5e-0000-4000-8000-000000000002"),
            entry(patient("10"), "POST", "Patient", "urn:uuid:0c2a1d5e-0000-4000-8000-000000000001"),
        ),
    )
    assert answer.status_code == 200, answer.text
    places = [e["response"]["location"] for e in answer.get_json()["entry"]]
    stored = call("GET", "/" + places[0]).get_json()
    assert stored["subject"]["reference"] == places[1].partition("/_history")[0]


@pytest.mark.parametrize("path", ["", "/"])
def test_a_transaction_is_taken_with_and_without_the_slash(call: Caller, path: str) -> None:
    answer = call("POST", path, transaction(entry(patient("11"), "POST", "Patient")))
    assert answer.status_code == 200
    assert answer.get_json()["type"] == "transaction-response"


def test_a_transaction_with_one_bad_entry_leaves_nothing_behind(call: Caller) -> None:
    answer = call(
        "POST",
        "/",
        transaction(
            entry(patient("12"), "POST", "Patient"),
            entry({"resourceType": "Observation"}, "POST", "Observation"),
        ),
    )
    assert answer.status_code == 400
    assert "Bundle.entry[1]" in answer.text
    assert ids(call("GET", "/Patient?identifier=urn:hie:test|12")) == []


def test_a_batch_does_what_it_can(call: Caller) -> None:
    answer = call(
        "POST",
        "/",
        transaction(
            entry(patient("13"), "POST", "Patient"),
            entry({"resourceType": "Observation"}, "POST", "Observation"),
            entry(None, "GET", "Patient?identifier=urn:hie:test|13"),
            entry(None, "GET", "Patient/never-there"),
            kind="batch",
        ),
    )
    assert answer.status_code == 200, answer.text
    done = answer.get_json()["entry"]
    assert [e["response"]["status"][:3] for e in done] == ["201", "400", "200", "404"]
    assert len(done[2]["resource"]["entry"]) == 1


def test_conditional_references_and_creates_find_what_is_there(call: Caller) -> None:
    known = created(call, patient("14"))["id"]
    body = json.loads(observation("Patient?identifier=urn:hie:test|14"))
    answer = call(
        "POST",
        "/",
        transaction(
            entry(body, "POST", "Observation"),
            entry(patient("14"), "POST", "Patient", ifNoneExist="identifier=urn:hie:test|14"),
        ),
    )
    assert answer.status_code == 200, answer.text
    places = [e["response"]["location"] for e in answer.get_json()["entry"]]
    assert places[1] == f"Patient/{known}"
    stored = call("GET", "/" + places[0]).get_json()
    assert stored["subject"]["reference"] == f"Patient/{known}"
    missing = json.loads(observation("Patient?identifier=urn:hie:test|nobody"))
    assert call("POST", "/", transaction(entry(missing, "POST", "Observation"))).status_code == 412


def test_two_entries_for_one_resource_are_refused(call: Caller) -> None:
    one = patient("15") | {"id": "twice"}
    answer = call(
        "POST", "/", transaction(entry(one, "PUT", "Patient/twice"), entry(one, "PUT", "Patient/twice"))
    )
    assert answer.status_code == 400
    same = "identifier=urn:hie:test|16"
    answer = call(
        "POST",
        "/",
        transaction(*(entry(patient("16"), "POST", "Patient", ifNoneExist=same) for _ in range(2))),
    )
    assert answer.status_code == 400


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


def test_a_conditional_update_changes_the_one_that_matches(call: Caller) -> None:
    path = "/Patient?identifier=urn:hie:test|18"
    first = call("PUT", path, patient("18"))
    assert first.status_code == 201
    second = call("PUT", path, patient("18", gender="male"))
    assert (second.status_code, second.get_json()["id"]) == (200, first.get_json()["id"])
    created(call, patient("18"))
    assert call("PUT", path, patient("18")).status_code == 412


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
    "meta no object": b'{"resourceType":"Patient","meta":"x"}',
    "many keys": b'{"resourceType":"Patient"' + b"".join(b',"k%d":1' % n for n in range(20000)) + b"}",
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize(("method", "path"), [("POST", "/Patient"), ("PUT", "/Patient/bad"), ("POST", "/")])
def test_bad_content_gets_a_clear_no(call: Caller, method: str, path: str, body: bytes) -> None:
    answer = call(method, path, body)
    assert 400 <= answer.status_code < 500, answer.text
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
        ("DELETE", "/Patient", 405),
        ("GET", "/Patient?birthdate=soon", 400),
        ("GET", "/Patient?_count=-1", 400),
        ("GET", "/Patient?_cursor=abc", 400),
    ],
)
def test_what_is_not_there_is_said_so(call: Caller, method: str, path: str, status: int) -> None:
    answer = call(method, path, {} if method == "POST" else None)
    assert answer.status_code == status
    assert is_outcome(answer)


@pytest.mark.parametrize(
    "path", ["/Patient?_elements=name", "/Patient/p1?_elements=name", "/Patient/_search"]
)
def test_who_asks_for_elements_alone_is_told_that_only_whole_resources_are_given(
    call: Caller, path: str
) -> None:
    form = b"_elements=name" if path.endswith("_search") else None
    sent = {"Content_Type": "application/x-www-form-urlencoded"} if form else {}
    answer = call("POST" if form else "GET", path, form, **sent)
    assert answer.status_code == 400
    assert answer.get_json()["issue"][0]["code"] == "not-supported"


def test_an_unknown_parameter_is_reported_or_under_strict_refused(call: Caller) -> None:
    created(call, patient("20"))
    bundle = call("GET", "/Patient?identifier=urn:hie:test|20&fmaily=x").get_json()
    assert [e["search"]["mode"] for e in bundle["entry"]] == ["match", "outcome"]
    assert "fmaily" not in bundle["link"][0]["url"]
    assert call("GET", "/Patient?fmaily=x", Prefer="handling=strict").status_code == 400


def test_forms_of_the_answer_follow_the_asker(call: Caller) -> None:
    made = created(call, patient("21"))["id"]
    path = f"/Patient/{made}"
    assert b'\n  "resourceType"' in call("GET", f"{path}?_pretty=true").data
    assert call("GET", path, Accept="application/json").status_code == 200
    assert call("GET", path, Accept="application/fhir+xml").status_code == 406
    assert call("GET", f"{path}?_format=json", Accept="text/html").status_code == 200
    assert call("POST", "/Patient", b"<Patient/>", Content_Type="application/fhir+xml").status_code == 415
    assert call("POST", "/Patient", patient("22"), Prefer="return=minimal").data == b""
    packed = gzip.compress(json.dumps(patient("23")).encode())
    assert call("POST", "/Patient", packed, Content_Encoding="gzip").status_code == 201
    assert call("POST", "/Patient", b"nonsense", Content_Encoding="gzip").status_code == 400
    answer = call("GET", "/metadata", Accept_Encoding="gzip")
    assert json.loads(gzip.decompress(answer.data))["fhirVersion"] == "4.0.1"


def test_the_capability_statement_is_valid_and_true(call: Caller) -> None:
    statement = call("GET", "/metadata").get_json()
    assert is_valid(statement)
    resources = {r["type"]: r for r in statement["rest"][0]["resource"]}
    for name in ("identifier", "name", "family", "given", "birthdate", "gender", "phone", "_id"):
        assert name in {p["name"] for p in resources["Patient"]["searchParam"]}
        assert call(
            "GET", f"/Patient?{name}:missing=false&_count=1", Prefer="handling=strict"
        ).status_code in (
            200,
            400,
        )


def test_every_request_leaves_one_audit_row_searchable_as_event(app: Flask, call: Caller) -> None:
    made = created(call, patient("24"))["id"]
    engine = app.extensions["hie"].engine
    count = sa.select(sa.func.count()).select_from(AuditEventRow)

    def rows() -> int:
        with engine.connect() as connection:
            return int(connection.execute(count).scalar_one())

    for method, path, body in (
        ("GET", f"/Patient/{made}", None),
        ("GET", "/Patient/never-there", None),
        ("GET", "/Patient?name=x", None),
        ("GET", "/Patient?birthdate=soon", None),
        ("GET", f"/Patient/{made}/$everything", None),
        ("POST", "/", transaction(entry(patient("25"), "POST", "Patient"))),
        ("POST", "/", transaction(entry(patient("25"), "FLY", "Patient"))),
        ("POST", "/Patient", b"x"),
        ("PUT", f"/Patient/{made}", patient("24") | {"id": made, "gender": "male"}),
        ("GET", f"/Patient/{made}/_history", None),
    ):
        before = rows()
        call(method, path, body)
        assert rows() == before + 1, (method, path)
    bundle = call("GET", f"/AuditEvent?patient={made}&_count=100").get_json()
    codes = [e["resource"]["subtype"][0]["code"] for e in bundle["entry"]]
    assert codes == ["history-instance", "update", "$everything", "read", "create"]
    assert all(is_valid(e["resource"]) for e in bundle["entry"])
    counted = call("GET", "/AuditEvent?agent=bench&outcome=4&_summary=count").get_json()
    assert counted["total"] > 0
    assert call("GET", f"/AuditEvent/{bundle['entry'][0]['resource']['id']}").status_code == 200
    assert call("GET", "/AuditEvent/abc").status_code == 404
    first = call("GET", "/AuditEvent?_count=2").get_json()
    following = first["link"][1]["url"].partition("/fhir")[2]
    assert not {e["resource"]["id"] for e in first["entry"]} & set(ids(call("GET", following)))


def test_a_scope_limits_what_a_token_can_do(app: Flask, call: Caller) -> None:
    reader = Caller(app, "reader")
    made = created(call, patient("26"))["id"]
    assert reader("GET", f"/Patient/{made}").status_code == 200
    assert reader("POST", "/Patient", patient("27")).status_code == 403
    assert reader("GET", "/Observation").status_code == 403
    assert reader("POST", "/", transaction(entry(patient("27"), "POST", "Patient"))).status_code == 403


def test_nothing_of_a_refused_request_is_stored(app: Flask, call: Caller) -> None:
    with app.extensions["hie"].engine.connect() as connection:
        stored = connection.execute(sa.select(sa.func.count()).where(Resource.id == "bad")).scalar_one()
    assert stored == 0
