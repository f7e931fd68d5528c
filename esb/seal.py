"""Signature and encryption of envelopes: JWE for the receiver, JWS over its digest by the sender (JOSE).

A suite names the content cipher and the digest: `intl` is AES-256-GCM and SHA-256, `sm` is SM4-GCM and SM3
(GB/T 32907, GB/T 32905). Signature (Ed25519, RFC 9864) and key agreement (X25519, RFC 8037) are the same in
both; SM2 waits for a library that provides it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import SM4
from cryptography.hazmat.primitives.ciphers.modes import GCM
from joserfc import jwe, jws
from joserfc.errors import BadSignatureError, JoseError
from joserfc.jwe import JWERegistry
from joserfc.jwk import KeySet, OKPKey

from esb.errors import Malformed, Rejected

SIGNATURE = "Ed25519"
AGREEMENT = "ECDH-ES+A256KW"
MAX_TOKEN = 96 * 1024 * 1024
CURVES = {"sig": "Ed25519", "enc": "X25519"}
WANTED = (
    "A key set needs an Ed25519 key with use 'sig' and an X25519 key with use 'enc', all of them public or "
    "all private; make it with `keys init`."
)


class NotTrusted(Rejected):
    """The signature or the seal of the envelope does not hold; check the sender's keys in the directory."""

    code = "security"


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """The public keys of a side. The first of each use is in force, the others vouch for what is older."""

    sign: tuple[OKPKey, ...]
    encrypt: tuple[OKPKey, ...]


@dataclass(frozen=True, slots=True)
class Keys:
    """The private keys of a side. The first of each use is in force, the others open what is older."""

    sign: tuple[OKPKey, ...]
    encrypt: tuple[OKPKey, ...]

    @property
    def public(self) -> PublicKeys:
        """The same keys, for what a side seals for itself."""
        return PublicKeys(self.sign, self.encrypt)


@dataclass(frozen=True, slots=True)
class Suite:
    """Content cipher (JWE `enc`) and digest that a region chose."""

    name: str
    enc: str
    digest: Callable[[], hashes.HashAlgorithm]


class _Sm4Gcm(jwe.JWERegistry.algorithms["enc"]["A128GCM"].__class__):  # type: ignore[misc]
    """SM4 in Galois/counter mode (GB/T 32907) as a content encryption of JWE; 128-bit key, 96-bit IV."""

    def __init__(self) -> None:
        super().__init__(128)
        self.name = "SM4GCM"
        self.description = "SM4 GCM"

    def encrypt(self, plaintext: bytes, cek: bytes, iv: bytes, aad: bytes) -> tuple[bytes, bytes]:
        cipher = Cipher(SM4(cek), GCM(iv)).encryptor()
        cipher.authenticate_additional_data(aad)
        return cipher.update(plaintext) + cipher.finalize(), cipher.tag

    def decrypt(self, ciphertext: bytes, tag: bytes, cek: bytes, iv: bytes, aad: bytes) -> bytes:
        cipher = Cipher(SM4(cek), GCM(iv, tag)).decryptor()
        cipher.authenticate_additional_data(aad)
        return cipher.update(ciphertext) + cipher.finalize()


class _Registry(JWERegistry):
    max_ciphertext_length = MAX_TOKEN


SUITES = {
    "intl": Suite("intl", "A256GCM", hashes.SHA256),
    "sm": Suite("sm", "SM4GCM", hashes.SM3),
}


@cache
def _registry() -> JWERegistry:
    JWERegistry.register(_Sm4Gcm())
    return _Registry(algorithms=[AGREEMENT, *(suite.enc for suite in SUITES.values())])


def generate_keys(owner: str, number: int = 1) -> dict[str, Any]:
    """Return a new private JWKS of two keys, `<owner>.sign.<number>` and `<owner>.encrypt.<number>`."""
    sign = OKPKey.generate_key("Ed25519", {"kid": f"{owner}.sign.{number}", "use": "sig"})
    encrypt = OKPKey.generate_key("X25519", {"kid": f"{owner}.encrypt.{number}", "use": "enc"})
    return {"keys": [sign.as_dict(private=True), encrypt.as_dict(private=True)]}


