"""FHIRPath Patch on single resources: each operation, each function of a path, and what is refused."""

import json
from typing import Any

import pytest

from esb.errors import HieError
from esb.fhir import lexemes
from esb.fhir.validation import is_valid
from hie.errors import TooLarge
from hie.repository.element_paths import WrongPath, find, parse
from hie.repository.patching import patched

Json = dict[str, Any]
NOTE: Json = {"extension": [{"url": "urn:note", "valueCode": "n"}]}
PATIENT: Json = {
    "resourceType": "Patient",
    "id": "p",
    "extension": [
        {"url": "urn:a", "valueString": "x"},
        {"url": "urn:b", "extension": [{"url": "urn:c", "valueCode": "y"}]},
    ],
    "identifier": [
        {"system": "urn:one", "value": "1"},
        {"system": "urn:two", "use": "official", "value": "2"},
    ],
    "active": True,
    "name": [{"family": "王", "given": ["芳", "二", "三"], "_given": [None, NOTE, None]}],
    "birthDate": "1980-01-02",
    "_birthDate": NOTE,
    "contact": [{"name": {"text": "李"}}, {"name": {"text": "张"}}],
}


def operation(kind: str, path: str, **more: Any) -> Json:
    parts: list[Json] = [{"name": "type", "valueCode": kind}, {"name": "path", "valueString": path}]
    for name, value in more.items():
        if name == "name":
            parts.append({"name": name, "valueString": value})
        elif name in ("index", "source", "destination"):
            parts.append({"name": name, "valueInteger": value})
        elif isinstance(value, list):
            parts.append({"name": "value", "part": value})
        else:
            parts.append({"name": "value"} | value)
    return {"name": "operation", "part": parts}


def after(resource: Json, *operations: Json) -> Json:
    patch = {"resourceType": "Parameters", "parameter": list(operations)}
    assert is_valid(patch)
    result = patched(json.dumps(resource).encode(), patch)
    assert is_valid(result), result
    return result


SHORT: Json = {"resourceType": "Patient", "name": [{"given": ["a", "b", "c"], "_given": [NOTE]}]}


@pytest.mark.parametrize(
    ("change", "given", "beside"),
    [
        (operation("delete", "Patient.name[0].given[1]"), ["a", "c"], [NOTE, None]),
        (operation("delete", "Patient.name[0].given[0]"), ["b", "c"], None),
        (operation("replace", "Patient.name[0].given[0]", value={"valueString": "x"}), ["x", "b", "c"], None),
        (
            operation("move", "Patient.name[0].given", source=0, destination=2),
            ["b", "c", "a"],
            [None, None, NOTE],
        ),
        (
            operation("move", "Patient.name[0].given", source=2, destination=1),
            ["a", "c", "b"],
            [NOTE, None, None],
        ),
        (
            operation("insert", "Patient.name[0].given", index=0, value={"valueString": "x"}),
            ["x", "a", "b", "c"],
            [None, NOTE, None, None],
        ),
    ],
)
def test_what_stands_beside_a_list_stays_beside_its_item(change: Json, given: Any, beside: Any) -> None:
    (name,) = after(SHORT, change)["name"]
    assert (name["given"], name.get("_given")) == (given, beside)


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("Patient.birthDate", ["1980-01-02"]),
        ("Patient.name.given", ["芳", "二", "三"]),
        ("Patient.name[0].given[1]", ["二"]),
        ("Patient.name.given.first()", ["芳"]),
        ("Patient.name.given.last()", ["三"]),
        ("Patient.identifier.where(system = 'urn:two').value", ["2"]),
        ("Patient.identifier.where(system='urn:two' and use='official').value", ["2"]),
        ("Patient.identifier.where(system = 'urn:one' and use = 'official')", []),
        ("Patient.contact.where(name.text = '张').name.text", ["张"]),
        ("Patient.extension('urn:a').value", ["x"]),
        ("Patient.extension('urn:b').extension('urn:c').value", ["y"]),
        ("Patient.where(active = true).birthDate", ["1980-01-02"]),
        ("Patient.name.single().family", ["王"]),
        ("Patient.name[7]", []),
    ],
)
def test_a_path_leads_to_elements(path: str, values: list[str]) -> None:
    assert [one.value for one in find(PATIENT, parse(path, "path"))] == values


def test_a_choice_is_found_by_its_stem_and_by_its_type() -> None:
    resource = lexemes.loads(
        b'{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":1.50}}'
    )
    assert [one.place for one in find(resource, parse("Observation.value", "path"))] == [("valueQuantity",)]
    path = parse("Observation.value.ofType(Quantity).value", "path")
    assert [str(one.value) for one in find(resource, path)] == ["1.50"]
    assert find(resource, parse("Observation.value.ofType(string)", "path")) == []


