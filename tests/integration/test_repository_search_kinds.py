"""Search by kind and modifier: codes, texts, URLs, references, composites, places, what is missing."""

from typing import Any

import pytest
from sqlalchemy.orm import Session

from hie.errors import HieError, NotSupported, NotValid
from hie.repository import matching
from hie.terminology.feeding import feed
from tests.integration.search_world import LOINC, UCUM, ids, keep, observation, quantity

ACT = "http://terminology.hl7.org/CodeSystem/v2-0203"
ICD10 = "http://hl7.org/fhir/sid/icd-10"
PRESSURE = "urn:hie:vs:pressure"


def concept(system: str, code: str, display: str = "", **more: Any) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code} | ({"display": display} if display else {})]} | more


def condition(id_: str, code: str, display: str) -> dict[str, Any]:
    return {
        "resourceType": "Condition",
        "id": id_,
        "subject": {"reference": "Patient/p1"},
        "code": concept(ICD10, code, display),
    }


@pytest.fixture
def codes(session: Session) -> Session:
    keep(
        session,
        condition("i10", "I10", "特发性高血压"),
        condition("i15", "I15.0", "肾血管性高血压"),
        condition("e11", "E11.9", "2型糖尿病"),
        {
            "resourceType": "Condition",
            "id": "told",
            "subject": {"reference": "Patient/p1"},
            "code": {"text": "Essential Hypertension"},
        },
        {"resourceType": "Condition", "id": "none", "subject": {"reference": "Patient/p1"}},
    )
    listed = {
        "url": ICD10,
        "content": "complete",
        "concept": [{"code": "I10"}, {"code": "I15", "concept": [{"code": "I15.0"}]}, {"code": "E11"}],
    }
    feed(session, "CodeSystem", "icd", {"resourceType": "CodeSystem", "status": "active"} | listed, None)
    pressure = {"include": [{"system": ICD10, "concept": [{"code": "I10"}, {"code": "I15.0"}]}]}
    value_set = {"resourceType": "ValueSet", "status": "active", "url": PRESSURE, "compose": pressure}
    feed(session, "ValueSet", "pressure", value_set, None)
    genders = {
        "include": [{"system": "http://hl7.org/fhir/administrative-gender", "concept": [{"code": "male"}]}]
    }
    value_set = {"resourceType": "ValueSet", "status": "active", "url": "urn:hie:vs:men", "compose": genders}
    feed(session, "ValueSet", "men", value_set, None)
    return session


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("code:text", "特发性", {"i10"}),
        ("code:text", "essential hyper", {"told"}),
        ("code:text", "2型,ESSENTIAL", {"e11", "told"}),
        ("code:text", "高血压", set()),
        ("code:not", "I10", {"i15", "e11", "told", "none"}),
        ("code:not", f"{ICD10}|I10,{ICD10}|E11.9", {"i15", "told", "none"}),
        ("code:in", PRESSURE, {"i10", "i15"}),
        ("code:not-in", PRESSURE, {"e11", "told", "none"}),
        ("code:below", f"{ICD10}|I10", {"i10"}),
        ("code:below", f"{ICD10}|I15,{ICD10}|E11", {"i15"}),
        ("code:below", "urn:other|I15", set()),
        ("code:above", f"{ICD10}|I15.000", {"i15"}),
        ("code:missing", "true", {"none"}),
        ("code:missing", "false", {"i10", "i15", "e11", "told"}),
    ],
)
def test_a_code_is_found_by(codes: Session, name: str, value: str, expected: set[str]) -> None:
    assert ids(codes, "Condition", (name, value)) == expected


def test_a_code_without_a_stated_system_is_found_in_a_value_set_too(codes: Session) -> None:
    keep(codes, {"resourceType": "Patient", "id": "m", "gender": "male"})
    keep(codes, {"resourceType": "Patient", "id": "f", "gender": "female"})
    assert ids(codes, "Patient", ("gender:in", "urn:hie:vs:men")) == {"m"}
    assert ids(codes, "Patient", ("gender:not-in", "urn:hie:vs:men")) == {"f"}


