"""Signature and encryption of envelopes: JWE for the receiver, JWS over its digest by the sender (JOSE).

A suite names the content cipher and the digest: `intl` is AES-256-GCM and SHA-256, `sm` is SM4-GCM and SM3
(GB/T 32907, GB/T 32905). Signature (Ed25519, RFC 9864) and key agreement (X25519, RFC 8037) are the same in
both; SM2 waits for a library that provides it.
"""

from __future__ import annotations

from collections.abc import Callable
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
from joserfc.errors import JoseError
from joserfc.jwe import JWERegistry
from joserfc.jwk import KeySet, OKPKey

from esb.errors import Malformed, Rejected

SIGNATURE = "Ed25519"
AGREEMENT = "ECDH-ES+A256KW"
MAX_TOKEN = 96 * 1024 * 1024


class NotTrusted(Rejected):
    """The signature or the seal of the envelope does not hold; check the sender's keys in the directory."""

    code = "security"


@dataclass(frozen=True, slots=True)
class Keys:
    """The private keys of one side: `sign` makes its signatures, `encrypt` opens what is sent to it."""

    sign: OKPKey
    encrypt: OKPKey


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """The public keys of the other side, as its JWKS gives them."""

    sign: OKPKey
    encrypt: OKPKey


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


def generate_keys(owner: str) -> dict[str, Any]:
    """Return a new private JWKS of two keys, `<owner>.sign` and `<owner>.encrypt`."""
    sign = OKPKey.generate_key("Ed25519", {"kid": f"{owner}.sign", "use": "sig"})
    encrypt = OKPKey.generate_key("X25519", {"kid": f"{owner}.encrypt", "use": "enc"})
    return {"keys": [sign.as_dict(private=True), encrypt.as_dict(private=True)]}


def public_part(private: dict[str, Any]) -> dict[str, Any]:
    """Return the public JWKS of a private one."""
    keys = KeySet.import_key_set(private)  # type: ignore[arg-type]
    return {"keys": [key.as_dict(private=False) for key in keys.keys]}


def load_keys(private: dict[str, Any]) -> Keys:
    """Return the private keys of a JWKS made by `generate_keys`. Raises: Malformed if a key is missing."""
    return Keys(*_pick(private))


def load_public(public: dict[str, Any]) -> PublicKeys:
    """Return the public keys of a JWKS. Raises: Malformed if a key is missing."""
    return PublicKeys(*_pick(public))


def _pick(jwks: dict[str, Any]) -> tuple[OKPKey, OKPKey]:
    found = {key.get("use"): key for key in jwks.get("keys", [])}
    if not {"sig", "enc"} <= found.keys():
        raise Malformed(
            "A key set needs one key with use 'sig' and one with use 'enc'; make it with `keys init`."
        )
    return OKPKey.import_key(found["sig"]), OKPKey.import_key(found["enc"])


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
    token = jwe.encrypt_compact(header, body, to.encrypt, registry=_registry()).encode()
    payload = orjson.dumps({**claims, "suite": suite, "digest": _digest(token, chosen)})
    signature = jws.serialize_compact({"alg": SIGNATURE}, payload, own.sign, algorithms=[SIGNATURE])
    return token, signature


def open_sealed(
    token: bytes, signature: str, claims: dict[str, Any], *, sender: PublicKeys, own: Keys
) -> bytes:
    """Return the body of a sealed token after checking that the sender signed it and these claims.

    Raises: NotTrusted if the signature, the claims, the digest or the encryption do not hold.
    """
    try:
        signed = jws.deserialize_compact(signature, sender.sign, algorithms=[SIGNATURE])
        stated = orjson.loads(signed.payload)
        suite = SUITES.get(stated.pop("suite"))
        digest = stated.pop("digest")
    except (JoseError, ValueError, KeyError, TypeError, AttributeError):
        raise NotTrusted("The envelope's signature does not verify with the sender's key.") from None
    if suite is None or stated != claims:
        raise NotTrusted("The envelope's properties are not those that were signed.")
    if digest != _digest(token, suite):
        raise NotTrusted("The envelope's body is not the one that was signed.")
    try:
        plain = jwe.decrypt_compact(token, own.encrypt, registry=_registry()).plaintext
    except (JoseError, InvalidTag, ValueError):
        raise NotTrusted("The envelope cannot be opened with this side's key.") from None
    if plain is None:
        raise NotTrusted("The envelope is empty.")
    return plain
