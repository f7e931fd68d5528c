"""A transaction made definite: conditions, ids and references of its entries (FHIR R4 http.html#trules).

What is deleted counts as gone for the conditions of the other entries, as deletions come first.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from esb.fhir.references import references, rewrite
from esb.fhir.types import RESOURCE_TYPES
from hie.api import asking, conditional, patches, pointing
from hie.api.requested import ACTIONS, READING, Asked, at, wrong
from hie.errors import HieError, Issue, NotFound, NotValid, PreconditionFailed
from hie.repository.writes import Write

CONDITIONAL_REFERENCE = re.compile(r"([A-Z][A-Za-z]+)\?(.+)", re.DOTALL)
# What a Bundle refers to, and links in its narratives, found in its text without going through it.
NAMED = re.compile(rb'"reference"\s*:\s*"([^"]*)"')
LINKED = re.compile(rb'(?:href|src)=\\?["\']urn:')
# A name or a character of the plain alphabet may be written so; what is found in the text is then not all.
ESCAPED = b"\\u00"
LINK = re.compile(r"""((?:href|src)=["'])(urn:[^"'#]+)""")


def named_in(raw: bytes) -> set[str]:
    """Return the references in the text of a Bundle, as they are written there."""
    return {value.decode("utf-8", "replace") for value in set(NAMED.findall(raw))}


def resolve(session: Session, asked: Sequence[Asked], raw: bytes | None = None) -> bool:
    """Make conditions, ids and references of all entries definite, and give each its write.

    Args:
        raw: the text they come from, if it is all of them; spares going through resources that need nothing.

    Returns: whether all references are known to lead somewhere.

    Raises: NotValid, PreconditionFailed, NotPermitted, each naming the entry.
    """
    facility = asking.actor().facility
    if raw is not None and ESCAPED in raw:
        raw = None
    named = None if raw is None else named_in(raw)
    _match_conditions(session, asked)
    mapping: dict[str, str] = {}
    for item in asked:
        if item.method in ("POST", "PUT"):
            if item.id is None:
                item.id = item.known.id if item.known else _own_id(item) or str(uuid.uuid4())
            _map(item, mapping)
    written = [item for item in asked if item.resource is not None and item.method != "PATCH"]
    if named is None or any("?" in value or "\\" in value for value in named):
        _match_references(session, asked, written, mapping)
    has_links = raw is None or LINKED.search(raw) is not None
    for item in written:
        assert item.resource is not None
        _rewrite(item.resource, mapping, has_links=has_links)
    for item in asked:
        if item.method not in READING:
            item.write = WRITES[item.method](item, facility)
    # What a patch refers to does not stand in the text as a reference.
    if named is None or any(item.method == "PATCH" for item in asked):
        return False
    return all(value in mapping or value[:1] == "#" for value in named)


def _own_id(item: Asked) -> str | None:
    """Return the id that a conditional update brings along for a resource that is not there yet."""
    return item.resource.get("id") if item.method == "PUT" and item.resource else None


def _match_conditions(session: Session, asked: Sequence[Asked]) -> None:
    """Find what the conditional entries mean; their locks are all taken first, in order."""
    conditions = [item for item in asked if item.criteria is not None and item.method not in READING]
    if not conditions:
        return
    seen: set[str] = set()
    locks: set[int] = set()
    for item in conditions:
        words = conditional.same_words(item.type, item.criteria or "")
        if item.method != "DELETE":
            # What is deleted is gone before the others are asked for.
            if words in seen:
                raise wrong(item.path, "has the same condition as another entry; leave one of them")
            seen.add(words)
        try:
            item.conditions = conditional.read(session, item.type, item.criteria or "")
        except HieError as error:
            raise at(item.path, error) from None
        locks |= conditional.locks_of(item.type, item.criteria or "")
    conditional.lock(session, locks)
    # Deletions come first: what they take away matches nothing afterwards.
    conditions.sort(key=lambda item: item.method != "DELETE")
    gone = {(item.type, item.id) for item in asked if item.method == "DELETE" and item.id is not None}
    for item in conditions:
        decision = asking.permitted(ACTIONS[item.method], item.type)
        try:
            asked_for = conditional.read_again(session, item.type, item.criteria or "", item.conditions)
            item.known = conditional.find_one(session, item.type, asked_for, decision.where)
        except HieError as error:
            raise at(item.path, error) from None
        if item.method == "DELETE" and item.known is not None:
            gone.add((item.type, item.known.id))
        elif item.known is not None and (item.type, item.known.id) in gone:
            item.known = None
        _check_match(item)


def _check_match(item: Asked) -> None:
    own_id = _own_id(item)
    if item.method == "PUT" and item.known and own_id not in (None, item.known.id):
        raise wrong(item.path, "the resource's id is not that of the resource the condition matches")
    if item.method == "PATCH" and item.known is None:
        raise at(item.path, NotFound("The condition of the patch matches nothing."))
    if item.method in ("PATCH", "DELETE") and item.known is not None:
        item.id = item.known.id


def _map(item: Asked, mapping: dict[str, str]) -> None:
    """Let references by the entry's fullUrl, and by its old relative address, find its id."""
    target = f"{item.type}/{item.id}"
    if item.full_url:
        mapping[item.full_url] = target
    old = item.resource.get("id") if item.resource else None
    if isinstance(old, str) and old != item.id and (item.full_url or "").endswith(f"/{item.type}/{old}"):
        mapping[f"{item.type}/{old}"] = target


def _match_references(
    session: Session, asked: Sequence[Asked], written: Sequence[Asked], mapping: dict[str, str]
) -> None:
    """Find what conditional references (`Patient?identifier=...`) point at: an entry, or what is there."""
    entries = {
        conditional.same_words(item.type, item.criteria): f"{item.type}/{item.id}"
        for item in asked
        if item.criteria is not None and item.method in ("POST", "PUT")
    }
    for item in written:
        assert item.resource is not None
        for node, value in references(item.resource):
            found = CONDITIONAL_REFERENCE.fullmatch(value) if "?" in value else None
            if found is None or value in mapping or found[1] not in RESOURCE_TYPES:
                continue
            known = entries.get(conditional.same_words(found[1], found[2]))
            try:
                mapping[value] = known or _match_reference(session, found[1], found[2])
            except (PreconditionFailed, NotValid) as error:
                path = pointing.path_of(item.resource, node, f"{item.path}.resource")
                error.issues = (Issue(path, f"{path}: {error.text}", error.code),)
                raise


def _match_reference(session: Session, type_: str, criteria: str) -> str:
    decision = asking.permitted("search", type_)
    known = conditional.match(session, type_, criteria, decision.where)
    if known is None:
        raise PreconditionFailed("The conditional reference matches nothing.")
    return f"{type_}/{known.id}"


def _rewrite(resource: dict[str, Any], mapping: Mapping[str, str], *, has_links: bool) -> None:
    """Let a resource's references name what they became; a Bundle within keeps those to its own entries."""
    if resource["resourceType"] == "Bundle":
        own = {entry.get("fullUrl") for entry in resource.get("entry", ())}
        mapping = {url: target for url, target in mapping.items() if url not in own}
    rewrite(resource, mapping)
    div = resource.get("text", {}).get("div") if has_links else None
    if div is not None:
        resource["text"]["div"] = LINK.sub(lambda found: found[1] + mapping.get(found[2], found[2]), div)


def _post(item: Asked, facility: str | None) -> Write | None:
    if item.known is not None:
        return None
    assert item.resource is not None and item.id is not None
    item.resource["id"] = item.id
    return Write("create", item.type, item.id, item.resource, facility)


def _put(item: Asked, facility: str | None) -> Write:
    assert item.resource is not None and item.id is not None
    item.resource["id"] = item.id
    is_new = item.criteria is not None and item.known is None and item.if_match is None
    method = "create" if is_new else "put"
    return Write(method, item.type, item.id, item.resource, facility, if_match=item.if_match)  # type: ignore[arg-type]


def _patch(item: Asked, facility: str | None) -> Write:
    assert item.resource is not None and item.id is not None
    try:
        patch = patches.from_resource(item.resource)
    except NotValid as error:
        raise at(f"{item.path}.resource", error) from None
    return Write("patch", item.type, item.id, None, facility, if_match=item.if_match, patch=patch)


def _delete(item: Asked, facility: str | None) -> Write | None:
    if item.id is None:
        return None
    return Write("delete", item.type, item.id, None, facility, if_match=item.if_match)


WRITES: dict[str, Callable[[Asked, str | None], Write | None]] = {
    "POST": _post,
    "PUT": _put,
    "PATCH": _patch,
    "DELETE": _delete,
}
