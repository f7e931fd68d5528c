"""One HTTP request to a subscriber: no redirects, no answer read but its status, and an end in any case."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from hie.config import Config
from hie.security.allowed import trust

TIMEOUT_S = 10  # without a sign of life
MOST_S = 30  # altogether: who sends a byte now and then holds up others too


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a subscriber; `endpoint` is the subscription's, below which `url` is."""

    endpoint: str
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    kind: str
    numbers: tuple[int, ...] = ()


def send(call: Call, config: Config) -> str | None:
    """Make a call; return None if it was answered 2xx, else what went wrong in a word."""
    parts = urlsplit(call.url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = _connection(parts.scheme, parts.hostname or "", parts.port, config)
    is_over = threading.Event()
    end = threading.Timer(MOST_S, _cut, [connection, is_over])
    end.daemon = True
    end.start()
    try:
        connection.request(call.method, target, call.body, dict(call.headers))
        status = connection.getresponse().status
    except (OSError, ValueError, HTTPException) as error:
        failure: str | None = f"The endpoint could not be reached ({type(error).__name__})."
    else:
        failure = None if 200 <= status < 300 else f"The endpoint answered {status}."
    finally:
        end.cancel()
        connection.close()
    # What was cut off may look like a short answer.
    return f"The endpoint took longer than {MOST_S} s to answer." if is_over.is_set() else failure


def _connection(scheme: str, host: str, port: int | None, config: Config) -> HTTPConnection:
    """Return a connection that is not made yet; who speaks https is known by a certificate."""
    if scheme != "https":
        return HTTPConnection(host, port, timeout=TIMEOUT_S)
    return HTTPSConnection(host, port, timeout=TIMEOUT_S, context=trust(config.ca_file))


def _cut(connection: HTTPConnection, is_over: threading.Event) -> None:
    """End a connection under the hands of who waits for it."""
    is_over.set()
    with contextlib.suppress(OSError, AttributeError):
        connection.sock.shutdown(socket.SHUT_RDWR)
