"""Large contents: taken out of a Bundle, sealed for the hub, named by their hash, uploaded first.

FHIR R4 Attachment (datatypes.html#attachment) keeps contentType, size, hash (SHA-1) and gets a url
`blob:sha256:<hash>`; a Binary keeps its place with that url in an extension on `data`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

from esb.blobs import URL, name_of
from esb.errors import NotValid
from esb.fhir.lexemes import dumps, loads
from front_end_processor.pipeline.submission import BlobContent

LARGE = 1024 * 1024
BLOB_EXTENSION = "urn:hie:StructureDefinition/blob"
_ATTACHMENT = frozenset(
    ("id", "extension", "contentType", "language", "data", "url", "size", "hash", "title", "creation")
)

# (hash, content) -> the content sealed for the hub
BlobSeal = Callable[[str, bytes], bytes]


def lift(bundle: bytes, seal: BlobSeal) -> tuple[bytes, list[BlobContent]]:
    """Return a Bundle without its contents of over LARGE bytes, and these, sealed.

    Raises: NotValid if a content is not base64.
    """
    parsed = loads(bundle)
    found = [_lift_one(holder, seal) for holder in list(_holders(parsed))]
    return (dumps(parsed), found) if found else (bundle, [])


def _holders(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        data = node.get("data")
        if isinstance(data, str) and len(data) > LARGE * 4 // 3 and _is_content(node):
            yield node
        for child in node.values():
            if isinstance(child, (dict, list)):
                yield from _holders(child)
    elif isinstance(node, list):
        for child in node:
            yield from _holders(child)


def _is_content(node: dict[str, Any]) -> bool:
    """Return whether it is a Binary or an Attachment; SampledData and Signature have a `data` too."""
    return node.get("resourceType") == "Binary" or {key.lstrip("_") for key in node} <= _ATTACHMENT


def _lift_one(holder: dict[str, Any], seal: BlobSeal) -> BlobContent:
    try:
        content = base64.b64decode("".join(holder.pop("data").split()), validate=True)
    except (binascii.Error, ValueError):
        raise NotValid("An attachment's data is not base64; send it again whole.") from None
    name = name_of(content)
    url = f"{URL}{name}"
    if holder.get("resourceType") == "Binary":
        holder["_data"] = {"extension": [{"url": BLOB_EXTENSION, "valueUrl": url}]}
    else:
        holder["url"] = url
        holder["size"] = len(content)
        holder["hash"] = base64.b64encode(hashlib.sha1(content, usedforsecurity=False).digest()).decode()
    return BlobContent(name, len(content), str(holder.get("contentType", "")), seal(name, content))
