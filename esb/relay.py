"""Moves the outbox to the broker: due rows, by route, in sealed envelopes, published with confirms."""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import structlog
from sqlalchemy import Connection, Table
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from esb.envelope import CONTENT_TYPE, TYPE, VERSION, Entry, pack
from esb.errors import NotNow, Rejected
from esb.outbox import due, entry_of, mark_confirmed
from esb.publisher import FIRST_PAUSE_S, LONGEST_PAUSE_S, Message, Publisher
from esb.seal import Keys, PublicKeys, seal

log = structlog.get_logger(__name__)
T = TypeVar("T")
Transact = Callable[[Callable[[Connection], T]], T]

MAX_ROWS = 500
MAX_ENVELOPE_ROWS = 50
_ENTRY = re.compile(r"([0-9]{1,10})/([0-9]{1,19})", re.ASCII)
# Fifty messages of a hospital are a tenth of it; a receiver holds esb.consumer.PREFETCH envelopes of a queue.
MAX_ENVELOPE_BYTES = 1024 * 1024
# How often to look for what got no receipt in time: this part of the time.
RESEND_LOOKS = 10


@dataclass(frozen=True, slots=True)
class Sender:
    """Who seals: its name (a facility's code or `hub`), its keys, the receiver's keys, the suite."""

    name: str
    own: Keys
    receiver: Callable[[str], PublicKeys]
    suite: str = "intl"


def claims_of(sender: str, route: str, message_id: str) -> dict[str, Any]:
    """Return what an envelope's signature vouches for beside its body."""
    return {"iss": sender, "route": route, "jti": message_id}


def envelope(sender: Sender, exchange: str, route: str, entries: Sequence[Entry], now: datetime) -> Message:
    """Return the sealed AMQP message that carries the entries."""
    message_id = str(uuid.uuid4())
    body, signature = seal(
        pack(entries),
        claims_of(sender.name, route, message_id),
        own=sender.own,
        to=sender.receiver(route),
        suite=sender.suite,
    )
    properties = {
        "message_id": message_id,
        "type": TYPE,
        "content_type": CONTENT_TYPE,
        "app_id": sender.name,
        "timestamp": int(now.timestamp()),
        "headers": {
            "version": VERSION,
            "signature": signature,
            "facility": sender.name,
            "entries": [f"{entry.epoch}/{entry.seq}" for entry in entries],
            "source_at": entries[0].source_at.astimezone(UTC).isoformat(),
        },
    }
    return Message(exchange, route, body, properties)


