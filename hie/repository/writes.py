"""What is asked of the store and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from hie.errors import Rejected

Method = Literal["put", "create", "patch", "delete"]
Fate = Literal["created", "updated", "superseded", "kept", "deleted", "unchanged"]
Order = tuple[datetime, int, int]

# A placeholder is older than anything a hospital can send.
PLACEHOLDER: Order = (datetime(1, 1, 1, tzinfo=UTC), 0, 0)


@dataclass(frozen=True, slots=True)
class Write:
    """One resource to write.

    method: `put` a full snapshot, `create` where nothing is, `patch` the present content, `delete`.
    resource: the content, parsed by `esb.fhir.lexemes`; None for patch and delete.
    patch: operations of a JSON Patch (RFC 6902) or the Parameters of a FHIRPath Patch, for patch.
    facility: code of the writing facility; None for the region's own clients, which may write everything.
    order: (source time, epoch, sequence) of the message; None (API) follows whatever is stored.
    if_none_match: keep what is there, else create a placeholder that any later snapshot replaces.
    if_match: the version that must be the present one; 0 if there must be none, ANY if there must be one.
    """

    method: Method
    type: str
    id: str
    resource: dict[str, Any] | None = None
    facility: str | None = None
    order: Order | None = None
    if_none_match: bool = False
    if_match: int | None = None
    patch: list[dict[str, Any]] | dict[str, Any] | None = None


ANY = -1  # whatever the version


class NotYours(Rejected):
    """The id belongs to another facility; use ids of your own."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a write.

    fate: created, updated, deleted; `superseded` if a newer version is there already; `kept` if a
        placeholder was not needed; `unchanged` if the content was there already.
    version: its version number; 0 for `kept`, which is not looked at.
    content: the stored text of that version; empty for kept and deleted.
    """

    type: str
    id: str
    version: int
    fate: Fate
    content: bytes
    updated_at: datetime
    compartment: str = ""
