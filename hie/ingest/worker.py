"""Decides the fate of what a queue delivers: stored, set aside, or not now.

A batch is tried as a whole. Where that fails it is halved behind savepoints until what is at fault stands
alone: what the hospital must correct is set aside with its reason; what is our failure is tried again some
times, then set aside too; what is away (database, broker) makes the queue wait. The others are stored in the
same transaction.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import psycopg
import structlog
from sqlalchemy import BigInteger, Engine, bindparam, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DataError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from esb.consumer import Delivery
from esb.envelope import Entry
from esb.errors import reason_of
from esb.inbox import taken
from esb.outbox import REFUSED
from esb.relay import stated_entries
from esb.seal import Keys
from hie.config import Config
from hie.errors import HieError, Malformed, NotNow, Rejected, without_text
from hie.ingest.opening import Directory, open_envelope, sender_of
from hie.ingest.reading import Item, read_entry
from hie.ingest.storing import Ledger, close_ledger, put_aside, store_items
from hie.schema.absence import is_away
from hie.schema.exchange import attempt, inbox
from hie.security import audit
from hie.security.actor import Actor

log = structlog.get_logger(__name__)

MAX_ENTRIES = 200
# What one transaction unpacks and reads: a Bundle in memory is several times its bytes.
MAX_READ_BYTES = 16 * 1024 * 1024
UNKNOWN = "The hub failed on this message again and again for a reason nobody foresaw; ask its operator."
UNREADABLE = "The hub could not read this message for a reason nobody foresaw; ask its operator."
Key = tuple[str, int, int]

ALONE = select(func.pg_try_advisory_xact_lock(bindparam("queue", type_=BigInteger)))
ANY_TRIED = select(attempt.c.message_id).limit(1)


class Refused(NamedTuple):
    """An entry that cannot be stored, and why."""

    facility: str
    entry: Entry
    reason: str


class _Failing(Exception):
    """An entry failed for a reason nobody foresaw, of this kind."""

    def __init__(self, key: Key, kind: str) -> None:
        super().__init__()
        self.key, self.kind = key, kind


@dataclass(slots=True)
class Worker:
    """Handles the batches of one process. `stored` is called after a commit, e.g. to wake the relay."""

    engine: Engine
    config: Config
    own: Keys
    directory: Directory
    stored: Callable[[], None] = lambda: None

    def handle(self, queue: str, deliveries: Sequence[Delivery]) -> set[int]:
        """Take in a batch of one queue; return the tags of messages that go to the dead letters.

        Raises: NotNow if nothing more can be stored at the moment; what was stored before stays stored.
        """
        entries, faults = self._open(deliveries)
        for begin in range(0, len(entries), MAX_ENTRIES):
            rest: Sequence[tuple[str, Entry]] = entries[begin : begin + MAX_ENTRIES]
            while rest:
                rest = self._take_in(queue, rest)
        self._refuse(faults)
        return {delivery.tag for delivery, _ in faults}

    def _open(
        self, deliveries: Sequence[Delivery]
    ) -> tuple[list[tuple[str, Entry]], list[tuple[Delivery, Rejected]]]:
        """Return the entries of the envelopes that hold, and the others each with its fault."""
        entries: list[tuple[str, Entry]] = []
        faults: list[tuple[Delivery, Rejected]] = []
        for delivery in deliveries:
            try:
                opened = open_envelope(delivery, self.directory, self.own)
                facility = sender_of(delivery)
                entries += ((facility, entry) for entry in opened)
            except Rejected as fault:
                faults.append((delivery, fault))
            except (DBAPIError, PoolTimeoutError):
                raise NotNow("The database is away; the messages wait.") from None
            except Exception as error:
                log.error("ingest.unknown_failure", kind=type(error).__name__, exc_info=without_text(error))
                faults.append((delivery, Malformed()))
        return entries, faults

    def _take_in(self, queue: str, entries: Sequence[tuple[str, Entry]]) -> Sequence[tuple[str, Entry]]:
        """Settle the entries in one transaction; one by one where the database refuses what they share.

        Returns: those that were left for the next transaction, because together they are too large.
        """
        try:
            with Session(self.engine) as session, session.begin():
                _check_alone(session, queue)
                left = self._settle(session, entries)
        except _Failing as failing:
            self._count(failing.key, failing.kind)
            raise NotNow("A message fails for an unknown reason; it is tried again.") from None
        except (DBAPIError, PoolTimeoutError, psycopg.Error) as error:
            if is_away(error):
                log.warning("ingest.database_away", kind=type(error).__name__)
                raise NotNow("The database is away; the messages wait.") from None
            log.error("ingest.database_refused", kind=type(error).__name__, exc_info=without_text(error))
            if len(entries) > 1:
                for one in entries:
                    self._take_in(queue, [one])
                return []
            facility, entry = entries[0]
            self._count((facility, entry.epoch, entry.seq), type(error).__name__)
            raise NotNow("The database refused a message; it is tried again.") from None
        self.stored()
        return left

    def _settle(self, session: Session, entries: Sequence[tuple[str, Entry]]) -> Sequence[tuple[str, Entry]]:
        """Store what can be stored; return what was left unread.

        Raises: _Failing if an entry fails for an unknown reason.
        """
        ledger = Ledger(datetime.now(UTC))
        fresh = _not_taken(session, entries, ledger)
        tries = _tries(session, fresh)
        tired = {key for key, count in tries.items() if count >= self.config.ingest_tries}
        items, refused, left = _read([one for one in fresh if _key(*one) not in tired])
        refused += [Refused(*one, UNKNOWN) for one in fresh if _key(*one) in tired]
        self._store(session, items, ledger, refused)
        for one in refused:
            log.warning("ingest.set_aside", facility=one.facility, seq=one.entry.seq, reason=one.reason)
            put_aside(session, *one, ledger)
        settled = tries.keys() - {_key(*one) for one in left}
        if settled:
            session.execute(delete(attempt).where(attempt.c.message_id.in_([_name(k) for k in settled])))
        close_ledger(session, ledger)
        return left

    def _store(self, session: Session, items: Sequence[Item], ledger: Ledger, refused: list[Refused]) -> None:
        """Store the items together; halve where that fails, until each that is at fault stands alone."""
        if not items:
            return
        mark = len(ledger.rows), {f: len(r) for f, r in ledger.receipts.items()}
        try:
            with session.begin_nested():
                store_items(session, items, ledger, self.config.zone, self.config.relation_days)
        except Exception as error:
            if is_away(error):
                raise
            _rewind(ledger, *mark)
            if len(items) == 1:
                refused.append(_judge(items[0], error))
                return
            half = len(items) // 2
            self._store(session, items[:half], ledger, refused)
            self._store(session, items[half:], ledger, refused)

    def _count(self, key: Key, kind: str) -> None:
        """Count a failure nobody foresaw, outside the transaction that was rolled back."""
        row = {"message_id": _name(key), "count": 1, "last_error": kind, "at": datetime.now(UTC)}
        statement = insert(attempt).values(row)
        statement = statement.on_conflict_do_update(
            index_elements=["message_id"],
            set_={
                "count": attempt.c.count + 1,
                "last_error": statement.excluded.last_error,
                "at": statement.excluded.at,
            },
        )
        try:
            with self.engine.begin() as connection:
                connection.execute(statement)
        except (DBAPIError, PoolTimeoutError):
            raise NotNow("The database is away; the messages wait.") from None

    def _refuse(self, faults: Sequence[tuple[Delivery, Rejected]]) -> None:
        """Note the envelopes that cannot be trusted or read; tell whoever the broker says sent them.

        Its outbox sends the entries again, for the fault may be ours: a wrong key in the directory.
        All at once and after the rest of the batch: what is tried again is not noted twice.
        """
        if not faults:
            return
        ledger = Ledger(datetime.now(UTC))
        rows = []
        for delivery, fault in faults:
            user = str(delivery.properties.user_id or "")
            log.error(
                "ingest.refused", sender=user, message=delivery.properties.message_id, reason=fault.text
            )
            if self.directory.is_registered(user):
                for epoch, seq in stated_entries(delivery.properties.headers or {}):
                    ledger.answer(user, epoch, seq, REFUSED, fault.text)
            rows.append(
                audit.audit_row(
                    Actor("client", user, user, "facility", purpose="HOPERAT"),
                    "E",
                    "ingest",
                    resource_type="Bundle",
                    outcome=4,
                    http=None,
                    detail={"refused": fault.code},
                )
            )
        try:
            with Session(self.engine) as session, session.begin():
                audit.record_many(session, rows)
                close_ledger(session, ledger)
        except (DBAPIError, PoolTimeoutError):
            raise NotNow("The database is away; the messages wait.") from None


def _read(
    entries: Sequence[tuple[str, Entry]],
) -> tuple[list[Item], list[Refused], Sequence[tuple[str, Entry]]]:
    """Return what was read, what cannot be read, and what is left, for the others are large already."""
    items: list[Item] = []
    refused: list[Refused] = []
    size = 0
    for number, (facility, entry) in enumerate(entries):
        if size >= MAX_READ_BYTES:
            return items, refused, entries[number:]
        try:
            items.append(read_entry(facility, entry))
            size += items[-1].size
        except HieError as fault:
            refused.append(Refused(facility, entry, reason_of(fault)))
        except Exception as error:
            log.error(
                "ingest.unknown_failure",
                entry=_name(_key(facility, entry)),
                kind=type(error).__name__,
                exc_info=without_text(error),
            )
            refused.append(Refused(facility, entry, UNREADABLE))
    return items, refused, []


def _judge(item: Item, error: Exception) -> Refused:
    """Refuse an item whose content is at fault. Raises: _Failing if nobody knows why it failed."""
    if isinstance(error, HieError) and error.http < 500:
        return Refused(item.facility, item.entry, reason_of(error))
    if isinstance(error, DataError | psycopg.DataError):
        reason = "The content holds a value the database cannot keep, such as a NUL character."
        return Refused(item.facility, item.entry, reason)
    log.error(
        "ingest.unknown_failure",
        entry=_name(item.key),
        kind=type(error).__name__,
        exc_info=without_text(error),
    )
    raise _Failing(item.key, type(error).__name__) from None


def _rewind(ledger: Ledger, rows: int, receipts: dict[str, int]) -> None:
    del ledger.rows[rows:]
    for facility, answers in ledger.receipts.items():
        del answers[receipts.get(facility, 0) :]


def _check_alone(session: Session, queue: str) -> None:
    """Only one process at a time stores from a queue, whatever the broker believes."""
    key = int.from_bytes(hashlib.blake2b(queue.encode(), digest_size=8).digest(), signed=True)
    if not session.connection().scalar(ALONE, {"queue": key}):
        raise NotNow("Another process is still storing from this queue.")


def _not_taken(
    session: Session, entries: Sequence[tuple[str, Entry]], ledger: Ledger
) -> list[tuple[str, Entry]]:
    """Return the entries seen for the first time; answer the others with what became of them."""
    keys = [(facility, entry.epoch, entry.seq) for facility, entry in entries]
    before = taken(session.connection(), inbox, keys)
    fresh, seen = [], set()
    for key, (facility, entry) in zip(keys, entries, strict=True):
        if key in before:
            fate, reason = before[key]
            ledger.answer(facility, *key[1:], fate if fate == "set_aside" else "duplicate", reason)
        elif key not in seen:
            seen.add(key)
            fresh.append((facility, entry))
    return fresh


def _tries(session: Session, entries: Sequence[tuple[str, Entry]]) -> dict[Key, int]:
    """Return how often entries of this batch have failed before; usually nothing has."""
    if session.connection().scalar(ANY_TRIED) is None:
        return {}
    names = {_name(_key(*one)): _key(*one) for one in entries}
    query = select(attempt.c.message_id, attempt.c.count).where(attempt.c.message_id.in_(names))
    return {names[name]: count for name, count in session.execute(query)}


def _key(facility: str, entry: Entry) -> Key:
    return facility, entry.epoch, entry.seq


def _name(key: Key) -> str:
    return "{}.{}.{}".format(*key)
