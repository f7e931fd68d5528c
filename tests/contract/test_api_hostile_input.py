"""Hostile input in every parameter, place, header and body: a 4xx with an OperationOutcome, never a 5xx."""

import json
import re
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask

from hie.api.metadata import search_parameters
from hie.api.routes import Route, routes_of
from tests.hub_world import FORM, JSON, PATCH, Caller, Json, created, entry, is_outcome, patient, transaction

# As they stand in an address, already escaped.
VALUES = {
    "SQL": quote("x' OR '1'='1'; DROP TABLE resource; --"),
    "SQL in an array": quote("}'::bigint[]) OR true --"),
    "JSON path": quote('$.** ? (@ like_regex "(a+)+$")'),
    "regular expression": quote("(a+)+$|.*[\\"),
    "format": "%25s%25n%7B0%7D%7B%7B7*7%7D%7D",
    "NUL": "a%00b",
    "lone surrogate": "%ED%A0%80",
    "not UTF-8": "%FF%FE",
    "separators": quote("||$$,,\\,|\\"),
    "only a backslash": "%5C",
    "empty": "",
    "exponent": "1e999999999",
    "tiny": "1e-999999999",
    "no number": "NaN",
    "many digits": "9" * 4000,
    "no such day": "2026-02-30",
    "no such month": "gt2026-13",
    "year nought": "0000",
    "the last year": "le9999-12-31T23:59:59.999999999%2B14:00",
    "no such hour": "2026-01-01T25:61:61Z",
    "a prefix alone": "ap",
    "a long reference": "Patient/" + "a" * 3000,
    "an address": quote("http://[::1/Patient/1?x=y#z", safe=""),
    "emoji": quote("👩‍⚕️" * 50),
    "right to left": quote("\u202e\ufeff\u0300abc"),
}
TYPES = ("Patient", "Observation", "Encounter", "ValueSet", "Location", "AuditEvent", "Person")
CONTROLS = (
    "_count",
    "_summary",
    "_total",
    "_sort",
    "_elements",
    "_include",
    "_include:iterate",
    "_revinclude",
    "_revinclude:iterate",
    "_cursor",
    "_format",
    "_pretty",
    "_has:Observation:patient:code",
    "_has:Observation:patient:_has:Provenance:target:agent",
    "_list",
    "_type",
    "_since",
    "__explain",
    "_text",
    "_content",
    "_filter",
    "_query",
    "_contained",
    "subject:Patient.name",
    "patient.organization.name",
)


def check(answer: Any, *said: Any) -> None:
    """Check that an answer is a good one, or a refusal that says why."""
    assert answer.status_code < 500, (*said, answer.text[:300])
    assert answer.status_code < 400 or is_outcome(answer), (*said, answer.text[:300])


# Put to every parameter; of the others each parameter gets every fourth.
TO_ALL = ("SQL", "NUL", "lone surrogate", "exponent")


@pytest.mark.parametrize("name", VALUES)
def test_a_hostile_value_in_any_search_parameter_is_survived(call: Caller, name: str) -> None:
    turn = list(VALUES).index(name)
    asked = [(type_, parameter["name"]) for type_ in TYPES for parameter in search_parameters(type_)]
    for number, (type_, code) in enumerate(asked):
        if name in TO_ALL or number % 4 == turn % 4:
            check(call("GET", f"/{type_}?{code}={VALUES[name]}&_count=1"), type_, code)


CODES = ("code", "date", "subject", "value-quantity", "value-string", "_id", "_lastUpdated")
MODIFIERS = ("missing", "not", "exact", "contains", "in", "above", "identifier", "of-type", "text")


@pytest.mark.parametrize("name", VALUES)
def test_a_hostile_value_of_a_control_or_a_modifier_is_survived(call: Caller, name: str) -> None:
    value, turn = VALUES[name], list(VALUES).index(name)
    for control in CONTROLS:
        check(call("GET", f"/Observation?{control}={value}"), control)
    modified = [f"{code}:{modifier}" for code in CODES for modifier in MODIFIERS]
    for number, asked in enumerate(modified):
        if name in TO_ALL or number % 4 == turn % 4:
            check(call("GET", f"/Observation?{asked}={value}"), asked)
    for place in ("code:{}", "subject:{}.name", "{}.name", "_has:{}:patient:code", "{}"):
        check(call("GET", f"/Observation?{place.format(value)}=x"), place)


