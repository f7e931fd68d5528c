"""`bench road`: from MLLP at five hospitals to searchable at the hub; and FHIR bundles over the same road.

The mix is half ADT, half ORU^R01 with 20 OBX. Sustained: from the first message sent until the last one is
visible at the hub. Latency: at half the required load, open loop, from the instant a message was due.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
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


def run(_data: Path | None) -> Report:
    """Measure the road."""
    report = Report("road")
    with stand.region() as place:
        fsync = fsync_ms(Path(place["dir"]))
        rates, resource_rates = [], []
        for number in range(ROUNDS):
            messages_s, resources_s = _sustained(place, number)
            stand.say(f"round {number + 1}: {messages_s:.0f} msg/s, {resources_s:.0f} resources/s")
            rates.append(messages_s)
            resource_rates.append(resources_s)
        copied, _rows = copy_rows_s(place["hub"]["database_url"])
        latencies = [_latencies(place, number) for number in range(ROUNDS)]
        bundle_rates = [_bundles(place, number) for number in range(ROUNDS)]
        bundle_latencies = [_bundle_latencies(place, number) for number in range(ROUNDS)]
        readings = reading_ms(place, READINGS)
    report.figures += [
        median_figure("mllp_to_searchable", rates, "msg/s", "higher", must=MUST_MESSAGES_S),
        median_figure("mllp_to_searchable_resources", resource_rates, "resources/s", "higher", floor=copied),
        median_figure("end_to_end_p50", [percentile(r, 0.5) for r in latencies], "ms", "lower"),
        median_figure(
            "end_to_end_p99", [percentile(r, 0.99) for r in latencies], "ms", "lower", must=MUST_P99_MS
        ),
        median_figure("bundles_through_road", bundle_rates, "bundles/s", "higher", must=MUST_BUNDLES_S),
        median_figure(
            "bundles_through_road_p95",
            [percentile(r, 0.95) for r in bundle_latencies],
            "ms",
            "lower",
            must=MUST_BUNDLE_P95_MS,
        ),
        median_figure("sent_to_doctors_page", readings, "ms", "lower", must=MUST_READ_MS),
        Figure("fsync", fsync, "ms", "lower"),
    ]
    return report


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


def _bundles(place: dict[str, Any], number: int) -> float:
    bodies = list(ips_like(BUNDLES, 1 + number))
    inlets = [_Inlet(h) for h in place["hospitals"]]
    before = stand.taken_in(place)
    begin = time.monotonic()

    def lane(at: int) -> None:
        for body in bodies[at :: len(inlets)]:
            inlets[at].post(body)

    with ThreadPoolExecutor(len(inlets)) as pool:
        list(pool.map(lane, range(len(inlets))))
    stand.wait_for("the bundles", lambda: stand.taken_in(place) >= before + BUNDLES, 600, 0.05)
    rate = BUNDLES / (time.monotonic() - begin)
    stand.say(f"{rate:.0f} bundles/s through the whole road")
    return rate


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
