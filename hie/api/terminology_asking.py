"""What the terminology's operations share: the codes asked about, the version named, the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from flask import Response
from sqlalchemy.orm import Session

from hie.api import answers, asking
from hie.api.parameters import Values, one
from hie.errors import NotFound, NotValid
from hie.repository.query import check_text
from hie.security import audit
from hie.terminology.errors import NotKnown
from hie.terminology.versions import Kept, by_id, named

MOST_CODINGS = 50


@dataclass(frozen=True, slots=True)
class Code:
    """A code that was asked about."""

    system: str | None
    code: str
    version: str | None = None
    display: str | None = None


def coded(given: Values) -> list[Code]:
    """Return the codes asked about, from code, coding or codeableConcept. Raises: NotValid."""
    ways = [name for name in ("code", "coding", "codeableConcept") if name in given]
    if len(ways) != 1:
        raise NotValid("Name what to look at in one way: code, coding or codeableConcept.")
    if ways == ["code"]:
        return [Code(one(given, "system"), given["code"][0], None, one(given, "display"))]
    codings = given["coding"] if ways == ["coding"] else given["codeableConcept"][0].get("coding")
    if not isinstance(codings, list) or not 0 < len(codings) <= MOST_CODINGS:
        raise NotValid("A codeableConcept needs coding.")
    return [coding_of(coding) for coding in codings]


def coding_of(coding: Any) -> Code:
    """Return the code that a Coding names. Raises: NotValid."""
    if not isinstance(coding, dict):
        raise NotValid("A coding needs a code.")
    texts = [coding.get(name) for name in ("system", "code", "version", "display")]
    if not texts[1] or not all(text is None or isinstance(text, str) for text in texts):
        raise NotValid("A coding needs a code.")
    for text in texts:
        check_text(text or "")
    return Code(texts[0], str(texts[1]), texts[2], texts[3])


def version_named(
    session: Session, table: type[Kept], url: str | None, version: str | None, id_: str | None = None
) -> Kept:
    """Return what an id or a canonical names, with its version apart or within.

    Raises: NotFound for an id; NotKnown for a canonical; NotValid where nothing is named.
    """
    if id_ is not None:
        found = by_id(session, table, id_)
        if found is None:
            raise NotFound
        return found
    if not url:
        raise NotValid("Name it: url (or system), or ask at its own address, TYPE/ID/$...")
    canonical = f"{url}|{version}" if version and "|" not in url else url
    known = named(session, table, canonical)
    if known is None:
        kind = {"CodeSystem": "code system", "ConceptMap": "map", "ValueSet": "value set"}[table.__name__]
        raise NotKnown(
            f"This {kind} is not known here, or not in this version; load it (hie terminology load), or write"
            f" it as a {table.__name__}."
        )
    return known


def answer_parameters(items: Sequence[dict[str, Any]]) -> Response:
    """Answer a Parameters resource."""
    return answers.answer(orjson.dumps({"resourceType": "Parameters", "parameter": list(items)}))


def refused(text: str) -> list[dict[str, Any]]:
    """Return what `$validate-code` says of a code that is not valid."""
    return [{"name": "result", "valueBoolean": False}, {"name": "message", "valueString": text}]


def audited(session: Session, operation: str, type_: str, id_: str | None, **detail: Any) -> None:
    """Write the audit row of a question."""
    audit.record(
        session,
        actor=asking.actor(),
        action="E",
        operation=operation,
        resource_type=type_,
        resource_id=id_,
        detail={name: value for name, value in detail.items() if value is not None},
    )
