"""The generator says in JSON Schema and in paths what the published definitions say."""

from __future__ import annotations

import gzip
import json

import pytest
from jsonschema_rs import is_valid

from deploy.definitions.elements import Definitions
from deploy.definitions.fhirpath import NotExpressibleError, compile_invariant
from deploy.definitions.primitives import PRIMITIVES
from deploy.definitions.search import compile_expression
from deploy.definitions.terminology import published
from deploy.definitions.valuesets import ValueSets
from esb.fhir.definitions import load
from esb.fhir.explanation import left_out
from esb.fhir.types import RESOURCE_TYPES
from esb.fhir.validation import COMMON_TYPES


def element(path, *types, most="1", targets=()):
    """Return an element of a StructureDefinition, as published."""
    listed = [{"code": code} for code in types]
    if targets:
        listed[0]["targetProfile"] = [
            f"http://hl7.org/fhir/StructureDefinition/{target}" for target in targets
        ]
    return {"path": path, "min": 0, "max": most, "type": listed}


def structure(name, kind, *elements):
    return {"name": name, "kind": kind, "abstract": False, "snapshot": {"element": list(elements)}}


VISIT = structure(
    "Visit",
    "resource",
    element("Visit"),
    element("Visit.status", "code"),
    element("Visit.kind", "Coding", most="*"),
    element("Visit.start", "dateTime"),
    element("Visit.end", "dateTime"),
    element("Visit.value[x]", "string", "Coding"),
    element("Visit.subject", "Reference", targets=("Patient", "Group")),
    element("Visit.step", "BackboneElement", most="*"),
    element("Visit.step.count", "integer"),
)
CODING = structure("Coding", "complex-type", element("Coding.system", "uri"), element("Coding.code", "code"))
DEFINITIONS = Definitions([VISIT, CODING])


@pytest.mark.parametrize(
    ("expression", "kept_by", "broken_by"),
    [
        ("start.exists() or end.exists()", {"start": "2025"}, {"status": "x"}),
        ("start.exists() or end.exists()", {"_start": {"id": "a"}}, {}),
        ("start.exists() = end.exists()", {}, {"start": "2025"}),
        ("start.empty() xor end.empty()", {"end": "2025"}, {"start": "2025", "end": "2025"}),
        (
            "value.exists() implies status = 'done'",
            {"valueString": "x", "status": "done"},
            {"valueString": "x"},
        ),
        ("status != 'done' or end.exists()", {"status": "open"}, {"status": "done"}),
        ("status in ('a' | 'b')", {"status": "b"}, {"status": "c"}),
        ("Visit.step.count.empty().not()", {"step": [{"count": 1}]}, {"step": [{"id": "a"}]}),
        ("step.where(count >= 2).exists()", {"step": [{"count": 1}, {"count": 2}]}, {"step": [{"count": 1}]}),
        ("step.count() <= 1", {"step": [{}]}, {"step": [{}, {}]}),
        (
            "kind.where(system = 'urn:a' and code = 'b').exists()",
            {"kind": [{"system": "urn:a", "code": "b"}]},
            {"kind": [{"system": "urn:a", "code": "c"}, {"system": "urn:c", "code": "b"}]},
        ),
    ],
)
def test_a_simple_invariant_becomes_a_schema(expression, kept_by, broken_by):
    schema = compile_invariant(DEFINITIONS, "Visit", expression)
    assert is_valid(schema, kept_by)
    assert not is_valid(schema, broken_by)


@pytest.mark.parametrize(
    "expression", ["start <= end", "kind.select(code).isDistinct()", "nothing.exists()", "a ~ b"]
)
def test_an_invariant_that_says_more_is_left_to_a_function(expression):
    with pytest.raises(NotExpressibleError):
        compile_invariant(DEFINITIONS, "Visit", expression)


@pytest.mark.parametrize(
    ("expression", "kind", "steps"),
    [
        ("Visit.status", "token", [["status"]]),
        ("Visit.value", "token", [["valueString"], ["valueCoding"]]),
        ("(Visit.value as Coding)", "token", [["valueCoding"]]),
        ("Visit.value.as(string)", "string", [["valueString"]]),
        ("Visit.kind.where(system='a').code", "token", [["kind", "?system=a", "code"]]),
        ("Other.status | Visit.step.count", "number", [["step", "count"]]),
    ],
)
def test_a_search_expression_becomes_paths(expression, kind, steps):
    paths = compile_expression(DEFINITIONS, expression, base="Visit", kind=kind)
    assert [path["steps"] for path in paths] == steps


def test_the_target_of_a_search_expression_is_kept():
    expression = "Visit.subject.where(resolve() is Patient)"
    assert (
        compile_expression(DEFINITIONS, expression, base="Visit", kind="reference")[0]["target"] == "Patient"
    )