def steps(route: Route, value: str) -> str:
    """Return the address of a route below /fhir with a value in each of its places."""
    return re.sub(r"\{[^}]+\}", value, route.path).removeprefix("/fhir")


@pytest.mark.parametrize(
    "value", ["a%00b", "%ED%A0%80", "%FF", "a" * 5000, "%2e%2e%2f", "'%3B--", "%F0%9F%92%89"]
)
def test_a_hostile_place_of_any_address_is_survived(app: Flask, call: Caller, value: str) -> None:
    for route in routes_of(app):
        if route.path.startswith("/fhir") and "{" in route.path:
            check(call(route.method, steps(route, value), b"{}"), route.method, route.path)
            typed = steps(route, value).replace(value, "Basic", 1) if route.is_of_any_type else ""
            check(call(route.method, typed or steps(route, value), b"{}"), route.method, route.path)


DEEP = 100_000
BODIES = {
    "deep lists": b"[" * DEEP + b"]" * DEEP,
    "deep objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "deep in a resource": b'{"resourceType":"Basic","extension":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep but well formed": b'{"resourceType":"Basic","code":{"extension":[{"url":"u:a","extension":[' * 1
    + b'{"url":"u:a","extension":[' * 3000
    + b'{"url":"u:a","valueBoolean":true}'
    + b"]}" * 3000
    + b"]}]}}",
    "lone surrogate": b'{"resourceType":"Basic","language":"\\udc00"}',
    "surrogate in UTF-8": b'{"resourceType":"Basic","language":"\xed\xa0\x80"}',
    "surrogate in a key": b'{"resourceType":"Basic","\\ud800":1}',
    "NUL": b'{"resourceType":"Basic","language":"\\u0000"}',
    "exponent": b'{"resourceType":"Basic","language":1e999999999}',
    "digits": b'{"resourceType":"Basic","language":' + b"7" * 100_000 + b"}",
    "minus nought": b"-0",
    "Infinity": b"Infinity",
    "UTF-16": '{"resourceType":"Basic"}'.encode("utf-16"),
    "a mark of byte order": b"\xef\xbb\xbf{}",
    "many of the same key": b"{" + b",".join([b'"resourceType":"Basic"'] * 20_000) + b"}",
    "many unknown keys": b'{"resourceType":"Basic"'
    + b"".join(b',"k%d":{}' % n for n in range(20_000))
    + b"}",
    "a list of many": b"[" + b"{}," * 50_000 + b"{}]",
    "form": b"a=b&c=%00&%ED%A0%80=1",
}


SENT_AS = [
    *((JSON, name) for name in BODIES),
    *((PATCH, name) for name in ("deep lists", "lone surrogate", "minus nought")),
    *((FORM, name) for name in ("form", "many unknown keys", "surrogate in UTF-8")),
    ("application/octet-stream", "UTF-16"),
    ("multipart/form-data; boundary=x", "form"),
]


@pytest.mark.parametrize(("media", "name"), SENT_AS)
def test_a_hostile_body_of_any_address_is_survived(app: Flask, call: Caller, media: str, name: str) -> None:
    body = BODIES[name]
    known = created(call, {"resourceType": "Basic", "code": {"text": "x"}})["id"]
    for route in routes_of(app):
        if route.path.startswith("/fhir") and route.method in ("POST", "PUT", "PATCH"):
            path = steps(route, "Basic").replace("/Basic/Basic", f"/Basic/{known}")
            check(call(route.method, path, body, Content_Type=media), route.method, path)


