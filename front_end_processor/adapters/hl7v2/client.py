"""A small blocking MLLP sender, for tools and tests."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

from front_end_processor.adapters.hl7v2.framing import END, START

_CHUNK = 65536
_ACCEPTED = {"MSA|AA", "MSA|CA"}


class Client:
    """A connection to an MLLP listener."""

    def __init__(self, host: str, port: int, timeout_s: float = 30.0) -> None:
        try:
            self._socket = socket.create_connection((host, port), timeout=timeout_s)
        except OSError as fault:
            why = fault.strerror or fault
            raise ConnectionError(f"nobody answers at {host}:{port} ({why}); check host and port") from None
        self._buffer = b""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def write(self, raw: bytes) -> None:
        """Send one framed message and do not wait."""
        self._socket.sendall(START + raw + END)

    def write_bytes(self, raw: bytes) -> None:
        """Send bytes as they are, framed or not."""
        self._socket.sendall(raw)

    def end(self) -> None:
        """Say that nothing more will be sent; answers can still be read."""
        self._socket.shutdown(socket.SHUT_WR)

    def read(self) -> bytes:
        """Return the next acknowledgement. Raises: ConnectionError if the other side hangs up."""
        while END not in self._buffer:
            data = self._socket.recv(_CHUNK)
            if not data:
                raise ConnectionError("the listener hung up before an answer")
            self._buffer += data
        frame, _, self._buffer = self._buffer.partition(END)
        return frame.lstrip(START)

    def send(self, raw: bytes) -> bytes:
        """Send one message and return its acknowledgement."""
        self.write(raw)
        return self.read()


def send_files(host: str, port: int, files: Sequence[Path]) -> Iterator[tuple[bool, str]]:
    """Send the message of each file; yield whether it was accepted, and MSA and ERR of the answer.

    An editor ends lines with LF or CR LF where HL7 v2 has CR.
    """
    with Client(host, port) as listener:
        for file in files:
            answer = listener.send(re.sub(rb"\r?\n", b"\r", file.read_bytes().strip() + b"\n"))
            lines = answer.decode("utf-8", "replace").split("\r")
            told = [line for line in lines if line.startswith(("MSA|", "ERR|"))]
            yield any(line[:6] in _ACCEPTED for line in told), "  ".join(told)
