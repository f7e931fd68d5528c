"""Sends the province into a running region: a worker per hospital, in time order, none far ahead."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from queue import Full, Queue
from typing import Any

from deploy.sample.model import Event
from deploy.sample.roads import Away, Pace, deliver, roads_of

_AHEAD = 64  # events a hospital may be ahead of the slowest one
_LINE_EVERY_S = 5.0


class Sending:
    """Counts and the state that the workers share."""

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self.counts: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.away: dict[str, str] = {}
        self._lock = threading.Lock()

    def done(self, event: Event, refused: str) -> None:
        """Count one message that was taken or refused."""
        with self._lock:
            self.counts["messages"] += 1
            self.counts["refused" if refused else "accepted"] += 1
            self.away.pop(event.facility, None)
            if refused:
                self.reasons[f"{event.facility} {event.kind} {refused}"] += 1
            else:
                self.counts["resources"] += event.resources

    def is_away(self, facility: str, reason: str) -> None:
        """Remember that a hospital's processor is away."""
        with self._lock:
            self.away[facility] = reason


def _work(hospital: dict[str, Any], waiting: Queue[Event | None], sending: Sending) -> None:
    """Send what waits for one hospital, in order, until None comes."""
    roads = roads_of(hospital)
    code = hospital["code"]
    try:
        while (event := waiting.get()) is not None:
            refused = deliver(
                roads[event.kind], event, sending.stopped, lambda reason: sending.is_away(code, reason)
            )
            sending.done(event, refused)
    except Away:
        pass  # told to stop while the other side was away
    finally:
        for road in roads.values():
            road.close()


def send(events: Iterable[Event], hospitals: list[dict[str, Any]], rate: float = 0.0) -> dict[str, Any]:
    """Send events into the hospitals of region.json and return what became of them.

    Returns: messages, resources, accepted, refused, seconds, and reasons (how many were refused for what).
    """
    began, sending, pace = time.monotonic(), Sending(), Pace(rate)
    queues: dict[str, Queue[Event | None]] = {h["code"]: Queue(_AHEAD) for h in hospitals}
    workers = [
        threading.Thread(target=_work, args=(h, queues[h["code"]], sending), name=f"send-{h['code']}")
        for h in hospitals
    ]
    teller = threading.Thread(target=_tell, args=(sending, began), name="progress", daemon=True)
    ended = False
    try:
        for thread in (*workers, teller):
            thread.start()
        for event in events:
            pace.wait()
            _put(queues[event.facility], event, sending.stopped)
        for queue in queues.values():
            _put(queue, None, sending.stopped)
        for worker in workers:
            worker.join()
        ended = True
    finally:
        sending.stopped.set()
        if not ended:
            for queue in queues.values():
                with queue.mutex:
                    queue.queue.clear()
                queue.put_nowait(None)
    seconds = round(time.monotonic() - began, 1)
    names = ("messages", "resources", "accepted", "refused")
    return {n: sending.counts[n] for n in names} | {"seconds": seconds, "reasons": dict(sending.reasons)}


def _put(queue: Queue[Event | None], event: Event | None, stopped: threading.Event) -> None:
    while not stopped.is_set():
        try:
            queue.put(event, timeout=1.0)
            return
        except Full:
            continue


def _tell(sending: Sending, began: float) -> None:
    """Write a line of progress every five seconds."""
    while not sending.stopped.wait(_LINE_EVERY_S):
        counts, seconds = sending.counts, time.monotonic() - began
        line = (
            f"sample: {counts['messages']} messages, {counts['resources']} resources, "
            f"{counts['refused']} refused, {counts['messages'] / seconds:.0f}/s"
        )
        if sending.away:
            line += "; waiting for " + ", ".join(
                f"{code} ({why})" for code, why in sorted(sending.away.items())
            )
        print(line, file=sys.stderr, flush=True)


def read_region(path: Path) -> list[dict[str, Any]]:
    """Return the hospitals of a region.json."""
    hospitals: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["hospitals"]
    return hospitals


def write(events: Iterable[Event], out: Path) -> dict[str, Any]:
    """Write events as files below a directory: <hospital>/hl7/*.hl7, fhir/*.json, csv/*.csv."""
    began, counts = time.monotonic(), Counter[str]()
    folders: set[Path] = set()
    for event in _told(events):
        folder = out / event.facility / event.kind
        if folder not in folders:
            folder.mkdir(parents=True, exist_ok=True)
            folders.add(folder)
        (folder / event.name).write_bytes(event.body)
        counts["messages"] += 1
        counts["resources"] += event.resources
    seconds = round(time.monotonic() - began, 1)
    return {"messages": counts["messages"], "resources": counts["resources"], "seconds": seconds}


def _told(events: Iterable[Event]) -> Iterator[Event]:
    """Pass events on and write a line of progress every five seconds."""
    last, number = time.monotonic(), 0
    for number, event in enumerate(events, start=1):
        yield event
        if time.monotonic() - last > _LINE_EVERY_S:
            last = time.monotonic()
            print(f"sample: {number} messages written, {event.at:%Y-%m-%d}", file=sys.stderr, flush=True)
