"""What a transaction may hold and how it is done; what a batch does with each entry."""

import base64
import json
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from esb.fhir.validation import is_valid
from hie.api import recording
from hie.schema import AuditEventRow
from tests.hub_world import PATCH, Caller, Json, created, entry, ids, observation, patient, transaction

URN = "urn:uuid:0c2a1d5e-0000-4000-8000-00000000000"


def sent(call: Caller, *entries: Json, kind: str = "transaction", **headers: str) -> list[Json]:
    """Send a Bundle that is taken, and return the entries of the answer."""
    answer = call("POST", "/", transaction(*entries, kind=kind), **headers)
    assert answer.status_code == 200, answer.text
    assert is_valid(answer.get_json())
    return answer.get_json()["entry"]


def place(done: Json) -> str:
    return str(done["response"]["location"].partition("/_history")[0])


def result(subject: str, **more: Any) -> Json:
    return json.loads(observation(subject)) | more


def json_patch(*operations: Json) -> Json:
    data = base64.b64encode(json.dumps(operations).encode()).decode()
    return {"resourceType": "Binary", "contentType": PATCH, "data": data}


def fhirpath_patch(kind: str, path: str, name: str, **value: Any) -> Json:
    parts = [
        {"name": "type", "valueCode": kind},
        {"name": "path", "valueString": path},
        {"name": "name", "valueString": name},
        {"name": "value"} | value,
    ]
    return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}


def test_new_resources_may_refer_to_each_other_in_a_circle(call: Caller) -> None:
    first = patient("t1", link=[{"other": {"reference": f"{URN}2"}, "type": "seealso"}])
    second = patient("t2", link=[{"other": {"reference": f"{URN}1"}, "type": "seealso"}])
    done = sent(call, entry(first, "POST", "Patient", f"{URN}1"), entry(second, "POST", "Patient", f"{URN}2"))
    one, two = place(done[0]), place(done[1])
    assert call("GET", f"/{one}").get_json()["link"][0]["other"]["reference"] == two
    assert call("GET", f"/{two}").get_json()["link"][0]["other"]["reference"] == one


def test_references_follow_a_full_url_that_is_an_address(call: Caller) -> None:
    url = "http://elsewhere.example/fhir/Patient/7"
    done = sent(
        call,
        entry(result("Patient/7"), "POST", "Observation", "http://elsewhere.example/fhir/Observation/8"),
        entry(result(url), "POST", "Observation"),
        entry(patient("t3") | {"id": "7"}, "POST", "Patient", url),
    )
    for item in done[:2]:
        stored = call("GET", f"/{place(item)}").get_json()
        assert stored["subject"]["reference"] == place(done[2])


def test_links_of_a_narrative_and_addresses_follow_too(call: Caller) -> None:
    div = f'<div xmlns="http://www.w3.org/1999/xhtml"><a href="{URN}1">x</a> <img src=\'{URN}1\'/></div>'
    text = {"status": "generated", "div": div}
    document: Json = {
        "resourceType": "DocumentReference",
        "status": "current",
        "text": text,
        "content": [{"attachment": {"url": f"{URN}2"}}],
    }
    done = sent(
        call,
        entry(document, "POST", "DocumentReference"),
        entry(patient("t4"), "POST", "Patient", f"{URN}1"),
        entry(
            {"resourceType": "Binary", "contentType": "text/plain", "data": "eA=="},
            "POST",
            "Binary",
            f"{URN}2",
        ),
    )
    stored = call("GET", f"/{place(done[0])}").get_json()
    assert stored["text"]["div"].count(place(done[1])) == 2
    assert stored["content"][0]["attachment"]["url"] == place(done[2])


def test_a_bundle_that_is_stored_keeps_the_references_between_its_own_entries(call: Caller) -> None:
    inner = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [
            {"fullUrl": f"{URN}1", "resource": patient("t5")},
            {"resource": result(f"{URN}1")},
            {"resource": result(f"{URN}2")},
        ],
    }
    done = sent(
        call,
        entry(inner, "POST", "Bundle"),
        entry(patient("t6"), "POST", "Patient", f"{URN}1"),
        entry(patient("t7"), "POST", "Patient", f"{URN}2"),
    )
    stored = call("GET", f"/{place(done[0])}").get_json()["entry"]
    assert stored[1]["resource"]["subject"]["reference"] == f"{URN}1"
    assert stored[2]["resource"]["subject"]["reference"] == place(done[2])