def test_a_value_set_is_listed_with_the_concepts_below_and_without_what_it_excludes():
    system = {
        "resourceType": "CodeSystem",
        "url": "urn:s",
        "content": "complete",
        "concept": [{"code": "a", "concept": [{"code": "b"}]}, {"code": "c"}],
    }
    compose = {"include": [{"system": "urn:s"}], "exclude": [{"system": "urn:s", "concept": [{"code": "c"}]}]}
    listed = {"resourceType": "ValueSet", "url": "urn:v", "compose": compose}
    grammar = {
        "resourceType": "ValueSet",
        "url": "urn:g",
        "compose": {"include": [{"system": "urn:ietf:bcp:13"}]},
    }
    value_sets = ValueSets([system, listed, grammar])
    assert value_sets.expand("urn:v|4.0.1") == {"urn:s": ["a", "b"]}
    assert value_sets.expand("urn:g") is None
    assert value_sets.expand("urn:unknown") is None


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        (
            "date",
            ["0001", "2025", "2025-12", "2024-02-29", "2000-02-29"],
            ["0000", "2025-13", "2025-02-29", "1900-02-29"],
        ),
        (
            "dateTime",
            ["2025", "2025-01-01T00:00:00Z", "2025-04-30T23:59:60.5+14:00"],
            ["2025-04-31", "2025-01T00:00:00Z"],
        ),
        (
            "instant",
            ["2025-01-01T00:00:00.000-05:00"],
            ["2025-01-01", "2025-01-01T00:00:00", "2025-06-31T00:00:00Z"],
        ),
        ("code", ["a", "a b"], ["", " a", "a  b", "a\n"]),
        ("id", ["a.b-C1"], ["", "a_b", "a" * 65, "a\n"]),
        ("string", [" ", "a\tb\r\nc", "𠮷"], ["", "a\x00", "\x1b[0m"]),
        ("base64Binary", ["", "QQ==", "QUI=", "QUJD\nREVG"], ["Q", "QUJ", "QQ=", "Q*=="]),
        ("oid", ["urn:oid:2.16.156"], ["2.16.156", "urn:oid:3.1", "urn:oid:1.01"]),
        ("positiveInt", [1], [0, -1, 2**31, 1.5, "1"]),
        ("unsignedInt", [0], [-1]),
        ("decimal", [1, 1.5, -1e-7], ["1.5", True]),
    ],
)
def test_a_primitive_is_what_the_standard_says(name, good, bad):
    for value in good:
        assert is_valid(PRIMITIVES[name], value), value
    for value in bad:
        assert not is_valid(PRIMITIVES[name], value), value


def test_the_committed_rules_cover_every_type():
    schemas = load("schema")
    assert set(schemas) >= RESOURCE_TYPES
    resources = {
        name for name in schemas if "const" in schemas[name].get("properties", {}).get("resourceType", ())
    }
    assert resources == RESOURCE_TYPES


def test_nothing_that_the_package_adds_to_r4_is_left():
    schemas = load("schema")
    assert {"project", "account", "author", "compartment"}.isdisjoint(schemas["Meta"]["properties"])
    assert set(schemas["Reference"]["properties"]) - {"id", "extension"} == {
        key for name in ("reference", "type", "display") for key in (name, f"_{name}")
    } | {"identifier"}
    assert not {
        name for name in schemas if name in ("Bot", "Project", "UserConfiguration", "SubscriptionStatus")
    }


def test_no_invariant_is_left_out_on_the_types_the_road_carries():
    types = {key.split()[0].partition(".")[0] for key in left_out()}
    assert types.isdisjoint(COMMON_TYPES)


def test_what_the_terminology_takes_in_is_the_standards_own_and_no_more_than_it_reads():
    concept = {"code": "a", "display": "A", "extension": [{"url": "x"}], "concept": [{"code": "b"}]}
    concept["designation"] = [{"language": one, "value": one} for one in ("nl", "zh", "de")]
    head = {"resourceType": "CodeSystem", "status": "active", "text": {}, "concept": [concept]}
    own = head | {"url": "http://hl7.org/fhir/own", "content": "complete"}
    others = [
        head | {"url": "http://hl7.org/fhir/none", "content": "not-present"},
        head | {"url": "http://snomed.info/sct", "content": "complete"},
    ]
    written = published([*others, own])
    assert written == published([own, *others])
    (line,) = gzip.decompress(written).splitlines()
    assert json.loads(line) == {
        **{name: own[name] for name in ("resourceType", "status", "url", "content")},
        "concept": [
            {
                "code": "a",
                "display": "A",
                "designation": [{"language": "zh", "value": "zh"}],
                "concept": [{"code": "b"}],
            }
        ],
    }
