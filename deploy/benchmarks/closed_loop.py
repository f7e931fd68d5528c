"""HTTP clients in a closed loop on one thread: each sends its next request when its answer is there."""

from __future__ import annotations

import re
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

LENGTH = re.compile(rb"content-length: *([0-9]+)", re.IGNORECASE)
LAST_CHUNK = b"0\r\n\r\n"
PIECE = 1 << 18
PATIENCE_S = 60

# Returns how many resources an answer holds. Raises: RuntimeError if it is not what was asked for.
Check = Callable[[bytes], int]


@dataclass(slots=True)
class Loop:
    """What the clients saw: seconds of each answer, resources in all, the seconds it took, errors."""

    times: list[float] = field(default_factory=list)
    resources: int = 0
    spent_s: float = 0.0
    errors: int = 0

    @property
    def requests_s(self) -> float:
        """Return the answers per second."""
        return len(self.times) / self.spent_s

    @property
    def resources_s(self) -> float:
        """Return the resources per second."""
        return self.resources / self.spent_s


@dataclass(slots=True)
class _Client:
    line: socket.socket
    begin: float = 0.0
    read: bytearray = field(default_factory=bytearray)


def get(path: str, host: str, token: str) -> bytes:
    """Return the bytes of a GET."""
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


def closed_loop(
    address: str,
    requests: Iterator[bytes],
    clients: int,
    seconds: float,
    check: Check,
    *,
    count_errors: bool = False,
) -> Loop:
    """Return what clients saw that share the requests, after so many seconds.

    Args:
        count_errors: count the answers that are not 200 instead of ending at the first.

    Raises: RuntimeError at the first answer that is not 200 or that `check` refuses.
    """
    host, _, port = address.partition(":")
    found = Loop()
    with selectors.DefaultSelector() as selector:
        for _ in range(clients):
            client = _Client(socket.create_connection((host, int(port)), timeout=PATIENCE_S))
            client.line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(client.line, selectors.EVENT_READ, client)
            _ask(client, next(requests))
        start = time.perf_counter()
        while (now := time.perf_counter()) - start < seconds:
            ready = selector.select(PATIENCE_S)
            if not ready:
                raise RuntimeError(f"No answer within {PATIENCE_S} s.")
            for key, _events in ready:
                client = key.data
                piece = client.line.recv(PIECE)
                if not piece:
                    raise RuntimeError("The server closed a connection in the middle of an answer.")
                client.read += piece
                body = _answer(client.read)
                if body is not None:
                    now = time.perf_counter()
                    found.times.append(now - client.begin)
                    if b" 200 " in client.read[:20]:
                        found.resources += check(body)
                    elif count_errors:
                        found.errors += 1
                    else:
                        raise RuntimeError(f"The server answered {bytes(client.read[:400])!r}")
                    _ask(client, next(requests))
        found.spent_s = now - start
        for key in list(selector.get_map().values()):
            key.data.line.close()
    return found


def _ask(client: _Client, request: bytes) -> None:
    client.read.clear()
    client.begin = time.perf_counter()
    client.line.sendall(request)


def _answer(read: bytearray) -> bytes | None:
    """Return the body of an answer that is complete, None if more must come."""
    end = read.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = bytes(read[:end])
    length = LENGTH.search(head)
    if length is None:
        return bytes(read[end + 4 :]) if read.endswith(LAST_CHUNK) else None
    return bytes(read[end + 4 :]) if len(read) - end - 4 >= int(length[1]) else None
