"""The state of one (type, id) while a batch is applied to it, and what must be written in the end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from hie.repository.content import head_of, instant_text
from hie.repository.writes import PLACEHOLDER, Order


@dataclass(frozen=True, slots=True)
class Version:
    """A version that is or becomes the present one; no resource means deleted or not parsed."""

    number: int
    order: Order
    updated_at: datetime
    compartment: str
    content: bytes
    deleted: bool
    body: bytes | None = None
    resource: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Past:
    """A version that goes straight to the history."""

    version: Version
    superseded: bool


NOTHING = Version(0, PLACEHOLDER, PLACEHOLDER[0], "", b"", False)


class State:
    """One key. `stored` is the compartment its row has in the database, None if it has none.

    keyed: the compartment that the key names in the database, None if it has no key.
    kept: the key was known and only a placeholder is asked for, so it was not looked at.
    """

    __slots__ = (
        "facility", "id", "is_known", "kept", "keyed", "most", "past", "present", "replaced", "stored",
        "touched", "type",
    )  # fmt: skip

    def __init__(self, type_: str, id_: str, facility: str | None, *, kept: bool = False) -> None:
        self.type = type_
        self.id = id_
        self.facility = facility
        self.kept = kept
        self.is_known = False
        self.present = NOTHING
        self.most = 0
        self.stored: str | None = None
        self.keyed: str | None = None
        self.replaced = False
        self.touched = False
        self.past: list[Past] = []

    def load(self, present: Version, most: int) -> None:
        """Take over the row that the database holds; `most` is the highest version number of its past."""
        self.present = present
        self.most = max(most, present.number)
        self.stored = present.compartment

    @property
    def body(self) -> bytes:
        """The present content without what the server states in it."""
        if self.present.body is not None:
            return self.present.body
        head = head_of(self.type, self.id, self.present.number, instant_text(self.present.updated_at))
        return self.present.content[len(head) :] if self.present.content.startswith(head) else b""

    def next_version(self) -> int:
        """Return the next version number; numbers are never used twice."""
        self.most += 1
        return self.most

    def touch(self, order: Order) -> None:
        """Let the present version count as newer if the same content was sent again later."""
        if self.present.number and order > self.present.order:
            self.present = replace(self.present, order=order)
            self.touched = True

    def put(self, version: Version) -> None:
        """Make a version the present one."""
        if self.present.number and (self.replaced or self.stored is None):
            self.keep(self.present, superseded=False)
        self.present = version
        self.replaced = True
        self.is_known = True

    def keep(self, version: Version, *, superseded: bool) -> None:
        """Keep a version in the history: replaced within the batch, or arrived after a newer one."""
        self.past.append(Past(version, superseded))
