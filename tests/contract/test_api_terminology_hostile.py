"""The terminology under questions meant to hurt: always a 4xx with an OperationOutcome, in bounded time."""

import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.hub_world import Caller, is_outcome

Json = dict[str, Any]
SYSTEM = "urn:test:system"


def value_set(*includes: Json, **rest: Any) -> Json:
    return {"resourceType": "ValueSet", "status": "active", "compose": {"include": list(includes)}} | rest


def filtered(op: str, value: str, name: str = "code") -> Json:
    return {"system": SYSTEM, "filter": [{"property": name, "op": op, "value": value}]}


@pytest.fixture(scope="module")
def terms(call: Caller) -> Caller:
    """The region's client, with one code system."""
    concepts = [{"code": "a" * size, "display": str(size)} for size in range(1, 40)]
    system = {
        "resourceType": "CodeSystem",
        "id": "s",
        "url": SYSTEM,
        "status": "active",
        "content": "complete",
    }
    assert call("PUT", "/CodeSystem/s", system | {"concept": concepts}).status_code == 201
    return call


@pytest.mark.parametrize(
    "text", ["a\x00b", "'; DROP TABLE concept; --", "%", "\\", "a" * 5000, "🀄", "{a}", "$1", "%(x)s", ":x"]
)
@pytest.mark.parametrize(
    "path",
    [
        "ValueSet/$expand?url=",
        "ValueSet/$expand?url=urn:x&filter=",
        f"CodeSystem/$lookup?system={SYSTEM}&code=",
        "CodeSystem/$lookup?code=a&system=",
        f"CodeSystem/$subsumes?system={SYSTEM}&codeA=a&codeB=",
        f"CodeSystem/$validate-code?url={SYSTEM}&version=",
        "ConceptMap/$translate?code=a&system=",
    ],
)
def test_any_text_in_a_parameter_is_answered(terms: Caller, path: str, text: str):
    answer = terms("GET", f"/{path}{quote(text)}")
    assert answer.status_code < 500
    assert answer.status_code == 200 or is_outcome(answer)


@pytest.mark.parametrize("text", ["a\x00b", "\ud800", "a" * 100_000])
@pytest.mark.parametrize("field", ["system", "code", "display", "version"])
def test_any_text_in_a_coding_is_answered(terms: Caller, field: str, text: str):
    coding = {"system": SYSTEM, "code": "a"} | {field: text}
    given = {"resourceType": "Parameters", "parameter": [{"name": "coding", "valueCoding": coding}]}
    for path in ("CodeSystem/$lookup", "CodeSystem/$validate-code", "ConceptMap/$translate"):
        answer = terms("POST", f"/{path}", json.dumps(given).encode())
        assert answer.status_code < 500, answer.text
        assert answer.status_code == 200 or is_outcome(answer)
    sides = [{"name": f"coding{side}", "valueCoding": coding} for side in "AB"]
    answer = terms("POST", "/CodeSystem/$subsumes", json.dumps(given | {"parameter": sides}).encode())
    assert answer.status_code == 200 or is_outcome(answer)


@pytest.mark.parametrize(
    "include",
    [
        filtered("regex", "(a+)+b"),
        filtered("regex", "((a|aa)+)+$"),
        filtered("regex", "a{,3}"),
        filtered("regex", "[[:bad:]]"),
        filtered("regex", "a{1,100000}"),
        filtered("regex", "*"),
        filtered("regex", "a\x00"),
        filtered("like", "a"),
        filtered("is-a", "a", "display"),
        filtered("exists", "maybe"),
        {"system": "a\x00b"},
        {"system": SYSTEM, "concept": [{"code": "a\x00"}]},
        {"valueSet": ["urn:none"]},
        {},
    ],
)
def test_a_value_set_that_cannot_be_expanded_is_refused(terms: Caller, include: Json):
    answer = terms("POST", "/ValueSet/$expand", value_set(include))
    assert 400 <= answer.status_code < 500, answer.text
    assert is_outcome(answer)


@pytest.mark.parametrize("number", [300, 3000])
def test_a_value_set_of_very_many_parts_is_refused(terms: Caller, number: int):
    answer = terms("POST", "/ValueSet/$expand", value_set(*[filtered("is-a", "a", "concept")] * number))
    assert answer.status_code == 422
    assert answer.get_json()["issue"][0]["code"] == "too-costly"


def test_value_sets_that_import_each_other_many_times_over_are_refused(terms: Caller):
    for level in range(12):
        next_ = [{"valueSet": [f"urn:laugh:{level + 1}"]}] * 10 if level < 11 else [{"system": SYSTEM}]
        made = value_set(*next_, id=f"laugh-{level}", url=f"urn:laugh:{level}")
        assert terms("PUT", f"/ValueSet/laugh-{level}", made).status_code == 201
    answer = terms("GET", "/ValueSet/laugh-0/$expand")
    assert answer.status_code == 422
    assert answer.get_json()["issue"][0]["code"] == "too-costly"


def test_a_hierarchy_of_endless_depth_is_refused(terms: Caller):
    def under(number: int) -> Json:
        return {"code": f"c{number}", "property": [{"code": "parent", "valueCode": f"c{number - 1}"}]}

    chain = [{"code": "c0"}, *map(under, range(1, 5000))]
    system = {"resourceType": "CodeSystem", "id": "chain", "url": "urn:chain", "status": "active"}
    answer = terms("PUT", "/CodeSystem/chain", system | {"content": "complete", "concept": chain})
    assert answer.status_code == 400
    assert is_outcome(answer) and "deep" in answer.text


def test_pages_beyond_the_end_and_of_any_size_are_answered(terms: Caller):
    sent = value_set({"system": SYSTEM})
    for offset, count in ((999_999_999, 1), (0, 999_999_999), (0, 0)):
        items = [{"name": "offset", "valueInteger": offset}, {"name": "count", "valueInteger": count}]
        given = {"resourceType": "Parameters", "parameter": [*items, {"name": "valueSet", "resource": sent}]}
        answer = terms("POST", "/ValueSet/$expand", given)
        assert answer.status_code == 200
        assert answer.get_json()["expansion"]["total"] == 39
