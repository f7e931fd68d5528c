"""What each type of element adds to the index: tokens and their texts (FHIR R4 search.html#table)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import tzinfo
from typing import Any

from hie.repository import names, tokens
from hie.repository.dates import Range
from hie.repository.numbers import Number

MOST_WORDS = 5  # of a part of a name that are found by themselves


class Index:
    """What one resource is found by.

    tokens: numbers of `hie.repository.tokens`. primary: range of the type's own date.
    dates: (parameter, range) of its other dates. numbers: its numbers and quantities.
    texts: what `:contains`, `:text` and `:below` look through to find a token.
    """

    __slots__ = ("dates", "numbers", "primary", "resource", "subject", "texts", "tokens", "zone")

    def __init__(self, resource: dict[str, Any], subject: str, zone: tzinfo) -> None:
        self.tokens: set[int] = set()
        self.primary: Range | None = None
        self.dates: set[tuple[str, Range]] = set()
        self.numbers: list[Number] = []
        self.texts: list[tokens.Text] = []
        self.resource = resource
        self.subject = subject
        self.zone = zone

    def add_text(self, text: tokens.Text) -> None:
        """Take in a text and the token it stands for."""
        self.tokens.add(text.token)
        self.texts.append(text)


Emit = Callable[[Any, Index], None]


def _concept(path: str) -> Emit:
    coding = _coding(path)

    def emit(value: Any, found: Index) -> None:
        if type(value) is dict:
            for item in value.get("coding") or ():
                coding(item, found)
            if type(text := value.get("text")) is str:
                found.add_text(tokens.described(path, text))

    return emit


def _coding(path: str) -> Emit:
    def emit(value: Any, found: Index) -> None:
        if type(value) is dict:
            get = value.get
            numbers, text = tokens.shown(path, get("system"), get("code"), get("display"))
            found.tokens.update(numbers)
            if text is not None:
                found.texts.append(text)

    return emit


def _code(path: str) -> Emit:
    def emit(value: Any, found: Index) -> None:
        if type(value) is str:
            found.tokens.add(tokens.by_code(path, value))

    return emit


def _media_type(path: str) -> Emit:
    def emit(value: Any, found: Index) -> None:
        if type(value) is str:
            found.tokens.add(tokens.by_code(path, value))
            found.tokens.add(tokens.by_media_type(path, value))

    return emit


def _boolean(path: str) -> Emit:
    def emit(value: Any, found: Index) -> None:
        if type(value) is bool:
            found.tokens.add(tokens.by_code(path, "true" if value else "false"))

    return emit


def _identifier(path: str) -> Emit:
    described_by = _identifier_type(path)

    def emit(value: Any, found: Index) -> None:
        if type(value) is dict and type(value.get("value")) is str:
            found.tokens.update(tokens.coded(path, value.get("system"), value["value"]))
            if type(kind := value.get("type")) is dict:
                described_by(kind, value["value"], found)

    return emit


def _identifier_type(path: str) -> Callable[[dict[str, Any], str, Index], None]:
    def emit(kind: dict[str, Any], value: str, found: Index) -> None:
        if type(text := kind.get("text")) is str:
            found.add_text(tokens.described(path, text))
        for coding in kind.get("coding") or ():
            if type(coding) is dict and type(code := coding.get("code")) is str:
                found.tokens.add(tokens.of_type(path, str(coding.get("system") or ""), code, value))

    return emit


def _contact(path: str) -> Emit:
    def emit(value: Any, found: Index) -> None:
        if type(value) is dict and type(value.get("value")) is str:
            found.tokens.add(tokens.by_call(path, value["value"]))

    return emit


def _reference(path: str) -> Emit:
    by_identifier = path + ":identifier"

    def emit(value: Any, found: Index) -> None:
        if type(value) is not dict:
            return
        reference = value.get("reference")
        if type(reference) is str:
            found.tokens.add(tokens.by_reference(path, reference.partition("/_history/")[0]))
        identifier = value.get("identifier")
        if type(identifier) is dict and type(identifier.get("value")) is str:
            found.tokens.update(tokens.coded(by_identifier, identifier.get("system"), identifier["value"]))

    return emit


def _uri(path: str) -> Emit:
    def emit(value: Any, found: Index) -> None:
        if type(value) is str:
            found.tokens.add(tokens.by_reference(path, value))
            if "|" in value:
                found.tokens.add(tokens.by_reference(path, value.partition("|")[0]))

    return emit


def _listed_uri(path: str) -> Emit:
    """Return what a URI adds where it may be asked for what lies below another."""
    uri = _uri(path)

    def emit(value: Any, found: Index) -> None:
        if type(value) is str:
            uri(value, found)
            found.add_text(tokens.located(path, value))

    return emit


def _string(path: str) -> Emit:
    def emit(value: Any, found: Index) -> None:
        if type(value) is str:
            _add_text(path, value, found)

    return emit


def _add_text(path: str, text: str, found: Index) -> None:
    found.add_text(tokens.listed(path, text))
    found.tokens.update(tokens.prefixes(path, tokens.folded(text)))


def _parts(path: str, keys: tuple[str, ...]) -> Emit:
    def emit(value: Any, found: Index) -> None:
        if type(value) is dict:
            for key in keys:
                part = value.get(key)
                for text in part if type(part) is list else (part,):
                    if type(text) is str:
                        _add_text(path, text, found)

    return emit


def _human_name(path: str) -> Emit:
    whole = _parts(path, ("text", "family", "given", "prefix", "suffix"))
    family, given = _name_part(path), _each_name_part(path)

    def emit(value: Any, found: Index) -> None:
        whole(value, found)
        if type(value) is dict:
            family(value.get("family"), found)
            given(value.get("given"), found)

    return emit


def _name_part(path: str) -> Emit:
    """Return what the later words of a part of a name add: Quinones of Carreno Quinones."""

    def emit(value: Any, found: Index) -> None:
        if type(value) is str and " " in value:
            for word in value.split(" ")[1 : MOST_WORDS + 1]:
                found.tokens.update(tokens.prefixes(path, tokens.folded(word)))

    return emit


def _each_name_part(path: str) -> Emit:
    one = _name_part(path)

    def emit(value: Any, found: Index) -> None:
        for part in value if type(value) is list else ():
            one(part, found)

    return emit


def _named(path: str) -> Emit:
    """Return what a family or given name adds that is asked for by itself."""
    whole, later = _string(path), _name_part(path)

    def emit(value: Any, found: Index) -> None:
        whole(value, found)
        later(value, found)

    return emit


def _address(path: str) -> Emit:
    return _parts(path, ("text", "line", "city", "district", "state", "postalCode", "country"))


def han_name(type_: str) -> Emit:
    """Names as people type them: in one piece either way round, by surname, in pinyin, by initials."""
    name, family_path, given_path = f"{type_}.name", f"{type_}.name.family", f"{type_}.name.given"

    def emit(value: Any, found: Index) -> None:
        if type(value) is not dict:
            return
        text = tokens.folded(str(value.get("text") or ""))
        family = tokens.folded(str(value.get("family") or ""))
        parts = [tokens.folded(part) for part in value.get("given") or () if type(part) is str]
        given = "".join(parts)
        if text and not family and names.is_han(text):
            family, given = names.split_han(text)
            found.tokens.update(tokens.prefixes(family_path, family), tokens.prefixes(given_path, given))
        for each in {given, *parts[:1]} - {""}:
            found.tokens.update(tokens.prefixes(name, family + each), tokens.prefixes(name, each + family))
        if family and names.is_han(family + given):
            for spelt_family, spelt_given, initials in names.readings(family, given):
                for path, spelt in (
                    (name, spelt_family + spelt_given),
                    (name, spelt_given + spelt_family),
                    (name, initials),
                    (name, spelt_family + initials[len(family) :]),
                    (family_path, spelt_family),
                    (given_path, spelt_given),
                ):
                    found.tokens.update(tokens.prefixes(path, spelt))
        for part in map(tokens.folded, names.later_parts(str(value.get("text") or ""))):
            found.tokens.update(tokens.prefixes(name, part))
            if names.is_han(part):
                for _, spelt, initials in names.readings("", part):
                    found.tokens.update(tokens.prefixes(name, spelt), tokens.prefixes(name, initials))

    return emit


def _contained(path: str) -> Emit:
    """Return what the first entry of a document or message adds: who it is."""

    def emit(value: Any, found: Index) -> None:
        if type(value) is dict and type(value.get("id")) is str:
            found.tokens.add(tokens.by_reference(path, f"{value.get('resourceType')}/{value['id']}"))

    return emit


def present(path: str) -> Emit:
    """Patient.deceased: true where it is stated and is not false."""
    return lambda value, found: found.tokens.add(tokens.by_code(path, "false" if value is False else "true"))


def subject(path: str) -> Emit:
    """Return what the patient of a resource adds: nothing where it is kept with that patient."""
    reference = _reference(path)

    def emit(value: Any, found: Index) -> None:
        if type(value) is dict and (value.get("reference") != found.subject or "identifier" in value):
            reference(value, found)

    return emit


def emitter(path: str, type_: str, kind: str) -> Emit:
    """Return what an element of a type adds under a kind of search parameter."""
    if kind == "uri":
        return _listed_uri(path)
    if kind == "token" and path.endswith(tokens.MEDIA_TYPE):
        return _media_type(path)
    if kind == "string" and path.endswith((".name.family", ".name.given")):
        return _named(path)
    return _code(path) if kind == "token" and type_ in ("string", "uri") else EMITTERS[type_](path)


EMITTERS: dict[str, Callable[[str], Emit]] = {
    "CodeableConcept": _concept,
    "Coding": _coding,
    "code": _code,
    "id": _code,
    "boolean": _boolean,
    "Identifier": _identifier,
    "ContactPoint": _contact,
    "Reference": _reference,
    "canonical": _uri,
    "uri": _uri,
    "url": _uri,
    "string": _string,
    "markdown": _string,
    "HumanName": _human_name,
    "Address": _address,
    "Resource": _contained,
}