def test_a_conditional_reference_finds_an_entry_of_the_same_transaction(call: Caller) -> None:
    criteria = "identifier=urn:hie:test|t8"
    done = sent(
        call,
        entry(result(f"Patient?{criteria}"), "POST", "Observation"),
        entry(patient("t8"), "POST", "Patient", ifNoneExist=criteria),
    )
    assert call("GET", f"/{place(done[0])}").get_json()["subject"]["reference"] == place(done[1])


def test_a_conditional_reference_to_nothing_or_to_several_is_refused_with_its_element(call: Caller) -> None:
    for _ in range(2):
        created(call, patient("t9"))
    for number in ("t9", "t9-none"):
        body = transaction(entry(result(f"Patient?identifier=urn:hie:test|{number}"), "POST", "Observation"))
        answer = call("POST", "/", body)
        assert answer.status_code == 412
        assert answer.get_json()["issue"][0]["expression"] == ["Bundle.entry[0].resource.subject"]


@pytest.mark.parametrize("reference", ["Patient/never-there", f"{URN}9", "Patient/never-there/_history/1"])
def test_a_reference_that_leads_nowhere_is_refused_with_its_element(call: Caller, reference: str) -> None:
    body = transaction(
        entry(patient("t10"), "POST", "Patient"), entry(result(reference), "POST", "Observation")
    )
    answer = call("POST", "/", body)
    assert answer.status_code == 422
    assert answer.get_json()["issue"][0]["expression"] == ["Bundle.entry[1].resource.subject"]
    assert ids(call("GET", "/Patient?identifier=urn:hie:test|t10")) == []
    alone = call("POST", "/Observation", json.dumps(result(reference)).encode())
    assert alone.status_code == 422
    assert alone.get_json()["issue"][0]["expression"] == ["Observation.subject"]


@pytest.mark.parametrize(
    "reference",
    ["http://elsewhere.example/fhir/Patient/1", "urn:oid:1.2.3", "#own"],
)
def test_a_reference_that_leads_elsewhere_is_taken(call: Caller, reference: str) -> None:
    more: Json = {"contained": [{"resourceType": "Patient", "id": "own"}]} if reference == "#own" else {}
    assert call("POST", "/Observation", result(reference, **more)).status_code == 201


def test_a_patch_may_not_make_a_reference_lead_nowhere(call: Caller) -> None:
    made = created(call, observation(f"Patient/{created(call, patient('t11'))['id']}"))
    patch = [{"op": "replace", "path": "/subject/reference", "value": "Patient/never-there"}]
    assert call("PATCH", f"/Observation/{made['id']}", patch, Content_Type=PATCH).status_code == 422


def test_a_patch_in_a_transaction_may_not_make_a_reference_lead_nowhere(call: Caller) -> None:
    made = created(call, observation(f"Patient/{created(call, patient('t11b'))['id']}"))
    nowhere = json_patch({"op": "replace", "path": "/subject/reference", "value": "Patient/never-there"})
    body = transaction(entry(nowhere, "PATCH", f"Observation/{made['id']}"))
    assert call("POST", "/", body).status_code == 422
    assert call("GET", f"/Observation/{made['id']}").get_json()["meta"]["versionId"] == "1"


def test_a_reference_under_an_escaped_name_is_followed_like_any_other(call: Caller) -> None:
    body = json.dumps(transaction(entry(result("Patient/never-there"), "POST", "Observation")))
    escaped = body.replace('"reference"', '"r\\u0065ference"')
    assert call("POST", "/", escaped.encode()).status_code == 422
    known = created(call, patient("t11c"))["id"]
    body = json.dumps(
        transaction(entry(result("Patient?identifier=urn:hie:test|t11c"), "POST", "Observation"))
    )
    answer = call("POST", "/", body.replace('"reference"', '"r\\u0065ference"').encode())
    made = place(answer.get_json()["entry"][0])
    assert call("GET", f"/{made}").get_json()["subject"] == {"reference": f"Patient/{known}"}