HEADERS = {
    "If_Match": ["", "x", 'W/"' + "9" * 5000 + '"', 'W/"-1"', 'W/"1e9"', "*", 'W/"١"'],
    "If_None_Match": ["", "x", 'W/"' + "9" * 5000 + '"', '"', "*"],
    "If_Modified_Since": ["", "yesterday", "Thu, 99 Foo 9999 99:99:99 GMT", "9" * 5000],
    "If_None_Exist": [
        "",
        "?",
        "&&&",
        "=",
        "identifier=" + "a," * 5000,
        "_id=" + "%00",
        "nonsense=x",
        "_count=1",
    ],
    "Prefer": ["", "handling", "return=everything", "respond-async" * 500, ";;;,,,==="],
    "Accept": ["", "a/b", ";", "*/*;q=x", "application/xml", "text/*;q=0.0000000000001," * 400],
    "Accept_Encoding": ["gzip;q=x", "br", "gzip," * 1000],
    "Content_Type": [
        "",
        ";",
        "application/fhir+json; charset=utf-7",
        "application/fhir+json;" * 500,
        "a" * 5000,
    ],
    "Content_Encoding": ["br", "gzip, gzip", "", "x" * 5000],
    "X_Request_Id": ["x" * 5000, "a'b", "%00"],
    "Range": ["bytes=0-", "bytes=-1", "bytes=5-1", "x"],
}


@pytest.mark.parametrize(("name", "values"), HEADERS.items(), ids=HEADERS.keys())
def test_a_hostile_header_is_survived(call: Caller, name: str, values: list[str]) -> None:
    known = created(call, patient("h"))
    path = f"/Patient/{known['id']}"
    for value in values:
        for method, where, body in (
            ("GET", path, None),
            ("GET", f"{path}/_history", None),
            ("GET", "/Patient?_count=1", None),
            ("POST", "/Patient", patient("h2")),
            ("PUT", path, known),
            ("PATCH", path, []),
            ("DELETE", "/Patient/never-there", None),
            ("POST", "/", transaction()),
        ):
            check(call(method, where, body, **{name: value}), method, where, value[:40])


OBSERVATION: Json = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
MANY = 65_536
TOO_MUCH = {
    "alternatives of a token": "code=" + ",".join(f"c{n}" for n in range(MANY)),
    "alternatives of an id": "_id=" + ",".join(f"i{n}" for n in range(MANY)),
    "alternatives of a reference": "patient=" + ",".join(f"p{n}" for n in range(MANY)),
    "alternatives of a date": "date=" + ",".join(["2026"] * MANY),
    "alternatives of a string": "value-string=" + ",".join(f"s{n}" for n in range(MANY)),
    "alternatives of a quantity": "value-quantity=" + ",".join(f"{n}||mg" for n in range(MANY)),
    "the same parameter": "&".join(f"code=c{n}" for n in range(MANY)),
    "different parameters": "&".join(f"x{n}=1" for n in range(MANY)),
    "sort keys": "_sort=" + ",".join(["date"] * MANY),
    "includes": "&".join(["_include:iterate=Observation:subject"] * MANY),
    "elements": "_elements=" + ",".join(f"e{n}" for n in range(MANY)),
    "links of a chain": ".".join(["subject:Patient"] * MANY) + "=x",
    "links of a reverse chain": "_has:Observation:subject:" * 5000 + "code=x",
    "bars": "code=" + "|" * MANY,
    "backslashes": "code=" + "\\" * MANY,
    "dollars": "code-value-quantity=" + "$" * MANY,
}


@pytest.mark.parametrize("query", TOO_MUCH.values(), ids=TOO_MUCH.keys())
@pytest.mark.parametrize("way", ["GET", "POST", "condition", "create", "batch"])
def test_more_than_can_be_searched_for_is_refused_or_bounded(call: Caller, way: str, query: str) -> None:
    if way == "GET":
        answer = call("GET", f"/Observation?{query}")
    elif way == "POST":
        answer = call("POST", "/Observation/_search", query.encode(), Content_Type=FORM)
    elif way == "condition":
        answer = call("PUT", f"/Observation?{query}", OBSERVATION)
    elif way == "create":
        answer = call("POST", "/", transaction(entry(OBSERVATION, "POST", "Observation", ifNoneExist=query)))
    else:
        answer = call("POST", "/", transaction(entry(None, "GET", f"Observation?{query}"), kind="batch"))
        assert answer.status_code == 200
        assert not answer.get_json()["entry"][0]["response"]["status"].startswith("5")
    check(answer, way)
    # What is answered is not longer than what was asked, escaped.
    assert len(answer.data) < 3 * len(query) + 20_000


