"""The road as a foreign system sees it: MLLP in, FHIR out, the console beside it."""

from __future__ import annotations

import json
import re
import socket
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import requests

T = TypeVar("T")
PATIENCE_S = 30


def wait_for(what: str, look: Callable[[], T | None], patience_s: float = PATIENCE_S) -> T:
    """Return what `look` finds, as soon as it finds something. Fails the test if it never does."""
    deadline = time.monotonic() + patience_s
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"waited {patience_s} s in vain for {what}"
        time.sleep(0.02)


class Mllp:
    """A sender that knows MLLP and nothing else."""

    def __init__(self, address: str) -> None:
        host, port = address.split(":")
        self._socket = socket.create_connection((host, int(port)), timeout=20)
        self._read = b""

    def __enter__(self) -> Mllp:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def put(self, octets: bytes) -> None:
        """Write bytes as they are."""
        self._socket.sendall(octets)

    def end(self) -> None:
        """Say that nothing more is sent."""
        self._socket.shutdown(socket.SHUT_WR)

    def answer(self) -> bytes:
        """Return the next answer without its frame; empty if the other side closes."""
        while b"\x1c\r" not in self._read:
            piece = self._socket.recv(65536)
            if not piece:
                return b""
            self._read += piece
        frame, _, self._read = self._read.partition(b"\x1c\r")
        return frame.removeprefix(b"\x0b")

    def send(self, message: bytes) -> bytes:
        """Send one message in a frame and return the answer."""
        self.put(b"\x0b" + message + b"\x1c\r")
        return self.answer()


def code_of(answer: bytes) -> str:
    """Return MSA-1: AA, AE, AR, CA, CE or CR."""
    found = re.search(rb"\rMSA\|(\w\w)", answer)
    assert found, f"no MSA in {answer!r}"
    return found[1].decode()


def text_of(answer: bytes) -> str:
    """Return what MSA-3 and ERR tell the sender."""
    return "\r".join(line for line in answer.decode("utf-8").split("\r") if line[:3] in ("MSA", "ERR"))


def element(resource: Any, path: str) -> Any:
    """Return the element at a path such as `name.0.text`; None if it is not there."""
    for step in path.split("."):
        inside = isinstance(resource, list) and step.isdigit() and int(step) < len(resource)
        if not inside and not isinstance(resource, dict):
            return None
        resource = resource[int(step)] if inside else resource.get(step)
    return resource


class Hub:
    """A FHIR client of the hub."""

    def __init__(self, region: dict[str, Any], client: int = 0) -> None:
        self.base = region["hub"]["fhir"]
        who = region["clients"][client]
        answer = requests.post(
            region["hub"]["token_url"],
            data={"grant_type": "client_credentials", "scope": who["scope"]},
            auth=(who["client_id"], who["client_secret"]),
            timeout=20,
        )
        answer.raise_for_status()
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def get(self, path: str, **params: str) -> requests.Response:
        """Return the answer to a GET below the base."""
        return self.session.get(f"{self.base}/{path}", params=params, timeout=30)

    def read(self, path: str) -> dict[str, Any] | None:
        """Return a resource, None if it is not there."""
        answer = self.get(path)
        return answer.json() if answer.status_code == 200 else None

    def search(self, path: str, **params: str) -> list[dict[str, Any]]:
        """Return the resources of the first page of a search."""
        answer = self.get(path, **params)
        assert answer.status_code == 200, answer.text
        return [entry["resource"] for entry in answer.json().get("entry", [])]

    def found(self, path: str) -> dict[str, Any]:
        """Return the one resource that a search finds, its numbers as the characters they are written in."""
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        entries = json.loads(answer.text, parse_float=str, parse_int=str).get("entry", [])
        assert len(entries) == 1, (path, [entry["resource"]["resourceType"] for entry in entries])
        resource: dict[str, Any] = entries[0]["resource"]
        return resource


class Fep:
    """A hospital's front-end processor: its inlets, its cache and its console."""

    def __init__(self, hospital: dict[str, Any]) -> None:
        self.hospital = hospital
        self.code = hospital["code"]
        self.inbox = Path(hospital["inbox_dir"])
        self._cache = hospital["cache_url"].removeprefix("sqlite:///")

    @property
    def keys(self) -> Path:
        """The folder of its keys."""
        return Path(self._cache).parent / "keys"

    def mllp(self) -> Mllp:
        """Open a connection to its listener."""
        return Mllp(self.hospital["mllp"])

    def rows(self, where: str = "1 = 1") -> list[dict[str, Any]]:
        """Return its message rows, oldest first, with the receipt of each."""
        connection = sqlite3.connect(f"file:{self._cache}?mode=ro", uri=True, timeout=20)
        connection.row_factory = sqlite3.Row
        try:
            found = connection.execute(
                "SELECT m.*, o.fate AS receipt, o.reason AS receipt_reason FROM message m LEFT JOIN outbox o"
                f" ON o.seq = m.entries_from AND m.entries > 0 WHERE {where} ORDER BY m.seq"
            ).fetchall()
            return [dict(row) for row in found]
        finally:
            connection.close()

    def row(self, control_id: str) -> dict[str, Any]:
        """Return the row of a control id."""
        return self.rows(f"m.control_id = '{control_id}'")[-1]

    def wait_settled(self, control_id: str) -> dict[str, Any]:
        """Return the row of a control id once the hub's receipt is there."""
        return wait_for(
            f"the receipt of {control_id}",
            lambda: next((r for r in self.rows(f"m.control_id = '{control_id}'") if r["receipt"]), None),
        )

    def highest(self) -> int:
        """Return the number of its newest row."""
        return max((row["seq"] for row in self.rows()), default=0)

    def set_aside_since(self, seq: int) -> dict[str, Any]:
        """Return the first row after one that is set aside, as soon as it is there."""
        return wait_for(
            "the row of what was refused",
            lambda: next(iter(self.rows(f"m.seq > {seq} AND m.fate = 'set_aside'")), None),
        )

    def is_settled(self) -> bool:
        """Has every file been taken, and is there a receipt for everything that was captured?"""
        waiting = [file for file in self.inbox.iterdir() if file.suffix in (".csv", ".part")]
        return not waiting and not self.rows("m.fate = 'captured' AND o.fate IS NULL")

    def post(self, path: str, body: bytes | dict[str, Any], **headers: str) -> requests.Response:
        """Post to its FHIR inlet with the hospital's own token."""
        token = Path(self.hospital["token_file"]).read_text(encoding="utf-8").strip()
        octets = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {"Authorization": f"Bearer {token}", "Content-Type": "application/fhir+json"}
        return requests.post(self.hospital["fhir"] + path, data=octets, headers=given | headers, timeout=60)

    def drop(self, name: str, content: bytes) -> None:
        """Put a file into the drop folder as a careful system does: write, then rename."""
        part = self.inbox / f"{name}.part"
        part.write_bytes(content)
        part.rename(self.inbox / name)
