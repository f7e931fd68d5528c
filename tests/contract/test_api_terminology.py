"""The terminology's operations as a foreign client asks them, by GET and POST, at type and instance level."""

from typing import Any
from urllib.parse import urlencode

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from esb.fhir.validation import is_valid
from hie.schema import AuditEventRow, CodeSystem
from hie.terminology.kinds import BASE, KINDS, Kind
from hie.terminology.loading import load_base
from tests.hub_world import Caller, is_outcome

Json = dict[str, Any]
SPECIMENS, TUBES = "http://example.org/specimens", "http://example.org/tubes"
ICD10, LOINC, UCUM = "http://hl7.org/fhir/sid/icd-10", "http://loinc.org", "http://unitsofmeasure.org"
NATIONS = KINDS["gb3304"].url


def _concept(code: str, zh: str, en: str, *below: Json, **more: Any) -> Json:
    designation = [{"language": "en", "value": en}]
    return {"code": code, "display": zh, "designation": designation, "concept": list(below)} | more


def _without_empty(concept: Json) -> Json:
    concept["concept"] = [_without_empty(one) for one in concept["concept"]]
    return concept if concept["concept"] else {k: v for k, v in concept.items() if k != "concept"}


OLD = {"property": [{"code": "inactive", "valueBoolean": True}]}
GROUP = {"property": [{"code": "notSelectable", "valueBoolean": True}]}
CODE_SYSTEM: Json = {
    "resourceType": "CodeSystem",
    "id": "specimens",
    "url": SPECIMENS,
    "version": "2",
    "name": "Specimens",
    "status": "active",
    "content": "complete",
    "language": "zh",
    "valueSet": f"{SPECIMENS}-all",
    "concept": [
        _without_empty(
            _concept(
                "fluid", "体液", "body fluid",
                _concept("blood", "血液", "blood", _concept("serum", "血清", "serum", definition="不凝的血")),
                _concept("urine", "尿液", "urine"),
                **GROUP,
            )
        ),
        _without_empty(_concept("hair", "头发", "hair", **OLD)),
    ],
}  # fmt: skip
VALUE_SET: Json = {
    "resourceType": "ValueSet",
    "id": "bloods",
    "url": f"{SPECIMENS}-bloods",
    "name": "Bloods",
    "status": "active",
    "compose": {
        "include": [
            {"system": SPECIMENS, "filter": [{"property": "concept", "op": "is-a", "value": "blood"}]}
        ]
    },
}
CONCEPT_MAP: Json = {
    "resourceType": "ConceptMap",
    "id": "to-tubes",
    "url": f"{SPECIMENS}-to-tubes",
    "status": "active",
    "sourceUri": f"{SPECIMENS}-all",
    "targetUri": f"{TUBES}-all",
    "group": [
        {
            "source": SPECIMENS,
            "target": TUBES,
            "element": [
                {"code": "serum", "target": [{"code": "yellow", "display": "黄管", "equivalence": "wider"}]},
                {"code": "hair", "target": [{"equivalence": "unmatched", "comment": "没有采血管"}]},
            ],
        }
    ],
}


@pytest.fixture(scope="module")
def terms(app: Flask, call: Caller) -> Caller:
    """The region's client, after the committed tables and three resources were brought in."""
    with Session(app.extensions["hie"].engine) as session, session.begin():
        load_base(session)
    for resource in (CODE_SYSTEM, VALUE_SET, CONCEPT_MAP):
        answer = call("PUT", f"/{resource['resourceType']}/{resource['id']}", resource)
        assert answer.status_code == 201, answer.text
    return call


def get(call: Caller, path: str, **given: Any) -> TestResponse:
    names = {"exclude_system": "exclude-system"}
    return call("GET", f"/{path}?" + urlencode({names.get(k, k): v for k, v in given.items()}, doseq=True))


def told(answer: TestResponse, name: str) -> Any:
    """Return the value of an answered parameter, None where it is not there."""
    assert answer.status_code == 200, answer.text
    items = [item for item in answer.get_json()["parameter"] if item["name"] == name]
    return next((v for item in items for k, v in item.items() if k.startswith("value")), None)


def parts(answer: TestResponse, name: str) -> list[Json]:
    """Return each answered parameter of a name as a dict of its parts."""
    assert answer.status_code == 200, answer.text
    return [
        {part["name"]: next(v for k, v in part.items() if k.startswith("value")) for part in item["part"]}
        for item in answer.get_json()["parameter"]
        if item["name"] == name
    ]


