"""Consumes queues in order and in batches; the handler's exception decides the fate.

Tried on RabbitMQ 3.10 (docs/decisions/0003-bus.md): a nack with requeue and a cancel with unacknowledged
messages both lose order. So a batch that cannot be handled now stays here and is tried again, and stopping
means: finish, acknowledge, close the channel.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pika
import structlog
from pika.exceptions import AMQPError

from esb.errors import NotNow
from esb.publisher import FIRST_PAUSE_S, LONGEST_PAUSE_S, parameters, told

log = structlog.get_logger(__name__)

# One full batch. An envelope has about esb.relay.MAX_ENVELOPE_BYTES, unless one message alone is larger.
PREFETCH = 200
IDLE_S = 0.5
TAKE_OVER_AFTER_S = 10.0
REOPEN_AFTER_S = 5.0
# While nothing comes, a queue is consumed anew: soon after something came, then at these intervals.
RENEW_AFTER_S = 15.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message as the broker delivered it."""

    tag: int
    redelivered: bool
    route: str
    body: bytes
    properties: Any


# Handles a batch of one queue, all of it or raises; returns the tags that are dead-lettered.
Handle = Callable[[str, Sequence[Delivery]], set[int]]


@dataclass(slots=True)
class _Queue:
    name: str
    own: bool
    channel: Any = None
    buffer: deque[Delivery] = field(default_factory=deque)
    paused_until: float = 0.0
    pause_s: float = FIRST_PAUSE_S
    is_careful: bool = False
    quiet_since: float | None = None
    stalled_since: float | None = None
    opened_at: float = 0.0
    has_had_some: bool = False


