"""The R4 invariants that need more than JSON Schema: dates in order, local references, Bundles, narrative.

All other invariants are in the generated schema. Sources: the constraint of that key in the FHIR R4
(4.0.1) definition of the type; html in narrative: narrative.html#rules.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from html.entities import name2codepoint
from typing import Any
from xml.parsers import expat

from esb.fhir import lexemes
from esb.fhir.types import RESOURCE_TYPES

Node = dict[str, Any]

_HTML = frozenset(
    """
    a abbr acronym b big blockquote br caption cite code col colgroup dd dfn div dl dt em h1 h2 h3 h4 h5 h6
    hr i img li ol p pre q samp small span strong sub sup table tbody td tfoot th thead tr tt ul var
    """.split()  # noqa: SIM905
)
_ATTRIBUTES = frozenset(
    """
    abbr align alt axis border cellhalign cellpadding cellspacing cellvalign char charoff cite class colspan
    dir frame headers height href hreflang id lang longdesc name nowrap rel rev rowspan rules scope span src
    start style summary tabindex title type valign value width xml:lang xml:space xmlns
    """.split()  # noqa: SIM905
)
_ENTITY = re.compile(r"&(?!(?:amp|lt|gt|quot|apos);)([A-Za-z][A-Za-z0-9]*);")
_XHTML = "http://www.w3.org/1999/xhtml"
_STYLE_ACTS = re.compile(r"(?:java|vb)script:|expression\(|@import|behaviou?r:", re.IGNORECASE)
_PASSED_OVER = re.compile(r"[\x00-\x20\x7f-\xa0]+")
_HISTORY = ("batch", "transaction", "history")
_RESPONSES = ("batch-response", "transaction-response", "history")


@dataclass(frozen=True, slots=True)
class Rule:
    """An invariant of a resource: the element it speaks of, what it says, and whether a resource keeps it."""

    key: str
    element: str
    text: str
    holds: Callable[[Node], bool]


def is_in_order(start: Any, end: Any) -> bool:
    """Whether one FHIR date or dateTime is certainly not after another.

    Where one is less precise, or has no offset, only what both say is compared.
    """
    if not isinstance(start, str) or not isinstance(end, str):
        return True
    if len(start) < 19 or len(end) < 19:
        length = min(len(start), len(end), 10)
        return start[:length] <= end[:length]
    if start[19:] == end[19:]:
        return start[:19] <= end[:19]
    try:
        return datetime.fromisoformat(start) <= datetime.fromisoformat(end)
    except ValueError:  # a leap second
        return True


def _period(period: Node) -> bool:
    return is_in_order(period.get("start"), period.get("end"))


def _range(bounds: Node) -> bool:
    low, high = bounds.get("low", {}), bounds.get("high", {})
    if "value" not in low or "value" not in high or low.get("code") != high.get("code"):
        return True
    return bool(low["value"] <= high["value"])


def _count(count: Node) -> bool:
    if "value" in count and ("code" not in count or count["value"] != int(count["value"])):
        return False
    return count.get("system", "http://unitsofmeasure.org") == "http://unitsofmeasure.org" and (
        count.get("code", "1") == "1"
    )


def _meal_offset(repeat: Node) -> bool:
    if "offset" not in repeat:
        return True
    when = repeat.get("when", [])
    return bool(when) and {"C", "CM", "CD", "CV"}.isdisjoint(when)


def _narrative(narrative: Node) -> bool:
    """Whether the narrative is well-formed XHTML, says something, and can do nothing (txt-1, txt-2)."""
    parser = expat.ParserCreate()
    seen = {"text": False, "allowed": True}

    def start(name: str, attributes: dict[str, str]) -> None:
        # A browser passes over blanks and control characters in a link's scheme.
        href, src, style = (
            _PASSED_OVER.sub("", attributes.get(key, "")).lower() for key in ("href", "src", "style")
        )
        seen["allowed"] &= name in _HTML and attributes.keys() <= _ATTRIBUTES
        seen["allowed"] &= attributes.get("xmlns", _XHTML) == _XHTML
        seen["allowed"] &= not href.startswith(("javascript:", "vbscript:", "data:"))
        seen["allowed"] &= not src.startswith(("javascript:", "vbscript:"))
        seen["allowed"] &= not src.startswith("data:") or src.startswith("data:image/")
        seen["allowed"] &= _STYLE_ACTS.search(style) is None
        seen["text"] |= name == "img"

    def text(characters: str) -> None:
        seen["text"] |= not characters.isspace()

    def instruction(_: str, __: str) -> None:
        seen["allowed"] = False

    parser.StartElementHandler = start
    parser.ProcessingInstructionHandler = instruction
    parser.CharacterDataHandler = text
    try:
        parser.Parse(_ENTITY.sub(_known_entity, narrative.get("div", "")), True)
    except expat.ExpatError:
        return False
    return seen["text"] and seen["allowed"]


def _known_entity(found: re.Match[str]) -> str:
    """Return any character for an entity of XHTML (xhtml1 §A.2); another stays, and is not well-formed."""
    return "?" if found[1] in name2codepoint else found[0]


def _type_agrees(reference: Node) -> bool:
    """Whether Reference.type is the type that the literal reference names (references.html)."""
    named = _NAMED_TYPE.search(reference["reference"])
    said = str(reference["type"]).removeprefix("http://hl7.org/fhir/StructureDefinition/")
    return named is None or named[1] not in RESOURCE_TYPES or named[1] == said


_NAMED_TYPE = re.compile(r"(?:^|/)([A-Z][A-Za-z]+)/[A-Za-z0-9.\-]{1,64}(?:/_history/[A-Za-z0-9.\-]{1,64})?$")


def _distinct(values: Iterable[Any]) -> bool:
    listed = list(values)
    return len(set(listed)) == len(listed)


def _all_below(node: Any, child: str, key: str) -> Iterator[str]:
    for item in node.get(child, ()):
        if key in item:
            yield item[key]
        yield from _all_below(item, child, key)


def _unique_full_urls(bundle: Node) -> bool:
    return bundle.get("type") == "history" or _distinct(
        (entry["fullUrl"], entry.get("resource", {}).get("meta", {}).get("versionId"))
        for entry in bundle.get("entry", ())
        if "fullUrl" in entry
    )


def _first_is(type_: str) -> Callable[[Node], bool]:
    def holds(bundle: Node) -> bool:
        entries = bundle.get("entry", [{}])
        return bool(entries[0].get("resource", {}).get("resourceType") == type_)

    return holds


def _component_repeats_code(observation: Node) -> bool:
    if "component" not in observation or not any(key.startswith("value") for key in observation):
        return True
    codings = observation.get("code", {}).get("coding", ())
    return not any(
        coding in codings
        for component in observation.get("component", ())
        for coding in component.get("code", {}).get("coding", ())
    )


def _on_behalf_of_practitioners(team: Node) -> bool:
    return not any(
        "onBehalfOf" in participant
        and re.match(r"(?!Practitioner/)[A-Z][A-Za-z]+/", participant.get("member", {}).get("reference", ""))
        for participant in team.get("participant", ())
    )


# Keyword of the schema -> (says, whether an element keeps it).
ELEMENT_RULES: dict[str, tuple[str, Callable[[Node], bool]]] = {
    "per-1": ("start SHALL NOT be after end", _period),
    "rng-2": ("low SHALL NOT be higher than high", _range),
    "cnt-3": ('a count SHALL be a whole number with the UCUM code "1"', _count),
    "tim-9": ("an offset needs a when that is not C, CM, CD or CV", _meal_offset),
    "reference-type": ("type SHALL be that of the reference", _type_agrees),
    "txt-1": ("SHALL be well-formed XHTML with some content, without scripts or forms", _narrative),
}

RESOURCE_RULES: dict[str, tuple[Rule, ...]] = {
    "Bundle": (
        Rule(
            "bdl-3",
            "entry",
            "request is mandatory in batch, transaction and history, prohibited elsewhere",
            lambda b: all(("request" in e) == (b.get("type") in _HISTORY) for e in b.get("entry", ())),
        ),
        Rule(
            "bdl-4",
            "entry",
            "response is mandatory in responses and history, prohibited elsewhere",
            lambda b: all(("response" in e) == (b.get("type") in _RESPONSES) for e in b.get("entry", ())),
        ),
        Rule("bdl-7", "entry", "fullUrl must be unique, or the versions must differ", _unique_full_urls),
        Rule(
            "bdl-8",
            "entry",
            "fullUrl cannot be a version specific reference",
            lambda b: not any("/_history/" in e.get("fullUrl", "") for e in b.get("entry", ())),
        ),
        Rule(
            "bdl-11",
            "entry",
            "a document must have a Composition as its first resource",
            lambda b: b.get("type") != "document" or _first_is("Composition")(b),
        ),
        Rule(
            "bdl-12",
            "entry",
            "a message must have a MessageHeader as its first resource",
            lambda b: b.get("type") != "message" or _first_is("MessageHeader")(b),
        ),
    ),
    "CareTeam": (
        Rule(
            "ctm-1",
            "participant",
            "onBehalfOf only where the member is a Practitioner",
            _on_behalf_of_practitioners,
        ),
    ),
    "CodeSystem": (
        Rule(
            "csd-1",
            "concept",
            "all codes SHALL be unique",
            lambda c: _distinct(_all_below(c, "concept", "code")),
        ),
    ),
    "MedicationDispense": (
        Rule(
            "mdd-1",
            "whenHandedOver",
            "cannot be before whenPrepared",
            lambda d: is_in_order(d.get("whenPrepared"), d.get("whenHandedOver")),
        ),
    ),
    "Observation": (
        Rule("obs-7", "value[x]", "not with a component of the same code", _component_repeats_code),
    ),
    "Questionnaire": (
        Rule(
            "que-2", "item", "link ids must be unique", lambda q: _distinct(_all_below(q, "item", "linkId"))
        ),
    ),
    "Task": (
        Rule(
            "inv-1",
            "lastModified",
            "must not be before authoredOn",
            lambda t: is_in_order(t.get("authoredOn"), t.get("lastModified")),
        ),
    ),
}


def local_links(resource: Node) -> Iterator[tuple[str, str]]:
    """Yield (key, text) of a resource with contained ones that breaks ref-1 or dom-3."""
    contained = [inner for inner in resource.get("contained", ()) if isinstance(inner, dict)]
    ids = {str(inner.get("id")).encode() for inner in contained}
    if len(ids) < len(contained):
        yield "id", "each contained resource SHALL have an id of its own"
    written = lexemes.dumps(resource)
    references = set(_LOCAL_REFERENCE.findall(written))
    if not references - {b""} <= ids:
        yield "ref-1", "a local reference SHALL name a contained resource"
    if unused := ids - references:
        unused -= set(_LOCAL_ADDRESS.findall(written))
        if any(str(inner.get("id")).encode() in unused and not _points_out(inner) for inner in contained):
            yield "dom-3", "a contained resource SHALL be referred to from elsewhere in the resource"


def _points_out(contained: Node) -> bool:
    return b'":"#"' in lexemes.dumps(contained)


# Searched in compact JSON, where a quote inside a text is always escaped.
_LOCAL_REFERENCE = re.compile(rb'"reference":"#([^"]*)"')
_LOCAL_ADDRESS = re.compile(rb'"#([^"]*)"')