def renew_keys(private: dict[str, Any], owner: str) -> dict[str, Any]:
    """Return a private JWKS with new keys before those it has, which go on opening what is older."""
    earlier = private["keys"]
    return {"keys": generate_keys(owner, len(earlier) // 2 + 1)["keys"] + earlier}


def public_part(private: dict[str, Any]) -> dict[str, Any]:
    """Return the public JWKS of a private one."""
    keys = KeySet.import_key_set(private)  # type: ignore[arg-type]
    return {"keys": [key.as_dict(private=False) for key in keys.keys]}


def load_keys(private: dict[str, Any]) -> Keys:
    """Return the private keys of a JWKS made by `generate_keys`. Raises: Malformed if one is missing."""
    return Keys(*(_pick(private, use, is_private=True) for use in CURVES))


def load_public(public: dict[str, Any]) -> PublicKeys:
    """Return the public keys of a JWKS. Raises: Malformed if one is missing or private."""
    return PublicKeys(*(_pick(public, use, is_private=False) for use in CURVES))


def _pick(jwks: dict[str, Any], use: str, *, is_private: bool) -> tuple[OKPKey, ...]:
    """Return the keys of one use, in their order."""
    try:
        keys = tuple(OKPKey.import_key(key) for key in jwks["keys"] if key.get("use") == use)
    except (JoseError, ValueError, KeyError, TypeError, AttributeError):
        raise Malformed(WANTED) from None
    if not keys or any(key.curve_name != CURVES[use] or key.is_private != is_private for key in keys):
        raise Malformed(WANTED)
    return keys


def _digest(token: bytes, suite: Suite) -> str:
    state = hashes.Hash(suite.digest())
    state.update(token)
    return state.finalize().hex()


def seal(
    body: bytes, claims: dict[str, Any], *, own: Keys, to: PublicKeys, suite: str = "intl"
) -> tuple[bytes, str]:
    """Return the body encrypted for the receiver and the signature over its digest and the claims.

    Args:
        claims: what the signature vouches for beside the body: sender, partition, message id.
    Returns: (JWE compact, JWS compact).
    """
    chosen = SUITES[suite]
    header = {"alg": AGREEMENT, "enc": chosen.enc}
    token = jwe.encrypt_compact(header, body, to.encrypt[0], registry=_registry()).encode()
    payload = orjson.dumps({**claims, "suite": suite, "digest": _digest(token, chosen)})
    signature = jws.serialize_compact({"alg": SIGNATURE}, payload, own.sign[0], algorithms=[SIGNATURE])
    return token, signature


def open_sealed(
    token: bytes, signature: str, claims: dict[str, Any], *, sender: PublicKeys, own: Keys
) -> bytes:
    """Return the body of a sealed token after checking that the sender signed it and these claims.

    Raises: NotTrusted if the signature, the claims, the digest or the encryption do not hold.
    """
    try:
        stated = orjson.loads(_verified(signature, sender))
        suite = SUITES.get(stated.pop("suite"))
        digest = stated.pop("digest")
    except (JoseError, ValueError, KeyError, TypeError, AttributeError):
        raise NotTrusted("The envelope's signature does not verify with the sender's key.") from None
    if suite is None or stated != claims:
        raise NotTrusted("The envelope's properties are not those that were signed.")
    if digest != _digest(token, suite):
        raise NotTrusted("The envelope's body is not the one that was signed.")
    plain = _decrypted(token, own)
    if plain is None:
        raise NotTrusted("The envelope is empty.")
    return plain


def _verified(signature: str, sender: PublicKeys) -> bytes:
    """Return what is signed by one of the sender's keys. Raises: JoseError, ValueError."""
    *first, last = sender.sign
    for key in first:
        with suppress(BadSignatureError):
            return jws.deserialize_compact(signature, key, algorithms=[SIGNATURE]).payload
    return jws.deserialize_compact(signature, last, algorithms=[SIGNATURE]).payload


def _decrypted(token: bytes, own: Keys) -> bytes | None:
    """Return what was encrypted for one of the own keys. Raises: NotTrusted."""
    for key in own.encrypt:
        with suppress(JoseError, InvalidTag, ValueError):
            return jwe.decrypt_compact(token, key, registry=_registry()).plaintext
    raise NotTrusted("The envelope cannot be opened with this side's key.")