def stated_entries(headers: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Return (epoch, seq) of the entries an envelope's headers name; for one that cannot be opened.

    Exactly these: the numbers between them travel elsewhere and may not have been sent yet.
    """
    stated = headers.get("entries")
    found = (
        [_ENTRY.fullmatch(each) for each in stated if isinstance(each, str)]
        if isinstance(stated, list)
        else []
    )
    return [(int(match[1]), int(match[2])) for match in found[:MAX_ENVELOPE_ROWS] if match]


def group(rows: Sequence[Any]) -> list[list[Any]]:
    """Return the rows in groups that share an envelope: one route, bounded in rows and bytes, in order."""
    groups: list[list[Any]] = []
    open_by_route: dict[tuple[str, str], tuple[list[Any], int]] = {}
    for row in rows:
        key = (row.exchange, row.route)
        members, size = open_by_route.get(key, ([], 0))
        if not members or len(members) >= MAX_ENVELOPE_ROWS or size + len(row.payload) > MAX_ENVELOPE_BYTES:
            members, size = [], 0
            groups.append(members)
        members.append(row)
        open_by_route[key] = (members, size + len(row.payload))
    return groups


@dataclass(slots=True)
class Held:
    """Routes whose messages cannot be sealed or the broker does not take, each with the time to try it again.

    They are held by themselves: what goes elsewhere does not wait for them.
    """

    _pauses: dict[str, tuple[float, float]] = field(default_factory=dict)

    def routes(self, now_s: float) -> list[str]:
        """Return the routes to leave alone now."""
        return [route for route, (until_s, _) in self._pauses.items() if now_s < until_s]

    def note(self, refused: Collection[str], taken: Collection[str], now_s: float) -> None:
        """Hold the refused routes, longer each time; let go of those that were taken."""
        for route in taken:
            self._pauses.pop(route, None)
        for route in refused:
            _, pause_s = self._pauses.get(route, (0.0, FIRST_PAUSE_S))
            self._pauses[route] = (now_s + pause_s, min(pause_s * 2, LONGEST_PAUSE_S))


def relay_once(  # one step of the loop, as a function that a test can drive
    transact: Transact[Any],
    outbox: Table,
    publisher: Publisher,
    sender: Sender,
    *,
    now: datetime,
    resend_after: timedelta,
    settle_on_confirm: bool,
    with_resends: bool = True,
    held: Held | None = None,
) -> tuple[int, int]:
    """Send what is due on routes that are not held; return (rows found, rows confirmed)."""
    held = Held() if held is None else held
    rows = transact(
        lambda connection: due(
            connection,
            outbox,
            now=now,
            resend_after=resend_after,
            limit=MAX_ROWS,
            with_resends=with_resends,
            without=held.routes(time.monotonic()),
        )
    )
    groups, messages, unsealed = _sealed(sender, group(rows), now)
    confirmed = publisher.send(messages)
    seqs = [row.seq for members, is_sent in zip(groups, confirmed, strict=True) if is_sent for row in members]
    if seqs:
        transact(
            lambda connection: mark_confirmed(connection, outbox, seqs, now=now, settle=settle_on_confirm)
        )
    refused = unsealed
    if publisher.is_connected:
        refused |= {g[0].route for g, is_sent in zip(groups, confirmed, strict=True) if not is_sent}
        held.note(refused, {g[0].route for g in groups} - refused, time.monotonic())
    else:
        held.note(refused, (), time.monotonic())
    return len(rows), len(seqs)


def _sealed(
    sender: Sender, groups: Sequence[list[Any]], now: datetime
) -> tuple[list[list[Any]], list[Message], set[str]]:
    """Return the groups that can be sealed, their envelopes, and the routes of the others.

    A receiver without usable keys is its own trouble; the others do not wait for it.
    """
    kept, messages, unsealed = [], [], set()
    for members in groups:
        exchange, route = members[0].exchange, members[0].route
        try:
            messages.append(envelope(sender, exchange, route, [entry_of(row) for row in members], now))
            kept.append(members)
        except Rejected as fault:
            log.error("relay.not_sealed", route=route, reason=fault.text)
            unsealed.add(route)
    return kept, messages, unsealed


class Relay:
    """The loop around `relay_once`: wakes when something was written, waits when the broker is away."""

    def __init__(
        self,
        transact: Transact[Any],
        outbox: Table,
        publisher: Publisher,
        sender: Sender,
        *,
        resend_after: timedelta,
        settle_on_confirm: bool,
        poll_s: float = 0.5,
        linger_s: float = 0.03,
    ) -> None:
        """Prepare the loop; nothing is sent before `start`.

        Args:
            poll_s: how often to look without being woken.
            linger_s: how long to wait for company after being woken: signing, encrypting and committing cost
                the same for one row as for fifty.
        """
        held = Held()
        self._step = lambda: relay_once(
            transact,
            outbox,
            publisher,
            sender,
            now=datetime.now(UTC),
            resend_after=resend_after,
            settle_on_confirm=settle_on_confirm,
            with_resends=self._is_time_for_resends(),
            held=held,
        )
        self._look_every_s = resend_after.total_seconds() / RESEND_LOOKS
        self._next_look = 0.0
        self._publisher = publisher
        self._poll_s = poll_s
        self._linger_s = linger_s
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"relay {sender.name}", daemon=True)

    def start(self) -> None:
        """Begin to relay on a thread of its own."""
        self._thread.start()

    def wake(self) -> None:
        """Say that something was written to the outbox."""
        self._wake.set()

    def is_alive(self) -> bool:
        """Return whether the thread runs."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Finish the step under way and end."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=15)

    def _is_time_for_resends(self) -> bool:
        """Return whether to look at what waits for receipts: while the hub is away that is much."""
        now = time.monotonic()
        if now < self._next_look:
            return False
        self._next_look = now + self._look_every_s
        return True

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        has_backlog = False
        while not self._stopping.is_set():
            if not has_backlog and self._wake.wait(self._poll_s):
                self._stopping.wait(self._linger_s)
            self._wake.clear()
            if not self._publisher.wait_connected(self._poll_s):
                continue
            try:
                found, _ = self._step()
            except (OperationalError, PoolTimeoutError, NotNow) as error:
                log.warning("relay.not_now", kind=type(error).__name__)
                self._stopping.wait(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
                self._wake.set()
                continue
            pause_s = FIRST_PAUSE_S
            has_backlog = found == MAX_ROWS
            if has_backlog:
                self._next_look = 0.0
