"""One message on its way into the cache, as capture hands it to the writer."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from front_end_processor.cache.fates import Settled


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """One entry towards the hub: its routing key, its body and what the hub needs before it."""

    route: str
    kind: str
    source_at: datetime
    body: bytes
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BlobContent:
    """A large content, sealed for the hub, named by the SHA-256 of what it was."""

    hash: str
    size: int
    content_type: str
    content: bytes


@dataclass(slots=True)
class Submission:
    """One message on its way into the cache.

    row: the columns of its message row that do not depend on what is there already.
    refusal: why it cannot be normalised; empty if it can, then `entries` says what it became.
    may_reuse: whether its control id may stand over other content. replaces: the row a replay works on.
    """

    row: dict[str, Any]
    refusal: str
    entries: Sequence[OutboxEntry] = ()
    aliases: Sequence[tuple[str, str, str]] = ()
    blobs: Sequence[BlobContent] = ()
    may_reuse: bool = False
    replaces: int | None = None
    settled: Future[Settled] = field(default_factory=Future)

    @property
    def key(self) -> tuple[str, str]:
        """The sender and its control id."""
        return str(self.row["sender"]), str(self.row["control_id"])

    @property
    def size(self) -> int:
        """How many bytes it writes, about."""
        return len(self.row["raw"]) + sum(len(entry.body) for entry in self.entries)
