"""Where a search looks: a type, several types, a patient's compartment; by GET and by POST; its links."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import sqlalchemy as sa
from flask import Flask

from hie.schema import AuditEventRow
from tests.hub_world import Caller, Json, created, ids, is_outcome, patient

FORM = "application/x-www-form-urlencoded"


def note(subject: Json, code: str = "718-7", **more: Any) -> Json:
    coding = [{"system": "http://loinc.org", "code": code}]
    reference = {"reference": f"Patient/{subject['id']}"}
    return {"resourceType": "Observation", "status": "final", "code": {"coding": coding}} | (
        {"subject": reference} | more
    )


def tagged(tag: str) -> Json:
    return {"meta": {"tag": [{"system": "urn:hie:test:tag", "code": tag}]}}


def kinds(bundle: Json, mode: str = "match") -> list[str]:
    return sorted(
        e["resource"]["resourceType"] for e in bundle.get("entry", []) if e["search"]["mode"] == mode
    )


def links(bundle: Json) -> dict[str, list[tuple[str, str]]]:
    return {
        link["relation"]: parse_qsl(urlsplit(link["url"]).query, keep_blank_values=True)
        for link in bundle["link"]
    }


@pytest.fixture(scope="module")
def person(call: Caller) -> Json:
    """A Patient with two Observations, all with one tag."""
    made = created(call, patient("t1", "赵敏") | tagged("t1"))
    created(call, note(made) | tagged("t1"))
    created(call, note(made, "2160-0") | tagged("t1"))
    return made


def test_a_search_over_several_types_uses_what_they_share(call: Caller, person: Json) -> None:
    bundle = call("GET", "?_type=Patient,Observation&_tag=t1").get_json()
    assert kinds(bundle) == ["Observation", "Observation", "Patient"]
    assert kinds(call("GET", "/?_type=Observation&_tag=t1").get_json()) == ["Observation", "Observation"]
    assert kinds(call("GET", "?_tag=t1").get_json()) == ["Observation", "Observation", "Patient"]
    assert kinds(call("GET", f"?_id={person['id']}").get_json()) == ["Patient"]
    refused = call("GET", "?_type=Patient,Observation&code=718-7", Prefer="handling=strict")
    assert (refused.status_code, is_outcome(refused)) == (400, True)
    assert [issue["diagnostics"].partition(":")[0] for issue in refused.get_json()["issue"]] == ["code"]
    assert kinds(call("GET", "?_type=Condition,Observation&code=718-7&_tag=t1").get_json()) == ["Observation"]


def test_a_search_over_several_types_is_counted_and_paged(call: Caller, person: Json) -> None:
    assert call("GET", "?_tag=t1&_summary=count").get_json()["total"] == 3
    seen = []
    bundle = call("GET", "?_tag=t1&_count=1&_sort=_id").get_json()
    while True:
        seen += [e["resource"]["id"] for e in bundle["entry"]]
        following = [link["url"] for link in bundle["link"] if link["relation"] == "next"]
        if not following:
            break
        bundle = call("GET", following[0].partition("/fhir")[2]).get_json()
    assert len(seen) == len(set(seen)) == 3
    assert seen == sorted(seen)


@pytest.mark.parametrize("where", ["?", "/Patient/{id}/*?"])
@pytest.mark.parametrize("types", ["_type=Patient,Observation", "_type=Patient&_type=Observation"])
def test_every_page_keeps_to_the_types_that_are_named(call: Caller, where: str, types: str) -> None:
    tag = f"t6-{len(where)}-{len(types)}"
    made = created(call, patient(tag) | tagged(tag))
    created(call, note(made) | tagged(tag))
    created(
        call, {"resourceType": "Specimen", "subject": {"reference": f"Patient/{made['id']}"}} | tagged(tag)
    )
    url = where.format(id=made["id"]) + f"{types}&_tag={tag}&_count=1&_sort=_id"
    seen = []
    while url:
        answer = call("GET", url, Prefer="handling=strict")
        assert answer.status_code == 200, answer.text
        bundle = answer.get_json()
        assert [pair for pair in links(bundle)["self"] if pair[0] == "_type"] == parse_qsl(types)
        seen += kinds(bundle)
        url = next((k["url"].partition("/fhir")[2] for k in bundle["link"] if k["relation"] == "next"), "")
    assert sorted(seen) == ["Observation", "Patient"]


def test_the_types_of_a_search_of_one_type_stand_in_its_path(call: Caller) -> None:
    refused = call("GET", "/Patient?_type=Observation", Prefer="handling=strict")
    assert (refused.status_code, "_type" in refused.text) == (400, True)


@pytest.mark.parametrize("types", ["Cat", "Patient,Cat", "AuditEvent", "", ",", "Patient,Basic"])
def test_types_that_are_none_are_refused(call: Caller, types: str) -> None:
    answer = call("GET", f"?_type={types}&_tag=t1")
    assert answer.status_code == (200 if types == "Patient,Basic" else 400), answer.text


def test_what_is_about_a_patient_is_searched_in_its_compartment(call: Caller, person: Json) -> None:
    path = f"/Patient/{person['id']}"
    assert len(ids(call("GET", f"{path}/Observation"))) == 2
    assert len(ids(call("GET", f"{path}/Observation?code=2160-0"))) == 1
    assert kinds(call("GET", f"{path}/*").get_json()) == ["Observation", "Observation", "Patient"]
    assert kinds(call("GET", f"{path}/*?_type=Patient").get_json()) == ["Patient"]
    posted = call("POST", f"{path}/Observation/_search", b"code=718-7", Content_Type=FORM)
    assert len(ids(posted)) == 1
    assert kinds(call("POST", f"{path}/_search", b"_type=Patient", Content_Type=FORM).get_json()) == [
        "Patient"
    ]
    other = created(call, patient("t2"))
    created(call, note(other, performer=[{"reference": f"Patient/{person['id']}"}]))
    assert len(ids(call("GET", f"{path}/Observation"))) == 3
    assert ids(call("GET", "/Patient/never-there/Observation")) == []


@pytest.mark.parametrize("path", ["/Patient/x/Cat", "/Cat/x/Observation", "/Patient/x/Observation,Basic"])
def test_a_compartment_that_there_is_not_is_not_found(call: Caller, path: str) -> None:
    assert call("GET", path).status_code == 404


def test_url_and_form_count_together(call: Caller, person: Json) -> None:
    both = call("POST", "/Observation/_search?code=718-7", b"_tag=t1", Content_Type=FORM)
    assert len(ids(both)) == 1
    assert links(both.get_json())["self"] == [("code", "718-7"), ("_tag", "t1")]
    several = call("POST", "/_search?_type=Patient,Observation", b"_tag=t1", Content_Type=FORM)
    assert kinds(several.get_json()) == ["Observation", "Observation", "Patient"]


def test_another_hospitals_records_are_in_no_search(h01: Caller, h02: Caller) -> None:
    made = created(h01, patient("t3") | tagged("t3"))
    created(h01, note(made) | tagged("t3"))
    for path in ("?_tag=t3", "?_type=Patient,Observation&_tag=t3", f"/Patient/{made['id']}/*"):
        assert len(ids(h01("GET", path))) == 2
        assert ids(h02("GET", path)) == []
        assert h02("GET", f"{path}{'&' if '?' in path else '?'}_summary=count").get_json()["total"] == 0
    for path in (
        "/Observation?patient.identifier=t3",
        "/Patient?_has:Observation:patient:code=718-7&_tag=t3",
    ):
        assert len(ids(h01("GET", path))) == 1
        assert ids(h02("GET", path)) == []


def test_a_narrow_scope_narrows_several_types_too(app: Flask, person: Json) -> None:
    reader = Caller(app, "reader")
    assert kinds(reader("GET", "?_type=Patient&_tag=t1").get_json()) == ["Patient"]
    assert reader("GET", "?_type=Patient,Observation&_tag=t1").status_code == 403
    assert kinds(
        reader("GET", f"/Patient?_id={person['id']}&_revinclude=Observation:patient").get_json()
    ) == ["Patient"]
    assert ids(reader("GET", "/Patient?_has:Observation:patient:code=718-7&_tag=t1")) == []


def test_the_links_carry_exactly_what_was_understood(call: Caller, person: Json) -> None:
    asked = "/Observation?_tag=t1&_count=1&nonsense=1&_pretty=true"
    first = call("GET", asked).get_json()
    used = [("_tag", "t1"), ("_count", "1"), ("_pretty", "true")]
    assert links(first)["self"] == used
    assert links(first)["first"] == used
    assert links(first)["next"][:-1] == used
    assert links(first)["next"][-1][0] == "_cursor"
    following = next(link["url"] for link in first["link"] if link["relation"] == "next")
    second = call("GET", following.partition("/fhir")[2])
    assert links(second.get_json())["self"] == links(first)["next"]
    assert links(second.get_json())["first"] == used
    assert len({*ids(second), *ids(call("GET", asked))}) == 2


@pytest.mark.parametrize(
    ("type_", "name", "told"),
    [
        ("Patient", "brithdate", "did you mean birthdate?"),
        ("Patient", "famly", "did you mean family?"),
        ("Patient", "_incldue", "did you mean _include?"),
        ("Patient", "_revinclud", "did you mean _revinclude?"),
        ("Patient", "_text", "search parameters of the type"),
        ("Patient", "_content", "search parameters of the type"),
        ("Patient", "_filter", "_has"),
        ("Patient", "_query", "named queries"),
        ("Patient", "_contained", "leave it out"),
        ("Patient", "_score", "_sort"),
        ("Patient", "_maxresults", "_count"),
        ("Observation", "subject.nmae", "did you mean"),
    ],
)
def test_what_is_not_known_is_reported_or_refused_with_what_was_meant(
    call: Caller, type_: str, name: str, told: str
) -> None:
    refused = call("GET", f"/{type_}?{name}=x", Prefer="handling=strict")
    assert (refused.status_code, is_outcome(refused)) == (400, True)
    assert told in refused.text
    lenient = call("GET", f"/{type_}?{name}=x&_count=1").get_json()
    (outcome,) = [e["resource"] for e in lenient["entry"] if e["search"]["mode"] == "outcome"]
    assert told in outcome["issue"][0]["diagnostics"]
    assert links(lenient)["self"] == [("_count", "1")]


@pytest.mark.parametrize(
    ("type_", "name", "told"),
    [
        ("Patient", "_include:iterat", "did you mean iterate?"),
        ("Patient", "_sort:desc", "no modifier"),
        ("Patient", "name:exactly", ":exact"),
        ("Patient", "gender:nto", ":not"),
        ("Patient", "birthdate:not", "none but :missing"),
        ("Observation", "subject:patient.name", "the type that is meant"),
        ("Observation", "subject.name:exactly", ":exact"),
        ("Patient", "_has:Observation:patient:code:nto", ":not"),
        ("Observation", "code-value-quantity:not", "none but :missing"),
    ],
)
def test_a_modifier_that_is_not_known_is_refused_always_for_without_it_more_would_be_found(
    call: Caller, type_: str, name: str, told: str
) -> None:
    for prefer in ("handling=lenient", "handling=strict"):
        refused = call("GET", f"/{type_}?{name}=x", Prefer=prefer)
        assert (refused.status_code, is_outcome(refused)) == (400, True)
        assert told in refused.text


def test_each_kind_of_search_leaves_its_audit_row(app: Flask, call: Caller, person: Json) -> None:
    wanted = sa.select(AuditEventRow.operation, AuditEventRow.compartment, AuditEventRow.others)
    for path, operation, about in (
        ("?_tag=nobodys", "search-system", None),
        ("?_tag=t1", "search-system", person["id"]),
        (f"/Patient/{person['id']}/Observation", "search-compartment", person["id"]),
        ("/Patient?_tag=nobodys", "search-type", None),
    ):
        answer = call("GET", path)
        assert answer.status_code == 200
        with app.extensions["hie"].engine.connect() as connection:
            of_it = wanted.where(AuditEventRow.request_id == answer.headers["X-Request-Id"])
            ((done, named, others),) = connection.execute(of_it)
        assert done == operation
        assert about in (named, *(others or ()))


def test_a_search_inside_a_batch_is_a_whole_search(call: Caller, person: Json) -> None:
    urls = [
        f"Observation?patient={person['id']}&code=718-7&_include=Observation:patient&_elements=status",
        f"Observation?patient={person['id']}&_count=1&nonsense=1",
    ]
    entries = [{"request": {"method": "GET", "url": url}} for url in urls]
    answer = call("POST", "/", {"resourceType": "Bundle", "type": "batch", "entry": entries})
    first, second = (e["resource"] for e in answer.get_json()["entry"])
    assert kinds(first) == ["Observation"]
    assert kinds(first, "include") == ["Patient"]
    assert "code" in first["entry"][0]["resource"]
    assert "subject" not in first["entry"][0]["resource"]
    assert len(kinds(second)) == 1
    assert "nonsense" not in str(links(second))
    assert len(ids(call("GET", following(second)))) == 1


def following(bundle: Json) -> str:
    return str(next(k["url"] for k in bundle["link"] if k["relation"] == "next").partition("/fhir")[2])


def test_the_statement_names_the_compartment_that_is_searched(call: Caller) -> None:
    (rest,) = call("GET", "/metadata").get_json()["rest"]
    assert rest["compartment"] == ["http://hl7.org/fhir/CompartmentDefinition/patient"]
    assert "search-system" in [one["code"] for one in rest["interaction"]]


@pytest.mark.parametrize(
    "path",
    [
        "/Patient/x/AuditEvent",
        "/Patient/x/Person",
        "/Observation?_has:AuditEvent:entity:agent=x",
        "/Observation?_revinclude=AuditEvent:entity",
        "/Observation?_include:iterate=Person:link",
        "?_type=Person",
    ],
)
def test_what_is_searched_by_itself_is_not_gone_through(call: Caller, path: str) -> None:
    refused = call("GET", path, Prefer="handling=strict")
    assert (refused.status_code, is_outcome(refused)) == (400, True)


def test_a_reference_to_what_is_searched_by_itself_brings_nothing(call: Caller, person: Json) -> None:
    link = [{"other": {"reference": f"Patient/{person['id']}"}, "type": "seealso"}]
    made = created(call, patient("t5", link=link))
    asked = f"/Patient?_id={made['id']}&_include=*&_revinclude=*"
    assert kinds(call("GET", asked).get_json(), "include") == ["Patient"]


def test_persons_are_searched_by_post_too(call: Caller, person: Json) -> None:
    answer = call("POST", "/Person/_search", f"patient=Patient/{person['id']}".encode(), Content_Type=FORM)
    assert len(ids(answer)) == 1


def test_a_page_of_more_than_there_is_given_says_so(call: Caller, person: Json) -> None:
    bundle = call("GET", "/Observation?_tag=t1&_count=100000").get_json()
    assert links(bundle)["self"] == [("_tag", "t1"), ("_count", "1000")]


def test_too_many_ids_of_several_types_are_refused(call: Caller) -> None:
    many = ",".join(map(str, range(70_000)))
    refused = call("POST", "/_search", f"_id={many}".encode(), Content_Type=FORM)
    assert (refused.status_code, is_outcome(refused)) == (400, True)
