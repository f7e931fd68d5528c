"""Takes CodeSystem, ValueSet and ConceptMap resources into the tables (FHIR R4 terminology module)."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy.orm import Session

from esb.fhir.lexemes import dumps
from hie.errors import NotValid
from hie.schema import CodeSystem, ConceptMap, ValueSet
from hie.terminology.storing import Entry, Pair, Table, put, put_code_system, put_map, remove
from hie.terminology.versions import named
from hie.terminology.words import words_of

TABLES: dict[str, type[CodeSystem] | type[ValueSet] | type[ConceptMap]] = {
    "CodeSystem": CodeSystem,
    "ValueSet": ValueSet,
    "ConceptMap": ConceptMap,
}
DEEPEST = 50
INACTIVE = frozenset({"inactive", "retired"})


def feed(
    session: Session, type_: str, id_: str, resource: dict[str, Any] | None, facility: str | None
) -> None:
    """Let the tables follow a write of one of the three types; a deletion comes without a resource.

    A hospital feeds only what stands under its own name, `urn:hie:H01:...`, and of that only what is said of
    its own codes: what the region's or another hospital's codes mean is not a hospital's to change. Without a
    url there is nothing to be named by.

    Raises: NotValid.
    """
    remove(session, TABLES[type_], id_)
    if resource is None or not resource.get("url"):
        return
    plain = json.loads(dumps(resource))
    if facility is not None and not _keep_own(plain, f"urn:hie:{facility}:"):
        return
    if plain.get("content") == "not-present" and named(session, CodeSystem, _canonical(plain)) is not None:
        # It only describes a code system whose concepts are here already.
        return
    if type_ == "ConceptMap" and not plain.get("group") and named(session, ConceptMap, _canonical(plain)):
        # Likewise the head of a map that is too large to be shown.
        return
    row = FEEDERS[type_](session, plain)
    row.resource_id, row.is_written, row.facility = id_, True, facility
    session.flush()


def _keep_own(resource: dict[str, Any], prefix: str) -> bool:
    """Say whether a resource has a name of the hospital's own; leave out of it what names others' codes."""
    if not str(resource["url"]).startswith(prefix):
        return False
    if not str(resource.get("valueSet", prefix)).startswith(prefix):
        del resource["valueSet"]
    if "group" in resource:
        resource["group"] = [one for one in resource["group"] if one.get("source", "").startswith(prefix)]
    return True


def _canonical(resource: dict[str, Any]) -> str:
    version = resource.get("version")
    return f"{resource['url']}|{version}" if version else str(resource["url"])


def _head(resource: dict[str, Any]) -> dict[str, Any]:
    return {
        "url": resource["url"],
        "version": resource.get("version", ""),
        "name": resource.get("name") or resource.get("title") or resource["url"],
        "status": resource.get("status", "unknown"),
    }


def _code_system(session: Session, resource: dict[str, Any]) -> Table:
    return put_code_system(session, *code_system(resource))


def code_system(resource: dict[str, Any]) -> tuple[CodeSystem, list[Entry]]:
    """Return a CodeSystem as the tables hold it. Raises: NotValid."""
    system = CodeSystem(
        **_head(resource),
        title=resource.get("title", ""),
        content=resource.get("content", "complete"),
        is_case_sensitive=resource.get("caseSensitive", True),
        language=resource.get("language", "zh"),
        value_set=resource.get("valueSet"),
        source=resource.get("publisher", ""),
    )
    entries: dict[str, Entry] = {}
    for concept, parent in _walk(resource.get("concept", ()), None, 0):
        entry = _entry(concept, system.language)
        if entry.code in entries:
            if parent is None:
                raise NotValid("A code comes twice in the CodeSystem; each may stand once.")
            entries[entry.code].parents.append(parent)
            continue
        if parent is not None and parent not in entry.parents:
            entry.parents.append(parent)
        entries[entry.code] = entry
    _children_to_parents(entries)
    return system, list(entries.values())


def _walk(concepts: Any, parent: str | None, depth: int) -> Iterator[tuple[dict[str, Any], str | None]]:
    if depth > DEEPEST:
        raise NotValid(f"A CodeSystem nests its concepts at most {DEEPEST} deep; name parents as properties.")
    for concept in concepts:
        yield concept, parent
        yield from _walk(concept.get("concept", ()), concept["code"], depth + 1)


def _entry(concept: dict[str, Any], language: str) -> Entry:
    properties = concept.get("property") or []
    told = {one.get("code"): _value(one) for one in properties}
    display = concept.get("display") or concept["code"]
    words = words_of(concept.get("designation") or ()) | {language[:2]: display}
    return Entry(
        concept["code"],
        display,
        display_zh=words.get("zh"),
        display_en=words.get("en"),
        definition=concept.get("definition"),
        parents=[str(_value(one)) for one in properties if one.get("code") == "parent"],
        active=told.get("inactive") not in (True, "true") and told.get("status") not in INACTIVE,
        abstract=told.get("notSelectable") in (True, "true") or told.get("abstract") in (True, "true"),
        properties=properties,
        designations=concept.get("designation"),
    )


def _children_to_parents(entries: dict[str, Entry]) -> None:
    """Turn the property `child` into parents of the children."""
    for entry in list(entries.values()):
        for one in entry.properties or ():
            child = entries.get(str(_value(one))) if one.get("code") == "child" else None
            if child is not None and entry.code not in child.parents:
                child.parents.append(entry.code)


def _value(property_: dict[str, Any]) -> Any:
    value = next((value for name, value in property_.items() if name.startswith("value")), None)
    return value.get("code") if isinstance(value, dict) else value


def _value_set(session: Session, resource: dict[str, Any]) -> Table:
    row = value_set(resource)
    put(session, row)
    return row


def value_set(resource: dict[str, Any]) -> ValueSet:
    """Return a ValueSet as the table holds it."""
    return ValueSet(**_head(resource), title=resource.get("title", ""), compose=composed(resource))


def composed(resource: dict[str, Any]) -> dict[str, Any]:
    """Return the compose of a ValueSet; one that lists what its expansion holds, where it has no other."""
    if resource.get("compose"):
        return dict(resource["compose"])
    systems: dict[str, list[dict[str, str]]] = {}
    open_ = deque((resource.get("expansion") or {}).get("contains") or ())
    while open_:
        one = open_.popleft()
        open_ += one.get("contains") or ()
        if one.get("code") and not one.get("abstract"):
            listed = {"code": one["code"]} | ({"display": one["display"]} if one.get("display") else {})
            systems.setdefault(one.get("system", ""), []).append(listed)
    return {"include": [{"system": system, "concept": listed} for system, listed in systems.items()]}


def _concept_map(session: Session, resource: dict[str, Any]) -> Table:
    source = resource.get("sourceUri") or resource.get("sourceCanonical")
    target = resource.get("targetUri") or resource.get("targetCanonical")
    map_ = ConceptMap(**_head(resource), source_uri=source, target_uri=target)
    map_.unmapped = [
        {"source": group.get("source", ""), "target": group.get("target", "")} | group["unmapped"]
        for group in resource.get("group") or ()
        if "unmapped" in group
    ] or None
    return put_map(session, map_, list(_pairs(resource)))


def _pairs(resource: dict[str, Any]) -> Iterator[Pair]:
    for group in resource.get("group") or ():
        source, target = group.get("source", ""), group.get("target")
        for element in group.get("element") or ():
            given = (source, element.get("code", ""), element.get("display"))
            for one in element.get("target") or ({"equivalence": "unmatched"},):
                code = one.get("code")
                yield Pair(
                    *given,
                    target if code else None,
                    code,
                    one.get("display"),
                    one.get("equivalence", "equivalent"),
                    one.get("comment"),
                )


FEEDERS: dict[str, Callable[[Session, dict[str, Any]], Table]] = {
    "CodeSystem": _code_system,
    "ValueSet": _value_set,
    "ConceptMap": _concept_map,
}
