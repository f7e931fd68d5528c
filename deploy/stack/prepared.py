"""Remembers for what keys, tables and accounts were made: where nothing changed, nobody waits for them."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from deploy.stack.hospitals import Hospital
from deploy.stack.place import Place
from deploy.stack.postgres import Cluster
from deploy.stack.several import Command

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("esb", "front_end_processor", "hie")
FILE = "prepared"


def is_unchanged(
    place: Place, cluster: Cluster | None, members: Sequence[Hospital], accounts: Sequence[Command]
) -> bool:
    """Say whether all was made before, by this code, for this database, of these settings and secrets."""
    kept = place / FILE
    if cluster is None or not kept.exists():
        return False
    return kept.read_text(encoding="utf-8") == _fingerprint(place, cluster, members, accounts)


def remember(
    place: Place, cluster: Cluster | None, members: Sequence[Hospital], accounts: Sequence[Command]
) -> None:
    """Note that all is made. Another's database may be changed by others: of that, nothing is noted."""
    if cluster is not None:
        (place / FILE).write_text(_fingerprint(place, cluster, members, accounts), encoding="utf-8")


def _fingerprint(
    place: Place, cluster: Cluster, members: Sequence[Hospital], accounts: Sequence[Command]
) -> str:
    state = hashlib.sha256(repr([(one.package, *one.arguments, one.settings) for one in accounts]).encode())
    read = [Path(file) for file in {file for command in accounts for file in command.settings.values()}]
    read += [*(place / "secrets").iterdir(), place / "hub" / "keys" / "hub.public.jwks"]
    for member in members:
        read += [member.settings_file, member.keys / "own.public.jwks", member.keys / "hub.public.jwks"]
    for file in sorted(read):
        state.update(f"{file}".encode() + (file.read_bytes() if file.exists() else b""))
    # initdb writes this file once; a cache or code that is another one is another file.
    for file in [cluster.data / "PG_VERSION", *(member.directory / "cache.db" for member in members)]:
        state.update(f"{file} {file.stat().st_ino if file.exists() else 0}".encode())
    code = (file for package in PACKAGES for file in (ROOT / package).rglob("*"))
    for file in sorted(file for file in code if file.is_file() and "__pycache__" not in file.parts):
        state.update(f"{file} {file.stat().st_size} {file.stat().st_mtime_ns}".encode())
    return state.hexdigest()
