"""`bench road`: from MLLP at five hospitals to searchable at the hub; and FHIR bundles over the same road.

The mix is half ADT, half ORU^R01 with 20 OBX. Sustained: from the first message sent until the last one is
visible at the hub. Latency: at half the required load, open loop, from the instant a message was due.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from deploy.benchmarks import stand
from deploy.benchmarks.figures import Figure, Report, median_figure, percentile
from deploy.benchmarks.floors import copy_rows_s, fsync_ms
from deploy.benchmarks.load import Sent, closed_loop, open_loop
from deploy.benchmarks.reading import reading_ms
from deploy.benchmarks.watch import Watch, sequence_numbers
from deploy.sample.bundles import ips_like
from deploy.sample.messages import bench_mix

MUST_MESSAGES_S = 300
MUST_P99_MS = 2000
MUST_BUNDLES_S = 30
MUST_BUNDLE_P95_MS = 500
MUST_READ_MS = 2000
ROUNDS = 3
MESSAGES_EACH = 1200
CONNECTIONS = 4
LATENCY_SECONDS = 20
BUNDLES = 600
READINGS = 9


@dataclass(slots=True)
class Measured:
    """What the rounds gave; rates a second, latencies in ms, each list one entry a round."""

    fsync: float
    copied: float = 0.0  # bare COPY, rows a second
    messages: list[float] = field(default_factory=list)
    message_resources: list[float] = field(default_factory=list)
    latencies: list[list[float]] = field(default_factory=list)
    bundles: list[float] = field(default_factory=list)
    bundle_resources: list[float] = field(default_factory=list)
    bundle_latencies: list[list[float]] = field(default_factory=list)
    readings: list[float] = field(default_factory=list)


def run(_data: Path | None) -> Report:
    """Measure the road."""
    with stand.region() as place:
        found = Measured(fsync_ms(Path(place["dir"])))
        for number in range(ROUNDS):
            messages_s, resources_s = _sustained(place, number)
            stand.say(f"round {number + 1}: {messages_s:.0f} msg/s, {resources_s:.0f} resources/s")
            found.messages.append(messages_s)
            found.message_resources.append(resources_s)
        found.copied, _rows = copy_rows_s(place["hub"]["database_url"])
        found.latencies = [_latencies(place, number) for number in range(ROUNDS)]
        for number in range(ROUNDS):
            bundles_s, resources_s = _bundles(place, number)
            found.bundles.append(bundles_s)
            found.bundle_resources.append(resources_s)
        found.bundle_latencies = [_bundle_latencies(place, number) for number in range(ROUNDS)]
        found.readings = reading_ms(place, READINGS)
    return Report("road", figures(found))


def figures(found: Measured) -> list[Figure]:
    """Return the figures, each that must be reached beside what the bare machine does for the same rows."""
    message_rows = _each(found.message_resources, found.messages)
    bundle_rows = _each(found.bundle_resources, found.bundles)
    p50, p99 = ([percentile(r, share) for r in found.latencies] for share in (0.5, 0.99))
    p95 = [percentile(r, 0.95) for r in found.bundle_latencies]
    message_ms, bundle_ms = (_bare_ms(found, rows) for rows in (message_rows, bundle_rows))
    return [
        median_figure(
            "mllp_to_searchable",
            found.messages,
            "msg/s",
            "higher",
            must=MUST_MESSAGES_S,
            floor=found.copied / message_rows,
        ),
        median_figure(
            "mllp_to_searchable_resources",
            found.message_resources,
            "resources/s",
            "higher",
            floor=found.copied,
        ),
        median_figure("end_to_end_p50", p50, "ms", "lower", floor=message_ms),
        median_figure("end_to_end_p99", p99, "ms", "lower", must=MUST_P99_MS, floor=message_ms),
        median_figure(
            "bundles_through_road",
            found.bundles,
            "bundles/s",
            "higher",
            must=MUST_BUNDLES_S,
            floor=found.copied / bundle_rows,
        ),
        median_figure(
            "bundles_through_road_p95", p95, "ms", "lower", must=MUST_BUNDLE_P95_MS, floor=bundle_ms
        ),
        median_figure(
            "sent_to_doctors_page", found.readings, "ms", "lower", must=MUST_READ_MS, floor=message_ms
        ),
        Figure("fsync", found.fsync, "ms", "lower"),
    ]


def _each(resources: list[float], sent: list[float]) -> float:
    """Return how many resources arise from one of what was sent."""
    return statistics.median(made / rate for made, rate in zip(resources, sent, strict=True))


def _bare_ms(found: Measured, rows: float) -> float:
    """Return what the disk alone takes: a commit at the hospital, one at the hub, the COPY of the rows."""
    return 2 * found.fsync + rows / found.copied * 1000


def _mix(place: dict[str, Any], count: int, seed: int) -> dict[str, list[bytes]]:
    return {h["code"]: list(bench_mix(count, seed, h["code"])) for h in place["hospitals"]}


def _check(sent: Sent) -> None:
    if sent.refused:
        raise RuntimeError(f"{len(sent.refused)} messages were refused; the first: {sent.refused[0]}")


def _sustained(place: dict[str, Any], number: int) -> tuple[float, float]:
    mix = _mix(place, MESSAGES_EACH, 100 + number)
    total = sum(len(messages) for messages in mix.values())
    before, resources_before = stand.taken_in(place), stand.count_resources(place)
    begin = time.monotonic()
    _check(asyncio.run(closed_loop(place, mix, CONNECTIONS)))
    acknowledged = time.monotonic() - begin
    stand.wait_for("the hub to take in the rest", lambda: stand.taken_in(place) >= before + total, 600, 0.05)
    spent = time.monotonic() - begin
    stand.say(f"{total} messages acknowledged after {acknowledged:.1f} s, searchable after {spent:.1f} s")
    return total / spent, (stand.count_resources(place) - resources_before) / spent


def _latencies(place: dict[str, Any], number: int) -> list[float]:
    rate = MUST_MESSAGES_S / 2
    mix = _mix(place, int(rate * LATENCY_SECONDS / len(place["hospitals"])), 200 + number)
    total = sum(len(messages) for messages in mix.values())
    before = stand.taken_in(place)
    with Watch(place["hub"]["database_url"]) as watch:
        sent = asyncio.run(open_loop(place, mix, CONNECTIONS, rate))
        _check(sent)
        stand.wait_for("the last message", lambda: stand.taken_in(place) >= before + total, 120, 0.05)
        time.sleep(0.1)  # the watch looks every 10 ms
    found = []
    for hospital in place["hospitals"]:
        seqs = sequence_numbers(hospital)
        code = hospital["code"]
        found += [
            (watch.seen[code, seqs[control]] - at) * 1000
            for (facility, control), at in sent.at.items()
            if facility == code
        ]
    p50, p99 = percentile(found, 0.5), percentile(found, 0.99)
    stand.say(f"at {rate:.0f} msg/s: p50 {p50:.0f} ms, p99 {p99:.0f} ms")
    return found


class _Inlet:
    """One hospital's FHIR inlet, over a kept connection."""

    def __init__(self, hospital: dict[str, Any]) -> None:
        self.code = hospital["code"]
        self._url = hospital["fhir"]
        self._session = requests.Session()
        self._session.headers.update(
            {
                "Authorization": f"Bearer {Path(hospital['token_file']).read_text().strip()}",
                "Content-Type": "application/fhir+json",
            }
        )

    def post(self, body: bytes) -> None:
        """Post a bundle. Raises: HTTPError if it is refused."""
        answer = self._session.post(self._url, data=body, timeout=60)
        answer.raise_for_status()


