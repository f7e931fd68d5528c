"""Links to further pages: encrypted, bound to their query, good for a quarter of an hour.

They hold what the last resource shown is sorted by, which may be a name, and stand in URLs and logs.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hie.errors import Gone, NotValid

LIFETIME = timedelta(minutes=15)
NONCE_SIZE = 12


class Expired(Gone):
    """This link to a further page is older than 15 minutes; search again."""

    code = "expired"


def query_digest(type_: str, params: Sequence[tuple[str, str]]) -> str:
    """Return what binds a link to its query."""
    return sha256(orjson.dumps([type_, sorted(params)])).hexdigest()[:16]


def make_cursor(secret: bytes, digest: str, now: datetime, last: Sequence[Any]) -> str:
    """Return the link's opaque part.

    Args:
        digest: of the query. last: the sort values of the last resource shown.
    """
    body = orjson.dumps([digest, int((now + LIFETIME).timestamp()), list(last)])
    nonce = os.urandom(NONCE_SIZE)
    sealed = nonce + _cipher(secret).encrypt(nonce, body, None)
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def read_cursor(secret: bytes, digest: str, now: datetime, cursor: str) -> list[Any]:
    """Return the sort values after which the page begins.

    Raises: NotValid if the link was altered or belongs to another query; Expired.
    """
    bound_to, until, last = _opened(secret, cursor)
    if bound_to != digest:
        raise NotValid("The page link belongs to another search; search again.")
    if now.timestamp() >= until:
        raise Expired
    return list(last)


def began_at(secret: bytes, cursor: str) -> datetime | None:
    """Return the instant of page one that a search's link holds; None of what `read_cursor` will refuse."""
    try:
        found = datetime.fromisoformat(_opened(secret, cursor)[2][0])
    except (NotValid, IndexError, TypeError, ValueError):
        return None
    return found if found.tzinfo else None


def _opened(secret: bytes, cursor: str) -> Any:
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        return orjson.loads(_cipher(secret).decrypt(raw[:NONCE_SIZE], raw[NONCE_SIZE:], None))
    except (binascii.Error, ValueError, InvalidTag):
        raise NotValid("The page link has been altered; search again.") from None


@lru_cache(maxsize=4)
def _cipher(secret: bytes) -> AESGCM:
    return AESGCM(hmac.digest(secret, b"links to further pages", "sha256"))