def test_add_sets_an_element_and_appends_to_a_list() -> None:
    result = after(
        PATIENT,
        operation("add", "Patient", name="gender", value={"valueCode": "female"}),
        operation("add", "Patient", name="deceased", value={"valueBoolean": False}),
        operation("add", "Patient.name[0]", name="given", value={"valueString": "四"}),
        operation(
            "add", "Patient", name="telecom", value={"valueContactPoint": {"system": "phone", "value": "1"}}
        ),
    )
    assert (result["gender"], result["deceasedBoolean"]) == ("female", False)
    assert result["name"][0]["given"] == ["芳", "二", "三", "四"]
    assert result["name"][0]["_given"] == [None, NOTE, None, None]
    assert result["telecom"] == [{"system": "phone", "value": "1"}]


def test_add_takes_a_backbone_element_in_parts() -> None:
    parts = [
        {"name": "name", "valueHumanName": {"text": "赵"}},
        {"name": "relationship", "valueCodeableConcept": {"text": "wife"}},
        {"name": "relationship", "valueCodeableConcept": {"text": "friend"}},
    ]
    result = after(PATIENT, operation("add", "Patient", name="contact", value=parts))
    assert result["contact"][2] == {
        "name": {"text": "赵"},
        "relationship": [{"text": "wife"}, {"text": "friend"}],
    }


def test_insert_puts_a_value_at_its_place() -> None:
    result = after(
        PATIENT,
        operation("insert", "Patient.name[0].given", index=1, value={"valueString": "一"}),
        operation("insert", "Patient.address", index=0, value={"valueAddress": {"text": "x"}}),
    )
    assert result["name"][0]["given"] == ["芳", "一", "二", "三"]
    assert result["name"][0]["_given"] == [None, None, NOTE, None]
    assert result["address"] == [{"text": "x"}]


def test_delete_takes_away_the_element_with_its_companion_and_is_no_error_twice() -> None:
    result = after(
        PATIENT,
        operation("delete", "Patient.birthDate"),
        operation("delete", "Patient.birthDate"),
        operation("delete", "Patient.identifier.where(system = 'urn:one')"),
        operation("delete", "Patient.name.given[0]"),
        operation("delete", "Patient.contact[1]"),
        operation("delete", "Patient.contact[0]"),
    )
    assert not {"birthDate", "_birthDate", "contact"} & result.keys()
    assert result["identifier"] == PATIENT["identifier"][1:]
    assert (result["name"][0]["given"], result["name"][0]["_given"]) == (["二", "三"], [NOTE, None])


def test_what_a_deletion_leaves_empty_goes_with_it() -> None:
    one = after(PATIENT, operation("delete", "Patient.contact[0].name.text"))
    assert one["contact"] == [{"name": {"text": "张"}}]
    both = [operation("delete", f"Patient.contact[{n}].name.text") for n in (1, 0)]
    assert "contact" not in after(PATIENT, *both)
    refilled = operation("add", "Patient.contact[0].name", name="family", value={"valueString": "赵"})
    assert after(PATIENT, both[1], refilled)["contact"][0] == {"name": {"family": "赵"}}


def test_a_json_patch_that_copies_and_takes_away_again_has_an_end() -> None:
    resource = {"resourceType": "Patient", "name": [{"text": "x" * 90_000}]}
    pair = [{"op": "copy", "from": "/name", "path": "/contact"}, {"op": "remove", "path": "/contact"}]
    assert patched(lexemes.dumps(resource), pair * 10) == resource
    with pytest.raises(TooLarge):
        patched(lexemes.dumps(resource), pair * 12)


def test_many_operations_on_a_large_resource_are_refused() -> None:
    resource = {"resourceType": "Patient", "name": [{"text": "x" * 90_000}]}
    steps = [operation("replace", "Patient.name[0].text", value={"valueString": "y"})]
    few, many = ({"resourceType": "Parameters", "parameter": steps * count} for count in (10, 1000))
    assert patched(lexemes.dumps(resource), few)["name"] == [{"text": "y"}]
    with pytest.raises(TooLarge):
        patched(lexemes.dumps(resource), many)


def test_replace_changes_one_element_and_the_type_of_a_choice() -> None:
    result = after(
        PATIENT,
        operation("replace", "Patient.birthDate", value={"valueDate": "1990-01-01"}),
        operation("replace", "Patient.name[0].given[2]", value={"valueString": "末"}),
        operation("replace", "Patient.extension('urn:a').value", value={"valueBoolean": True}),
        operation(
            "replace", "Patient.identifier.where(system = 'urn:two').use", value={"valueCode": "usual"}
        ),
    )
    assert (result["birthDate"], result["_birthDate"]) == ("1990-01-01", NOTE)
    assert result["name"][0]["given"] == ["芳", "二", "末"]
    assert result["extension"][0] == {"url": "urn:a", "valueBoolean": True}
    assert result["identifier"][1]["use"] == "usual"


