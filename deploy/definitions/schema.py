"""JSON Schema (2020-12) of every R4 type, from the StructureDefinitions (FHIR R4 json.html).

What it states: elements known and of their type, cardinality, required primitives (the value or its
`_` companion), one type per choice, required bindings that can be listed. A resource inside a resource
is an object with a resourceType here; validation looks at it by its own type.

`$comment` names what a rule is about, for the message when it fails.
"""

from __future__ import annotations

from typing import Any

from deploy.definitions.currencies import CURRENCIES
from deploy.definitions.elements import Definitions, Element
from deploy.definitions.invariants import BY_FUNCTION, Invariants
from deploy.definitions.primitives import PRIMITIVES
from deploy.definitions.valuesets import ValueSets

Schema = dict[str, Any]

# `_` companions of a repeating primitive hold null where a value has no extension (json.html#null).
ELEMENT_OR_NULL = "ElementOrNull"
ELEMENT_ID = "ElementId"
# The keyword of ours that calls a function of esb/fhir/invariants.py.
KEYWORD = "invariants"

_ANY_RESOURCE: Schema = {"type": "object", "required": ["resourceType"]}
_CONTAINED: Schema = _ANY_RESOURCE | {
    "properties": {
        "contained": {"not": {}, "$comment": "dom-2: a contained resource SHALL NOT contain others"},
        "meta": {
            "properties": dict.fromkeys(("versionId", "lastUpdated", "security"), False),
            "$comment": "dom-4, dom-5: a contained resource has no version, no time of change, no label",
        },
    }
}
_SIMPLE_QUANTITY: Schema = {
    "not": {"required": ["comparator"]},
    "$comment": "sqty-1: The comparator is not used on a SimpleQuantity",
}
_NOT_EMPTY: Schema = {
    "minProperties": 1,
    "not": {"required": ["id"], "maxProperties": 1},
    "$comment": "ele-1: All FHIR elements must have a @value or children",
}
_TOKEN = r"[A-Za-z0-9!#$&^_.+\-]+"
# Required bindings to sets that cannot be listed, but have a form.
_GRAMMARS: dict[str, Schema] = {
    "http://hl7.org/fhir/ValueSet/mimetypes": {
        "type": "string",
        "pattern": rf"^(?:{_TOKEN}/(?:{_TOKEN}|\*)(?:\s?;.*)?|xml|json|ttl|none)$",  # http.html#mime-type
        "$comment": "is no MIME type such as application/pdf",
    },
    "http://hl7.org/fhir/ValueSet/currencies": {
        "enum": CURRENCIES,
        "$comment": "is no currency code of ISO 4217 such as CNY",
    },
}
# Any text without blanks (datatypes: Element.id).
_ELEMENT_ID: Schema = {
    "type": "string",
    "pattern": "^[^\\s\\x00-\\x1f]+$",
    "$comment": "is no id of an element: text without spaces",
}
_SAME_TYPE: Schema = {
    "anyOf": [{"not": {"required": ["reference"]}}, {KEYWORD: ["reference-type"]}],
    "$comment": "is another type than the reference says; leave it out, or correct one of them",
}
# Above this many types a choice is stated more briefly.
MANY_TYPES = 12
# Narrative made of text and a few plain elements passes by pattern; a function looks at any other.
_TEXT = "[^<&]"
_PLAIN = "|".join(f"<{tag}>{_TEXT}*</{tag}>" for tag in ("b", "i", "p", "span", "h1", "h2", "h3", "li", "td"))
_LINK = f'<a href="(?:https?://|#)[^"<&]*">{_TEXT}*</a>'
_NARRATIVE: Schema = {
    "anyOf": [
        {
            "properties": {
                "div": {
                    "pattern": '^<div xmlns="http://www.w3.org/1999/xhtml">'
                    rf"\s*(?:{_TEXT}*[^\s<&]{_TEXT}*(?:{_PLAIN}|{_LINK}|<br ?/>|{_TEXT})*)</div>$"
                }
            }
        },
        {KEYWORD: ["txt-1"]},
    ],
    "$comment": "txt-1: SHALL be well-formed XHTML with some content, without scripts or forms",
}
_ADDRESS = r"[a-z][a-z0-9+.\-]*:\S+$"
_LITERAL = r"(?:/[A-Za-z0-9.\-]{1,64}(?:/_history/[A-Za-z0-9.\-]{1,64})?|\?.+)$"


