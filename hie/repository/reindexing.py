"""Makes the search index anew from what is stored, after a release that finds resources by more than before.

It goes on while others write: a batch locks the keys it is at, as a write does, and leaves versions and
watermarks as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import tzinfo

from sqlalchemy import delete, exists, select, text, tuple_
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.orm import Session, sessionmaker

from hie.repository import statements
from hie.schema.driver import driver
from hie.schema.repository import Resource, ResourceKey, SearchText

BATCH = 500
BELOW_ALL = -(2**63)
IS_NOBODYS = ~exists().where(Resource.tokens.contains(array([SearchText.c.token])), ~Resource.deleted)


def reindex(sessions: sessionmaker[Session], zone: tzinfo) -> Iterator[int]:
    """Make the index of all present resources anew; yield how many are done after each batch.

    Texts that no present resource has are dropped at the end: those of deleted, corrected or moved ones.

    Each batch is a transaction of its own; what is interrupted is begun again from the start.
    """
    last, done = ("", ""), 0
    while True:
        with sessions.begin() as session:
            place = tuple_(ResourceKey.type, ResourceKey.id)
            after = select(ResourceKey.type, ResourceKey.id).where(place > last).order_by(place).limit(BATCH)
            keys = [(type_, id_) for type_, id_ in session.execute(after)]
            if not keys:
                break
            cursor = driver(session).cursor()
            states = statements.read_locked(cursor, keys)
            present = [s for s in states.values() if s.present.number and not s.present.deleted]
            statements.refresh(cursor, present, zone)
        last, done = keys[-1], done + len(present)
        yield done
    drop_texts(sessions)


def drop_texts(sessions: sessionmaker[Session]) -> int:
    """Drop the texts of the index that no present resource has; return how many.

    A writer that finds a text listed does not list it again. So what seems to be nobody's is looked at once
    more while no writer is at the list, and only then dropped.
    """
    last, dropped = BELOW_ALL, 0
    while True:
        with sessions.begin() as session:
            batch = select(SearchText.c.token).where(SearchText.c.token > last).distinct()
            tokens = list(session.scalars(batch.order_by(SearchText.c.token).limit(BATCH)))
            if not tokens:
                return dropped
            listed = SearchText.c.token.in_(tokens)
            if session.scalar(select(SearchText.c.token).where(listed, IS_NOBODYS).limit(1)) is not None:
                session.execute(text("LOCK TABLE search_text IN SHARE ROW EXCLUSIVE MODE"))
                gone = session.execute(
                    delete(SearchText).where(listed, IS_NOBODYS).returning(SearchText.c.path)
                )
                dropped += len(gone.all())
        last = tokens[-1]