class Consumer:
    """Runs a handler over queues on one connection: its own always, others while nobody consumes them."""

    def __init__(
        self,
        url: str,
        *,
        name: str,
        own: Sequence[str],
        handle: Handle,
        stand_in_for: Sequence[str] = (),
        max_batch: int = 200,
        ca_file: str | None = None,
    ) -> None:
        self._parameters = parameters(url, name=name, ca_file=ca_file)
        self._handle = handle
        self._max_batch = max_batch
        self._queues = [_Queue(q, True) for q in own] + [_Queue(q, False) for q in stand_in_for]
        self._connection: Any = None
        self._last_look = 0.0
        self._quiet_since: float | None = None

    def run(self, stopping: threading.Event) -> None:
        """Consume until `stopping` is set; reconnects by itself.

        A queue that is missing or forbidden ends a connection that was opened; the pauses grow all the same.
        """
        pause_s = FIRST_PAUSE_S
        while not stopping.is_set():
            opened_at = float("inf")
            try:
                self._connection = pika.BlockingConnection(self._parameters)
                opened_at = time.monotonic()
                self._consume(stopping)
            except (AMQPError, OSError) as error:
                if not stopping.is_set():
                    log.warning("consumer.away", reason=told(error))
                    if time.monotonic() - opened_at > LONGEST_PAUSE_S:
                        pause_s = FIRST_PAUSE_S
                    stopping.wait(pause_s)
                    pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            finally:
                self._forget()

    def _forget(self) -> None:
        """What was not acknowledged is delivered again; forget it here."""
        for queue in self._queues:
            queue.channel = None
            queue.buffer.clear()
            queue.quiet_since = queue.stalled_since = None
        if self._connection is not None and self._connection.is_open:
            self._connection.close()

    def _consume(self, stopping: threading.Event) -> None:
        for queue in self._queues:
            if queue.own:
                self._open(queue)
        log.info("consumer.connected", queues=[q.name for q in self._queues if q.own])
        while not stopping.is_set():
            self._connection.process_data_events(time_limit=self._patience())
            self._gather()
            # Before anything is settled: while that takes its time, more arrives that is not read yet.
            self._look_around()
            for queue in self._queues:
                if queue.buffer and time.monotonic() >= queue.paused_until:
                    self._settle(queue)
        for queue in self._queues:
            self._close(queue)

    def _patience(self) -> float:
        if any(q.buffer and q.paused_until <= time.monotonic() for q in self._queues):
            return 0
        return IDLE_S

    def _gather(self) -> None:
        """Take in what has arrived, at most PREFETCH of each queue, so that batches grow with the load.

        All of it: what comes behind a busy queue's messages on the connection may be another queue's.
        """
        before = -1
        while before < (now := sum(len(q.buffer) for q in self._queues)):
            before = now
            self._connection.process_data_events(time_limit=0)
        self._quiet_since = None if before else self._quiet_since or time.monotonic()

    def _open(self, queue: _Queue) -> None:
        queue.channel = self._connection.channel()
        queue.opened_at, queue.has_had_some = time.monotonic(), False
        queue.channel.basic_qos(prefetch_count=PREFETCH)

        def on_message(_channel: Any, method: Any, properties: Any, body: bytes) -> None:
            queue.stalled_since = None
            queue.has_had_some = True
            if method.redelivered:
                queue.is_careful = True
            queue.buffer.append(
                Delivery(method.delivery_tag, method.redelivered, method.routing_key, body, properties)
            )

        queue.channel.basic_consume(queue.name, on_message)

    def _close(self, queue: _Queue) -> None:
        if queue.channel is not None and queue.channel.is_open:
            queue.channel.close()
        queue.channel = None
        queue.buffer.clear()

    def _settle(self, queue: _Queue) -> None:
        """Handle one batch and acknowledge it; keep it here if it cannot be handled now."""
        size = 1 if queue.is_careful else self._max_batch
        batch = [queue.buffer[i] for i in range(min(size, len(queue.buffer)))]
        try:
            dead = self._handle(queue.name, batch)
        except NotNow as error:
            queue.paused_until = time.monotonic() + queue.pause_s
            queue.pause_s = min(queue.pause_s * 2, LONGEST_PAUSE_S)
            log.warning("consumer.paused", queue=queue.name, reason=error.text)
            return
        for tag in sorted(dead):
            queue.channel.basic_reject(tag, requeue=False)
        alive = [d.tag for d in batch if d.tag not in dead]
        if alive:
            queue.channel.basic_ack(alive[-1], multiple=True)
        for _ in batch:
            queue.buffer.popleft()
        queue.pause_s = FIRST_PAUSE_S
        queue.is_careful = any(d.redelivered for d in queue.buffer)

    def _look_around(self) -> None:
        """Once a second, see to the own queues and to those that nobody consumes."""
        if time.monotonic() - self._last_look < 1:
            return
        self._last_look = time.monotonic()
        for queue in self._queues:
            if queue.own:
                self._maybe_reopen(queue)
                self._maybe_renew(queue)
            elif queue.channel is None:
                self._maybe_take_over(queue)
            elif not queue.buffer and self._look_at(queue.name).consumer_count > 1:
                log.info("consumer.handed_back", queue=queue.name)
                self._close(queue)

    def _maybe_reopen(self, queue: _Queue) -> None:
        """Consume a queue anew that holds messages and gives us none, though nobody else has them.

        A broker that deleted and made the queue again, or restarted it alone, has forgotten its consumer.
        """
        seen = None if queue.buffer else self._look_at(queue.name)
        if seen is None or not seen.message_count or seen.consumer_count > 1:
            queue.stalled_since = None
        elif queue.stalled_since is None:
            queue.stalled_since = time.monotonic()
        elif time.monotonic() - queue.stalled_since > REOPEN_AFTER_S:
            log.warning("consumer.reopened", queue=queue.name, waiting=seen.message_count)
            queue.stalled_since = None
            self._close(queue)
            self._open(queue)

    def _maybe_renew(self, queue: _Queue) -> None:
        """Consume a queue anew now and then while nothing comes on the whole connection.

        RabbitMQ can believe that it delivered what never came (seen on 3.10 with a queue made again); it
        counts as unacknowledged, not as waiting, and is delivered again once its channel is closed. While
        another queue is busy, ours may be on the way behind it, and would come again one by one.
        """
        if queue.channel is None or queue.buffer or self._quiet_since is None:
            return
        idle_s = time.monotonic() - max(self._quiet_since, queue.opened_at)
        if idle_s > (REOPEN_AFTER_S if queue.has_had_some else RENEW_AFTER_S):
            self._close(queue)
            self._open(queue)

    def _maybe_take_over(self, queue: _Queue) -> None:
        if self._look_at(queue.name).consumer_count > 0:
            queue.quiet_since = None
        elif queue.quiet_since is None:
            queue.quiet_since = time.monotonic()
        elif time.monotonic() - queue.quiet_since > TAKE_OVER_AFTER_S:
            log.warning("consumer.took_over", queue=queue.name)
            self._open(queue)

    def _look_at(self, name: str) -> Any:
        """Return the broker's counts of a queue: message_count (ready), consumer_count."""
        channel = self._connection.channel()
        try:
            return channel.queue_declare(name, passive=True).method
        finally:
            channel.close()
