"""The hub's own keys, as `hie keys init` made them (RFC 7517)."""

import json
import os
from pathlib import Path
from typing import Any

from esb.errors import Malformed
from esb.seal import Keys, generate_keys, load_keys, public_part, renew_keys

PRIVATE, PUBLIC = "hub.jwks", "hub.public.jwks"
MISSING = "The hub has no keys in HIE_KEY_DIR; make them with `hie keys init`."


def read_own_keys(key_dir: Path) -> Keys:
    """Return the hub's own keys. Raises: Malformed if they are not there or cannot be read."""
    return load_keys(_read(key_dir))


def init(key_dir: Path) -> str:
    """Make the hub's own keys unless they are there; return the public set."""
    if not (key_dir / PRIVATE).exists():
        key_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(key_dir, generate_keys("hub"))
    return _publish(key_dir)


def renew(key_dir: Path) -> str:
    """Put new keys before those that are there; return the public set of both. Raises: Malformed."""
    _write(key_dir, renew_keys(_read(key_dir), "hub"))
    return _publish(key_dir)


def _read(key_dir: Path) -> dict[str, Any]:
    try:
        private: dict[str, Any] = json.loads((key_dir / PRIVATE).read_text("utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        raise Malformed(MISSING) from None
    return private


def _write(key_dir: Path, private: dict[str, Any]) -> None:
    """Write the private set so that after a crash the old or the new one is there, whole."""
    draft = key_dir / f".{PRIVATE}.draft"
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(private, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(key_dir / PRIVATE)


def _publish(key_dir: Path) -> str:
    public = json.dumps(public_part(_read(key_dir)))
    (key_dir / PUBLIC).write_text(public, "utf-8")
    return public
