"""Pages that end where they grow large: what is large is read by itself, as far as there is room for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, literal_column, select, tuple_, union_all
from sqlalchemy.orm import Session

from hie.schema.repository import Resource, ResourceHistory, ResourceKey

SMALL = 1 << 15  # bytes; a content up to this comes with its row
MOST_BYTES = 1 << 24  # of the contents of a page; a single one may be larger
ASIDE = ":"  # a stored text begins with a brace
Name = tuple[str, str, int]  # type, id, version


def light(table: Any) -> ColumnElement[str]:
    """Return the column of a content if it is small, else of a word that stands for it.

    PostgreSQL knows the length of a content without reading it.

    Args:
        table: `Resource` or `ResourceHistory`.
    """
    length = func.octet_length(table.content)
    word = func.concat(literal_column("':'"), table.version, literal_column("':'"), length)
    is_small = length <= literal_column(str(SMALL))
    return case((is_small, table.content), else_=word)


class Room:
    """What there is room for, in the order it is taken."""

    def __init__(self) -> None:
        self._left = MOST_BYTES
        self._is_empty = True
        self._taken: list[bytes | Name] = []
        self._large: list[Name] = []

    def takes(self, type_: str, id_: str, text: str) -> bool:
        """Take what `light` gave of a resource, if there is room for it; for the first there always is."""
        if text[:1] != ASIDE:
            content = text.encode()
            self._left -= len(content)
            if self._left < 0 and not self._is_empty:
                return False
            self._taken.append(content)
        else:
            _, version, length = text.split(ASIDE)
            self._left -= int(length)
            if self._left < 0 and not self._is_empty:
                return False
            name = (type_, id_, int(version))
            self._taken.append(name)
            self._large.append(name)
        self._is_empty = False
        return True

    def drained(self, session: Session) -> list[bytes]:
        """Return the contents of what was taken since last asked; the room it takes stays taken."""
        read = _read(session, self._large) if self._large else {}
        contents = [one if isinstance(one, bytes) else read[one] for one in self._taken]
        self._taken, self._large = [], []
        return contents


def _read(session: Session, names: Sequence[Name]) -> dict[Name, bytes]:
    """Return the contents of versions, be they the present ones or replaced meanwhile."""
    present = (
        select(Resource.type, Resource.id, Resource.version, Resource.content)
        .join(
            ResourceKey,
            and_(
                ResourceKey.compartment == Resource.compartment,
                ResourceKey.type == Resource.type,
                ResourceKey.id == Resource.id,
            ),
        )
        .where(tuple_(ResourceKey.type, ResourceKey.id, Resource.version).in_(names))
    )
    past = select(
        ResourceHistory.type, ResourceHistory.id, ResourceHistory.version, ResourceHistory.content
    ).where(tuple_(ResourceHistory.type, ResourceHistory.id, ResourceHistory.version).in_(names))
    rows = session.execute(union_all(present, past))
    return {(type_, id_, version): content.encode() for type_, id_, version, content in rows}