def codes(answer: TestResponse) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [one["code"] for one in answer.get_json()["expansion"].get("contains", ())]


def parameters(*items: Json) -> Json:
    return {"resourceType": "Parameters", "parameter": list(items)}


def test_a_value_set_is_expanded_by_url_by_id_and_when_sent_along(terms: Caller):
    by_url = get(terms, "ValueSet/$expand", url=VALUE_SET["url"])
    assert codes(by_url) == ["blood", "serum"]
    assert codes(get(terms, "ValueSet/bloods/$expand")) == ["blood", "serum"]
    assert codes(terms("POST", "/ValueSet/$expand", VALUE_SET)) == ["blood", "serum"]
    sent = parameters({"name": "valueSet", "resource": VALUE_SET}, {"name": "count", "valueInteger": 1})
    page = terms("POST", "/ValueSet/$expand", sent)
    assert codes(page) == ["blood"]
    assert page.get_json()["expansion"]["total"] == 2
    first = by_url.get_json()["expansion"]["contains"][0]
    assert first == {"system": SPECIMENS, "version": "2", "code": "blood", "display": "血液"}


def test_an_expansion_answers_a_valid_value_set(terms: Caller):
    answer = get(
        terms, "ValueSet/$expand", url=VALUE_SET["url"], filter="x", count=0, includeDefinition="true"
    )
    assert is_valid(answer.get_json())
    assert answer.get_json()["compose"] == VALUE_SET["compose"]


def test_all_codes_of_a_code_system_are_a_value_set_of_their_own(terms: Caller):
    everything = get(terms, "ValueSet/$expand", url=f"{SPECIMENS}-all")
    assert codes(everything) == ["fluid", "blood", "serum", "urine", "hair"]
    flags = {one["code"]: one for one in everything.get_json()["expansion"]["contains"]}
    assert flags["fluid"]["abstract"] and flags["hair"]["inactive"]
    assert codes(get(terms, "ValueSet/$expand", url=f"{SPECIMENS}-all", activeOnly="true"))[-1] == "urine"
    assert codes(get(terms, "ValueSet/$expand", url=f"{SPECIMENS}-all", excludeNotForUI="true"))[0] == "blood"
    assert codes(get(terms, "ValueSet/$expand", url=f"{SPECIMENS}-all", exclude_system=SPECIMENS)) == []


@pytest.mark.parametrize("filter_", ["清", "血清", "xueqing", "xq", "xueq", "ser", "SERUM"])
def test_an_expansion_is_found_by_han_pinyin_initials_and_english(terms: Caller, filter_: str):
    assert codes(get(terms, "ValueSet/$expand", url=f"{SPECIMENS}-all", filter=filter_)) == ["serum"]


@pytest.mark.parametrize("filter_", ["%", "_", "'", "\\", "eru", "qing"])
def test_a_filter_finds_words_and_nothing_by_chance(terms: Caller, filter_: str):
    assert codes(get(terms, "ValueSet/$expand", url=f"{SPECIMENS}-all", filter=filter_)) == []


def test_an_expansion_is_had_in_pages_that_join_to_the_whole(terms: Caller):
    regions = {"include": [{"system": KINDS["gb2260"].url}]}
    kept = {**VALUE_SET, "id": "regions", "url": "urn:r", "compose": regions}
    assert terms("PUT", "/ValueSet/regions", kept).status_code == 201
    pages = [get(terms, "ValueSet/regions/$expand", offset=at, count=3000) for at in (0, 3000, 6000, 9000)]
    joined = [code for page in pages for code in codes(page)]
    assert {page.get_json()["expansion"]["total"] for page in pages} == {len(joined)}
    assert joined == sorted(set(joined)) and len(joined) == 7105
    assert codes(pages[3]) == []


def test_names_are_answered_in_the_language_asked_for(terms: Caller):
    def first(language: str) -> str:
        answer = get(terms, "ValueSet/$expand", url=VALUE_SET["url"], displayLanguage=language)
        return str(answer.get_json()["expansion"]["contains"][0]["display"])

    assert (first("zh-CN"), first("en"), first("fr")) == ("血液", "blood", "血液")


