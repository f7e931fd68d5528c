"""Large contents beside the bus: sealed by the hospital, named by the SHA-256 of the plain content.

`PUT /blobs/<name>` carries the JWE and, on a line of its own, the JWS that vouches for sender and name.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from esb.errors import Malformed
from esb.seal import Keys, NotTrusted, PublicKeys, open_sealed, seal

NAME = re.compile(r"[0-9a-f]{64}")
URL = "blob:sha256:"


def name_of(content: bytes) -> str:
    """Return the name of a content."""
    return hashlib.sha256(content).hexdigest()


def seal_blob(
    name: str, content: bytes, *, facility: str, own: Keys, to: PublicKeys, suite: str = "intl"
) -> bytes:
    """Return a content sealed for the hub."""
    token, signature = seal(content, _claims(facility, name), own=own, to=to, suite=suite)
    return token + b"\n" + signature.encode()


def open_blob(name: str, sealed: bytes, *, facility: str, sender: PublicKeys, own: Keys) -> bytes:
    """Return the content of a sealed blob.

    Raises: NotTrusted if the facility did not seal it under this name; Malformed if it is no sealed blob.
    """
    token, newline, signature = sealed.rpartition(b"\n")
    if not newline or not NAME.fullmatch(name) or not signature.isascii():
        raise Malformed("The body is not a sealed blob under its SHA-256.")
    content = open_sealed(token, signature.decode("ascii"), _claims(facility, name), sender=sender, own=own)
    if name_of(content) != name:
        raise NotTrusted("The content's SHA-256 is not its name.")
    return content


def _claims(facility: str, name: str) -> dict[str, Any]:
    return {"iss": facility, "blob": name}
