"""What the console shows: messages with their fate here and at the hub, one message whole, counters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, Select, and_, func, insert, select

from esb.envelope import inflate
from esb.errors import NotFound
from esb.outbox import Backlog, backlog
from front_end_processor.cache.engine import Cache
from front_end_processor.cache.fates import Settled
from front_end_processor.cache.raw import as_received
from front_end_processor.cache.tables import CAPTURED, SET_ASIDE, look, message, outbox

PAGE = 50
# What an engineer asks for -> which messages these are.
FATES: tuple[str, ...] = ("waiting", "sent", "stored", "superseded", "hub_set_aside", "set_aside", "repeated")
_WEIGHT = {"set_aside": 0, "waiting": 1, "sent": 2, "superseded": 3, "duplicate": 4, "stored": 5}


@dataclass(frozen=True, slots=True)
class Filters:
    """What to list: fate, kind and control id (parts of them), from and until, below which number."""

    fate: str = ""
    inlet: str = ""
    kind: str = ""
    control_id: str = ""
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One message in the list: its row, and how its entries stand at the hub."""

    row: Any
    fate: str
    at: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class Counters:
    """How much came in, is set aside, and waits; and since when the oldest waits."""

    messages: int
    last_hour: int
    set_aside: int
    backlog: Backlog
    oldest_s: int


class Console:
    """What the pages need of the processor."""

    def __init__(self, cache: Cache, facility: str, name: str, replay: Callable[[int], Settled]) -> None:
        """Prepare it. replay: normalises a set-aside message again and returns its fate."""
        self._cache = cache
        self.facility = facility
        self.name = name
        self.replay = replay

    def counters(self, now: datetime) -> Counters:
        """Return the counters on top of the page."""
        with self._cache.reading() as connection:
            waiting = backlog(connection, outbox)
            oldest = _aware(waiting.oldest_at)
            recent = message.c.received_at >= now - timedelta(hours=1)
            return Counters(
                messages=_count(connection),
                last_hour=_count(connection, recent),
                set_aside=_count(connection, message.c.fate == SET_ASIDE),
                backlog=waiting,
                oldest_s=int((now - oldest).total_seconds()) if oldest else 0,
            )

    def kinds(self) -> dict[tuple[str, str, str], int]:
        """Return how many messages there are by inlet, fate here and kind."""
        columns = (message.c.inlet, message.c.fate, message.c.kind)
        with self._cache.reading() as connection:
            rows = connection.execute(select(*columns, func.count()).group_by(*columns))
            return {(inlet, fate, kind): count for inlet, fate, kind, count in rows}

    def repeats(self) -> int:
        """Return how many re-sends were acknowledged and not doubled."""
        with self._cache.reading() as connection:
            return int(connection.scalar(select(func.sum(message.c.repeats))) or 0)

    def page(self, filters: Filters) -> tuple[list[Line], int | None]:
        """Return the messages asked for, newest first, and the number the next page begins below."""
        query = _filtered(select(*_LISTED), filters).order_by(message.c.seq.desc()).limit(PAGE + 1)
        with self._cache.reading() as connection:
            rows = list(connection.execute(query))
            shown = rows[:PAGE]
            lines = [
                _line(row, entries) for row, entries in zip(shown, _entries(connection, shown), strict=True)
            ]
        return lines, shown[-1].seq if len(rows) > PAGE else None

    def one(self, seq: int) -> tuple[Line, list[Any], list[str]]:
        """Return a message, its entries in the outbox, and its warnings. Raises: NotFound."""
        with self._cache.reading() as connection:
            row = connection.execute(select(*_LISTED).where(message.c.seq == seq)).first()
            if row is None:
                raise NotFound("There is no such message here.")
            entries = _entries(connection, [row])[0]
        return _line(row, entries), entries, orjson.loads(row.warnings)

    def content(self, seq: int, *, who: str, peer: str, now: datetime) -> tuple[bytes, str, list[bytes]]:
        """Return a message's raw bytes, its character set and its Bundles, after noting who looked.

        Raises: NotFound.
        """
        self.note("look", seq, who=who, peer=peer, now=now)
        with self._cache.reading() as connection:
            row = connection.execute(
                select(message.c.raw, message.c.size, message.c.charset, *_RANGE).where(message.c.seq == seq)
            ).first()
            if row is None:
                raise NotFound("There is no such message here.")
            bundles = []
            if row.entries_from is not None:
                query = select(outbox.c.payload).where(_owned(row)).order_by(outbox.c.seq).limit(PAGE)
                bundles = [inflate(payload) for payload in connection.scalars(query)]
        return as_received(row.raw, row.size), row.charset, bundles

    def note(self, action: str, seq: int | None, *, who: str, peer: str, now: datetime) -> None:
        """Write who did what in the console."""
        with self._cache.writing() as connection:
            connection.execute(insert(look).values(at=now, who=who, peer=peer[:120], action=action, seq=seq))

    def is_well(self) -> bool:
        """Return whether the cache can be written to."""
        with self._cache.writing() as connection:
            return connection.scalar(select(func.count()).select_from(message).where(message.c.seq == 0)) == 0


