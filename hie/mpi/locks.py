"""Serialises registrations that share an identifier: advisory locks, always taken in sorted order."""

import hashlib
from collections.abc import Iterable

from sqlalchemy import text
from sqlalchemy.orm import Session


def lock(session: Session, keys: Iterable[int]) -> None:
    """Take the locks of these keys until the end of the transaction."""
    ordered = sorted(set(keys))
    if ordered:
        session.execute(
            text("SELECT count(pg_advisory_xact_lock(k)) FROM unnest(CAST(:keys AS bigint[])) AS k"),
            {"keys": ordered},
        )


def identity_lock(identity: str) -> int:
    """Return the lock key of an identity."""
    digest = hashlib.blake2b(f"identity|{identity}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)
