"""Links to further pages: opaque, signed, bound to their query, good for a quarter of an hour."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import orjson

from hie.errors import Gone, NotValid

LIFETIME = timedelta(minutes=15)
SIGNATURE_SIZE = 16


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
    return base64.urlsafe_b64encode(_sign(secret, body) + body).decode().rstrip("=")


def read_cursor(secret: bytes, digest: str, now: datetime, cursor: str) -> list[Any]:
    """Return the sort values after which the page begins.

    Raises: NotValid if the link was altered or belongs to another query; Expired.
    """
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except (binascii.Error, ValueError):
        raise NotValid("The page link has been altered; search again.") from None
    signature, body = raw[:SIGNATURE_SIZE], raw[SIGNATURE_SIZE:]
    if not hmac.compare_digest(signature, _sign(secret, body)):
        raise NotValid("The page link has been altered; search again.")
    bound_to, until, last = orjson.loads(body)
    if bound_to != digest:
        raise NotValid("The page link belongs to another search; search again.")
    if now.timestamp() >= until:
        raise Expired
    return list(last)


def _sign(secret: bytes, body: bytes) -> bytes:
    return hmac.digest(secret, body, "sha256")[:SIGNATURE_SIZE]
