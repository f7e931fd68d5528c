"""The one writer of captures: concurrent senders share a transaction, and with it one wait for the disk."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import datetime

import orjson
import structlog
from sqlalchemy import Connection, bindparam, func, insert, select, update
from sqlalchemy.exc import DBAPIError

from esb.envelope import deflate
from esb.errors import HieError, NotNow
from esb.prepared import Prepared
from front_end_processor.cache.engine import Cache
from front_end_processor.cache.fates import Known, Settled, Verdict, decide
from front_end_processor.cache.tables import CAPTURED, SET_ASIDE, alias, blob, blob_need, message, outbox
from front_end_processor.pipeline.faults import TRIES, NotKept, is_of_content, set_aside
from front_end_processor.pipeline.submission import BlobContent, Submission

MAX_BATCH = 200
MAX_BATCH_BYTES = 32 * 1024 * 1024
MAX_WAITING = 2000

log = structlog.get_logger()


class NotStored(NotNow):
    """Not stored: the local database does not take messages at the moment; send it again."""


class Writer:
    """A thread that owns the writing connection; `submit` from any thread, in the order that shall hold."""

    def __init__(self, cache: Cache, *, epoch: int, exchange: str, stored: Callable[[], None] = lambda: None):
        """Prepare it. `stored` is called after each commit that has something to send."""
        self._cache = cache
        self._epoch = epoch
        self._exchange = exchange
        self._stored = stored
        self._waiting: queue.Queue[Submission | None] = queue.Queue(MAX_WAITING)
        self._next: int | None = None
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._closed = False

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def is_alive(self) -> bool:
        """Return whether the thread runs; a writer that died is a reason to end the process."""
        return self._thread.is_alive()

    def submit(self, submission: Submission) -> Future[Settled]:
        """Return the future of a message's fate. Raises: NotStored if too much waits already."""
        if self._closed:
            raise NotStored("Not stored: this processor is stopping; send it again.")
        try:
            self._waiting.put_nowait(submission)
        except queue.Full:
            raise NotStored("Not stored: too many messages wait for the local disk; send it again.") from None
        return submission.settled

    def close(self, timeout_s: float = 4.0) -> None:
        """Write what was submitted, then end."""
        self._closed = True
        self._waiting.put(None)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            batch, last = self._take()
            if batch:
                self._write(batch)
            if last:
                return

    def _take(self) -> tuple[list[Submission], bool]:
        first = self._waiting.get()
        if first is None:
            return [], True
        batch, size = [first], first.size
        while len(batch) < MAX_BATCH and size < MAX_BATCH_BYTES:
            try:
                following = self._waiting.get_nowait()
            except queue.Empty:
                break
            if following is None:
                return batch, True
            batch.append(following)
            size += following.size
        return batch, False

    def _write(self, batch: list[Submission]) -> None:
        try:
            settled = self._commit(batch)
        except Exception as fault:  # noqa: BLE001 - every waiting sender needs an answer, whatever broke
            if len(batch) > 1 and is_of_content(fault):
                for submission in batch:  # one bad row must not refuse its neighbours
                    self._write([submission])
                return
            answer = self._answer_alone(batch[0], fault) if len(batch) == 1 else _not_stored(batch, fault)
            for submission in batch:
                if isinstance(answer, Settled):
                    submission.settled.set_result(answer)
                else:
                    submission.settled.set_exception(answer)
            return
        for submission, fate in zip(batch, settled, strict=True):
            submission.settled.set_result(fate)
        if any(submission.entries for submission in batch):
            self._stored()

    def _answer_alone(self, submission: Submission, fault: Exception) -> Settled | HieError:
        """Try a message that failed by itself again; set it aside where its content breaks the writing."""
        for _ in range(TRIES - 1):
            if not is_of_content(fault):
                break
            try:
                (settled,) = self._commit([submission])
            except Exception as again:  # noqa: BLE001 - as in `_write`
                fault = again
            else:
                self._stored()
                return settled
        if not is_of_content(fault):
            return _not_stored([submission], fault)
        for with_raw in (True, False):
            try:
                self._commit([set_aside(submission, with_raw=with_raw)])
            except Exception as again:  # noqa: BLE001 - as in `_write`
                fault = again
            else:
                log.error("capture.set_aside", cause=_cause(fault))
                return NotKept()
        return _not_stored([submission], fault)

    def _commit(self, batch: list[Submission]) -> list[Settled]:
        # Here and not where they were made: deflating runs beside the threads that normalise.
        payloads = {id(entry): deflate(entry.body) for submission in batch for entry in submission.entries}
        # Read again unless this commit succeeds.
        begin, self._next = self._next, None
        with self._cache.writing() as connection:
            begin = _highest(connection) + 1 if begin is None else begin
            work = _Work(connection, self._epoch, self._exchange, begin, payloads)
            settled = work.settle(batch)
            work.write()
        self._next = work.next_seq
        return settled


