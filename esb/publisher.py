"""Publishes with confirms: one thread owns a pika SelectConnection with a bounded window of unconfirmed ones.

RabbitMQ confirms, https://www.rabbitmq.com/docs/confirms. A message counts as sent only when the broker has
confirmed it and did not return it as unroutable.
"""

from __future__ import annotations

import random
import ssl
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pika
import structlog
from pika.adapters.select_connection import SelectConnection

log = structlog.get_logger(__name__)

WINDOW_COUNT = 1000
WINDOW_BYTES = 8 * 1024 * 1024
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
LOOK_S = 0.5
# A connection on which nothing is confirmed any more for so long is given up: the next one starts afresh.
QUIET_S = 15.0


@dataclass(frozen=True, slots=True)
class Message:
    """One AMQP message to publish."""

    exchange: str
    route: str
    body: bytes
    properties: dict[str, Any]


@dataclass(slots=True)
class _Batch:
    messages: Sequence[Message]
    confirmed: list[bool]
    waiting: set[int] = field(default_factory=set)
    returned: set[int] = field(default_factory=set)
    next_index: int = 0
    done: threading.Event = field(default_factory=threading.Event)


def parameters(url: str, *, name: str, ca_file: str | None = None) -> pika.URLParameters:
    """Return the connection parameters every part of the exchange uses; TLS if the URL says amqps."""
    result = pika.URLParameters(url)
    result.heartbeat = 30
    result.blocked_connection_timeout = 30
    result.socket_timeout = 10
    result.client_properties = {"connection_name": name}
    if url.startswith("amqps:"):
        context = ssl.create_default_context(cafile=ca_file)
        result.ssl_options = pika.SSLOptions(context, result.host)
    return result


def told(error: BaseException) -> str:
    """Return what the broker says of the end of a connection or channel, or the kind of the error."""
    return str(getattr(error, "reply_text", "") or type(error).__name__)[:200]


