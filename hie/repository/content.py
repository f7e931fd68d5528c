"""The stored text of a resource: what a read returns, meta first, its numbers as they were written."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from esb.fhir.lexemes import dumps

META_OF_THE_SERVER = frozenset({"versionId", "lastUpdated"})
HEAD = frozenset({"resourceType", "id", "meta"})


def body_of(resource: dict[str, Any]) -> bytes:
    """Return the text of a resource behind what the server itself states: the rest of meta and all elements.

    Two resources that say the same in the same order have the same body, whatever their version.

    Raises: Malformed if it cannot be written as JSON.
    """
    meta = resource.get("meta")
    rest = {key: value for key, value in resource.items() if key not in HEAD}
    body = dumps(rest)
    own = {k: v for k, v in meta.items() if k not in META_OF_THE_SERVER} if isinstance(meta, dict) else None
    closing = b"," + dumps(own)[1:] if own else b"}"
    return closing + (b"," + body[1:] if rest else b"}")


def head_of(type_: str, id_: str, version: int, updated: str) -> bytes:
    """Return the beginning of the text of a resource, up to and including what the server states in meta.

    Args:
        updated: an instant as `instant_text` writes it.
    """
    return (
        f'{{"resourceType":"{type_}","id":"{id_}","meta":{{"versionId":"{version}","lastUpdated":"{updated}"'
    ).encode()


@lru_cache(maxsize=1000)
def instant_text(at: datetime) -> str:
    """Return a FHIR instant in UTC with milliseconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"
