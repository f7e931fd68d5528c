"""`fep check`: what is wrong in settings, keys, profile and connections, in words that say what to do."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy.exc import SQLAlchemyError

from esb.errors import HieError
from front_end_processor import keys
from front_end_processor.cache.engine import Cache, is_current
from front_end_processor.config import Address, Config, read_secret
from front_end_processor.normalise import profile as profiles

CONNECT_S = 3
_PORTS = {"amqp": 5672, "amqps": 5671, "http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; an optional one may be missing and the processor still starts."""

    what: str
    is_ok: bool
    text: str
    is_optional: bool = False


def findings(config: Config) -> list[Finding]:
    """Return what was looked at and how it stands."""
    return [*_local(config), *_files(config), *_others(config)]


def _local(config: Config) -> Iterator[Finding]:
    yield _tried("keys", lambda: _keys(config.key_dir))
    yield _tried("profile", lambda: _profile(config))
    yield _tried("cache", lambda: _cache(config.cache_url))
    for what, address in (("mllp", config.mllp), ("http", config.http)):
        yield _tried(what, lambda address=address: _free(address))  # type: ignore[misc]


def _files(config: Config) -> Iterator[Finding]:
    secrets = {
        "FEP_TOKEN_FILE": (config.token_file, "no hospital system can use the FHIR inlet without it"),
        "FEP_CONSOLE_PASSWORD_FILE": (
            config.console_password_file,
            "nobody can sign in to the console without it",
        ),
        "FEP_CLIENT_SECRET_FILE": (
            config.client_secret_file,
            "contents over 1 MB travel inside the message without it",
        ),
    }
    for name, (path, cost) in secrets.items():
        is_ok = bool(read_secret(path))
        yield Finding(name, is_ok, str(path) if is_ok else f"missing or empty; {cost}", is_optional=True)
    folder = config.inbox_dir
    if folder is None:
        yield Finding("inbox", False, "FEP_INBOX_DIR is not set; files are not taken", is_optional=True)
    elif folder.is_dir() and os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield Finding("inbox", True, str(folder))
    else:
        yield Finding(
            "inbox", False, f"{folder} is no folder this user may read and write; create it or its rights"
        )


def _others(config: Config) -> Iterator[Finding]:
    for what, url in (("broker", config.amqp_url), ("hub", config.hub_url)):
        if not url:
            name = "FEP_AMQP_URL" if what == "broker" else "FEP_HUB_URL"
            yield Finding(what, False, f"{name} is not set; messages are kept here", is_optional=True)
            continue
        parts = urlsplit(url)
        address = Address(parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 443))
        try:
            socket.create_connection((address.host, address.port), CONNECT_S).close()
            yield Finding(what, True, f"{address.host}:{address.port} answers", is_optional=True)
        except OSError as fault:
            why = fault.strerror or "time-out"
            text = f"{address.host}:{address.port} does not answer ({why}); messages wait here"
            yield Finding(what, False, text, is_optional=True)


def _tried(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, look())
    except (HieError, profiles.BadProfile, OSError, SQLAlchemyError, ValueError) as fault:
        text = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
        return Finding(what, False, text)


def _keys(key_dir: Path) -> str:
    ring = keys.load(key_dir)
    if ring.hub is None:
        raise keys.KeysMissing(
            f"{key_dir / keys.HUB} is missing; without it nothing is sent. Get it from the hub."
        )
    return str(key_dir)


def _profile(config: Config) -> str:
    found = profiles.load(config.profile or "base", config.facility, config.zone, config.name)
    return f"{config.profile or 'base'}: {found.facility}, {found.zone.key}, {found.default_charset}"


def _cache(url: str) -> str:
    cache = Cache(url)
    try:
        if not is_current(cache.engine):
            raise ValueError("the tables are not those of this version; run `fep migrate`")
        return cache.engine.url.render_as_string(hide_password=True)
    finally:
        cache.close()


def _free(address: Address) -> str:
    with socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as fault:
            place = f"{address.host}:{address.port}"
            raise ValueError(
                f"cannot listen on {place} ({fault.strerror}); is the processor running already?"
            ) from None
    return f"{address.host}:{address.port} is free"