def test_a_value_set_that_is_not_known_is_refused(codes: Session) -> None:
    with pytest.raises(HieError) as refused:
        ids(codes, "Condition", ("code:in", "urn:nobody"))
    assert refused.value.http == 422


def test_a_place_in_a_code_system_is_asked_for_with_the_system(codes: Session) -> None:
    with pytest.raises(NotValid):
        ids(codes, "Condition", ("code:below", "I10"))


def test_many_different_texts_are_found_like_few(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"one": "Robertson", "two": "Robinson", "three": "Gibson", "four": "Smith"}
    for id_, name in names.items():
        keep(session, {"resourceType": "Patient", "id": id_, "name": [{"family": name}]})
    few = ids(session, "Patient", ("family:contains", "son"))
    monkeypatch.setattr(matching, "MOST_TEXTS", 2)
    assert ids(session, "Patient", ("family:contains", "son")) == few == {"one", "two", "three"}
    assert ids(session, "Patient", ("family:contains", "son"), ("_id", "two")) == {"two"}


@pytest.mark.parametrize("modifier", ["exact", "contains", "identifier", "nonsense", "Patient"])
def test_a_modifier_that_a_code_does_not_have_is_refused(codes: Session, modifier: str) -> None:
    with pytest.raises(NotSupported):
        ids(codes, "Condition", (f"code:{modifier}", "I10"))


def test_an_identifier_is_found_by_its_type(session: Session) -> None:
    medical_record = {"type": concept(ACT, "MR"), "system": "urn:a", "value": "42"}
    insurance = {"type": concept(ACT, "SB"), "system": "urn:b", "value": "42"}
    keep(
        session,
        {"resourceType": "Patient", "id": "a", "identifier": [medical_record]},
        {"resourceType": "Patient", "id": "b", "identifier": [insurance]},
    )
    assert ids(session, "Patient", ("identifier:of-type", f"{ACT}|MR|42")) == {"a"}
    assert ids(session, "Patient", ("identifier:of-type", f"{ACT}|MR|43")) == set()
    with pytest.raises(NotValid):
        ids(session, "Patient", ("identifier:of-type", "42"))
    with pytest.raises(NotSupported):
        ids(session, "Patient", ("gender:of-type", f"{ACT}|MR|42"))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("family:contains", "MITH", {"smith", "smithson"}),
        ("family:contains", "son", {"smithson"}),
        ("family:contains", "阳", {"ouyang"}),
        ("family:contains", "%a", set()),
        ("family:contains", "_mith", set()),
        ("family:exact", "Smith", {"smith"}),
        ("family:exact", "smith", set()),
        ("family", "mith", set()),
        ("address:contains", "人民路", {"ouyang"}),
        ("name:missing", "true", {"nobody"}),
        ("phone:missing", "false", {"smith"}),
        ("phone:missing", "true", {"smithson", "ouyang", "nobody"}),
        ("deceased:missing", "false", {"smithson"}),
        ("email:missing", "true", {"smith", "smithson", "ouyang", "nobody"}),
    ],
)
def test_a_text_is_found_by(session: Session, name: str, value: str, expected: set[str]) -> None:
    people = {"smith": "Smith", "smithson": "Smithson", "ouyang": "欧阳"}
    more: dict[str, dict[str, Any]] = {
        "smith": {"telecom": [{"system": "phone", "value": "1"}]},
        "smithson": {"deceasedBoolean": False},
        "ouyang": {"address": [{"text": "上海市黄浦区人民路 1 号"}]},
    }
    keep(
        session,
        {"resourceType": "Patient", "id": "nobody"},
        *(
            {"resourceType": "Patient", "id": id_, "name": [{"family": family}]} | more[id_]
            for id_, family in people.items()
        ),
    )
    assert ids(session, "Patient", (name, value)) == expected


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("url", "http://a.example/fhir/ValueSet/1", {"one"}),
        ("url", "http://a.example/fhir/ValueSet", set()),
        ("url:below", "http://a.example/fhir/", {"one", "two"}),
        ("url:below", "http://a.example/fhir/ValueSet/1", {"one"}),
        ("url:below", "http://a.example/fh", set()),
        ("url:above", "http://a.example/fhir/ValueSet/1/_history/5", {"one"}),
        ("url:above", "http://a.example/fhir", set()),
        ("url:missing", "true", {"three"}),
        ("_profile", "http://p.example/p", {"one", "two"}),
        ("_profile", "http://p.example/p|1", {"one"}),
        ("_profile", "http://p.example/p|2", set()),
        ("_tag", "urn:t|x", {"one"}),
        ("_security:not", "R", {"one", "three"}),
        ("_source", "urn:hie:H01", {"two"}),
        ("_source:missing", "false", {"two"}),
    ],
)
def test_a_resource_is_found_by_a_uri(session: Session, name: str, value: str, expected: set[str]) -> None:
    metas: dict[str, dict[str, Any]] = {
        "one": {"profile": ["http://p.example/p|1"], "tag": [{"system": "urn:t", "code": "x"}]},
        "two": {"profile": ["http://p.example/p"], "security": [{"code": "R"}], "source": "urn:hie:H01"},
    }
    urls = {"one": "http://a.example/fhir/ValueSet/1", "two": "http://a.example/fhir/ValueSet/2"}
    for id_ in ("one", "two", "three"):
        url = {"url": urls[id_]} if id_ in urls else {}
        meta = {"meta": metas[id_]} if id_ in metas else {}
        keep(session, {"resourceType": "ValueSet", "id": id_, "status": "active"} | url | meta)
    assert ids(session, "ValueSet", (name, value)) == expected


