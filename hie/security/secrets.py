"""Secrets: slow hashes (scrypt, RFC 7914) for passwords, plain digests for random tokens."""

import base64
import hashlib
import hmac
import secrets
from functools import cache

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

COST_N, BLOCK_R, PARALLEL_P = 2**14, 8, 1
KEY_BYTES = 32


def hash_secret(secret: str) -> str:
    """Return a salted scrypt hash that states its own parameters."""
    salt = secrets.token_bytes(16)
    key = Scrypt(salt, KEY_BYTES, COST_N, BLOCK_R, PARALLEL_P).derive(secret.encode())
    return f"scrypt${COST_N}${BLOCK_R}${PARALLEL_P}${_text(salt)}${_text(key)}"


def is_secret(secret: str, hashed: str) -> bool:
    """Say whether the secret is the one that was hashed."""
    _, n, r, p, salt, key = hashed.split("$")
    wanted = base64.b64decode(key)
    try:
        Scrypt(base64.b64decode(salt), len(wanted), int(n), int(r), int(p)).verify(secret.encode(), wanted)
    except InvalidKey:
        return False
    return True


@cache
def nobody_hash() -> str:
    """Return a hash nothing matches, so that looking up nobody costs the time of looking up somebody."""
    return hash_secret(secrets.token_urlsafe())


def new_token() -> str:
    """Return a random token of 256 bits for a URL or a header."""
    return secrets.token_urlsafe(32)


def token_hash(token: str) -> bytes:
    """Return the digest under which a random token is stored."""
    return hashlib.sha256(token.encode()).digest()


def is_same(one: str, other: str) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest(one.encode(), other.encode())


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