def build(definitions: Definitions, value_sets: ValueSets, invariants: Invariants) -> dict[str, Schema]:
    """Return name -> schema: primitives, data types, backbone elements by their path, resources."""
    builder = _Builder(definitions, value_sets, invariants)
    schemas = {name: dict(schema) for name, schema in PRIMITIVES.items()}
    schemas[ELEMENT_ID] = _ELEMENT_ID
    schemas["AnyResource"] = _ANY_RESOURCE
    schemas["Contained"] = _CONTAINED
    for name in (*definitions.complex_types, *definitions.backbones, *definitions.resources):
        schemas[name] = builder.object(name)
    schemas["Reference"]["properties"]["reference"] = _reference_to(definitions.resources)
    schemas["Reference"]["dependentSchemas"] = {"type": _SAME_TYPE}
    for name in (*definitions.complex_types, *definitions.backbones):
        if "id" in schemas[name]["properties"]:
            schemas[name]["properties"]["id"] = _ref(ELEMENT_ID)
    schemas[ELEMENT_OR_NULL] = {"anyOf": [{"type": "null"}, _ref("Element")]}
    return schemas


class _Builder:
    def __init__(self, definitions: Definitions, value_sets: ValueSets, invariants: Invariants) -> None:
        self.definitions = definitions
        self.value_sets = value_sets
        self.invariants = invariants

    def object(self, path: str) -> Schema:
        """Return the schema of a type, or of an element with children of its own."""
        properties: dict[str, Schema] = {}
        required: list[str] = []
        rules: list[Schema] = []
        for element in self.definitions.children(path).values():
            if element.forbidden:
                continue
            for key, type_ in element.keys().items():
                properties |= self._properties(path, element, key, type_)
            if element.low and not element.is_choice and _is_plain(element):
                required.append(element.name)
            else:
                rules += _presence_rules(path, element)
        if path in self.definitions.resources:
            properties = {"resourceType": {"const": path}} | properties | {"id": _ref("id")}
            required.insert(0, "resourceType")
        rules += self.invariants.rules(path, self.definitions.constraints.get(path, ()))
        rules += [_NARRATIVE] if path == "Narrative" else []
        rules += [] if required else [_NOT_EMPTY]
        return (
            {"type": "object", "properties": properties, "additionalProperties": False}
            | ({"required": required} if required else {})
            | ({"allOf": rules} if rules else {})
            | ({KEYWORD: BY_FUNCTION[path]} if path in BY_FUNCTION else {})
        )

    def _properties(self, path: str, element: Element, key: str, type_: str) -> dict[str, Schema]:
        """Return the property of an element, and of its companion if it is a primitive."""
        primitive = type_ in PRIMITIVES
        one = self._value(path, element, type_)
        if not element.many:
            return {key: one} | ({f"_{key}": _ref("Element")} if primitive and not element.attribute else {})
        found = {key: {"type": "array", "minItems": 1, "items": one}}
        if primitive:
            found[f"_{key}"] = {"type": "array", "minItems": 1, "items": _ref(ELEMENT_OR_NULL)}
        return found

    def _value(self, path: str, element: Element, type_: str) -> Schema:
        """Return the schema of one value of an element."""
        if bound := _bound(self.value_sets, element, type_):
            return bound
        if type_ == "Resource":
            return _ref("Contained" if element.name == "contained" else "AnyResource")
        if element.is_choice:
            self.invariants.leave_out(f"{path}.{element.name}", element.constraints)
        own = type_ if element.is_choice else self.definitions.below(path, element)
        value = _ref(own)
        if type_ == "Reference" and element.targets and "Resource" not in element.targets:
            value["properties"] = {"reference": _reference_to(sorted(set(element.targets)))}
        if element.profile == "SimpleQuantity":
            value |= _SIMPLE_QUANTITY
        if element.constraints and own != f"{path}.{element.name}" and not element.is_choice:
            known = {constraint.key for constraint in self.definitions.constraints.get(own, ())}
            extra = tuple(constraint for constraint in element.constraints if constraint.key not in known)
            if rules := self.invariants.rules(own, extra):
                value["allOf"] = rules
        return value