def _bundles(place: dict[str, Any], number: int) -> tuple[float, float]:
    bodies = list(ips_like(BUNDLES, 1 + number))
    inlets = [_Inlet(h) for h in place["hospitals"]]
    before, resources_before = stand.taken_in(place), stand.count_resources(place)
    begin = time.monotonic()

    def lane(at: int) -> None:
        for body in bodies[at :: len(inlets)]:
            inlets[at].post(body)

    with ThreadPoolExecutor(len(inlets)) as pool:
        list(pool.map(lane, range(len(inlets))))
    stand.wait_for("the bundles", lambda: stand.taken_in(place) >= before + BUNDLES, 600, 0.05)
    spent = time.monotonic() - begin
    rate = BUNDLES / spent
    stand.say(f"{rate:.0f} bundles/s through the whole road")
    return rate, (stand.count_resources(place) - resources_before) / spent


def _last(watch: Watch, facility: str) -> int:
    return max((seq for code, seq in watch.seen if code == facility), default=0)


def _bundle_latencies(place: dict[str, Any], number: int) -> list[float]:
    """Post at the required rate; a bundle's latency ends when the hub's count shows all posted so far."""
    bodies = list(ips_like(MUST_BUNDLES_S * 10, 11 + number))
    inlets = [_Inlet(h) for h in place["hospitals"]]
    found: list[float] = []
    with Watch(place["hub"]["database_url"]) as watch:
        stand.wait_for("the watch", lambda: len(watch.seen) >= stand.taken_in(place), 60)
        begin = time.monotonic()
        expected = {inlet.code: _last(watch, inlet.code) for inlet in inlets}
        due_by_key: dict[tuple[str, int], float] = {}
        for index, body in enumerate(bodies):
            due = begin + index / MUST_BUNDLES_S
            time.sleep(max(0.0, due - time.monotonic()))
            inlet = inlets[index % len(inlets)]
            inlet.post(body)
            expected[inlet.code] += 1
            due_by_key[inlet.code, expected[inlet.code]] = due
        stand.wait_for("the last bundle", lambda: due_by_key.keys() <= watch.seen.keys(), 120)
        found = [(watch.seen[key] - due) * 1000 for key, due in due_by_key.items()]
    stand.say(f"at {MUST_BUNDLES_S} bundles/s: p95 {percentile(found, 0.95):.0f} ms")
    return found
