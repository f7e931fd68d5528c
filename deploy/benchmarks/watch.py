"""Watches from outside when an entry becomes visible at the hub: the end of "MLLP to searchable"."""

from __future__ import annotations

import sqlite3
import threading
import time
from typing import Any

import psycopg

from deploy.benchmarks.floors import plain

LOOK_EVERY_S = 0.01


class Watch:
    """Notes for each (facility, seq) the first instant at which the hub's committed inbox shows it."""

    def __init__(self, database_url: str) -> None:
        self.seen: dict[tuple[str, int], float] = {}
        self._url = plain(database_url)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(timeout=30)

    def _run(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            known: dict[str, set[int]] = {}
            floor: dict[str, int] = {}
            while not self._stopping.wait(LOOK_EVERY_S):
                codes = connection.execute("SELECT code FROM facility").fetchall() if not floor else None
                for (code,) in codes or ():
                    floor[code], known[code] = 0, set()
                for code in floor:
                    self._look(connection, code, floor, known[code])

    def _look(
        self, connection: psycopg.Connection[Any], code: str, floor: dict[str, int], known: set[int]
    ) -> None:
        rows = connection.execute(
            "SELECT seq FROM inbox WHERE facility = %s AND epoch = (SELECT max(epoch) FROM inbox"
            " WHERE facility = %s) AND seq > %s",
            (code, code, floor[code]),
        ).fetchall()
        now = time.monotonic()
        for (seq,) in rows:
            if seq not in known:
                known.add(seq)
                self.seen[code, seq] = now
        while floor[code] + 1 in known:
            floor[code] += 1
            known.discard(floor[code])


def sequence_numbers(hospital: dict[str, Any]) -> dict[str, int]:
    """Return the capture sequence by control id, from a front-end processor's cache."""
    path = hospital["cache_url"].removeprefix("sqlite:///")
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return dict(
            connection.execute("SELECT control_id, seq FROM message WHERE fate = 'captured'").fetchall()
        )
    finally:
        connection.close()