def _highest(connection: Connection) -> int:
    captured = connection.scalar(select(func.max(message.c.seq))) or 0
    # A replayed or many-entry message owns numbers above its own.
    ends = select(func.max(message.c.entries_from + message.c.entries - 1))
    sent = connection.scalar(select(func.max(outbox.c.seq))) or 0
    return max(captured, connection.scalar(ends) or 0, sent)


class _Work:
    """The rows of one transaction."""

    def __init__(
        self,
        connection: Connection,
        epoch: int,
        exchange: str,
        next_seq: int,
        payloads: dict[int, bytes],
    ) -> None:
        self._connection = connection
        self._payloads = payloads
        self._epoch = epoch
        self._exchange = exchange
        self.next_seq = next_seq
        self._new: list[dict[str, object]] = []
        self._updates: list[tuple[int, dict[str, object]]] = []
        self._outbox: list[dict[str, object]] = []
        self._aliases: dict[tuple[str, str], str] = {}
        self._blobs: dict[str, tuple[BlobContent, datetime]] = {}
        self._needs: list[dict[str, object]] = []

    def settle(self, batch: Sequence[Submission]) -> list[Settled]:
        """Decide the fate of each message, in order; the earlier ones of the batch count as known."""
        known = self._known({submission.key[1] for submission in batch})
        return [self._settle_one(submission, known.setdefault(submission.key, [])) for submission in batch]

    def _known(self, control_ids: set[str]) -> dict[tuple[str, str], list[Known]]:
        # Nearly all are new: what is there is read only where something is.
        control_ids = {id_ for id_ in control_ids if _IS_THERE.fetch(self._connection, control_id=id_)}
        if not control_ids:
            return {}
        columns = (
            message.c.seq,
            message.c.sender,
            message.c.control_id,
            message.c.content_hash,
            message.c.fate,
            message.c.reason,
            message.c.received_at,
        )
        found: dict[tuple[str, str], list[Known]] = {}
        rows = self._connection.execute(select(*columns).where(message.c.control_id.in_(control_ids)))
        for row in rows:
            key = (row.sender, row.control_id)
            found.setdefault(key, []).append(
                Known(row.seq, bytes(row.content_hash), row.fate == CAPTURED, row.reason, row.received_at)
            )
        return found

    def _settle_one(self, submission: Submission, known: list[Known]) -> Settled:
        row = submission.row
        content_hash, now = bytes(row["content_hash"]), row["received_at"]
        assert isinstance(now, datetime)
        verdict = decide(
            known,
            content_hash,
            submission.refusal,
            may_reuse=submission.may_reuse,
            replaces=submission.replaces,
        )
        if verdict.fate is Verdict.REPEATED:
            values: dict[str, object] = {"repeats": message.c.repeats + 1, "repeated_at": now}
            self._updates.append((verdict.seq, values))
            return Settled(Verdict.REPEATED, verdict.seq)
        if verdict.fate is Verdict.SET_ASIDE:
            return self._set_aside(submission, verdict.seq, verdict.reason, known, now)
        return self._capture(submission, verdict.seq, known, now, verdict.reason)

    def _set_aside(
        self, submission: Submission, seq: int, reason: str, known: list[Known], now: datetime
    ) -> Settled:
        content_hash = bytes(submission.row["content_hash"])
        if seq:  # the same content was set aside before: one row, with the latest reason
            repeat = {"repeats": message.c.repeats + 1, "repeated_at": now} if not submission.replaces else {}
            self._updates.append((seq, {"reason": reason, **repeat}))
        else:
            seq = self._number(1)
            self._new.append({**submission.row, "seq": seq, "fate": SET_ASIDE, "reason": reason})
            known.append(Known(seq, content_hash, False, reason, now))
        return Settled(Verdict.SET_ASIDE, seq, reason)

    def _capture(
        self, submission: Submission, seq: int, known: list[Known], now: datetime, remark: str
    ) -> Settled:
        row = submission.row
        if remark:  # a copy: what is tried again must not be remarked twice
            row = {**row, "warnings": _with(str(row["warnings"]), remark)}
        content_hash = bytes(row["content_hash"])
        count = max(1, len(submission.entries))
        first = self._number(count)
        entries = {"epoch": self._epoch, "entries_from": first, "entries": len(submission.entries)}
        if seq:
            changed = {"replayed_at": now} if submission.replaces else {}
            fresh = {k: v for k, v in row.items() if k not in _FIXED}
            self._updates.append((seq, {**fresh, **entries, **changed, "fate": CAPTURED, "reason": ""}))
            known[:] = [k for k in known if k.seq != seq]
        else:
            seq = first
            self._new.append({**row, **entries, "seq": seq, "fate": CAPTURED, "reason": ""})
        known.append(Known(seq, content_hash, True, "", now))
        self._add_entries(submission, first, now)
        return Settled(Verdict.CAPTURED, seq)

    def _number(self, count: int) -> int:
        first = self.next_seq
        self.next_seq += count
        return first

    def _add_entries(self, submission: Submission, first: int, now: datetime) -> None:
        for place, entry in enumerate(submission.entries):
            self._outbox.append(
                {
                    "seq": first + place,
                    "epoch": self._epoch,
                    "exchange": self._exchange,
                    "route": entry.route,
                    "kind": entry.kind[:64],
                    "source_at": entry.source_at,
                    "payload": self._payloads[id(entry)],
                    "created_at": now,
                    "eligible": 0 if entry.needs else 1,
                }
            )
            self._needs += [{"seq": first + place, "hash": name} for name in entry.needs]
        self._blobs.update({content.hash: (content, now) for content in submission.blobs})
        self._aliases.update({(type_, local): target for type_, local, target in submission.aliases})

    def write(self) -> None:
        """Write everything decided."""
        if self._new:
            _INSERT_MESSAGE.run(self._connection, [{**_BLANK, **row} for row in self._new])
        for seq, values in self._updates:
            self._connection.execute(update(message).where(message.c.seq == seq).values(**values))
        if self._outbox:
            _INSERT_OUTBOX.run(self._connection, self._outbox)
        self._write_aliases()
        self._write_blobs()

    def _write_aliases(self) -> None:
        for (type_, local), target in self._aliases.items():
            place = (alias.c.type == type_) & (alias.c.local_id == local)
            if not self._connection.execute(update(alias).where(place).values(resource_id=target)).rowcount:
                self._connection.execute(insert(alias).values(type=type_, local_id=local, resource_id=target))

    def _write_blobs(self) -> None:
        if self._needs:
            self._connection.execute(insert(blob_need), self._needs)
        for name, (content, now) in self._blobs.items():
            place = blob.c.hash == name
            # A content already uploaded and sent again is uploaded again: the hub may have lost it.
            again = update(blob).where(place).values(uploaded_at=None, content=content.content)
            if not self._connection.execute(again).rowcount:
                values = {
                    "size": content.size,
                    "content_type": content.content_type,
                    "content": content.content,
                }
                self._connection.execute(insert(blob).values(hash=name, created_at=now, **values))