_RANGE = (message.c.entries_from, message.c.entries)
_LISTED = tuple(column for column in message.c if column.name not in ("raw", "content_hash"))


def _count(connection: Connection, *where: ColumnElement[bool]) -> int:
    return int(connection.scalar(select(func.count()).select_from(message).where(*where)) or 0)


def _owned(row: Any) -> ColumnElement[bool]:
    return and_(outbox.c.seq >= row.entries_from, outbox.c.seq < row.entries_from + row.entries)


def _entries(connection: Connection, rows: Sequence[Any]) -> list[list[Any]]:
    """Return the outbox rows of each message, without their payload."""
    columns = [column for column in outbox.c if column.name != "payload"]
    found: list[list[Any]] = []
    for row in rows:
        if row.entries_from is None:
            found.append([])
            continue
        query = select(*columns).where(_owned(row)).order_by(outbox.c.seq).limit(2000)
        found.append(list(connection.execute(query)))
    return found


def _line(row: Any, entries: Sequence[Any]) -> Line:
    """Return a message with the fate of its entry that is furthest behind."""
    if row.fate == SET_ASIDE:
        return Line(row, "set_aside", row.received_at, row.reason)
    if not entries:
        return Line(row, "captured", row.received_at, "")
    state = min(entries, key=lambda entry: _WEIGHT.get(_fate(entry), 0))
    fate = _fate(state)
    at = state.settled_at or state.confirmed_at or row.received_at
    shown = "hub_set_aside" if fate == "set_aside" else fate
    return Line(row, shown, _aware(at), state.reason or "")


def _fate(entry: Any) -> str:
    if entry.fate:
        return str(entry.fate)
    return "sent" if entry.confirmed_at else "waiting"


def _aware(instant: datetime | None) -> datetime | None:
    return instant.replace(tzinfo=UTC) if instant is not None and instant.tzinfo is None else instant


def _having(*where: ColumnElement[bool]) -> ColumnElement[bool]:
    mine = and_(
        outbox.c.seq >= message.c.entries_from, outbox.c.seq < message.c.entries_from + message.c.entries
    )
    return select(outbox.c.seq).where(mine, *where).exists()


_BY_FATE: Mapping[str, Callable[[], ColumnElement[bool]]] = {
    "set_aside": lambda: message.c.fate == SET_ASIDE,
    "repeated": lambda: message.c.repeats > 0,
    "waiting": lambda: _having(outbox.c.settled_at.is_(None), outbox.c.confirmed_at.is_(None)),
    "sent": lambda: _having(outbox.c.settled_at.is_(None), outbox.c.confirmed_at.is_not(None)),
    "stored": lambda: _having(outbox.c.fate.in_(("stored", "duplicate"))),
    "superseded": lambda: _having(outbox.c.fate == "superseded"),
    "hub_set_aside": lambda: _having(outbox.c.fate == "set_aside"),
    "captured": lambda: message.c.fate == CAPTURED,
}


def _filtered(query: Select[Any], filters: Filters) -> Select[Any]:
    if filters.fate in _BY_FATE:
        query = query.where(_BY_FATE[filters.fate]())
    if filters.inlet:
        query = query.where(message.c.inlet == filters.inlet)
    if filters.kind:
        query = query.where(message.c.kind.contains(filters.kind, autoescape=True))
    if filters.control_id:
        query = query.where(message.c.control_id.contains(filters.control_id, autoescape=True))
    if filters.since:
        query = query.where(message.c.received_at >= filters.since)
    if filters.until:
        query = query.where(message.c.received_at < filters.until)
    if filters.before is not None:
        query = query.where(message.c.seq < filters.before)
    return query
