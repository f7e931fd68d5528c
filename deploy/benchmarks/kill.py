"""`bench kill`: three times 20,000 messages while every process in turn dies by kill -9; then it counts.

Senders do as hospitals do: they wait for the answer and, where none came, connect again and send the same
message again. What was acknowledged must be at the hub exactly once.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from deploy.benchmarks import stand
from deploy.benchmarks.figures import Figure, Report
from deploy.benchmarks.floors import fsync_ms, plain
from deploy.benchmarks.load import Sent, control_id, exchange, shares
from deploy.benchmarks.watch import sequence_numbers
from deploy.sample.messages import bench_mix

MESSAGES = 20_000
ROUNDS = 3
FIRST_SEED = 500
RESULTS_EACH = 20
CONNECTIONS = 2
BETWEEN_KILLS_S = 4.0
RETRY_S = 0.2


def run(_data: Path | None) -> Report:
    """Send, kill, restart, count."""
    report = Report("kill")
    sent, kills, killed, spent, reports = Sent(), 0, set[str](), 0.0, 0
    with stand.region() as place:
        fsync = fsync_ms(Path(place["dir"]))
        for number in range(ROUNDS):
            mix = _mix(place, number)
            reports += sum(b"|ORU^R01" in message for messages in mix.values() for message in messages)
            killer = _Killer(place)
            begin = time.monotonic()
            killer.start()
            asyncio.run(_send_all(place, mix, sent))
            killer.finish()
            stand.say(f"round {number + 1}: {len(sent.answered)} acknowledged, {killer.kills} kills so far")
            stand.wait_for("every receipt", lambda: _unsettled(place) == 0, 900, 1)
            spent += time.monotonic() - begin
            kills += killer.kills
            killed |= killer.killed
        lost, doubled, missing = _compare(place, sent)
        results_lost = reports * RESULTS_EACH - _results(place)
    report.figures += [
        Figure("messages_lost", lost, "messages", "lower", 0),
        Figure("messages_doubled", doubled, "messages", "lower", 0),
        Figure("results_lost_or_doubled", abs(results_lost), "resources", "lower", 0),
        Figure("messages_not_acknowledged", len(sent.at) - len(sent.answered), "messages", "lower", 0),
        Figure("receipts_missing", missing, "messages", "lower", 0),
        Figure("messages_acknowledged", len(sent.answered), "messages", "higher"),
        Figure("kills", kills, "kills", "higher"),
        Figure("processes_killed", len(killed), "processes", "higher"),
        Figure("seconds", spent, "s", "lower"),
        Figure("fsync", fsync, "ms", "lower"),
    ]
    return report


def _mix(place: dict[str, Any], number: int) -> dict[str, list[bytes]]:
    each = MESSAGES // len(place["hospitals"])
    return {h["code"]: list(bench_mix(each, FIRST_SEED + number, h["code"])) for h in place["hospitals"]}


def _results(place: dict[str, Any]) -> int:
    """Return how many results the hub holds."""
    with psycopg.connect(plain(place["hub"]["database_url"])) as connection:
        row = connection.execute("SELECT count(*) FROM resource WHERE type = 'Observation'").fetchone()
    return int(row[0]) if row else 0


class _Killer:
    """Kills one process after the other and brings back what is dead, until the sending is over."""

    def __init__(self, place: dict[str, Any]) -> None:
        self._directory = Path(place["dir"])
        self._names = sorted(place["pids"])
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.kills = 0
        self.killed: set[str] = set()

    def start(self) -> None:
        """Begin to kill."""
        self._thread.start()

    def finish(self) -> None:
        """Stop once every process has died at least once and the region is whole again."""
        self._stopping.set()
        self._thread.join()
        stand.region_command("up", "--dir", str(self._directory))

    def _run(self) -> None:
        for name in self._in_turn():
            if self._stopping.wait(BETWEEN_KILLS_S) and self.killed >= set(self._names):
                return
            pid = stand.read(self._directory)["pids"].get(name)
            stand.say(f"kill -9 {name} ({pid})")
            os.kill(pid, signal.SIGKILL)
            self.kills += 1
            self.killed.add(name)
            stand.region_command("up", "--dir", str(self._directory))

    def _in_turn(self) -> Iterator[str]:
        while True:
            yield from self._names


async def _send_all(place: dict[str, Any], mix: dict[str, list[bytes]], sent: Sent) -> None:
    lanes = [(h, share) for h in place["hospitals"] for share in shares(mix[h["code"]], CONNECTIONS)]
    await asyncio.gather(*(_stubborn_sender(h, share, sent) for h, share in lanes))


async def _stubborn_sender(hospital: dict[str, Any], messages: list[bytes], sent: Sent) -> None:
    """Send each message until it is acknowledged, connecting again as often as it takes."""
    host, port = hospital["mllp"].split(":")
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    for message in messages:
        key = (hospital["code"], control_id(message))
        sent.at[key] = time.monotonic()
        while key not in sent.answered:
            try:
                streams = streams or await asyncio.open_connection(host, int(port))
                answer = await exchange(*streams, message)
            except (OSError, asyncio.IncompleteReadError, TimeoutError):
                streams = None
                await asyncio.sleep(RETRY_S)
                continue
            if b"MSA|AA" in answer:
                sent.answered[key] = time.monotonic()
            else:
                await asyncio.sleep(RETRY_S)


def _unsettled(place: dict[str, Any]) -> int:
    return sum(_outbox(h, "SELECT count(*) FROM outbox WHERE settled_at IS NULL") for h in place["hospitals"])


def _outbox(hospital: dict[str, Any], query: str) -> int:
    connection = sqlite3.connect(f"file:{hospital['cache_url'].removeprefix('sqlite:///')}?mode=ro", uri=True)
    try:
        return int(connection.execute(query).fetchone()[0])
    finally:
        connection.close()


def _compare(place: dict[str, Any], sent: Sent) -> tuple[int, int, int]:
    """Return how many acknowledged messages are lost, doubled, and without a good receipt.

    Lost: no inbox row at the hub, or the hub's fate is not a stored one. Doubled: captured twice under one
    control id, or a version too many of a result (each result of the mix is sent once).
    """
    lost = doubled = missing = 0
    with psycopg.connect(plain(place["hub"]["database_url"])) as connection:
        for hospital in place["hospitals"]:
            code = hospital["code"]
            seqs = sequence_numbers(hospital)
            rows = connection.execute(
                "SELECT seq FROM inbox WHERE facility = %s AND fate IN ('stored', 'superseded')", (code,)
            ).fetchall()
            stored = {row[0] for row in rows}
            answered = {control for facility, control in sent.answered if facility == code}
            lost += sum(seqs.get(control) not in stored for control in answered)
            captured = _outbox(hospital, "SELECT count(*) FROM message WHERE fate = 'captured'")
            doubled += captured - len(answered)
            missing += _outbox(
                hospital,
                "SELECT count(*) FROM outbox WHERE fate IS NULL OR fate NOT IN ('stored', 'superseded')",
            )
        row = connection.execute("SELECT count(*) FROM resource WHERE type = 'Observation' AND version > 1")
        doubled += int((row.fetchone() or (0,))[0])
    return lost, doubled, missing