def test_an_expansion_too_large_for_one_answer_says_how_to_ask(terms: Caller):
    many = [{"code": f"c{number}", "display": f"第{number}"} for number in range(10_001)]
    system = {"resourceType": "CodeSystem", "id": "many", "url": "urn:many", "status": "active"}
    whole = {"content": "complete", "valueSet": "urn:many-all", "concept": many}
    assert terms("PUT", "/CodeSystem/many", system | whole).status_code == 201
    refused = get(terms, "ValueSet/$expand", url="urn:many-all")
    assert refused.status_code == 422
    assert refused.get_json()["issue"][0]["code"] == "too-costly"
    assert "count and offset" in refused.text
    assert len(codes(get(terms, "ValueSet/$expand", url="urn:many-all", count=5))) == 5


def test_a_code_of_a_value_set_is_valid_and_another_is_not(terms: Caller):
    def ask(**given: Any) -> TestResponse:
        return get(terms, "ValueSet/$validate-code", url=VALUE_SET["url"], **given)

    right = ask(system=SPECIMENS, code="serum", display="血清")
    assert told(right, "result") is True and told(right, "display") == "血清"
    assert (
        told(ask(system=SPECIMENS, code="serum", display="Serum", displayLanguage="en"), "display") == "serum"
    )
    assert told(ask(code="serum"), "result") is True
    wrong = ask(system=SPECIMENS, code="urine")
    assert told(wrong, "result") is False and "not in the value set" in told(wrong, "message")
    misnamed = ask(system=SPECIMENS, code="serum", display="尿液")
    assert told(misnamed, "result") is False and told(misnamed, "display") == "血清"


def test_an_abstract_code_is_valid_only_where_groups_are_allowed(terms: Caller):
    given = {"url": f"{SPECIMENS}-all", "system": SPECIMENS, "code": "fluid"}
    assert told(get(terms, "ValueSet/$validate-code", **given), "result") is False
    assert told(get(terms, "ValueSet/$validate-code", **given, abstract="true"), "result") is True


def test_one_right_coding_makes_a_concept_valid(terms: Caller):
    coding = [{"system": TUBES, "code": "yellow"}, {"system": SPECIMENS, "code": "serum"}]
    concept = {"name": "codeableConcept", "valueCodeableConcept": {"coding": coding}}
    asked = terms("POST", "/ValueSet/bloods/$validate-code", parameters(concept))
    assert told(asked, "result") is True
    one = {"name": "coding", "valueCoding": coding[0]}
    assert told(terms("POST", "/ValueSet/bloods/$validate-code", parameters(one)), "result") is False


def test_any_unit_of_the_grammar_is_valid_and_any_other_is_not(terms: Caller):
    def valid(code: str) -> Any:
        return told(get(terms, "CodeSystem/$validate-code", url=UCUM, code=code), "result")

    assert valid("mmol/L") is True and valid("mg/(24.h)") is True
    assert valid("mmHg") is False and valid("x10^9") is False
    units = {"url": "http://hl7.org/fhir/ValueSet/ucum-common", "system": UCUM}
    assert told(get(terms, "ValueSet/$validate-code", **units, code="ug/kg/min"), "result") is True
    assert told(get(terms, "ValueSet/$validate-code", **units, code="MMOL/L"), "result") is False


def test_a_code_of_a_code_system_is_valid_by_url_coding_and_id(terms: Caller):
    assert (
        told(get(terms, "CodeSystem/$validate-code", url=NATIONS, code="04", display="藏族"), "result")
        is True
    )
    assert told(get(terms, "CodeSystem/$validate-code", url=NATIONS, code="57"), "result") is False
    coding = parameters({"name": "coding", "valueCoding": {"system": NATIONS, "code": "01"}})
    assert told(terms("POST", "/CodeSystem/$validate-code", coding), "result") is True
    assert told(get(terms, "CodeSystem/specimens/$validate-code", code="urine"), "result") is True
    part = get(terms, "CodeSystem/$validate-code", url=LOINC, code="1-8")
    assert "part of the code system" in told(part, "message")