def test_deletions_come_first_whatever_the_order_of_the_entries(call: Caller) -> None:
    old = created(call, patient("t12"))["id"]
    criteria = "identifier=urn:hie:test|t12"
    done = sent(
        call,
        entry(None, "GET", f"Patient?{criteria}"),
        entry(patient("t12"), "POST", "Patient", ifNoneExist=criteria),
        entry(None, "DELETE", f"Patient?{criteria}"),
    )
    assert [item["response"]["status"][:3] for item in done] == ["200", "201", "204"]
    assert call("GET", f"/Patient/{old}").status_code == 410
    found = [e["resource"]["id"] for e in done[0]["resource"]["entry"]]
    assert found == [place(done[1]).partition("/")[2]]


def test_both_kinds_of_patch_work_within_a_transaction(call: Caller) -> None:
    made = [created(call, patient(f"t13-{n}"))["id"] for n in range(3)]
    done = sent(
        call,
        entry(json_patch({"op": "add", "path": "/gender", "value": "male"}), "PATCH", f"Patient/{made[0]}"),
        entry(fhirpath_patch("add", "Patient", "gender", valueCode="female"), "PATCH", f"Patient/{made[1]}"),
        entry(
            fhirpath_patch("add", "Patient", "birthDate", valueDate="1980-01-01"),
            "PATCH",
            "Patient?identifier=urn:hie:test|t13-2",
        ),
        Prefer="return=representation",
    )
    assert [item["resource"].get("gender") for item in done] == ["male", "female", None]
    assert done[2]["resource"]["birthDate"] == "1980-01-01"
    wrong = entry(fhirpath_patch("add", "Patient", "nmae", valueCode="x"), "PATCH", f"Patient/{made[0]}")
    assert call("POST", "/", transaction(wrong)).status_code == 422
    missing = entry(json_patch(), "PATCH", "Patient?identifier=urn:hie:test|t13-none")
    assert call("POST", "/", transaction(missing)).status_code == 404


def test_a_patch_by_fhirpath_works_alone_and_by_condition(call: Caller) -> None:
    made = created(call, patient("t14"))["id"]
    patch = fhirpath_patch("add", "Patient", "gender", valueCode="male")
    assert call("PATCH", f"/Patient/{made}", patch).get_json()["gender"] == "male"
    again = call("PATCH", f"/Patient/{made}", patch)
    assert again.status_code == 422
    assert again.get_json()["issue"][0]["expression"] == ["Patient.gender"]
    path = "/Patient?identifier=urn:hie:test|t14"
    later = fhirpath_patch("add", "Patient", "birthDate", valueDate="1990-01-01")
    assert call("PATCH", path, later).get_json()["birthDate"] == "1990-01-01"
    assert call("PATCH", path, patient("t14")).status_code == 400
    assert call("PATCH", path, b"<x/>", Content_Type="application/xml").status_code == 415