def test_only_urls_have_something_above_and_below_them(session: Session) -> None:
    with pytest.raises(NotValid):
        ids(session, "ValueSet", ("url:below", "urn:oid:1.2.3"))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("performer", "Practitioner/d", {"here", "versioned"}),
        ("performer", "d", {"here", "versioned"}),
        ("performer:Practitioner", "d", {"here", "versioned"}),
        ("performer:Organization", "d", set()),
        ("performer", "Practitioner/d/_history/2", {"here", "versioned"}),
        ("performer", "http://far.example/fhir/Practitioner/d", {"here", "versioned", "far"}),
        ("performer:identifier", "urn:staff|77", {"known"}),
        ("performer:identifier", "urn:staff|78", set()),
        ("performer:missing", "true", {"nobody"}),
        ("patient:missing", "true", {"group"}),
        ("subject:missing", "true", set()),
    ],
)
def test_a_reference_is_found_by(session: Session, name: str, value: str, expected: set[str]) -> None:
    performers: dict[str, dict[str, Any]] = {
        "here": {"reference": "Practitioner/d"},
        "versioned": {"reference": "Practitioner/d/_history/1"},
        "far": {"reference": "http://far.example/fhir/Practitioner/d"},
        "known": {"identifier": {"system": "urn:staff", "value": "77"}},
    }
    keep(session, *(observation(id_, "a", performer=[p]) for id_, p in performers.items()))
    keep(session, observation("nobody", "a"))
    other = {"subject": {"reference": "Group/g"}, "performer": [{"reference": "Organization/o"}]}
    keep(session, observation("group", "a", **other))
    assert ids(session, "Observation", (name, value)) == expected


@pytest.mark.parametrize("modifier", ["above", "below", "exact"])
def test_references_have_no_hierarchy(session: Session, modifier: str) -> None:
    with pytest.raises(NotSupported):
        ids(session, "Observation", (f"performer:{modifier}", "Practitioner/d"))