def test_all_that_is_known_of_a_code_is_looked_up(terms: Caller):
    answer = get(terms, "CodeSystem/$lookup", system=SPECIMENS, code="serum")
    assert (told(answer, "name"), told(answer, "version"), told(answer, "display")) == (
        "Specimens",
        "2",
        "血清",
    )
    assert {"language": "en", "value": "serum"} in parts(answer, "designation")
    properties = {one["code"]: one["value"] for one in parts(answer, "property")}
    assert properties == {"definition": "不凝的血", "inactive": False, "parent": "blood"}
    below = get(terms, "CodeSystem/$lookup", system=SPECIMENS, code="fluid", property="child")
    assert parts(below, "property") == [
        {"code": "child", "value": "blood"},
        {"code": "child", "value": "urine"},
    ]
    coding = parameters({"name": "coding", "valueCoding": {"system": LOINC, "code": "2823-3"}})
    assert told(terms("POST", "/CodeSystem/$lookup", coding), "display") == "钾"
    english = get(terms, "CodeSystem/$lookup", system=LOINC, code="2823-3", displayLanguage="en")
    assert told(english, "display").startswith("Potassium")


def test_a_unit_is_looked_up_with_what_it_is_in_base_units(terms: Caller):
    answer = get(terms, "CodeSystem/$lookup", system=UCUM, code="mm[Hg]")
    assert told(answer, "display") == "毫米汞柱"
    properties = {one["code"]: one["value"] for one in parts(answer, "property")}
    assert properties["canonical"] == "133322 g.m-1.s-2"


@pytest.mark.parametrize(
    ("one", "other", "outcome"),
    [
        ("blood", "serum", "subsumes"),
        ("serum", "fluid", "subsumed-by"),
        ("serum", "urine", "not-subsumed"),
        ("urine", "urine", "equivalent"),
    ],
)
def test_one_code_stands_to_another(terms: Caller, one: str, other: str, outcome: str):
    given = {"codeA": one, "codeB": other}
    assert told(get(terms, "CodeSystem/$subsumes", system=SPECIMENS, **given), "outcome") == outcome
    assert told(get(terms, "CodeSystem/specimens/$subsumes", **given), "outcome") == outcome
    sides = [("codingA", one), ("codingB", other)]
    sent = [{"name": name, "valueCoding": {"system": SPECIMENS, "code": code}} for name, code in sides]
    assert told(terms("POST", "/CodeSystem/$subsumes", parameters(*sent)), "outcome") == outcome


def test_a_category_of_the_icd_stands_above_codes_no_table_lists(terms: Caller):
    given = {"system": ICD10, "codeA": "I10", "codeB": "I10.x00x999"}
    assert told(get(terms, "CodeSystem/$subsumes", **given), "outcome") == "subsumes"


def test_a_code_is_translated_there_and_back(terms: Caller):
    there = get(terms, "ConceptMap/$translate", system=SPECIMENS, code="serum", targetsystem=TUBES)
    assert told(there, "result") is True
    (match,) = parts(there, "match")
    assert match["concept"] == {"system": TUBES, "code": "yellow", "display": "黄管"}
    assert (match["equivalence"], match["source"]) == ("wider", CONCEPT_MAP["url"])
    back = get(terms, "ConceptMap/to-tubes/$translate", system=TUBES, code="yellow", reverse="true")
    (match,) = parts(back, "match")
    assert (match["concept"]["code"], match["equivalence"]) == ("serum", "narrower")
    named = get(terms, "ConceptMap/$translate", url=CONCEPT_MAP["url"], system=SPECIMENS, code="serum")
    assert told(named, "result") is True
    concept = {"coding": [{"system": SPECIMENS, "code": "urine"}, {"system": SPECIMENS, "code": "serum"}]}
    sent = parameters({"name": "codeableConcept", "valueCodeableConcept": concept})
    assert told(terms("POST", "/ConceptMap/$translate", sent), "result") is True


