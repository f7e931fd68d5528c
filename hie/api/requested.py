"""The entries of a transaction or batch as they are asked for: method, address, conditions, content."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from esb.fhir.types import RESOURCE_TYPES
from esb.fhir.validation import check_resource
from hie.api import answers, asking
from hie.api.conditional import Conditions, Known
from hie.errors import HieError, Issue, NotValid
from hie.repository import contents
from hie.repository.dates import span
from hie.repository.writes import Write

ADDRESS = re.compile(
    r"(?P<type>[A-Za-z]+)(?:/(?P<id>[A-Za-z0-9.-]{1,64})(?:/_history/(?P<version>[0-9]{1,9}))?)?/?"
    r"(?:\?(?P<query>.*))?",
    re.DOTALL,
)
ACTIONS = {
    "GET": "read",
    "HEAD": "read",
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
# Down to the second and with an offset (R4 datatypes.html#instant).
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
READING = frozenset({"GET", "HEAD"})
PATCHES = ("Binary", "Parameters")


@dataclass(slots=True)
class Asked:
    """One entry.

    path: where it stands. criteria: of a conditional request or a search. version: of a vread.
    if_match: the version insisted on; 0 if there must be none, ANY if there must be one. none_match: the
    ETags the asker has already. since: from when on a version would be new to the asker.
    conditions: what the criteria stand for. known: what they found. write: what is to be written, once
    everything is definite; None for a read and where nothing is to be done.
    """

    path: str
    method: str
    type: str
    id: str | None
    criteria: str | None
    version: int | None = None
    resource: dict[str, Any] | None = None
    full_url: str | None = None
    if_match: int | None = None
    none_match: str | None = None
    since: datetime | None = None
    conditions: Conditions = ()
    known: Known | None = None
    write: Write | None = None


def wrong(path: str, text: str) -> NotValid:
    """Return the error for an entry that cannot be read."""
    return NotValid(f"{path}: {text}", issues=[Issue(path, f"{path}: {text}")])


def at(path: str, error: HieError) -> HieError:
    """Return an error of an entry with the place it happened at; its kind and words stay."""
    if not error.issues:
        error.issues = (Issue(path, f"{path}: {error.text}", error.code),)
    return error


def read_entries(entries: Sequence[Any], first: int = 0) -> list[Asked]:
    """Return the entries as asked for, each checked against R4 and the actor's rights.

    Args:
        first: the number of the first of them in its Bundle.

    Raises: NotValid naming the entry; NotPermitted.
    """
    permitted: set[tuple[str, str]] = set()
    urls: set[str] = set()
    asked = []
    for number, entry in enumerate(entries, first):
        item = _read_entry(f"Bundle.entry[{number}]", entry)
        action = "search" if item.method in READING and item.id is None else ACTIONS[item.method]
        if (action, item.type) not in permitted:
            try:
                asking.permitted(action, item.type)
            except HieError as error:
                raise at(item.path, error) from None
            permitted.add((action, item.type))
        if item.full_url is not None and item.method not in READING:
            if item.full_url in urls:
                raise wrong(f"{item.path}.fullUrl", "is the fullUrl of another entry too")
            urls.add(item.full_url)
        asked.append(item)
    return asked


def _read_entry(path: str, entry: Any) -> Asked:
    request = entry.get("request") if isinstance(entry, dict) else None
    if not isinstance(request, dict) or request.get("method") not in ACTIONS:
        raise wrong(f"{path}.request.method", "must be GET, HEAD, POST, PUT, PATCH or DELETE")
    method, url = request["method"], request.get("url")
    address = _address(url) if isinstance(url, str) else None
    if address is None or address["type"] not in RESOURCE_TYPES:
        raise wrong(f"{path}.request.url", "must begin with a resource type of R4, and name no operation")
    item = Asked(path, method, address["type"], address["id"], address["query"])
    if method in READING and item.type in asking.MADE_BY_THE_HUB:
        raise wrong(f"{path}.request.url", f"must not be a {item.type}: read it by a request of its own")
    item.full_url = entry.get("fullUrl")
    if not isinstance(item.full_url, str | None):
        raise wrong(f"{path}.fullUrl", "must be a text")
    if address["version"] is not None:
        item.version = int(address["version"])
        if method not in READING:
            raise wrong(f"{path}.request.url", "names a version; only a read can")
    _read_conditions(item, request)
    if method in ("POST", "PUT", "PATCH"):
        _read_resource(item, entry.get("resource"))
    return item


def _address(url: str) -> re.Match[str] | None:
    return ADDRESS.fullmatch(url.removeprefix(answers.base()).removeprefix("/"))


def _read_conditions(item: Asked, request: dict[str, Any]) -> None:
    for name in ("ifMatch", "ifNoneMatch", "ifNoneExist", "ifModifiedSince"):
        if not isinstance(request.get(name, ""), str):
            raise wrong(f"{item.path}.request.{name}", "must be a text")
    if "ifMatch" in request:
        try:
            item.if_match = asking.version_of(request["ifMatch"])
        except HieError as error:
            raise at(f"{item.path}.request.ifMatch", error) from None
    if "ifNoneMatch" in request:
        item.none_match = request["ifNoneMatch"]
        if item.method == "PUT":
            if item.none_match != "*":
                raise wrong(f"{item.path}.request.ifNoneMatch", "takes * alone for a PUT")
            item.if_match = 0
    if "ifModifiedSince" in request and item.method in READING:
        found = INSTANT.fullmatch(request["ifModifiedSince"]) and span(request["ifModifiedSince"], UTC)
        if not found:
            raise wrong(f"{item.path}.request.ifModifiedSince", "must be an instant")
        item.since = found[0]
    if item.method == "POST":
        if item.id is not None or item.criteria is not None:
            raise wrong(f"{item.path}.request.url", "of a POST is a type alone")
        item.criteria = request.get("ifNoneExist")
    elif item.method not in READING and (item.id is None) is not bool(item.criteria):
        raise wrong(f"{item.path}.request.url", "needs an id or a condition, and not both")


def _read_resource(item: Asked, resource: Any) -> None:
    if not isinstance(resource, dict):
        raise wrong(f"{item.path}.resource", "is missing")
    check_resource(resource, f"{item.path}.resource")
    try:
        contents.check(resource)
    except NotValid as error:
        raise at(f"{item.path}.resource.data", error) from None
    expected = PATCHES if item.method == "PATCH" else (item.type,)
    if resource["resourceType"] not in expected:
        raise wrong(f"{item.path}.resource", f"must be a {' or '.join(expected)}")
    if item.method == "PUT" and item.id is not None and resource.get("id") != item.id:
        raise wrong(f"{item.path}.resource.id", "must be the id in request.url")
    item.resource = resource