def _reference_to(targets: list[str]) -> Schema:
    """Return the schema of a literal reference to one of several types, or to an address elsewhere.

    `local` is the pattern that allows a reference within the resource ("#x") as well; validation takes
    it where the resource contains others.
    """
    elsewhere = f"{_ADDRESS}|(?:{'|'.join(targets)}){_LITERAL}"
    return {
        "type": "string",
        "pattern": f"^(?:{elsewhere})",
        "local": f"^(?:#|{elsewhere})",
        "$comment": f"is no reference to {_or(targets)}; write Type/id, a urn or a full URL",
    }


def _or(names: list[str]) -> str:
    return " or ".join(names) if len(names) <= 12 else "a resource"


def _bound(value_sets: ValueSets, element: Element, type_: str) -> Schema | None:
    """Return the schema of an element whose codes are listed, or None."""
    if element.value_set and (grammar := _GRAMMARS.get(element.value_set.partition("|")[0])):
        return grammar
    expansion = value_sets.expand(element.value_set) if element.value_set else None
    if expansion is None:
        return None
    if type_ == "code":
        return {"enum": sorted({code for codes in expansion.values() for code in codes})}
    if type_ != "CodeableConcept":
        return None
    codings = [
        {"properties": {"system": {"const": system}, "code": {"enum": codes}}, "required": ["system", "code"]}
        for system, codes in sorted(expansion.items())
    ]
    listed = sorted(code for codes in expansion.values() for code in codes)
    return {
        "$ref": "#/$defs/CodeableConcept",
        "required": ["coding"],
        "properties": {
            "coding": {
                "type": "array",
                "contains": codings[0] if len(codings) == 1 else {"anyOf": codings},
                "$comment": f"{' or '.join(sorted(expansion))}: {' | '.join(listed)}",
            }
        },
    }


def _is_plain(element: Element) -> bool:
    return element.attribute or not element.types or element.types[0] not in PRIMITIVES


def _presence_rules(path: str, element: Element) -> list[Schema]:
    """Return the rules that a required primitive is there, and of a choice one type only."""
    if element.is_choice:
        return [_extension_rule(element)] if path == "Extension" else _choice_rules(element)
    if element.low:
        return [{"anyOf": _value_or_companion(element.name), "$comment": f"required {element.name}"}]
    return []


def _value_or_companion(key: str) -> list[Schema]:
    return [{"required": [key]}, {"required": [f"_{key}"]}]


def _alternatives(element: Element) -> dict[str, list[str]]:
    """Return for each type of a choice the keys that use it: the value and, of a primitive, its companion."""
    return {key: [key, f"_{key}"] if type_ in PRIMITIVES else [key] for key, type_ in element.keys().items()}


def _choice_rules(element: Element) -> list[Schema]:
    """Return the rules that at most one type is used, and at least one if it is required."""
    alternatives = _alternatives(element)
    rules: list[Schema] = []
    if element.low:
        present = [{"required": [key]} for keys in alternatives.values() for key in keys]
        rules.append({"anyOf": present, "$comment": f"required {element.name}"})
    if len(alternatives) > MANY_TYPES:
        one_of = [{"anyOf": [{"required": [key]} for key in keys]} for keys in alternatives.values()]
        none = {"not": {"anyOf": [rule for alternative in one_of for rule in alternative["anyOf"]]}}
        rules.append({"oneOf": [none, *one_of], "$comment": f"choice {element.name}"})
    elif len(alternatives) > 1:
        dependent = {
            key: {"properties": dict.fromkeys(_others(alternatives, type_key), False)}
            for type_key, keys in alternatives.items()
            for key in keys
        }
        rules.append({"dependentSchemas": dependent, "$comment": f"choice {element.name}"})
    return rules


def _others(alternatives: dict[str, list[str]], own: str) -> list[str]:
    return [key for type_key, keys in alternatives.items() if type_key != own for key in keys]


def _extension_rule(element: Element) -> Schema:
    """Return ext-1 and the choice in one, cheap for the usual extension: a url and one more."""
    alternatives = _alternatives(element)
    one_of = [{"anyOf": [{"required": [key]} for key in keys]} for keys in alternatives.values()]
    return {
        "anyOf": [
            {"maxProperties": 2, "minProperties": 2, "properties": {"id": False}},
            {"oneOf": [{"required": ["extension"]}, *one_of]},
        ],
        "$comment": "ext-1: Must have either extensions or one value[x], not both",
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}