OPERATIONS: list[tuple[str, Json]] = [
    ("/$import", {"inputFormat": {}}),
    ("/$import", {"inputFormat": ["x"], "input": [{"type": {}, "url": []}]}),
    (
        "/$import",
        {"resourceType": "Parameters", "parameter": [{"name": "input", "part": [{"name": ["x"]}]}]},
    ),
    *(
        (
            f"/{operation}",
            {
                "resourceType": "Parameters",
                "parameter": [{"name": "codeableConcept", "resource": {"coding": ["abc"]}}],
            },
        )
        for operation in ("ValueSet/$validate-code", "CodeSystem/$lookup", "ConceptMap/$translate")
    ),
]


@pytest.mark.parametrize(("place", "body"), OPERATIONS)
def test_a_hostile_parameter_of_an_operation_is_survived(call: Caller, place: str, body: Json) -> None:
    check(call("POST", place, body, Prefer="respond-async"), place)


@pytest.mark.parametrize(
    "place", ["/fhir/Person/_search", "/fhir/Patient/_search", "/oauth/token", "/sign-in"]
)
def test_nul_in_a_form_is_refused(app: Flask, call: Caller, place: str) -> None:
    form = "patient=%00&username=%00&password=x&client_id=%00&client_secret=x&grant_type=client_credentials"
    answer = app.test_client().post(
        place, data=form, content_type=FORM, headers={"Authorization": f"Bearer {call.token}"}
    )
    assert 400 <= answer.status_code < 500


def tower(depth: int) -> list[Json]:
    """Return operations of a JSON Patch each of which doubles what the one before it left."""
    return [{"op": "copy", "from": "/extension", "path": "/extension/-/extension"}] * depth


PATCHES: dict[str, Any] = {
    "doubling": [
        {"op": "add", "path": "/a", "value": [[]]},
        *[{"op": "copy", "from": "/a", "path": "/a/-"}] * 64,
    ],
    "many": [{"op": "test", "path": "/resourceType", "value": "Patient"}] * 100_000,
    "deep path": [{"op": "add", "path": "/a" * 50_000, "value": 1}],
    "into itself": [{"op": "move", "from": "/name", "path": "/name/0/x"}],
    "whole": [{"op": "remove", "path": ""}],
    "another type": [{"op": "replace", "path": "/resourceType", "value": "Observation"}],
    "another id": [{"op": "replace", "path": "/id", "value": "other"}],
    "no object": [1, None, [], "x"],
    "no path": [{"op": "add"}],
    "path a number": [{"op": "add", "path": 7, "value": 1}],
    "path a list": [{"op": "add", "path": ["x"], "value": 1}],
    "tilde": [{"op": "add", "path": "/~2", "value": 1}],
    "huge index": [{"op": "add", "path": "/name/" + "9" * 5000, "value": {}}],
    "unknown operation": [{"op": "fly", "path": "/x"}],
    "meta": [{"op": "replace", "path": "/meta", "value": "x"}],
    "version": [{"op": "replace", "path": "/meta/versionId", "value": "77"}],
    "surrogate": [{"op": "add", "path": "/language", "value": "\ud800"}],
}


@pytest.mark.parametrize("patch", PATCHES.values(), ids=PATCHES.keys())
def test_a_hostile_patch_is_survived_and_leaves_no_other_resource(call: Caller, patch: Any) -> None:
    known = created(call, patient("patched"))
    path = f"/Patient/{known['id']}"
    answer = call("PATCH", path, json.dumps(patch).encode(), Content_Type=PATCH)
    check(answer)
    now = call("GET", path).get_json()
    assert (now["resourceType"], now["id"], now["name"]) == ("Patient", known["id"], known["name"])
    assert now["meta"]["versionId"] in ("1", "2")
