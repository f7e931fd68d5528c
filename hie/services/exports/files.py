"""Files of a job: gzip members appended one checkpoint at a time, cut back to the last one after a crash."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

PIECE = 1 << 18


def path_of(folder: Path, job: str, number: int) -> Path:
    """Return where a file of a job is kept."""
    return folder / job / f"{number}.ndjson.gz"


def append(path: Path, at: int, content: bytes) -> int:
    """Write content behind the first `at` bytes of a file, durably; return its new length.

    What stood behind was written by a worker that died before it said so.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    packed = gzip.compress(content, 1, mtime=0)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.truncate(at)
        file.seek(at)
        file.write(packed)
        file.flush()
        os.fsync(file.fileno())
    if at == 0:
        # Without it a power loss may take the name of a file whose content is safe.
        for folder in (path.parent, path.parent.parent):
            _sync(folder)
    return at + len(packed)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def packed(path: Path, length: int) -> Iterator[bytes]:
    """Yield the first `length` bytes of a file as they are, gzipped."""
    with path.open("rb") as file:
        while length > 0 and (piece := file.read(min(PIECE, length))):
            length -= len(piece)
            yield piece


def plain(path: Path, length: int) -> Iterator[bytes]:
    """Yield the content of the first `length` bytes of a file, unpacked, in constant memory."""
    member = zlib.decompressobj(zlib.MAX_WBITS | 16)
    for piece in packed(path, length):
        rest = piece
        while rest:
            content = member.decompress(rest, PIECE)
            if content:
                yield content
            if member.eof:
                rest, member = member.unused_data, zlib.decompressobj(zlib.MAX_WBITS | 16)
            else:
                rest = member.unconsumed_tail
