"""The keys of a front-end processor: its own pair sets, the hub's public ones, and the key of the ids."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import orjson

from esb.errors import HieError
from esb.seal import Keys, PublicKeys, generate_keys, load_keys, load_public, public_part, renew_keys

OWN, OWN_PUBLIC, HUB, ID_KEY = "own.jwks", "own.public.jwks", "hub.public.jwks", "id.key"
ID_KEY_BYTES = 32


class KeysMissing(HieError):
    """A key file is missing or unreadable; `fep keys init` makes own ones, the hub gives hub.public.jwks."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """What a key directory holds; hub is None until the operator of the region gave its public keys."""

    own: Keys
    hub: PublicKeys | None
    id_key: bytes


def init(key_dir: Path, facility: str) -> list[str]:
    """Make what is missing in a key directory and return the names of the files made.

    The key of the ids is never replaced: with another one every id of the hospital would change.
    """
    key_dir.mkdir(parents=True, exist_ok=True)
    key_dir.chmod(0o700)
    made = []
    if not (key_dir / ID_KEY).exists():
        _write(key_dir / ID_KEY, secrets.token_bytes(ID_KEY_BYTES))
        made.append(ID_KEY)
    if not (key_dir / OWN).exists():
        _write(key_dir / OWN, orjson.dumps(generate_keys(facility)))
        made.append(OWN)
    if OWN in made or not (key_dir / OWN_PUBLIC).exists():
        _publish(key_dir)
        made.append(OWN_PUBLIC)
    return made


def renew(key_dir: Path, facility: str) -> None:
    """Put new keys of its own in force; the earlier ones open what is older. Raises: KeysMissing."""
    draft = key_dir / f".{OWN}.draft"
    draft.unlink(missing_ok=True)
    try:
        _write(draft, orjson.dumps(renew_keys(orjson.loads(_read(key_dir / OWN)), facility)))
    except (ValueError, KeyError, TypeError):
        raise KeysMissing(f"{key_dir / OWN} is no JWKS file; restore it from the backup.") from None
    draft.replace(key_dir / OWN)
    _publish(key_dir)


def _publish(key_dir: Path) -> None:
    public = public_part(orjson.loads((key_dir / OWN).read_bytes()))
    (key_dir / OWN_PUBLIC).write_bytes(orjson.dumps(public))


def load(key_dir: Path) -> KeyRing:
    """Return the keys of a directory. Raises: KeysMissing with the file named."""
    id_key = _read(key_dir / ID_KEY)
    if len(id_key) != ID_KEY_BYTES:
        raise KeysMissing(f"{key_dir / ID_KEY} must hold {ID_KEY_BYTES} bytes; restore it from the backup.")
    hub = key_dir / HUB
    try:
        own = load_keys(orjson.loads(_read(key_dir / OWN)))
        return KeyRing(own, load_public(orjson.loads(hub.read_bytes())) if hub.exists() else None, id_key)
    except (ValueError, HieError) as fault:
        if isinstance(fault, KeysMissing):
            raise
        raise KeysMissing(
            f"A key set in {key_dir} cannot be read; {OWN} and {HUB} must be JWKS files."
        ) from None


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        raise KeysMissing(f"{file} is missing or unreadable; make it with `fep keys init`.") from None


def _write(file: Path, content: bytes) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
