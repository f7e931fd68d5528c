"""What the console shows: messages with their fate here and at the hub, one message whole, counters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from sqlalchemy import ColumnElement, Connection, and_, func, insert, select

from esb.envelope import inflate
from esb.errors import NotFound
from esb.outbox import Backlog, backlog
from front_end_processor.cache.engine import Cache
from front_end_processor.cache.fates import Settled
from front_end_processor.cache.raw import as_received
from front_end_processor.cache.tables import SET_ASIDE, look, message, outbox
from front_end_processor.console.filters import Filters, filtered, of_message

PAGE = 50
ENTRIES_SHOWN = 200
LOOKS_SHOWN = 20
# The fate of a message is that of its entry that is furthest behind.
_WEIGHT = {"hub_set_aside": 0, "waiting": 1, "sent": 2, "superseded": 3, "duplicate": 4, "stored": 5}
_AT_HUB = {"stored", "duplicate", "superseded", "hub_set_aside"}


@dataclass(frozen=True, slots=True)
class LinkState:
    """Whether the broker can be written to, and since when that is so."""

    is_connected: bool
    since: datetime


@dataclass(frozen=True, slots=True)
class Line:
    """One message in the list: its row, how it stands, since when; when all of it had come to the hub."""

    row: Any
    fate: str
    at: datetime | None = None
    reason: str = ""
    kept_at: datetime | None = None
    confirmed_at: datetime | None = None
    at_hub: datetime | None = None
    confirmed: int = 0
    settled: int = 0
    entries: int = 0
    warnings: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """Some lines of the list, newest first, and the numbers its neighbour pages begin at."""

    lines: Sequence[Line]
    older: int | None = None
    newer: int | None = None


@dataclass(frozen=True, slots=True)
class Whole:
    """One message without its content: its line, its first entries, who looked, the messages beside it."""

    line: Line
    entries: Sequence[Any]
    looks: Sequence[Any]
    has_content: bool
    older: int | None
    newer: int | None


@dataclass(frozen=True, slots=True)
class Counters:
    """How much came in, is set aside, and waits; and since when the oldest waits."""

    today_from: datetime
    hour_from: datetime
    today: int
    last_hour: int
    set_aside: int
    backlog: Backlog
    oldest_s: int


class Console:
    """What the pages need of the processor."""

    def __init__(
        self,
        cache: Cache,
        facility: str,
        name: str,
        replay: Callable[[int], Settled],
        *,
        name_en: str = "",
        zone: str = "Asia/Shanghai",
        link: Callable[[], LinkState | None] = lambda: None,
    ) -> None:
        """Prepare it.

        Args:
            replay: normalises a set-aside message again and returns its fate.
            name_en: what the English pages call the hospital; the other name where there is none.
            zone: whose days and clock the pages show.
            link: how it stands with the broker; None if there is none in the settings.
        """
        self._cache = cache
        self.facility = facility
        self.names = {"zh": name, "en": name_en or name}
        self.replay = replay
        self.zone = ZoneInfo(zone)
        self.link = link

    def counters(self, now: datetime) -> Counters:
        """Return the counters on top of the page."""
        day = now.astimezone(self.zone).replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)
        hour = now - timedelta(hours=1)
        with self._cache.reading() as connection:
            waiting = backlog(connection, outbox)
            oldest = _aware(waiting.oldest_at)
            return Counters(
                today_from=day,
                hour_from=hour,
                today=_count(connection, message.c.received_at >= day),
                last_hour=_count(connection, message.c.received_at >= hour),
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

    def page(self, filters: Filters) -> Page:
        """Return the messages asked for, newest first; the newest page where there are too few above."""
        query = filtered(select(*_LISTED), filters).limit(PAGE + 1)
        with self._cache.reading() as connection:
            if filters.after is not None:
                above = query.where(message.c.seq > filters.after).order_by(message.c.seq)
                rows = list(connection.execute(above))
                if len(rows) >= PAGE:
                    shown = rows[:PAGE][::-1]
                    newer = shown[0].seq if len(rows) > PAGE else None
                    return Page(_lines(connection, shown), older=shown[-1].seq, newer=newer)
            if filters.before is not None:
                query = query.where(message.c.seq < filters.before)
            rows = list(connection.execute(query.order_by(message.c.seq.desc())))
            shown = rows[:PAGE]
            newer = None
            if filters.before is not None:
                newer = shown[0].seq if shown else filters.before - 1
            older = shown[-1].seq if len(rows) > PAGE else None
            return Page(_lines(connection, shown), older=older, newer=newer)

    def one(self, seq: int, filters: Filters) -> Whole:
        """Return a message, and which of the messages asked for are beside it. Raises: NotFound."""
        is_gone = and_(message.c.size > 0, func.length(message.c.raw) == 0).label("is_gone")
        with self._cache.reading() as connection:
            row = connection.execute(select(*_LISTED, is_gone).where(message.c.seq == seq)).first()
            if row is None:
                raise NotFound("There is no such message here.")
            beside = filtered(select(message.c.seq), filters)
            older = beside.where(message.c.seq < seq).order_by(message.c.seq.desc()).limit(1)
            newer = beside.where(message.c.seq > seq).order_by(message.c.seq).limit(1)
            looks = select(look).where(look.c.seq == seq).order_by(look.c.id.desc()).limit(LOOKS_SHOWN)
            return Whole(
                line=_lines(connection, [row])[0],
                entries=_entries(connection, row),
                looks=list(connection.execute(looks)),
                has_content=not row.is_gone,
                older=connection.scalar(older),
                newer=connection.scalar(newer),
            )

    def content(
        self, seq: int, *, who: str, peer: str, now: datetime
    ) -> tuple[bytes, str, list[bytes], bool]:
        """Return a message's raw bytes, its character set, its first Bundles and whether these are all.

        Who looked is noted before.

        Raises: NotFound.
        """
        self.note("look", seq, who=who, peer=peer, now=now)
        with self._cache.reading() as connection:
            row = connection.execute(
                select(message.c.raw, message.c.size, message.c.is_whole, message.c.charset, *_RANGE).where(
                    message.c.seq == seq
                )
            ).first()
            if row is None:
                raise NotFound("There is no such message here.")
            bundles = []
            if row.entries_from is not None:
                query = select(outbox.c.payload).where(_owned(row)).order_by(outbox.c.seq).limit(PAGE)
                bundles = [inflate(payload) for payload in connection.scalars(query)]
        return (
            as_received(row.raw, row.size, is_whole=row.is_whole),
            row.charset,
            bundles,
            row.entries <= PAGE,
        )

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


def _entries(connection: Connection, row: Any) -> list[tuple[Any, str]]:
    """Return a message's first outbox rows without their payload, each with its fate."""
    if row.entries_from is None:
        return []
    columns = [column for column in outbox.c if column.name != "payload"]
    query = select(*columns).where(_owned(row)).order_by(outbox.c.seq).limit(ENTRIES_SHOWN)
    return [(entry, _fate(entry.fate, entry.confirmed_at is not None)) for entry in connection.execute(query)]