def test_a_code_that_a_map_does_not_list_becomes_what_the_map_says(terms: Caller):
    wards = "http://example.org/wards"

    def kept(id_: str, unmapped: Json | None, **group: Any) -> str:
        target = [{"code": "yellow", "equivalence": "equivalent"}]
        elements = [{"code": "serum", "target": target}, {"code": "hair"}]
        said = {"unmapped": unmapped} if unmapped else {}
        made = {"source": wards, "target": TUBES, "element": elements} | said | group
        url = f"{wards}/{id_}"
        map_ = {"resourceType": "ConceptMap", "id": id_, "url": url, "status": "active", "group": [made]}
        assert terms("PUT", f"/ConceptMap/{id_}", map_).status_code in (200, 201)
        return url

    def answered(code: str, **more: str) -> list[Json]:
        return parts(get(terms, "ConceptMap/$translate", system=wards, code=code, **more), "match")

    fixed = kept("fixed", {"mode": "fixed", "code": "red", "display": "红管"})
    provided = kept("provided", {"mode": "provided"}, element=[{"code": "hair"}], target="urn:other")
    onwards = kept("onwards", {"mode": "other-map", "url": fixed}, element=[{"code": "hair"}])
    kept("round", {"mode": "other-map", "url": f"{wards}/round"}, source="urn:round")
    assert told(get(terms, "ConceptMap/$translate", url=fixed, system=wards, code="new"), "result") is True
    (match,) = answered("new", url=fixed)
    assert match["concept"] == {"system": TUBES, "code": "red", "display": "红管"}
    assert (match["equivalence"], match["source"]) == ("relatedto", fixed)
    (match,) = answered("new", url=provided)
    assert match["concept"] == {"system": "urn:other", "code": "new"}
    for code, target in (("new", "red"), ("serum", "yellow")):
        (match,) = answered(code, url=onwards)
        assert (match["concept"]["code"], match["source"]) == (target, fixed)
    assert [one["concept"]["code"] for one in answered("serum", url=fixed)] == ["yellow"]
    assert [one["equivalence"] for one in answered("hair", url=fixed)] == ["unmatched"]
    assert [one["concept"]["code"] for one in answered("serum")] == ["yellow"]
    assert {one["concept"]["code"] for one in answered("new")} == {"red", "new"}
    assert [one["concept"]["code"] for one in answered("new", targetsystem="urn:other")] == ["new"]
    assert parts(get(terms, "ConceptMap/$translate", system="urn:round", code="new"), "match") == []
    for id_ in ("fixed", "provided", "onwards", "round"):
        assert terms("DELETE", f"/ConceptMap/{id_}").status_code == 204


def test_a_code_without_a_translation_says_so(terms: Caller):
    none = get(terms, "ConceptMap/$translate", system=SPECIMENS, code="urine")
    assert told(none, "result") is False and "work list" in told(none, "message")
    unmatched = get(terms, "ConceptMap/$translate", system=SPECIMENS, code="hair")
    assert told(unmatched, "result") is False
    assert parts(unmatched, "match")[0]["equivalence"] == "unmatched"
    elsewhere = get(terms, "ConceptMap/$translate", system=SPECIMENS, code="serum", target="urn:other")
    assert parts(elsewhere, "match") == []


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("ValueSet/$expand", 400, "Name one value set"),
        ("ValueSet/$expand?url=urn:none", 422, "not known here"),
        ("ValueSet/none/$expand", 404, "nothing here"),
        ("ValueSet/$expand?url=urn:none&count=-1", 400, "count is no integer"),
        ("ValueSet/$expand?url=urn:none&colour=red", 400, "no such parameter"),
        ("CodeSystem/$lookup?code=1", 400, "system and code"),
        ("CodeSystem/$lookup?system=urn:none&code=1", 422, "not known here"),
        (f"CodeSystem/$lookup?system={SPECIMENS}&code=none", 422, "does not have this code"),
        (f"CodeSystem/$lookup?system={SPECIMENS}&version=1&code=serum", 422, "not in this version"),
        (f"CodeSystem/$subsumes?system={SPECIMENS}&codeA=serum", 400, "codeB"),
        (f"CodeSystem/$subsumes?system={SPECIMENS}&codeA=serum&codeB=none", 422, "does not have this code"),
        ("CodeSystem/$validate-code?url=urn:none&code=1", 422, "not known here"),
        ("ValueSet/bloods/$validate-code", 400, "in one way"),
        ("ConceptMap/$translate?code=1", 400, "what to translate"),
        ("ConceptMap/$translate?url=urn:none&system=a&code=1", 422, "not known here"),
        ("ConceptMap/none/$translate?system=a&code=1", 404, "nothing here"),
    ],
)
def test_a_wrong_question_is_refused_with_what_to_do(terms: Caller, path: str, status: int, text: str):
    answer = terms("GET", f"/{path}")
    assert answer.status_code == status, answer.text
    assert is_outcome(answer)
    assert text in answer.text


