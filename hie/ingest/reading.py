"""Reads an entry's Bundle: each request checked against FHIR R4 and turned into a write of the repository."""

import base64
import binascii
from dataclasses import dataclass
from typing import Any

from esb.envelope import Entry
from esb.fhir.bundles import JSON_PATCH
from esb.fhir.lexemes import loads, loads_any
from esb.fhir.types import is_resource_type
from esb.fhir.validation import check_resource
from hie.errors import Issue, NotSupported, NotValid
from hie.repository import contents
from hie.repository.writes import Order, Write


@dataclass(frozen=True, slots=True)
class Item:
    """An entry of a facility with the writes it asks for, and how many bytes its Bundle has."""

    facility: str
    entry: Entry
    writes: tuple[Write, ...]
    size: int

    @property
    def key(self) -> tuple[str, int, int]:
        """The inbox key."""
        return self.facility, self.entry.epoch, self.entry.seq


def read_entry(facility: str, entry: Entry) -> Item:
    """Return the writes of an entry.

    Raises: NotValid with the elements at fault, Malformed, TooLarge, NotSupported.
    """
    body = entry.body()
    bundle = loads(body)
    if bundle.get("resourceType") != "Bundle" or bundle.get("type") != "transaction":
        raise NotValid("The entry is not a transaction Bundle.")
    requests = bundle.get("entry")
    if not isinstance(requests, list) or not all(isinstance(one, dict) for one in requests):
        raise NotValid(
            "The Bundle has no entries.", issues=[Issue("Bundle.entry", "must be a list of entries")]
        )
    order = (entry.source_at, entry.epoch, entry.seq)
    writes = [_write(one, f"Bundle.entry[{n}]", facility, order) for n, one in enumerate(requests)]
    return Item(facility, entry, tuple(writes), len(body))


def _write(one: dict[str, Any], path: str, facility: str, order: Order) -> Write:
    request = one.get("request")
    if not isinstance(request, dict):
        raise NotValid("A Bundle entry has no request.", issues=[Issue(f"{path}.request", "is missing")])
    type_, slash, id_ = str(request.get("url", "")).partition("/")
    if not slash or not id_ or "/" in id_ or not is_resource_type(type_):
        raise NotValid(
            "A request's url is not Type/id.", issues=[Issue(f"{path}.request.url", "must be Type/id")]
        )
    method = request.get("method")
    if method == "DELETE":
        return Write("delete", type_, id_, facility=facility, order=order)
    resource = one.get("resource")
    if not isinstance(resource, dict):
        raise NotValid("A Bundle entry has no resource.", issues=[Issue(f"{path}.resource", "is missing")])
    if method == "PATCH":
        return Write("patch", type_, id_, facility=facility, order=order, patch=_operations(resource, path))
    if method != "PUT":
        raise NotSupported("Only PUT, PATCH and DELETE are taken in from a hospital.")
    if resource.get("resourceType") != type_ or resource.get("id") != id_:
        raise NotValid(
            "A resource is not the one its request names.",
            issues=[Issue(f"{path}.resource.id", "must be the type and id of request.url")],
        )
    check_resource(resource, f"{path}.resource")
    contents.check(resource)
    keep = request.get("ifNoneMatch") == "*"
    return Write("put", type_, id_, resource, facility=facility, order=order, if_none_match=keep)


def _operations(binary: dict[str, Any], path: str) -> list[dict[str, Any]]:
    """Return the JSON Patch that a Binary carries."""
    try:
        if binary.get("resourceType") != "Binary" or binary.get("contentType") != JSON_PATCH:
            raise ValueError
        operations = loads_any(base64.b64decode(str(binary.get("data", "")), validate=True))
        if not isinstance(operations, list) or not all(isinstance(one, dict) for one in operations):
            raise ValueError
    except (ValueError, binascii.Error):
        raise NotValid(
            "A PATCH must carry a Binary with a JSON Patch.",
            issues=[Issue(f"{path}.resource", "no JSON Patch")],
        ) from None
    return operations
