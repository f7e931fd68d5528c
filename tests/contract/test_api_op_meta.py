"""$meta, $meta-add and $meta-delete: labels come and go, nobody's are lost, nobody sees those of others."""

import threading

import pytest
from flask import Flask

from tests.hub_world import Caller, Json, patient
from tests.operations_world import made, parameters, text_of

TAG = {"system": "urn:hie:test-tag", "code": "followed", "display": "随访"}
LABEL = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
PROFILE = "http://example.org/StructureDefinition/ward"


def change(call: Caller, id_: str, operation: str, **meta: object) -> Json:
    answer = call("POST", f"/Patient/{id_}/${operation}", parameters(("meta", "valueMeta", meta)))
    assert answer.status_code == 200, answer.text
    return value(answer.get_json())


def value(given: Json) -> Json:
    assert [one["name"] for one in given["parameter"]] == ["return"]
    found: Json = given["parameter"][0]["valueMeta"]
    return found


def test_labels_are_added_once_and_taken_away(h01: Caller) -> None:
    made(h01, patient("70", "李梅") | {"id": "meta-1"})
    found = change(h01, "meta-1", "meta-add", tag=[TAG], security=[LABEL], profile=[PROFILE])
    assert (found["tag"], found["security"], found["profile"]) == ([TAG], [LABEL], [PROFILE])
    again = change(h01, "meta-1", "meta-add", tag=[TAG | {"display": "other words"}], versionId="99")
    assert (again["tag"], again["versionId"]) == ([TAG], found["versionId"])
    assert value(h01("GET", "/Patient/meta-1/$meta").get_json()) == again
    less = change(h01, "meta-1", "meta-delete", tag=[{"system": TAG["system"], "code": TAG["code"]}])
    assert ("tag" in less, less["security"]) == (False, [LABEL])
    resource = h01("GET", "/Patient/meta-1").get_json()
    assert resource["name"] == [{"text": "李梅"}]
    assert int(resource["meta"]["versionId"]) == int(found["versionId"]) + 1


def test_a_version_keeps_the_labels_it_had(call: Caller, h01: Caller, h02: Caller) -> None:
    made(h01, patient("79") | {"id": "meta-9"})
    change(h01, "meta-9", "meta-add", tag=[TAG])
    before, after = (value(h01(how, f"/Patient/meta-9/_history/{number}/$meta").get_json())
                     for how, number in (("GET", 1), ("POST", 2)))  # fmt: skip
    assert ("tag" in before, before["versionId"]) == (False, "1")
    assert (after["tag"], after["versionId"]) == ([TAG], "2")
    for number in ("3", "x", "99999999999999999999"):
        assert h01("GET", f"/Patient/meta-9/_history/{number}/$meta").status_code == 404
    assert h02("GET", "/Patient/meta-9/_history/1/$meta").status_code == 404
    assert h01("GET", "/Patient/meta-9/_history/1/$meta?x=1").status_code == 400


def test_a_label_is_searched_by_at_once(h01: Caller) -> None:
    made(h01, patient("71") | {"id": "meta-2"})
    change(h01, "meta-2", "meta-add", tag=[TAG | {"code": "found-by"}])
    found = h01("GET", f"/Patient?_tag={TAG['system']}|found-by").get_json()
    assert [entry["resource"]["id"] for entry in found["entry"]] == ["meta-2"]


def test_two_who_label_at_once_lose_nothing(app: Flask, h01: Caller) -> None:
    made(h01, patient("72") | {"id": "meta-3"})

    def add(number: int) -> None:
        change(Caller(app, "h01"), "meta-3", "meta-add", tag=[{"system": "urn:hie:n", "code": str(number)}])

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = value(h01("GET", "/Patient/meta-3/$meta").get_json())
    assert sorted(tag["code"] for tag in found["tag"]) == [str(number) for number in range(8)]


def test_what_is_in_use_is_told_of_a_type_and_of_all_within_reach(call: Caller, h02: Caller) -> None:
    made(call, patient("73") | {"id": "meta-4", "meta": {"tag": [TAG | {"code": "of-region"}]}})
    organization = {
        "resourceType": "Organization",
        "id": "meta-5",
        "name": "x",
        "meta": {"profile": [PROFILE]},
    }
    made(call, organization)
    of_patients = value(call("GET", "/Patient/$meta").get_json())
    assert "of-region" in {tag["code"] for tag in of_patients["tag"]}
    assert PROFILE not in value(call("GET", "/Practitioner/$meta").get_json()).get("profile", [])
    every = value(call("GET", "/$meta").get_json())
    assert PROFILE in every["profile"]
    assert "versionId" not in every
    assert len(every["profile"]) == len(set(every["profile"]))
    assert "of-region" not in str(h02("GET", "/Patient/$meta").get_json())
    assert value(h02("POST", "/Organization/$meta").get_json())["profile"] == [PROFILE]


def test_only_who_may_write_a_resource_labels_it(app: Flask, h01: Caller, h02: Caller) -> None:
    made(h01, patient("74") | {"id": "meta-6"})
    body = parameters(("meta", "valueMeta", {"tag": [TAG]}))
    assert h02("POST", "/Patient/meta-6/$meta-add", body).status_code == 404
    assert Caller(app, "reader")("POST", "/Patient/meta-6/$meta-add", body).status_code == 403
    assert h01("POST", "/Patient/never-there/$meta-add", body).status_code == 404
    assert h01("POST", "/Person/x/$meta-add", body).status_code == 405


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (parameters(), "needs the parameter meta"),
        (parameters(("meta", "valueString", "x")), "meta is no Meta"),
        (parameters(("meta", "valueMeta", {"tag": "x"})), "must be"),
        ({"resourceType": "Patient"}, "Parameters resource"),
        (parameters(("meta", "valueCoding", {"code": "x"})), "meta is no Meta"),
        (parameters(("meta", "resource", {"tag": [{"bogus": 1}]})), "one value"),
        (parameters(("meta", "resource", {"tag": [5]})), "one value"),
        (parameters(("meta", "resource", {"tag": [{"system": {}}]})), "one value"),
    ],
)
def test_what_is_no_meta_is_refused(h01: Caller, body: Json, said: str) -> None:
    body = {key: value for key, value in body.items() if value != []}
    answer = h01("POST", "/Patient/meta-1/$meta-add", body)
    assert (answer.status_code, said in text_of(answer)) == (400, True), answer.text


def test_what_the_hub_makes_has_no_labels(call: Caller) -> None:
    for place in ("/AuditEvent/1/$meta", "/AuditEvent/$meta", "/Person/x/$meta", "/Person/$meta"):
        answer = call("GET", place)
        assert (answer.status_code, "known are: none" in text_of(answer)) == (404, True), place