@pytest.mark.parametrize("kind", BASE, ids=lambda kind: kind.name)
def test_every_table_names_a_value_set_of_all_its_codes(app: Flask, terms: Caller, kind: Kind):
    with Session(app.extensions["hie"].engine) as session:
        system = session.scalars(
            sa.select(CodeSystem).where(CodeSystem.url == kind.url, CodeSystem.is_current)
        ).one()
        named, size = system.value_set, system.concepts
    assert named
    expansion = get(terms, "ValueSet/$expand", url=named, count="3").get_json()["expansion"]
    assert (expansion["total"], len(expansion["contains"])) == (size, 3)
    assert {one["system"] for one in expansion["contains"]} == {kind.url}


def test_a_deleted_value_set_is_no_longer_expanded(terms: Caller):
    short = VALUE_SET | {"id": "short", "url": "urn:short"}
    assert terms("PUT", "/ValueSet/short", short).status_code == 201
    assert get(terms, "ValueSet/$expand", url="urn:short").status_code == 200
    assert terms("DELETE", "/ValueSet/short").status_code == 204
    assert get(terms, "ValueSet/$expand", url="urn:short").status_code == 422


def test_a_patched_value_set_is_expanded_as_it_is_now(terms: Caller):
    assert (
        terms("PUT", "/ValueSet/patched", VALUE_SET | {"id": "patched", "url": "urn:patched"}).status_code
        == 201
    )
    change = [{"op": "replace", "path": "/compose/include/0/filter/0/value", "value": "urine"}]
    patched = terms("PATCH", "/ValueSet/patched", change, Content_Type="application/json-patch+json")
    assert patched.status_code == 200, patched.text
    assert codes(get(terms, "ValueSet/patched/$expand")) == ["urine"]


def test_what_a_hospital_defines_under_the_regions_names_changes_nothing(terms: Caller, h01: Caller):
    stolen = CODE_SYSTEM | {"id": "stolen", "version": "9", "concept": [{"code": "x", "display": "x"}]}
    assert h01("PUT", "/CodeSystem/stolen", stolen).status_code == 201
    assert codes(get(terms, "ValueSet/bloods/$expand")) == ["blood", "serum"]


def test_who_may_not_read_terminology_is_refused(app: Flask, terms: Caller):
    reader = Caller(app, "reader")
    for path in ("ValueSet/bloods/$expand", f"CodeSystem/$lookup?system={SPECIMENS}&code=serum"):
        assert reader("GET", f"/{path}").status_code == 403


def test_each_question_leaves_one_audit_row(app: Flask, terms: Caller):
    def rows() -> list[tuple[str, str | None]]:
        with Session(app.extensions["hie"].engine) as session:
            wanted = sa.select(AuditEventRow.operation, AuditEventRow.resource_type).order_by(
                AuditEventRow.id
            )
            return [(operation, type_) for operation, type_ in session.execute(wanted)]

    before = len(rows())
    get(terms, "ValueSet/bloods/$expand")
    get(terms, "CodeSystem/$lookup", system=SPECIMENS, code="serum")
    get(terms, "CodeSystem/$subsumes", system=SPECIMENS, codeA="serum", codeB="urine")
    get(terms, "ValueSet/bloods/$validate-code", code="serum")
    get(terms, "ConceptMap/$translate", system=SPECIMENS, code="serum")
    assert rows()[before:] == [
        ("$expand", "ValueSet"),
        ("$lookup", "CodeSystem"),
        ("$subsumes", "CodeSystem"),
        ("$validate-code", "ValueSet"),
        ("$translate", "ConceptMap"),
    ]


def test_a_search_follows_the_value_sets_and_the_hierarchy(terms: Caller):
    patient = terms("POST", "/Patient", {"resourceType": "Patient"}).get_json()["id"]
    subject = {"reference": f"Patient/{patient}"}
    for id_, code in (("in-serum", "serum"), ("in-urine", "urine")):
        coding = [{"system": SPECIMENS, "code": code}]
        stored = {"resourceType": "Specimen", "id": id_, "subject": subject, "type": {"coding": coding}}
        assert terms("PUT", f"/Specimen/{id_}", stored).status_code == 201

    def found(parameter: str, value: str) -> list[str]:
        answer = terms("GET", "/Specimen?" + urlencode({parameter: value}))
        assert answer.status_code == 200, answer.text
        return sorted(one["resource"]["id"] for one in answer.get_json().get("entry", ()))

    assert found("type:in", VALUE_SET["url"]) == ["in-serum"]
    assert found("type:not-in", VALUE_SET["url"]) == ["in-urine"]
    assert found("type:below", f"{SPECIMENS}|fluid") == ["in-serum", "in-urine"]
    assert found("type:below", f"{SPECIMENS}|blood") == ["in-serum"]
    unknown = terms("GET", "/Specimen?" + urlencode({"type:in": "urn:none"}))
    assert unknown.status_code == 422 and is_outcome(unknown)