def test_reads_within_a_transaction_see_what_it_wrote(call: Caller) -> None:
    body = patient("t15") | {"id": "t15"}
    done = sent(
        call,
        entry(None, "GET", "Patient/t15"),
        entry(None, "HEAD", "Patient/t15"),
        entry(None, "GET", "Patient/t15/_history/1"),
        entry(None, "GET", "Patient/t15", ifNoneMatch='W/"1"'),
        entry(None, "GET", "Patient?identifier=urn:hie:test|t15"),
        entry(None, "HEAD", "Patient?identifier=urn:hie:test|t15"),
        entry(None, "GET", "Patient/t15?_elements=name"),
        entry(None, "GET", "Patient?identifier=urn:hie:test|t15&_elements=name"),
        entry(body, "PUT", "Patient/t15"),
    )
    statuses = [item["response"]["status"][:3] for item in done]
    assert statuses == ["200", "200", "200", "304", "200", "200", "200", "200", "201"]
    assert [("resource" in item) for item in done] == [
        True,
        False,
        True,
        False,
        True,
        False,
        True,
        True,
        False,
    ]
    for part in (done[6]["resource"], done[7]["resource"]["entry"][0]["resource"]):
        assert set(part) == {"resourceType", "id", "meta", "name"}
    assert done[0]["response"]["etag"] == 'W/"1"'
    assert len(done[4]["resource"]["entry"]) == 1
    assert call("POST", "/", transaction(entry(None, "GET", "Patient/never-there"))).status_code == 404


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ({"ifNoneMatch": 'W/"9", W/"1"'}, "304"),
        ({"ifNoneMatch": "*"}, "304"),
        ({"ifNoneMatch": 'W/"9"', "ifModifiedSince": "2099-01-01T00:00:00Z"}, "200"),
        ({"ifModifiedSince": "2099-01-01T00:00:00+08:00"}, "304"),
        ({"ifModifiedSince": "2020-01-01T00:00:00Z"}, "200"),
        ({"ifModifiedSince": "2099-01-01"}, "400"),
    ],
)
def test_an_entry_gives_nothing_again_to_whoever_has_it(
    call: Caller, condition: dict[str, str], status: str
) -> None:
    call("PUT", "/Patient/t15a", patient("t15a") | {"id": "t15a"})
    bundle = transaction(entry(None, "GET", "Patient/t15a", **condition), kind="batch")
    (answer,) = call("POST", "/", bundle).get_json()["entry"]
    assert answer["response"]["status"][:3] == status
    assert ("resource" in answer) is (status == "200")


def test_an_entry_answers_with_what_the_asker_prefers(call: Caller) -> None:
    body = patient("t16") | {"id": "t16"}
    plain = sent(call, entry(body, "PUT", "Patient/t16"))[0]
    assert set(plain["response"]) == {"status", "location", "etag", "lastModified"}
    assert "resource" not in plain
    whole = sent(call, entry(body, "PUT", "Patient/t16"), Prefer="return=representation")[0]
    assert whole["resource"]["id"] == "t16"
    said = sent(call, entry(body, "PUT", "Patient/t16"), Prefer="return=OperationOutcome")[0]
    assert said["response"]["outcome"]["resourceType"] == "OperationOutcome"
    known = sent(
        call,
        entry(patient("t16"), "POST", "Patient", ifNoneExist="identifier=urn:hie:test|t16"),
        Prefer="return=representation",
    )[0]
    assert (known["response"]["status"], known["resource"]["id"]) == ("200 OK", "t16")


def test_a_write_answers_with_what_the_asker_prefers(call: Caller) -> None:
    for wanted, kind in (("representation", "Patient"), ("OperationOutcome", "OperationOutcome")):
        answer = call("POST", "/Patient", patient("t17"), Prefer=f"return={wanted}; handling=strict")
        assert (answer.status_code, answer.get_json()["resourceType"]) == (201, kind)
        assert is_valid(answer.get_json())
        assert answer.headers["Location"]
    made = call("POST", "/Patient", patient("t17"), Prefer="respond-async, return=minimal")
    assert (made.status_code, made.data) == (201, b"")
    gone = call("DELETE", "/" + made.headers["Location"].partition("/fhir/")[2].partition("/_history")[0])
    assert gone.status_code == 204


def test_each_entry_of_a_batch_stands_alone_and_is_audited(app: Flask, call: Caller) -> None:
    count = sa.select(sa.func.count()).select_from(AuditEventRow)
    with app.extensions["hie"].engine.connect() as connection:
        before = connection.execute(count).scalar_one()
        connection.rollback()
        done = sent(
            call,
            entry(patient("t18"), "POST", "Patient", f"{URN}1"),
            entry(result(f"{URN}1"), "POST", "Observation"),
            {"resource": "x"},
            entry({"resourceType": "AuditEvent"}, "POST", "AuditEvent"),
            entry(None, "DELETE", "Patient?identifier=urn:hie:test|t18"),
            entry(None, "HEAD", "Patient/never-there"),
            kind="batch",
        )
        assert connection.execute(count).scalar_one() == before + 6
    assert [item["response"]["status"][:3] for item in done] == ["201", "422", "400", "405", "204", "404"]
    assert done[2]["response"]["outcome"]["issue"][0]["expression"][0].startswith("Bundle.entry[2]")


