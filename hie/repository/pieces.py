"""Contents sealed piece by piece: written and read in little memory, from any place (docs/decisions/0007).

A file is its pieces, each encrypted by itself under a key of the file's own; then a sealed and signed note of
that key, of the size and of the name; then the length of the note.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES, SM4
from cryptography.hazmat.primitives.ciphers.modes import GCM

from esb.errors import Malformed
from esb.seal import Keys, NotTrusted, open_sealed, seal

PIECE = 1 << 18
TAG, NONCE = 16, 12
LENGTH = 4  # bytes that say how long the note is
MOST_NOTE = 1 << 16
# A suite's cipher and the bytes of its key.
CIPHERS = {"intl": (AES, 32), "sm": (SM4, 16)}


def write(file: BinaryIO, parts: Iterable[bytes], *, owner: str, own: Keys, suite: str = "intl") -> str:
    """Write a content that comes in parts, sealed by a side for itself; return its SHA-256.

    Args:
        owner: a word that whoever reads it must know.
    """
    cipher, length = CIPHERS[suite]
    key, digest, size = os.urandom(length), sha256(), 0
    for number, piece in enumerate(_pieces(parts)):
        digest.update(piece)
        size += len(piece)
        sealing = Cipher(cipher(key), GCM(_nonce(number))).encryptor()
        file.write(sealing.update(piece) + sealing.finalize() + sealing.tag)
    name = digest.hexdigest()
    note = orjson.dumps({"key": key.hex(), "size": size, "suite": suite})
    token, signature = seal(note, _claims(owner, name), own=own, to=own.public, suite=suite)
    sealed = token + b"\n" + signature.encode()
    file.write(sealed + len(sealed).to_bytes(LENGTH))
    return name


@dataclass(frozen=True, slots=True)
class Pieces:
    """A content that can be read from any place; `size` is its own, without what the seal adds."""

    size: int
    _path: Path
    _key: bytes
    _suite: str

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Give the bytes from one place to before another, the end if not given. Raises: NotTrusted."""
        end = self.size if stop is None else min(stop, self.size)
        cipher, _ = CIPHERS[self._suite]
        with self._path.open("rb") as file:
            for number in range(start // PIECE, -(-end // PIECE)):
                length = min(PIECE, self.size - number * PIECE)
                file.seek(number * (PIECE + TAG))
                sealed = file.read(length + TAG)
                try:
                    opening = Cipher(cipher(self._key), GCM(_nonce(number), sealed[length:])).decryptor()
                    piece = opening.update(sealed[:length]) + opening.finalize()
                except (InvalidTag, ValueError):
                    raise NotTrusted("The content is not as it was sealed.") from None
                yield piece[max(start - number * PIECE, 0) : end - number * PIECE]


def find(path: Path, name: str, *, owner: str, own: Keys) -> Pieces:
    """Return the content of a file that `write` made under this name.

    Raises: FileNotFoundError; NotTrusted if it was not made so; Malformed if it is no such file.
    """
    with path.open("rb") as file:
        whole = file.seek(0, os.SEEK_END)
        file.seek(max(whole - LENGTH, 0))
        length = int.from_bytes(file.read(LENGTH))
        if not 0 < length <= min(MOST_NOTE, whole - LENGTH):
            raise Malformed("The file is no sealed content.")
        file.seek(whole - LENGTH - length)
        token, _, signature = file.read(length).rpartition(b"\n")
    try:
        text = signature.decode("ascii")
    except UnicodeDecodeError:
        raise Malformed("The file is no sealed content.") from None
    note = orjson.loads(open_sealed(token, text, _claims(owner, name), sender=own.public, own=own))
    return Pieces(note["size"], path, bytes.fromhex(note["key"]), note["suite"])


def _pieces(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Give parts of any length as pieces, all but the last of the same length."""
    held = bytearray()
    for part in parts:
        held += part
        while len(held) >= PIECE:
            yield bytes(held[:PIECE])
            del held[:PIECE]
    if held:
        yield bytes(held)


def _nonce(number: int) -> bytes:
    """A key seals one file: each number is used once, and a piece in another place does not open."""
    return number.to_bytes(NONCE)


def _claims(owner: str, name: str) -> dict[str, str]:
    return {"iss": owner, "content": name}