REGIONAL: Json = {
    "resourceType": "CodeSystem",
    "id": "regional",
    "url": "http://example.org/regional",
    "status": "active",
    "content": "complete",
    "language": "zh",
    "concept": [
        {
            "code": "a",
            "display": "出租车",
            "designation": [
                {"language": "zh-TW", "value": "計程車"},
                {"language": "en-GB", "value": "cab"},
                {"language": "en", "value": "taxi"},
            ],
        }
    ],
}


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("zh", "出租车"),
        ("zh-CN", "出租车"),
        ("zh-TW", "計程車"),
        ("en", "taxi"),
        ("en-GB", "cab"),
        ("fr", "出租车"),
    ],
)
def test_a_region_of_a_language_never_takes_the_place_of_the_language(
    terms: Caller, language: str, expected: str
):
    assert terms("PUT", "/CodeSystem/regional", REGIONAL).status_code in (200, 201)
    asked = {"system": REGIONAL["url"], "code": "a", "displayLanguage": language}
    assert told(get(terms, "CodeSystem/$lookup", **asked), "display") == expected
    whole = get(terms, "ValueSet/$expand", url=f"{REGIONAL['url']}?fhir_vs", displayLanguage=language)
    shown = whole.get_json()["expansion"]["contains"][0]["display"]
    assert shown == {"zh-TW": "出租车", "en-GB": "taxi"}.get(language, expected)


def test_the_words_that_a_value_set_gives_its_codes_are_shown(terms: Caller):
    listed = {"code": "x", "display": "甲", "designation": [{"language": "en", "value": "first"}]}
    compose = {"include": [{"system": "urn:not-here", "concept": [listed]}]}
    sent = {"resourceType": "ValueSet", "status": "active", "compose": compose}
    items = [{"name": "valueSet", "resource": sent}, {"name": "displayLanguage", "valueCode": "en"}]
    answer = terms("POST", "/ValueSet/$expand", {"resourceType": "Parameters", "parameter": items})
    assert [one["display"] for one in answer.get_json()["expansion"]["contains"]] == ["first"]


def test_a_supplement_is_no_code_system_of_its_own(terms: Caller):
    supplement: Json = {"resourceType": "CodeSystem", "id": "more", "url": "urn:more", "status": "active"}
    supplement |= {"content": "supplement", "supplements": SPECIMENS, "concept": [{"code": "blood"}]}
    assert terms("PUT", "/CodeSystem/more", supplement).status_code == 201
    answer = get(terms, "ValueSet/$expand", url="urn:more?fhir_vs")
    assert answer.status_code == 422 and is_outcome(answer)


def test_a_code_system_that_minds_no_case_does_not_in_value_sets_either(terms: Caller):
    system: Json = {"resourceType": "CodeSystem", "id": "loose", "url": "urn:loose", "status": "active"}
    system |= {"content": "complete", "caseSensitive": False, "version": "1", "concept": [{"code": "Alpha"}]}
    assert terms("PUT", "/CodeSystem/loose", system).status_code in (200, 201)
    for code, expected in (("alpha", True), ("ALPHA", True), ("beta", False)):
        asked = {"url": "urn:loose?fhir_vs", "system": "urn:loose", "code": code}
        assert told(get(terms, "ValueSet/$validate-code", **asked), "result") is expected


@pytest.mark.parametrize(("excluded", "left"), [("urn:loose", 0), ("urn:loose|1", 0), ("urn:loose|2", 1)])
def test_a_version_of_a_code_system_can_be_left_out(terms: Caller, excluded: str, left: int):
    system: Json = {"resourceType": "CodeSystem", "id": "loose", "url": "urn:loose", "status": "active"}
    system |= {"content": "complete", "caseSensitive": False, "version": "1", "concept": [{"code": "Alpha"}]}
    assert terms("PUT", "/CodeSystem/loose", system).status_code in (200, 201)
    answer = get(terms, "ValueSet/$expand", url="urn:loose?fhir_vs", exclude_system=excluded)
    assert answer.get_json()["expansion"]["total"] == left