# What a message that was set aside does not have.
_BLANK: dict[str, object] = {"epoch": None, "entries_from": None, "entries": 0}
_IS_THERE = Prepared(select(message.c.seq).where(message.c.control_id == bindparam("control_id")).limit(1))
_LATER = ("repeats", "repeated_at", "replayed_at")
_MESSAGE = [column.name for column in message.c if column.name not in _LATER]
_INSERT_MESSAGE = Prepared(insert(message), _MESSAGE)
_INSERT_OUTBOX = Prepared(
    insert(outbox),
    ("seq", "epoch", "exchange", "route", "kind", "source_at", "payload", "created_at", "eligible"),
)
# What a later capture of the same content leaves as it was at the first arrival.
_FIXED = ("received_at", "inlet", "peer", "sender", "control_id", "content_hash", "raw", "size")


def _with(warnings: str, remark: str) -> str:
    return orjson.dumps([*orjson.loads(warnings), remark]).decode()


def failure(fault: BaseException) -> HieError:
    """Return what a sender is told when its message's future failed."""
    return fault if isinstance(fault, HieError) else NotStored()


def _not_stored(batch: Sequence[Submission], fault: Exception) -> NotStored:
    log.error("capture.not_stored", messages=len(batch), cause=_cause(fault))
    return NotStored()


def _cause(fault: Exception) -> str:
    return type(fault.orig if isinstance(fault, DBAPIError) else fault).__name__
