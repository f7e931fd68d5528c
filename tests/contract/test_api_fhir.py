"""The FHIR API as a whole: rights, persons, the audit trail, the statement of what is there."""

import sqlalchemy as sa
from flask import Flask

from esb.fhir.validation import is_valid
from hie.schema import AuditEventRow
from tests.hub_world import RESIDENT, Caller, created, entry, ids, observation, patient, transaction


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
    assert h02("DELETE", f"/Patient/{hidden}").status_code == 204
    assert h01("GET", f"/Patient/{hidden}").status_code == 200


def test_the_capability_statement_is_valid_and_true(call: Caller) -> None:
    statement = call("GET", "/metadata").get_json()
    assert is_valid(statement)
    resources = {r["type"]: r for r in statement["rest"][0]["resource"]}
    asked = {"birthdate": "1980", "gender": "male"}
    asked |= dict.fromkeys(("identifier", "name", "family", "given", "phone", "_id"), "x")
    for name, value in asked.items():
        assert name in {p["name"] for p in resources["Patient"]["searchParam"]}
        assert call("GET", f"/Patient?{name}={value}", Prefer="handling=strict").status_code == 200


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
