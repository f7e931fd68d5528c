"""Composition/$document: a Composition and what it names (FHIR R4 composition-operation-document)."""

from __future__ import annotations

import uuid

import orjson
from flask import Blueprint, Response

from esb.fhir import lexemes
from esb.fhir.references import references
from hie.api import answers, asking, binaries, operations, parameters
from hie.errors import NotSupported
from hie.repository import read
from hie.repository.content import instant_text
from hie.repository.named import by_names
from hie.security import audit
from hie.security.access import access

SPACE = uuid.UUID("0d1f6a34-3f0e-5b7c-8f6e-0a4d1d7b9c55")


def add_routes(blueprint: Blueprint) -> None:
    """Open the routes of this module."""
    operations.add_operation(blueprint, "document", document)


@access("$document")
def document(id_: str) -> Response:
    """Answer the document: the Composition first, then what it names, then what is named there."""
    asking.check_accept()
    decision = asking.permitted("everything", "Composition")
    reach = asking.permitted("everything", "*")
    given = parameters.asked(operations.operation("document", "instance", "Composition"))
    if parameters.one(given, "persist", False) or "graph" in given:
        raise NotSupported(
            "The document is made anew each time, of all that is named: leave persist and graph."
        )
    with asking.hub().look() as session:
        found = read.read(session, "Composition", id_, decision.where)
        name = f"Composition/{id_}"
        parts = {name: found.content}
        waiting = [found.content]
        for _ in range(2):
            named = {one for content in waiting for one in _names(content)} - parts.keys()
            more = by_names(session, named, reach.where)
            parts |= more
            waiting = list(more.values())
        audit.record(
            session,
            actor=asking.actor(),
            action="R",
            operation="$document",
            resource_type="Composition",
            resource_id=id_,
            compartment=found.compartment or None,
            detail={"matches": len(parts)},
        )
    base = answers.base()
    identity = uuid.uuid5(
        SPACE, "\n".join([base, name, *sorted(content.decode() for content in parts.values())])
    )
    head = {
        "resourceType": "Bundle",
        "id": str(identity),
        "identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{identity}"},
        "type": "document",
        "timestamp": instant_text(asking.now()),
        "entry": [
            {
                "fullUrl": f"{base}/{part}",
                "resource": orjson.Fragment(binaries.whole(part.partition("/")[0], content)),
            }
            for part, content in parts.items()
        ],
    }
    return answers.answer(orjson.dumps(head))


def _names(content: bytes) -> set[str]:
    """Return what a resource refers to on this server, as Type/id."""
    values = (value for _, value in references(lexemes.loads_kept(content)))
    local = (value.removeprefix(f"{answers.base()}/").partition("/_history/")[0] for value in values)
    return {value for value in local if value.count("/") == 1}