def test_a_canonical_reference_is_found_with_and_without_its_version(session: Session) -> None:
    keep(
        session,
        {
            "resourceType": "QuestionnaireResponse",
            "id": "r",
            "status": "completed",
            "questionnaire": "http://q.example/q|2",
        },
    )
    for value, found in (("http://q.example/q", {"r"}), ("http://q.example/q|2", {"r"})):
        assert ids(session, "QuestionnaireResponse", ("questionnaire", value)) == found
    assert ids(session, "QuestionnaireResponse", ("questionnaire", "http://q.example/q|3")) == set()


def component(code: str, **more: Any) -> dict[str, Any]:
    return {"code": concept(LOINC, code)} | more


@pytest.fixture
def pressures(session: Session) -> Session:
    def pressure(id_: str, upper: int, lower: int) -> dict[str, Any]:
        return observation(
            id_,
            "85354-9",
            component=[
                component("8480-6", valueQuantity=quantity(upper, "mm[Hg]")),
                component("8462-4", valueQuantity=quantity(lower, "mm[Hg]")),
            ],
        )

    keep(
        session,
        pressure("high", 180, 90),
        pressure("low", 90, 60),
        observation("hb", "718-7", valueQuantity=quantity(95, "g/L")),
        observation("blood", "882-1", valueCodeableConcept=concept("urn:bg", "A")),
        observation("note", "8251-1", valueString="Slightly haemolytic"),
        observation("when", "11778-8", valueDateTime="2026-09-01"),
        observation(
            "panel",
            "50556-0",
            component=[
                component("5799-2", valueCodeableConcept=concept("urn:y", "neg")),
                component("5802-4", valueCodeableConcept=concept("urn:y", "pos")),
            ],
        ),
    )
    return session


HG = f"{UCUM}|mm[Hg]"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("component-code-value-quantity", f"{LOINC}|8480-6$gt140|{HG}", {"high"}),
        ("component-code-value-quantity", f"8480-6$gt18|{UCUM}|kPa", {"high"}),
        ("component-code-value-quantity", f"8480-6$60|{HG}", set()),
        ("component-code-value-quantity", f"8462-4$60|{HG}", {"low"}),
        ("component-code-value-quantity", f"urn:other|8480-6$gt140|{HG}", set()),
        ("component-code-value-quantity", "718-7$95", set()),
        ("code-value-quantity", f"718-7$lt100|{UCUM}|g/L", {"hb"}),
        ("code-value-quantity", f"718-7$9.5|{UCUM}|g/dL", {"hb"}),
        ("code-value-quantity", f"{LOINC}|718-7$gt100", set()),
        ("code-value-quantity", f"{LOINC}|$gt90", {"hb"}),
        ("code-value-quantity", "8480-6$gt1", set()),
        ("combo-code-value-quantity", "718-7$95,8480-6$180", {"hb", "high"}),
        ("code-value-concept", "882-1$urn:bg|A", {"blood"}),
        ("code-value-concept", "882-1$urn:bg|B", set()),
        ("component-code-value-concept", "5799-2$neg", {"panel"}),
        ("component-code-value-concept", "5799-2$pos", set()),
        ("component-code-value-concept", f"{LOINC}|5802-4$urn:y|pos", {"panel"}),
        ("component-code-value-concept", f"{LOINC}|5802-4$urn:y|", {"panel"}),
        ("combo-code-value-concept", "882-1$A,5802-4$pos", {"blood", "panel"}),
        ("code-value-string", "8251-1$slightly", {"note"}),
        ("code-value-string", "8251-1$haem", set()),
        ("code-value-date", "11778-8$ge2026-08", {"when"}),
        ("code-value-date", "11778-8$lt2026-08", set()),
        ("code-value-quantity:missing", "false", {"hb"}),
        ("component-code-value-quantity:missing", "false", {"high", "low"}),
        ("code-value-date:missing", "false", {"when"}),
    ],
)
def test_a_pair_is_found_by(pressures: Session, name: str, value: str, expected: set[str]) -> None:
    assert ids(pressures, "Observation", (name, value)) == expected


