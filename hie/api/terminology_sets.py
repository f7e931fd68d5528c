"""The operations on value sets: $expand and $validate-code (FHIR R4 valueset-operation-expand.html)."""

from __future__ import annotations

import uuid
from typing import Any

import orjson
from flask import Response
from sqlalchemy.orm import Session

from esb.fhir import lexemes
from esb.fhir.validation import check_resource
from hie.api import answers, asking
from hie.api.operations import operation
from hie.api.parameters import Values, asked, one
from hie.api.terminology_asking import answer_parameters, audited, coded, refused
from hie.errors import NotValid
from hie.repository import read
from hie.repository.content import instant_text
from hie.schema import ValueSet
from hie.security.access import access
from hie.security.policy import Decision
from hie.terminology import expanding
from hie.terminology.concepts import Found
from hie.terminology.expanding import Wanted
from hie.terminology.feeding import composed
from hie.terminology.members import compose_of
from hie.terminology.versions import by_id, named

Json = dict[str, Any]
HEAD = ("url", "version", "name", "title", "status")
# Parameters that the answer repeats, with the kind of their value.
REPEATED = {
    "filter": "valueString",
    "offset": "valueInteger",
    "count": "valueInteger",
    "activeOnly": "valueBoolean",
    "excludeNotForUI": "valueBoolean",
    "displayLanguage": "valueCode",
    "exclude-system": "valueUri",
}


@access("$expand")
def expand(id_: str | None = None) -> Response:
    """Answer the codes of a value set, a page of them, or those found by some words."""
    asking.check_accept()
    decision = asking.permitted("read", "ValueSet")
    given = asked(operation("expand", "instance" if id_ else "type", "ValueSet"))
    wanted = Wanted(
        one(given, "filter", ""),
        one(given, "offset", 0),
        one(given, "count"),
        one(given, "activeOnly", False),
        one(given, "excludeNotForUI", False),
        tuple(given.get("exclude-system", ())),
        one(given, "displayLanguage"),
    )
    with asking.hub().begin() as session:
        head, compose = _asked_for(session, given, id_, decision)
        found = expanding.expand(session, compose, wanted)
        audited(session, "$expand", "ValueSet", id_, url=head.get("url"), matches=len(found.rows))
    expansion: Json = {
        "identifier": f"urn:uuid:{uuid.uuid4()}",
        "timestamp": instant_text(asking.now()),
        "total": found.total,
        "offset": wanted.offset,
    }
    if repeated := _repeated(given):
        expansion["parameter"] = repeated
    if found.rows:
        expansion["contains"] = found.rows
    answered = {"resourceType": "ValueSet", **head}
    if one(given, "includeDefinition", False):
        answered["compose"] = compose
    return answers.answer(orjson.dumps(answered | {"expansion": expansion}))


def _repeated(given: Values) -> list[Json]:
    return [{"name": name, kind: value} for name, kind in REPEATED.items() for value in given.get(name, ())]


def _asked_for(session: Session, given: Values, id_: str | None, decision: Decision) -> tuple[Json, Json]:
    """Return head and compose of the value set that is asked for: by id, by url, or sent along.

    Raises: NotFound, NotKnown, NotValid.
    """
    url, sent = one(given, "url"), one(given, "valueSet")
    if (id_ is not None) + (url is not None) + (sent is not None) != 1:
        raise NotValid("Name one value set: by url, by valueSet, or at its own address, ValueSet/ID/$...")
    if sent is not None:
        if sent.get("resourceType") != "ValueSet":
            raise NotValid("valueSet is a ValueSet resource.")
        check_resource(sent)
        if b"\\u0000" in lexemes.dumps(sent):
            raise NotValid("The ValueSet holds the character NUL; leave it out.")
        return _of_resource(sent)
    if id_ is not None:
        kept = by_id(session, ValueSet, id_)
        if kept is not None:
            return _of_row(kept)
        stored = read.read(session, "ValueSet", id_, decision.where)
        return _of_resource(lexemes.loads(stored.content))
    version = one(given, "valueSetVersion")
    canonical = f"{url}|{version}" if version else str(url)
    known = named(session, ValueSet, canonical)
    if known is not None:
        return _of_row(known)
    return {"url": canonical.partition("|")[0], "status": "active"}, compose_of(session, canonical)


def _of_row(row: ValueSet) -> tuple[Json, Json]:
    head = {name: getattr(row, name) for name in HEAD if getattr(row, name)}
    return head, row.compose


def _of_resource(resource: Json) -> tuple[Json, Json]:
    plain = lexemes.loads_kept(lexemes.dumps(resource))
    head = {name: plain[name] for name in HEAD if name in plain}
    return head | {"status": plain.get("status", "unknown")}, composed(plain)


def validate_code(id_: str | None) -> Response:
    """Answer whether one of the codes is in a value set, and whether its display is right."""
    asking.check_accept()
    decision = asking.permitted("read", "ValueSet")
    given = asked(operation("validate-code", "instance" if id_ else "type", "ValueSet"))
    codes = coded(given)
    may_be_abstract = one(given, "abstract", False)
    told, found, code = "", None, codes[0]
    with asking.hub().begin() as session:
        head, compose = _asked_for(session, given, id_, decision)
        for code in codes:
            held = expanding.holds(session, compose, code.system, code.code)
            told, found = _one_of(held, may_be_abstract)
            if found is not None:
                break
        is_held = found is not None
        audited(session, "$validate-code", "ValueSet", id_, url=head.get("url"), result=is_held)
    if found is None:
        return answer_parameters(refused(told))
    return answer_parameters(agreed(found, code.display, one(given, "displayLanguage")))


def _one_of(held: list[Found], may_be_abstract: bool) -> tuple[str, Found | None]:
    if not held:
        return "The code is not in the value set.", None
    if len(held) > 1:
        return "The code is in several code systems of the value set; name its system.", None
    if held[0].abstract and not may_be_abstract:
        return "The code is abstract: it groups others and is not used itself.", None
    return "", held[0]


def agreed(found: Found, display: str | None, language: str | None) -> list[Json]:
    """Return what `$validate-code` says of a code that is there; a wrong display makes it wrong."""
    shown = found.shown(language)
    names = {one_.casefold() for one_ in found.displays()}
    if display and display.casefold() not in names:
        text = "The display is not one of the code's; see display for the right one."
        return [*refused(text), {"name": "display", "valueString": shown}]
    return [{"name": "result", "valueBoolean": True}, {"name": "display", "valueString": shown}]