def _lines(connection: Connection, rows: Sequence[Any]) -> list[Line]:
    """Return messages with the fate of their entries, counted by the database: a file may have thousands."""
    is_confirmed = outbox.c.confirmed_at.is_not(None)
    query = (
        select(
            message.c.seq.label("of"),
            outbox.c.fate,
            is_confirmed.label("is_confirmed"),
            func.count().label("entries"),
            func.max(outbox.c.created_at).label("kept_at"),
            func.max(outbox.c.confirmed_at).label("confirmed_at"),
            func.max(outbox.c.settled_at).label("settled_at"),
            func.max(outbox.c.reason).label("reason"),
        )
        .join(outbox, of_message())
        .where(message.c.seq.in_([row.seq for row in rows]))
        .group_by(message.c.seq, outbox.c.fate, is_confirmed)
    )
    groups: dict[int, list[Any]] = {}
    for group in connection.execute(query):
        groups.setdefault(group.of, []).append(group)
    return [_line(row, groups.get(row.seq, [])) for row in rows]


def _line(row: Any, groups: Sequence[Any]) -> Line:
    warnings = orjson.loads(row.warnings)
    if row.fate == SET_ASIDE:
        return Line(
            row, "set_aside", row.replayed_at or row.received_at, reason=row.reason, warnings=warnings
        )
    if not groups:
        return Line(row, "captured", row.received_at, warnings=warnings)
    worst = min(groups, key=lambda group: _WEIGHT.get(_fate(group.fate, group.is_confirmed), 0))
    fate = _fate(worst.fate, worst.is_confirmed)
    confirmed_at = _latest(group.confirmed_at for group in groups)
    settled_at = _latest(group.settled_at for group in groups)
    return Line(
        row,
        fate,
        _aware(worst.settled_at or worst.confirmed_at) or row.received_at,
        reason=worst.reason or "",
        kept_at=_latest(group.kept_at for group in groups),
        confirmed_at=confirmed_at,
        at_hub=settled_at if fate in _AT_HUB else None,
        confirmed=sum(group.entries for group in groups if group.is_confirmed or group.fate),
        settled=sum(group.entries for group in groups if group.fate),
        entries=sum(group.entries for group in groups),
        warnings=warnings,
    )


def _fate(at_hub: str | None, is_confirmed: bool) -> str:
    if at_hub:
        return "hub_set_aside" if at_hub == "set_aside" else at_hub
    return "sent" if is_confirmed else "waiting"


def _latest(instants: Iterable[datetime | None]) -> datetime | None:
    return _aware(max((instant for instant in instants if instant is not None), default=None))


def _aware(instant: datetime | None) -> datetime | None:
    return instant.replace(tzinfo=UTC) if instant is not None and instant.tzinfo is None else instant