@pytest.mark.parametrize("value", ["718-7", "718-7$1$2", "718-7$abc", "$5"])
def test_a_pair_has_all_its_parts(pressures: Session, value: str) -> None:
    with pytest.raises(NotValid):
        ids(pressures, "Observation", ("code-value-quantity", value))


def test_pairs_of_other_types_are_found(session: Session) -> None:
    keep(
        session,
        {
            "resourceType": "DocumentReference",
            "id": "d",
            "status": "current",
            "content": [{"attachment": {"title": "x"}}],
            "relatesTo": [
                {"code": "replaces", "target": {"reference": "DocumentReference/old"}},
                {"code": "signs", "target": {"reference": "DocumentReference/other"}},
            ],
        },
        {
            "resourceType": "MolecularSequence",
            "id": "m",
            "coordinateSystem": 0,
            "referenceSeq": {"chromosome": concept("urn:c", "7"), "windowStart": 1, "windowEnd": 99},
            "variant": [{"start": 10, "end": 20}, {"start": 50, "end": 60}],
        },
        {
            "resourceType": "Group",
            "id": "g",
            "type": "person",
            "actual": True,
            "characteristic": [
                {"code": concept("urn:g", "smoker"), "valueBoolean": True, "exclude": False},
                {"code": concept("urn:g", "diabetic"), "valueBoolean": False, "exclude": False},
            ],
        },
    )
    for value, found in (
        ("DocumentReference/old$replaces", {"d"}),
        ("old$replaces", {"d"}),
        ("old$signs", set()),
    ):
        assert ids(session, "DocumentReference", ("relationship", value)) == found
    for value, found in (
        ("7$10$20", {"m"}),
        ("urn:c|7$ge40$le60", {"m"}),
        ("7$10$60", set()),
        ("8$10$20", set()),
    ):
        assert ids(session, "MolecularSequence", ("chromosome-variant-coordinate", value)) == found
    assert ids(session, "MolecularSequence", ("chromosome-window-coordinate", "7$1$99")) == {"m"}
    for value, found in (("smoker$true", {"g"}), ("diabetic$true", set()), ("urn:g|diabetic$false", {"g"})):
        assert ids(session, "Group", ("characteristic-value", value)) == found


def test_a_document_is_found_by_its_composition(session: Session) -> None:
    composition = {
        "resourceType": "Composition",
        "id": "c",
        "status": "final",
        "type": {"text": "x"},
        "date": "2026",
        "author": [{"reference": "Practitioner/d"}],
        "title": "x",
    }
    keep(
        session,
        {
            "resourceType": "Bundle",
            "id": "b",
            "type": "document",
            "identifier": {"system": "urn:b", "value": "1"},
            "timestamp": "2026-01-01T00:00:00Z",
            "entry": [{"resource": composition}, {"resource": {"resourceType": "Patient", "id": "p"}}],
        },
    )
    assert ids(session, "Bundle", ("composition", "Composition/c")) == {"b"}
    assert ids(session, "Bundle", ("composition", "Composition/d")) == set()


def test_a_place_is_found_near_another(session: Session) -> None:
    places = {"bund": (31.2400, 121.4900), "suzhou": (31.2990, 120.5853), "nowhere": None}
    for id_, at in places.items():
        position = {"position": {"latitude": at[0], "longitude": at[1]}} if at else {}
        keep(session, {"resourceType": "Location", "id": id_} | position)
    for value, found in (
        ("31.23|121.47|5|km", {"bund"}),
        ("31.23|121.47|5000|m", {"bund"}),
        ("31.23|121.47|1|km", set()),
        ("31.23|121.47|100", {"bund", "suzhou"}),
        ("31.23|121.47", {"bund"}),
        ("-31.23|-58.5|100|km", set()),
    ):
        assert ids(session, "Location", ("near", value)) == found, value
    assert ids(session, "Location", ("near:missing", "true")) == {"nowhere"}
    for value in ("95|0", "a|b", "31", "1|1|-5|km", "1|1|5|parsec"):
        with pytest.raises(NotValid):
            ids(session, "Location", ("near", value))
