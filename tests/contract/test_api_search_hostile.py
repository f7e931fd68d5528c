"""Hostile searches: each is answered or refused with an OperationOutcome, none costs more than it may."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from flask import Flask

from esb.fhir.search_parameters import PARAMETERS
from hie.repository import search as search_module
from hie.repository.chains import MOST_HOPS
from hie.repository.definitions import EVERY_TYPE
from hie.repository.includes import MOST_INCLUDED, MOST_ROUNDS
from hie.security import hub as hub_module
from tests.hub_world import Caller, Json, created, entry, ids, is_outcome, patient, transaction

FORM = "application/x-www-form-urlencoded"
VALUES = [
    "'; DROP TABLE resource; --",
    "' OR '1'='1",
    '" OR 1=1 --',
    "1) UNION SELECT content FROM resource --",
    "%27%3B",
    "$$; SELECT pg_sleep(9); $$",
    "x' AND pg_sleep(9) IS NULL --",
    "{1,2}",
    "(a+)+$",
    "(?:.*){99}",
    ".*" * 50,
    '$.** ? (@ like_regex "(a+)+$")',
    "\\",
    "|",
    "|||",
    "a|b|c|d",
    "$",
    "a$b$c",
    ",",
    " ",
    "",
    "%",
    "_",
    "gegegege2026",
    "ge",
    "1e999999",
    "-0",
    "NaN",
    "Infinity",
    "2026-13-45T99:99:99Z",
    "9999-12-31T23:59:59.999999999+14:00",
    "0001-01-01",
    "Patient/" + "9" * 65,
    "Patient/x/_history/" + "9" * 70,
    "http://" + "a" * 3000,
    "\u202e\u0000",
    "\ud7ff\uffff",
    "𠮷" * 40,
    "${jndi:ldap://x}",
    "../../../etc/passwd",
]
NAMES = [
    "'; DROP TABLE resource; --",
    "name'; SELECT 1; --",
    "name:exact'; --",
    "name:" + "x" * 5000,
    "name:missing:missing",
    ":",
    ".",
    "..",
    "a.b.c.d",
    "_has",
    "_has:",
    "_has:::",
    "_has:Observation:patient:",
    "_has:Observation:patient:_has:::",
    "_has:Observation:patient:code:exact:exact",
    "subject.",
    ".subject",
    "subject:Patient",
    "subject:Patient.",
    "subject:Patient.name.family",
    "subject:'.name",
    "_include:iterate:iterate",
    "_include:",
    "_sort:",
    "_list:not",
    "_id:missing",
    "_cursor:",
    "__explain:",
    "\u0000",
    "\u202ename",
    "name[]",
    "name[$ne]",
    "x" * 20_000,
]
CONTROLS = [
    "_count",
    "_sort",
    "_summary",
    "_elements",
    "_total",
    "_include",
    "_revinclude",
    "_include:iterate",
]
CONTROLS += ["_revinclude:iterate", "_list", "_cursor", "_type", "_format", "_pretty", "__explain", "_filter"]


def check(call: Caller, path: str, **headers: str) -> None:
    answer = call("GET", path, **headers)
    assert answer.status_code < 500, (path[:200], answer.text)
    assert answer.status_code == 200 or is_outcome(answer)
    assert "DROP TABLE" not in answer.text or answer.status_code == 200


@pytest.fixture(scope="module")
def someone(call: Caller) -> Json:
    """A Patient who must still be there afterwards."""
    return created(call, patient("hostile"))


@pytest.mark.parametrize("number", range(len(VALUES)), ids=lambda n: ascii(VALUES[n])[:24])
def test_no_value_of_any_parameter_breaks_a_search(call: Caller, someone: Json, number: int) -> None:
    type_, value = ("Patient", "Observation")[number % 2], VALUES[number]
    written = quote(value.encode("utf-8", "surrogatepass"))
    for name in (*PARAMETERS[type_], *CONTROLS):
        check(call, f"/{type_}?{quote(name)}={written}")
    assert call("GET", f"/Patient/{someone['id']}").status_code == 200


@pytest.mark.parametrize(
    "name",
    ["name:contains", "identifier:of-type", "identifier:text", "gender:in", "gender:not-in", "gender:above",
     "link:identifier", "organization:missing", "name:exact", "gender:below", "general-practitioner:Patient",
     "organization.name:contains", "_has:Observation:patient:code:in",
     "_has:Observation:patient:value-quantity",
     "_has:Observation:patient:code-value-quantity", "_profile:below", "_tag:not"],
)  # fmt: skip
def test_no_value_behind_a_modifier_breaks_a_search(call: Caller, someone: Json, name: str) -> None:
    for value in VALUES:
        check(call, f"/Patient?{quote(name)}={quote(value.encode('utf-8', 'surrogatepass'))}")
    assert call("GET", f"/Patient/{someone['id']}").status_code == 200


@pytest.mark.parametrize("path", ["/Observation", "", "/Patient/x/Observation", "/Patient/x/*"])
def test_no_name_breaks_a_search(call: Caller, someone: Json, path: str) -> None:
    for name in NAMES:
        check(call, f"{path}?{quote(name)}=x")
        check(call, f"{path}?{quote(name)}=x", Prefer="handling=strict")
    assert call("GET", f"/Patient/{someone['id']}").status_code == 200


@pytest.mark.parametrize(
    "form",
    [
        b"code=" + b",".join(b"%d" % n for n in range(65_536)),
        b"_id=" + b",".join(b"%d" % n for n in range(65_536)),
        b"date=" + b",".join(b"2026-01-01" for _ in range(65_536)),
        b"&".join(b"code=%d" % n for n in range(1000)),
        b"&".join(b"x%d=1" % n for n in range(65_536)),
        b"&".join(b"_sort=-date" for _ in range(1000)),
        b"_sort=" + b",".join(b"date" for _ in range(65_536)),
        b"_elements=" + b",".join(b"x%d" % n for n in range(65_536)),
        b"_list=" + b",".join(b"%d" % n for n in range(65_536)),
        b"_include=" + b":".join(b"Observation" for _ in range(65_536)),
        b"has-member:Observation." * 60_000 + b"code=1",
        b"_has:Observation:has-member:" * 60_000 + b"code=1",
        b"code=" + b"x" * 2_000_000,
        b"code=" + b"\\" * 65_536,
        b"code=" + b"|" * 65_536,
    ],
    ids=lambda form: form[:24].decode(),
)
def test_what_is_far_too_much_is_refused(call: Caller, form: bytes) -> None:
    answer = call("POST", "/Observation/_search", form, Content_Type=FORM, Prefer="handling=strict")
    assert (answer.status_code, is_outcome(answer)) == (400, True) or ids(answer) == []


@contextmanager
def statements(app: Flask) -> Iterator[list[Any]]:
    """Give the list of the statements that the hub sends meanwhile."""
    sent: list[Any] = []
    hub = app.extensions["hie"]

    def count(*args: Any) -> None:
        sent.append(args[2])

    for engine in (hub.engine, hub.looking):
        sa.event.listen(engine, "before_cursor_execute", count)
    try:
        yield sent
    finally:
        for engine in (hub.engine, hub.looking):
            sa.event.remove(engine, "before_cursor_execute", count)


def test_chains_send_no_more_statements_than_they_have_hops(app: Flask, call: Caller) -> None:
    fan = "&".join(f"subject.general-practitioner.name=x{n}" for n in range(100))
    long = ".".join(["has-member:Observation"] * 100)
    with statements(app) as sent:
        assert call("GET", f"/Observation?{fan}").status_code == 200
        assert call("GET", f"/Observation?{long}.code=x").status_code == 200
        assert (
            call("GET", "/Observation?" + "_has:Observation:has-member:" * 100 + "code=x").status_code == 200
        )
    assert len(sent) < 3 * (MOST_HOPS * 2 + 10)


@pytest.fixture
def hurry(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[sa.Engine]:
    """A hub that waits a quarter of a second for a statement; the engine of its transactions."""
    monkeypatch.setattr(hub_module, "MOST_SECONDS_OF_A_LOOK", 0.25)
    monkeypatch.setattr(search_module, "MOST_SECONDS", 0.25)
    hub = app.extensions["hie"]
    hub.looking.dispose()
    yield hub.engine
    hub.looking.dispose()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/Patient?family=x"),
        ("GET", "/Patient?family:contains=x"),
        ("GET", "/Patient?_tag=x"),
        ("GET", "/Observation?patient.name=x"),
        ("DELETE", "/Patient?given:missing=true&identifier:of-type=a|b|c"),
    ],
)
def test_what_takes_too_long_is_given_up_with_the_reason(
    call: Caller, hurry: sa.Engine, method: str, path: str
) -> None:
    with hurry.begin() as connection:
        connection.execute(sa.text("LOCK TABLE resource IN ACCESS EXCLUSIVE MODE"))
        answer = call(method, path)
    assert (answer.status_code, answer.get_json()["issue"][0]["code"]) == (400, "too-costly")


@pytest.mark.parametrize("kind", ["batch", "transaction", "$lastn"])
def test_a_plain_search_is_given_up_on_every_road(call: Caller, hurry: sa.Engine, kind: str) -> None:
    query = "Observation?patient=x&code=x"
    with hurry.begin() as connection:
        connection.execute(sa.text("LOCK TABLE resource IN ACCESS EXCLUSIVE MODE"))
        if kind == "$lastn":
            answer = call("GET", "/Observation/$lastn?patient=x&code=x")
        else:
            answer = call("POST", "/", transaction(entry(None, "GET", query), kind=kind))
    found = answer.get_json()
    outcome = found["entry"][0]["response"]["outcome"] if kind == "batch" else found
    assert outcome["issue"][0]["code"] == "too-costly"


def test_a_plain_page_is_one_statement_and_its_audit_row(app: Flask, call: Caller, someone: Json) -> None:
    call("GET", f"/Observation?patient={someone['id']}&code=x")
    with statements(app) as sent:
        assert call("GET", f"/Observation?patient={someone['id']}&code=x&_sort=-date").status_code == 200
    assert len(sent) <= 2


def test_includes_that_go_round_and_round_are_cut(app: Flask, call: Caller) -> None:
    """Sixty Organizations below each other in a ring, each pointed at by forty: 2,460 within reach."""
    entries: list[Json] = []
    for n in range(60):
        ring: Json = {"resourceType": "Organization", "id": f"ring-{n}", "name": "R"}
        ring["partOf"] = {"reference": f"Organization/ring-{(n + 1) % 60}"}
        entries.append(ring)
        for m in range(40):
            leaf = {"resourceType": "Organization", "id": f"leaf-{n}-{m}", "name": "L"}
            entries.append(leaf | {"partOf": {"reference": f"Organization/ring-{n}"}})
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {"resource": e, "request": {"method": "PUT", "url": f"Organization/{e['id']}"}} for e in entries
        ],
    }
    assert call("POST", "/", bundle).status_code == 200
    bomb = "&".join(
        ["_include:iterate=*", "_revinclude:iterate=*", "_include:iterate=Organization:partof"]
        + ["_revinclude:iterate=Organization:partof"] * 50
    )
    with statements(app) as sent:
        answer = call("GET", f"/Organization?_id=ring-0&{bomb}")
    assert answer.status_code == 200
    modes = [e["search"]["mode"] for e in answer.get_json()["entry"]]
    # On a slow machine the time is over first.
    assert 0 < modes.count("include") <= MOST_INCLUDED
    assert modes.count("outcome") == 1
    assert "too-costly" in answer.text
    found = [e["resource"]["id"] for e in answer.get_json()["entry"] if e["search"]["mode"] != "outcome"]
    assert len(found) == len(set(found))
    assert len(sent) < MOST_ROUNDS * len(EVERY_TYPE)
