"""The three roads into a front-end processor, one message at a time: MLLP, FHIR over HTTP, drop folder."""

from __future__ import annotations

import http.client
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from deploy.sample.model import Event

_START, _END = b"\x0b", b"\x1c\r"
_INTERNAL = "207"  # HL7 table 0357: the other side's trouble, not the message's
_FULL = 50  # files waiting in a drop folder before the next one is held back


class Away(Exception):
    """The front-end processor is away or asks to come again; the same message goes again."""


class Road(Protocol):
    """Sends one message and says why it was refused; empty if it was taken."""

    def send(self, event: Event) -> str:
        """Send one message. Raises: Away."""

    def close(self) -> None:
        """End the connection."""


class Mllp:
    """HL7 v2 over one MLLP connection; waits for each acknowledgement."""

    def __init__(self, address: str, timeout_s: float = 30.0) -> None:
        host, _, port = address.rpartition(":")
        self._address = (host, int(port))
        self._timeout_s = timeout_s
        self._socket: socket.socket | None = None
        self._rest = b""

    def send(self, event: Event) -> str:
        """Send one message and read its acknowledgement."""
        try:
            if self._socket is None:
                self._socket = socket.create_connection(self._address, self._timeout_s)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._rest = b""
            self._socket.sendall(_START + event.body + _END)
            return _refusal(self._answer())
        except OSError as error:
            self.close()
            raise Away(type(error).__name__) from error

    def _answer(self) -> bytes:
        assert self._socket is not None
        data = self._rest
        while _END not in data:
            part = self._socket.recv(65536)
            if not part:
                raise ConnectionResetError
            data += part
        answer, _, self._rest = data.partition(_END)
        return answer.lstrip(_START)

    def close(self) -> None:
        """End the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _refusal(answer: bytes) -> str:
    """Return why an acknowledgement refuses; empty for AA or CA. Raises: Away."""
    segments = [line.split(b"|") for line in answer.split(b"\r")]
    msa = next((s for s in segments if s[0] == b"MSA" and len(s) > 1), None)
    if msa is None:
        raise ConnectionResetError
    code = msa[1].decode("ascii", "replace")
    if code in ("AA", "CA"):
        return ""
    err = next((s for s in segments if s[0] == b"ERR"), [])
    condition = err[3].split(b"^")[0].decode("ascii", "replace") if len(err) > 3 else ""
    if condition == _INTERNAL:
        raise Away(f"{code} {condition}")
    return f"{code} {condition}".strip()


class Fhir:
    """FHIR Bundles by POST over one HTTP connection with the bearer token of the hospital's systems."""

    def __init__(self, base: str, token_file: Path, timeout_s: float = 60.0) -> None:
        self._url = urlsplit(base)
        self._token_file = token_file
        self._timeout_s = timeout_s
        self._connection: http.client.HTTPConnection | None = None

    def send(self, event: Event) -> str:
        """Post one Bundle."""
        try:
            if self._connection is None:
                made = (
                    http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
                )
                self._connection = made(self._url.hostname or "", self._url.port, timeout=self._timeout_s)
            headers = {
                "Content-Type": "application/fhir+json",
                "Authorization": f"Bearer {self._token_file.read_text(encoding='utf-8').strip()}",
                "Prefer": "return=minimal",
            }
            self._connection.request("POST", self._url.path or "/", event.body, headers)
            response = self._connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Away(type(error).__name__) from error
        if response.status < 300:
            return ""
        if response.status >= 500 or response.status in (401, 429):
            raise Away(f"HTTP {response.status}")
        return f"HTTP {response.status}"

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class DropFolder:
    """Files into the drop folder: written as .part, renamed when complete."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def send(self, event: Event) -> str:
        """Drop one file; held back while many wait."""
        try:
            if sum(name.endswith(".csv") for name in os.listdir(self._folder)) > _FULL:
                raise Away("drop folder full")
            part = self._folder / f"{event.name}.part"
            part.write_bytes(event.body)
            part.rename(self._folder / event.name)
        except OSError as error:
            raise Away(type(error).__name__) from error
        return ""

    def close(self) -> None:
        """Nothing to end."""


def roads_of(hospital: dict[str, Any]) -> dict[str, Road]:
    """Return the roads into one hospital of region.json, by the kind of event."""
    return {
        "hl7": Mllp(hospital["mllp"]),
        "fhir": Fhir(hospital["fhir"], Path(hospital["token_file"])),
        "csv": DropFolder(Path(hospital["inbox_dir"])),
    }


def deliver(road: Road, event: Event, stopped: threading.Event, away: Callable[[str], None]) -> str:
    """Send until the other side has taken or refused it, waiting longer each time it is away."""
    wait_s = 0.1
    while True:
        try:
            return road.send(event)
        except Away as reason:
            away(str(reason))
            if stopped.wait(wait_s):
                raise
            wait_s = min(wait_s * 2, 5.0)


class Pace:
    """Lets at most so many messages a second through."""

    def __init__(self, rate: float) -> None:
        self._gap_s = 1 / rate if rate else 0.0
        self._next = time.monotonic()

    def wait(self) -> None:
        """Wait until the next may go."""
        if self._gap_s:
            time.sleep(max(0.0, self._next - time.monotonic()))
            self._next = max(self._next + self._gap_s, time.monotonic() - 1)