def test_a_batch_that_breaks_in_the_middle_tells_what_was_done(
    call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is told that the whole failed sends it again, and doubles what was done."""
    whole = recording.record

    def breaks(session: Any, writes: Any, *given: Any, **named: Any) -> Any:
        if writes[0].resource["identifier"][0]["value"] == "t18-1":
            raise RuntimeError("nobody foresaw it")
        return whole(session, writes, *given, **named)

    monkeypatch.setattr(recording, "record", breaks)
    done = sent(call, *(entry(patient(f"t18-{n}"), "POST", "Patient") for n in range(3)), kind="batch")
    assert [item["response"]["status"][:3] for item in done] == ["201", "500", "201"]
    assert "nobody" not in json.dumps(done)


def test_two_entries_that_mean_one_resource_are_refused_with_the_entry_named(call: Caller) -> None:
    body = patient("t19") | {"id": "t19"}
    assert call("PUT", "/Patient/t19", body).status_code == 201
    criteria = "identifier=urn:hie:test|t19"
    for second in (
        entry(body, "PUT", "Patient/t19"),
        entry(None, "DELETE", "Patient/t19"),
        entry(json_patch(), "PATCH", "Patient/t19"),
        entry(patient("t19"), "PUT", f"Patient?{criteria}"),
    ):
        answer = call("POST", "/", transaction(entry(body, "PUT", "Patient/t19"), second))
        assert answer.status_code == 400, second
        assert "Bundle.entry[" in answer.get_json()["issue"][0]["expression"][0]


def test_a_wrong_if_match_names_its_entry(call: Caller) -> None:
    body = transaction(entry(patient("t20") | {"id": "t20"}, "PUT", "Patient/t20", ifMatch="x"))
    answer = call("POST", "/", body)
    assert answer.status_code == 400
    assert answer.get_json()["issue"][0]["expression"] == ["Bundle.entry[0].request.ifMatch"]


def test_a_delete_of_what_never_was_says_so(call: Caller) -> None:
    answer = call("DELETE", "/Patient/never-there", Prefer="return=OperationOutcome")
    assert "nothing to delete" in answer.text
    made = created(call, patient("t21"))["id"]
    answer = call("DELETE", f"/Patient/{made}", Prefer="return=OperationOutcome")
    assert "It was deleted" in answer.text


def test_a_bundle_with_too_many_entries_is_told_the_limit(call: Caller) -> None:
    answer = call("POST", "/", transaction(*[{}] * 20_001))
    assert answer.status_code == 413
    assert "20000" in answer.text


def test_parameters_are_never_kept(call: Caller) -> None:
    body = {"resourceType": "Parameters", "id": "p"}
    assert call("POST", "/Parameters", body).status_code == 405
    assert call("PUT", "/Parameters/p", body).status_code == 405
    assert call("GET", "/Parameters/p").status_code == 404
    stated = call("GET", "/metadata").get_json()["rest"][0]["resource"]
    assert "interaction" not in next(one for one in stated if one["type"] == "Parameters")


@pytest.mark.parametrize("wanted", ["xml", "application/fhir+xml", "ttl", "text/turtle", "html", "jsonp"])
def test_a_format_that_is_not_offered_is_refused_before_a_write(call: Caller, wanted: str) -> None:
    for method, path, body in (
        ("GET", "/Patient", None),
        ("POST", "/Patient", patient("t20")),
        ("PUT", "/Patient/t20", patient("t20") | {"id": "t20"}),
        ("POST", "/", transaction(entry(patient("t20"), "POST", "Patient"))),
        ("DELETE", "/Patient/t20", None),
    ):
        answer = call(method, f"{path}?_format={wanted.replace('+', '%2B')}", body)
        assert answer.status_code == 406, (method, wanted)
        assert "application/fhir+json" in answer.text
    assert ids(call("GET", "/Patient?identifier=urn:hie:test|t20")) == []


@pytest.mark.parametrize("wanted", ["json", "application/json", "application/fhir+json", "text/json", "JSON"])
def test_every_name_of_json_is_accepted(call: Caller, wanted: str) -> None:
    assert call("GET", f"/Patient?_format={wanted}&_count=1", Accept="text/html").status_code == 200
