"""Bodies of requests as they come over HTTP: whole, or not taken at all (RFC 9112 §8)."""

from __future__ import annotations

from typing import Any, Protocol

from werkzeug.wsgi import get_content_length

from hie.errors import Malformed, TooLarge

CUT = "The body ended before its Content-Length; send it again whole."


class Readable(Protocol):
    """What a server gives a body to be read from."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to so many bytes; none at the end."""


class WholeBody:
    """A body whose end is looked at: to whoever reads it, all ends look alike."""

    def __init__(self, body: Readable, length: int | None, most: int) -> None:
        self._body = body
        self._length = length
        self._most = most
        self._seen = 0

    def read(self, size: int = -1, /) -> bytes:
        """Return up to so many bytes; none at the end. Raises: Malformed if it was cut, TooLarge."""
        piece = self._body.read(size)
        self._seen += len(piece)
        if self._length is not None and self._seen < self._length and (not piece or size < 0):
            raise Malformed(CUT)
        # Who reads stops at the limit, as if that were the end.
        if self._seen > self._most or (self._seen == self._most and self._body.read(1)):
            raise TooLarge
        return piece


def watch(environ: dict[str, Any], most: int) -> None:
    """Let a request's body be taken whole or not at all, where the server says only that it ended.

    Args:
        most: how many bytes are taken.
    """
    if "wsgi.input_terminated" in environ:
        length = get_content_length(environ)
        environ["wsgi.input"] = WholeBody(environ["wsgi.input"], length, most)
