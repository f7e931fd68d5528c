"""The entries of a transaction as asked for: methods, ids, conditions and references made definite."""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from sqlalchemy.orm import Session

from esb.fhir import lexemes
from esb.fhir.references import references, rewrite
from esb.fhir.types import RESOURCE_TYPES
from esb.fhir.validation import check_resource
from hie.api import answers, asking, conditional
from hie.api.conditional import Known
from hie.errors import Issue, NotValid, PreconditionFailed
from hie.repository.writes import Method, Write

ADDRESS = re.compile(r"(?P<type>[A-Za-z]+)(?:/(?P<id>[A-Za-z0-9.-]{1,64}))?(?:\?(?P<query>.*))?", re.DOTALL)
# A reference in the text of a Bundle that may be conditional.
MAY_BE_CONDITIONAL = re.compile(rb'"reference"\s*:\s*"[^"]*[?\\]')
CONDITIONAL_REFERENCE = re.compile(r"([A-Z][A-Za-z]+)\?(.+)", re.DOTALL)
ACTIONS = {"GET": "read", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(slots=True)
class Asked:
    """One entry.

    path: where it stands. criteria: of a conditional request. known: what a conditional create found.
    write: what is to be written, once everything is definite; None for a read and for a known resource.
    """

    path: str
    method: str
    type: str
    id: str | None
    criteria: str | None
    resource: dict[str, Any] | None
    full_url: str | None
    if_match: int | None = None
    if_none_match: bool = False
    known: Known | None = None
    write: Write | None = None


def wrong(path: str, text: str) -> NotValid:
    """Return the error for an entry that cannot be read."""
    return NotValid(f"{path}: {text}", issues=[Issue(path, text)])


def read_entries(entries: Sequence[Any]) -> list[Asked]:
    """Return the entries as asked for, each checked against R4 and the actor's rights.

    Raises: NotValid naming the entry; NotPermitted.
    """
    permitted: set[tuple[str, str]] = set()
    asked = []
    for number, entry in enumerate(entries):
        item = _read_entry(f"Bundle.entry[{number}]", entry)
        if (item.method, item.type) not in permitted:
            action = "search" if item.method == "GET" and item.id is None else ACTIONS[item.method]
            asking.permitted(action, item.type)
            permitted.add((item.method, item.type))
        asked.append(item)
    return asked


def _read_entry(path: str, entry: Any) -> Asked:
    request = entry.get("request") if isinstance(entry, dict) else None
    if not isinstance(request, dict) or request.get("method") not in ACTIONS:
        raise wrong(path, "request.method must be GET, POST, PUT, PATCH or DELETE")
    method, url = request["method"], request.get("url")
    address = _address(url) if isinstance(url, str) else None
    if address is None or address["type"] not in RESOURCE_TYPES:
        raise wrong(path, "request.url must begin with a resource type of R4")
    item = Asked(path, method, address["type"], address["id"], address["query"], None, entry.get("fullUrl"))
    if not isinstance(item.full_url, str | None):
        raise wrong(path, "fullUrl must be a text")
    _read_conditions(item, request)
    if method in ("POST", "PUT", "PATCH"):
        _read_resource(item, entry.get("resource"))
    return item


def _address(url: str) -> re.Match[str] | None:
    return ADDRESS.fullmatch(url.removeprefix(answers.base()).removeprefix("/"))


def _read_conditions(item: Asked, request: dict[str, Any]) -> None:
    for name in ("ifMatch", "ifNoneMatch", "ifNoneExist"):
        if not isinstance(request.get(name, ""), str):
            raise wrong(item.path, f"request.{name} must be a text")
    if "ifMatch" in request:
        item.if_match = asking.version_of(request["ifMatch"])
    item.if_none_match = request.get("ifNoneMatch") == "*"
    if item.method == "POST":
        if item.id is not None or item.criteria is not None:
            raise wrong(item.path, "request.url of a POST is a type alone")
        item.criteria = request.get("ifNoneExist")
    elif item.method != "GET" and item.id is None and not item.criteria:
        raise wrong(item.path, "request.url needs an id or a condition")


def _read_resource(item: Asked, resource: Any) -> None:
    if not isinstance(resource, dict):
        raise wrong(item.path, "the resource is missing")
    check_resource(resource, f"{item.path}.resource")
    expected = "Binary" if item.method == "PATCH" else item.type
    if resource["resourceType"] != expected:
        raise wrong(item.path, f"the resource must be a {expected}")
    if item.method == "PUT" and item.id is not None and resource.get("id") != item.id:
        raise wrong(item.path, "the resource's id must be the id in request.url")
    item.resource = resource


def resolve(session: Session, asked: Sequence[Asked], *, has_conditional_references: bool = True) -> None:
    """Make conditions, ids and references of all entries definite, and give each its write.

    Args:
        has_conditional_references: False spares the search for them.

    Raises: NotValid, PreconditionFailed, NotPermitted.
    """
    facility = asking.actor().facility
    _match_conditions(session, asked)
    mapping: dict[str, str] = {}
    for item in asked:
        if item.method not in ("POST", "PUT"):
            continue
        if item.id is None:
            item.id = item.known.id if item.known else str(uuid.uuid4())
        _map(item, mapping)
    resources = [item.resource for item in asked if item.resource is not None and item.method != "PATCH"]
    if has_conditional_references:
        _match_references(session, resources, mapping)
    for resource in resources:
        rewrite(resource, mapping)
    for item in asked:
        if item.method != "GET":
            item.write = WRITES[item.method](item, facility)


def _match_conditions(session: Session, asked: Sequence[Asked]) -> None:
    """Find what the conditional entries mean; their locks are all taken first, in order."""
    conditions = [item for item in asked if item.criteria and item.method != "GET"]
    locks = [conditional.lock_number(item.type, item.criteria or "") for item in conditions]
    if len(set(locks)) < len(locks):
        raise NotValid("Two entries of the transaction have the same condition; leave one of them.")
    conditional.lock(session, locks)
    for item in conditions:
        decision = asking.permitted(ACTIONS[item.method], item.type)
        item.known = conditional.match(session, item.type, item.criteria or "", decision.where)
        own_id = item.resource.get("id") if item.resource else None
        if item.method == "PUT" and item.known and own_id not in (None, item.known.id):
            raise wrong(item.path, "the resource's id is not that of the resource the condition matches")
        if item.method == "PATCH" and item.known is None:
            raise PreconditionFailed("The condition of a patch matches nothing.")
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


def _match_references(session: Session, resources: Sequence[dict[str, Any]], mapping: dict[str, str]) -> None:
    """Find what conditional references (`Patient?identifier=...`) point at."""
    for resource in resources:
        for _, value in references(resource):
            found = CONDITIONAL_REFERENCE.fullmatch(value) if "?" in value else None
            if found and value not in mapping and found[1] in RESOURCE_TYPES:
                decision = asking.permitted("search", found[1])
                known = conditional.match(session, found[1], found[2], decision.where)
                if known is None:
                    raise PreconditionFailed("A conditional reference matches nothing.")
                mapping[value] = f"{found[1]}/{known.id}"


def _post(item: Asked, facility: str | None) -> Write | None:
    if item.known is not None:
        return None
    assert item.resource is not None and item.id is not None
    item.resource["id"] = item.id
    return Write("create", item.type, item.id, item.resource, facility)


def _put(item: Asked, facility: str | None) -> Write:
    assert item.resource is not None and item.id is not None
    item.resource["id"] = item.id
    method: Method = "create" if item.if_none_match else "put"
    return Write(method, item.type, item.id, item.resource, facility, if_match=item.if_match)


def _patch(item: Asked, facility: str | None) -> Write:
    assert item.resource is not None and item.id is not None
    if item.resource.get("contentType") != asking.PATCH_TYPE:
        raise wrong(item.path, f"a patch is a Binary of contentType {asking.PATCH_TYPE}")
    try:
        operations = lexemes.loads_any(base64.b64decode(item.resource.get("data") or "", validate=True))
    except (binascii.Error, ValueError):
        raise wrong(item.path, "the patch is not base64") from None
    return Write("patch", item.type, item.id, None, facility, if_match=item.if_match, patch=operations)


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

__all__ = ["Asked", "read_entries", "resolve", "unquote"]
