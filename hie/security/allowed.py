"""Which addresses of others the hub itself may call: those an operator has listed, nothing beside them."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

SCHEMES = frozenset({"http", "https", "file"})


def is_allowed(url: str, prefixes: Iterable[str]) -> bool:
    """Say whether an address lies under one of the prefixes: same scheme, host and port, path below."""
    try:
        asked = urlsplit(url)
        return any(_is_under(asked, urlsplit(prefix)) for prefix in prefixes)
    except ValueError:
        return False


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """Return what tells an https address by its certificate: the usual authorities, and the region's own."""
    context = ssl.create_default_context()
    if ca_file:
        context.load_verify_locations(ca_file)
    return context


def _is_under(asked: SplitResult, prefix: SplitResult) -> bool:
    if asked.scheme not in SCHEMES or asked.username or asked.password or asked.fragment:
        return False
    if (asked.scheme, asked.hostname, asked.port) != (prefix.scheme, prefix.hostname, prefix.port):
        return False
    path = unquote(asked.path)
    if not path.isprintable() or "\\" in path or ".." in path.split("/"):
        return False
    base = unquote(prefix.path).rstrip("/")
    return path == base or path.startswith(base + "/")