def test_move_changes_the_order_of_a_list() -> None:
    result = after(PATIENT, operation("move", "Patient.name[0].given", source=2, destination=0))
    assert (result["name"][0]["given"], result["name"][0]["_given"]) == (
        ["三", "芳", "二"],
        [None, None, NOTE],
    )


def test_a_patched_resource_keeps_the_digits_of_its_decimals() -> None:
    content = (
        b'{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":1.50}}'
    )
    patch = lexemes.loads(
        b'{"resourceType":"Parameters","parameter":[{"name":"operation","part":[{"name":"type","valueCode":"add"},'
        b'{"name":"path","valueString":"Observation"},{"name":"name","valueString":"referenceRange"},'
        b'{"name":"value","part":[{"name":"low","valueQuantity":{"value":0.10}}]}]}]}'
    )
    written = lexemes.dumps(patched(content, patch))
    assert b'"value":1.50' in written
    assert b'"low":{"value":0.10}' in written


WRONG = {
    "unknown element": operation("add", "Patient", name="nmae", value={"valueString": "x"}),
    "unknown path": operation("delete", "Patient.nmae"),
    "another type": operation("delete", "Observation.status"),
    "nothing there": operation("replace", "Patient.gender", value={"valueCode": "male"}),
    "several": operation("delete", "Patient.identifier"),
    "there already": operation("add", "Patient", name="birthDate", value={"valueDate": "1990-01-01"}),
    "wrong type of a choice": operation("add", "Patient", name="deceased", value={"valueString": "x"}),
    "no value": operation("add", "Patient", name="gender"),
    "no name": operation("add", "Patient", value={"valueCode": "male"}),
    "no list": operation("insert", "Patient.gender", index=0, value={"valueCode": "male"}),
    "index too high": operation("insert", "Patient.name", index=5, value={"valueHumanName": {"text": "x"}}),
    "no index": operation("insert", "Patient.name", value={"valueHumanName": {"text": "x"}}),
    "source too high": operation("move", "Patient.name[0].given", source=3, destination=0),
    "the whole": operation("delete", "Patient"),
    "replace the whole": operation("replace", "Patient", value={"valueString": "x"}),
    "no operation": {"name": "operation", "part": [{"name": "type", "valueCode": "fly"}]},
    "another name": {"name": "op", "valueString": "x"},
    "a part twice": {"name": "operation", "part": [{"name": "type", "valueCode": "add"}] * 2},
    "no path": operation("delete", ""),
    "cut off": operation("delete", "Patient.name["),
    "function": operation("delete", "Patient.name.repeat(given)"),
    "condition": operation("delete", "Patient.name.where(family > 'x')"),
    "operator": operation("delete", "Patient.name | Patient.contact"),
    "signs": operation("delete", "Patient.name;drop"),
    "long": operation("delete", "Patient" + ".name" * 500),
    "huge index": operation("delete", "Patient.name[99999999999999]"),
    "backbone without parts": operation("add", "Patient", name="contact", value={"id": "x"}),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_operation_is_refused_with_the_element_named(wrong: Json) -> None:
    patch = {"resourceType": "Parameters", "parameter": [wrong]}
    with pytest.raises(WrongPath) as refused:
        patched(json.dumps(PATIENT).encode(), patch)
    assert refused.value.http == 422
    assert refused.value.issues[0].path


def test_messages_repeat_no_value_of_a_path() -> None:
    secret = "110101198002030013"
    patch = {
        "resourceType": "Parameters",
        "parameter": [
            operation(
                "replace", f"Patient.identifier.where(value = '{secret}').use", value={"valueCode": "old"}
            )
        ],
    }
    with pytest.raises(WrongPath) as refused:
        patched(json.dumps(PATIENT).encode(), patch)
    assert secret not in refused.value.text
    assert refused.value.issues[0].path == "Patient.identifier.where(...).use"


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/nmae/0/given", "Patient.nmae[0].given"),
        ("/name/9/given", "Patient.name[9].given"),
        ("/identifier/110101198002030013", "Patient.identifier"),
    ],
)
def test_a_json_patch_that_misses_names_the_element(path: str, shown: str) -> None:
    operations = [{"op": "replace", "path": path, "value": "x"}]
    with pytest.raises(HieError) as refused:
        patched(json.dumps(PATIENT).encode(), operations)
    assert refused.value.http == 422
    assert refused.value.issues[0].path == shown
