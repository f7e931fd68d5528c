"""R4 invariants of types that hospitals rarely send, where JSON Schema does not do (see `invariants`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from esb.fhir.invariants import Node, Rule

UCUM = "http://unitsofmeasure.org"
SEQUENCES = ("genomeBuild", "referenceSeqId", "referenceSeqPointer", "referenceSeqString")


def _all(node: Node, *steps: str) -> Iterator[Node]:
    """Yield the elements at a path, through lists."""
    found = [node]
    for step in steps:
        below = [one.get(step, ()) for one in found]
        found = [item for one in below for item in (one if isinstance(one, list) else [one]) if item]
    yield from found


def _distinct(values: Iterable[Any]) -> bool:
    listed = [value for value in values if value is not None]
    return len(set(listed)) == len(listed)


def _items(node: Node) -> Iterator[Node]:
    for item in node.get("item", ()):
        yield item
        yield from _items(item)


def _exists_asks_boolean(questionnaire: Node) -> bool:
    return all(
        "answerBoolean" in one or "_answerBoolean" in one
        for item in _items(questionnaire)
        for one in item.get("enableWhen", ())
        if one.get("operator") == "exists"
    )


def _in_percent(assessment: Node) -> bool:
    return all(
        limit.get("code") == "%" and limit.get("system") == UCUM
        for bounds in _all(assessment, "prediction", "probabilityRange")
        for limit in (bounds.get("low"), bounds.get("high"))
        if limit
    )


def _one_sequence(sequence: Node) -> bool:
    return all(
        sum(name in one or f"_{name}" in one for name in SEQUENCES) == 1
        for one in _all(sequence, "referenceSeq")
    )


def _limited(message: Node) -> bool:
    limits = [one["max"] for one in message.get("focus", ()) if "max" in one]
    return all(limit == "*" or (limit.isdecimal() and int(limit) > 0) for limit in limits)


def _versions_named(terminology: Node) -> bool:
    systems = [one.get("version", []) for one in terminology.get("codeSystem", ())]
    return all(len(versions) < 2 or all("code" in one for one in versions) for versions in systems)


RARE_RULES: dict[str, tuple[Rule, ...]] = {
    "CapabilityStatement": (
        Rule(
            "cpb-7",
            "document",
            "documents must be unique by profile and mode",
            lambda c: _distinct((one.get("profile"), one.get("mode")) for one in c.get("document", ())),
        ),
        Rule(
            "cpb-9",
            "rest",
            "a resource can be described only once per RESTful mode",
            lambda c: all(
                _distinct(one.get("type") for one in rest.get("resource", ())) for rest in c.get("rest", ())
            ),
        ),
        Rule(
            "cpb-12",
            "rest",
            "search parameter names must be unique in the context of a resource",
            lambda c: all(
                _distinct(one.get("name") for one in of.get("searchParam", ()))
                for of in _all(c, "rest", "resource")
            ),
        ),
    ),
    "MessageDefinition": (Rule("md-1", "focus", "max must be a positive number or *", _limited),),
    "MolecularSequence": (
        Rule("msq-6", "referenceSeq", f"must have exactly one of {', '.join(SEQUENCES)}", _one_sequence),
    ),
    "NamingSystem": (
        Rule(
            "nsd-2",
            "uniqueId",
            "only one preferred identifier for a type",
            lambda n: _distinct(
                one.get("type") for one in n.get("uniqueId", ()) if one.get("preferred") is True
            ),
        ),
    ),
    "Questionnaire": (
        Rule(
            "que-7", "item", "where the operator is exists, the answer must be Boolean", _exists_asks_boolean
        ),
    ),
    "RiskAssessment": (Rule("ras-1", "prediction", "low and high must be percentages of UCUM", _in_percent),),
    "TerminologyCapabilities": (
        Rule("tcp-1", "codeSystem", "of several versions, each must have a code", _versions_named),
    ),
}
