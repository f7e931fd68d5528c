"""Resources by their names, whichever patient they are kept with, within the policy's reach."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import ARRAY, ColumnElement, Text, and_, bindparam, func, select
from sqlalchemy.orm import Session

from hie.repository.read import OWNER
from hie.schema.repository import Resource, ResourceKey

WANTED = (
    func.unnest(bindparam("types", type_=ARRAY(Text)), bindparam("ids", type_=ARRAY(Text)))
    .table_valued("type", "id", name="wanted")
    .render_derived()
)
NAMED = (
    select(Resource.type, Resource.id, Resource.content)
    .join(ResourceKey, OWNER)
    .join(WANTED, and_(ResourceKey.type == WANTED.c.type, ResourceKey.id == WANTED.c.id))
    .where(~Resource.deleted)
)


def by_names(session: Session, names: Iterable[str], where: ColumnElement[bool]) -> dict[str, bytes]:
    """Return the stored bytes of what is there of some names, Type/id."""
    wanted = sorted(set(names))
    if not wanted:
        return {}
    given = {
        "types": [name.partition("/")[0] for name in wanted],
        "ids": [name.partition("/")[2] for name in wanted],
    }
    found = session.execute(NAMED.where(where), given)
    return {f"{type_}/{id_}": content.encode() for type_, id_, content in found}
