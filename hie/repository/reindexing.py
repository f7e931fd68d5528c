"""Makes the search index anew from what is stored, after a release that finds resources by more than before.

It goes on while others write: a batch locks the keys it is at, as a write does, and leaves versions, texts
and watermarks as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import tzinfo

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session, sessionmaker

from hie.repository import statements
from hie.schema.driver import driver
from hie.schema.repository import ResourceKey

BATCH = 500


def reindex(sessions: sessionmaker[Session], zone: tzinfo) -> Iterator[int]:
    """Make the index of all present resources anew; yield how many are done after each batch.

    Each batch is a transaction of its own; what is interrupted is begun again from the start.
    """
    last, done = ("", ""), 0
    while True:
        with sessions.begin() as session:
            place = tuple_(ResourceKey.type, ResourceKey.id)
            after = select(ResourceKey.type, ResourceKey.id).where(place > last).order_by(place).limit(BATCH)
            keys = [(type_, id_) for type_, id_ in session.execute(after)]
            if not keys:
                return
            cursor = driver(session).cursor()
            states = statements.read_locked(cursor, keys)
            present = [s for s in states.values() if s.present.number and not s.present.deleted]
            statements.refresh(cursor, present, zone)
        last, done = keys[-1], done + len(present)
        yield done