class Publisher:
    """Sends batches over one connection that it opens, keeps and reopens by itself."""

    def __init__(self, url: str, *, name: str, ca_file: str | None = None) -> None:
        self._parameters = parameters(url, name=name, ca_file=ca_file)
        self._user = self._parameters.credentials.username
        self._connection: SelectConnection | None = None
        self._channel: Any = None
        self._ready = threading.Event()
        self._since = datetime.now(UTC)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"publisher {name}", daemon=True)
        self._pending: deque[_Batch] = deque()
        self._unconfirmed: dict[int, tuple[_Batch, int]] = {}
        self._by_message_id: dict[str, int] = {}
        self._unconfirmed_bytes = 0
        self._tag = 0
        self._confirmed_at = 0.0

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._thread.start()

    def is_alive(self) -> bool:
        """Return whether the thread runs, connected or not."""
        return self._thread.is_alive()

    @property
    def is_connected(self) -> bool:
        """Say whether the broker can be written to at this moment."""
        return self._ready.is_set()

    @property
    def since(self) -> datetime:
        """Return since when it has been connected, or away."""
        return self._since

    def wait_connected(self, timeout_s: float) -> bool:
        """Wait until the broker can be written to; return whether it can."""
        return self._ready.wait(timeout_s)

    def send(self, messages: Sequence[Message], timeout_s: float = 60) -> list[bool]:
        """Publish messages in order; return for each whether the broker confirmed it.

        What is not confirmed (no connection, a nack, no queue for the route, time out) must be sent again.
        A confirm that does not come ends the connection: on the same one it would be waited for again.
        """
        batch = _Batch(messages, [False] * len(messages))
        if not messages:
            return []
        connection = self._connection
        if not self._ready.is_set() or connection is None:
            return batch.confirmed
        connection.ioloop.add_callback_threadsafe(lambda: self._enter(batch))
        self._confirmed_at = time.monotonic()
        until = self._confirmed_at + timeout_s
        while not batch.done.wait(LOOK_S):
            # A loop that ends leaves what was queued for it undone, and nobody says so.
            is_gone = self._connection is not connection
            is_late = time.monotonic() >= min(until, self._confirmed_at + QUIET_S)
            if is_gone or is_late:
                reason = "connection gone" if is_gone else "late"
                log.warning("publisher.gave_up", why=reason, unconfirmed=len(batch.waiting), of=len(messages))
                if is_late:
                    self._turn(connected=False)
                    connection.ioloop.add_callback_threadsafe(self._abandon)
                break
        return list(batch.confirmed)

    def stop(self) -> None:
        """Close the connection and end the thread."""
        self._stopping.set()
        connection = self._connection
        if connection is not None:
            connection.ioloop.add_callback_threadsafe(self._close)
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    # Everything below runs on the publisher's own thread.

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stopping.is_set():
            began = time.monotonic()
            opened = self._connect_once()
            if self._stopping.is_set():
                return
            # One that ends as soon as it is used, for want of an exchange or a right, was of no use either.
            if opened and time.monotonic() - began > LONGEST_PAUSE_S:
                pause_s = FIRST_PAUSE_S
            self._stopping.wait(pause_s * random.uniform(0.5, 1.5))
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _connect_once(self) -> bool:
        opened = False

        def on_open(connection: SelectConnection) -> None:
            connection.channel(on_open_callback=on_channel)

        def on_channel(channel: Any) -> None:
            self._channel, self._tag = channel, 0
            channel.add_on_close_callback(lambda _channel, reason: self._broken(reason))
            channel.add_on_return_callback(self._on_return)
            channel.confirm_delivery(self._on_confirm, callback=lambda _frame: on_confirming())

        def on_confirming() -> None:
            nonlocal opened
            opened = True
            self._turn(connected=True)
            log.info("publisher.connected")

        def on_gone(connection: SelectConnection, reason: Exception) -> None:
            if not self._stopping.is_set():
                log.warning("publisher.away", reason=told(reason))
            connection.ioloop.stop()

        self._connection = SelectConnection(
            self._parameters,
            on_open_callback=on_open,
            on_open_error_callback=on_gone,
            on_close_callback=on_gone,
        )
        try:
            self._connection.ioloop.start()
        finally:
            self._turn(connected=False)
            self._give_up()
            self._connection.ioloop.close()
            self._connection = None
        return opened

    def _turn(self, *, connected: bool) -> None:
        if connected != self._ready.is_set():
            self._since = datetime.now(UTC)
        (self._ready.set if connected else self._ready.clear)()

    def _broken(self, reason: Exception) -> None:
        self._turn(connected=False)
        if not self._stopping.is_set():
            log.warning("publisher.channel_closed", reason=str(reason)[:200])
        self._close()

    def _close(self) -> None:
        connection = self._connection
        if connection is not None and not (connection.is_closing or connection.is_closed):
            connection.close()

    def _abandon(self) -> None:
        """Close a connection that may no longer answer to that either."""
        connection = self._connection
        if connection is not None:
            self._close()
            # pika has no public way to drop a socket without the broker's answer.
            connection.ioloop.call_later(
                LOOK_S, lambda: connection._transport and connection._transport.abort()
            )

    def _give_up(self) -> None:
        """Let every waiting batch go; what is not confirmed stays unsent in the outbox."""
        batches = {id(batch): batch for batch, _ in self._unconfirmed.values()}
        batches |= {id(batch): batch for batch in self._pending}
        self._pending.clear()
        self._unconfirmed.clear()
        self._by_message_id.clear()
        self._unconfirmed_bytes = 0
        for batch in batches.values():
            batch.done.set()

    def _enter(self, batch: _Batch) -> None:
        if not self._ready.is_set():
            batch.done.set()
            return
        self._pending.append(batch)
        self._pump()

    def _pump(self) -> None:
        while (
            self._pending and len(self._unconfirmed) < WINDOW_COUNT and self._unconfirmed_bytes < WINDOW_BYTES
        ):
            batch = self._pending[0]
            index = batch.next_index
            batch.next_index += 1
            if batch.next_index == len(batch.messages):
                self._pending.popleft()
            self._publish(batch, index)

    def _publish(self, batch: _Batch, index: int) -> None:
        message = batch.messages[index]
        self._tag += 1
        batch.waiting.add(index)
        self._unconfirmed[self._tag] = (batch, index)
        self._unconfirmed_bytes += len(message.body)
        message_id = message.properties.get("message_id", "")
        self._by_message_id[message_id] = self._tag
        properties = pika.BasicProperties(delivery_mode=2, user_id=self._user, **message.properties)
        self._channel.basic_publish(message.exchange, message.route, message.body, properties, mandatory=True)

    def _on_return(self, _channel: Any, method: Any, properties: Any, _body: bytes) -> None:
        log.error("publisher.unroutable", exchange=method.exchange, route=method.routing_key)
        tag = self._by_message_id.get(properties.message_id or "")
        if tag is not None:
            batch, index = self._unconfirmed[tag]
            batch.returned.add(index)

    def _on_confirm(self, frame: Any) -> None:
        self._confirmed_at = time.monotonic()
        method = frame.method
        is_nack = isinstance(method, pika.spec.Basic.Nack)
        first = next(iter(self._unconfirmed), method.delivery_tag) if method.multiple else method.delivery_tag
        for tag in range(first, method.delivery_tag + 1):
            found = self._unconfirmed.pop(tag, None)
            if found is not None:
                self._settle(*found, is_nack=is_nack)
        self._pump()

    def _settle(self, batch: _Batch, index: int, *, is_nack: bool) -> None:
        message = batch.messages[index]
        self._unconfirmed_bytes -= len(message.body)
        self._by_message_id.pop(message.properties.get("message_id", ""), None)
        batch.waiting.discard(index)
        batch.confirmed[index] = not is_nack and index not in batch.returned
        if not batch.waiting and batch.next_index == len(batch.messages):
            batch.done.set()
