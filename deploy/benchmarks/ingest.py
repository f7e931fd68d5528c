"""`bench ingest`: transaction bundles to the hub's FHIR API, with token, policy, audit and validation on."""

from __future__ import annotations

import gzip
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import requests

from deploy.benchmarks import stand
from deploy.benchmarks.figures import Figure, Report, median_figure, percentile
from deploy.benchmarks.floors import copy_rows_s, fsync_ms
from deploy.sample.bundles import patient_record

MUST_RESOURCES_S = 1500
CLIENTS = 4
ROUNDS = 3
BUNDLES = 40
RESOURCES_EACH = 300
WARM_UP, WARM_UP_SEED = 8, 7000  # both web processes build their validators before the first round


def run(data: Path | None) -> Report:
    """Measure the ingest; `data` holds gzip transaction bundles, else the sample generator makes them."""
    report = Report("ingest")
    with stand.region(hospitals=1) as place:
        fsync = fsync_ms(Path(place["dir"]))
        one_round(place, people(WARM_UP_SEED, WARM_UP))
        rates, waits = [], []
        for number in range(ROUNDS):
            rate, times = one_round(place, read(data) if data else people(number * BUNDLES, BUNDLES))
            stand.say(f"round {number + 1}: {rate:.0f} resources/s")
            rates.append(rate)
            waits.append(percentile(times, 0.5) * 1000)
        copied, _rows = copy_rows_s(place["hub"]["database_url"])
    report.figures += [
        median_figure(
            "transaction_bundles", rates, "resources/s", "higher", must=MUST_RESOURCES_S, floor=copied
        ),
        median_figure("transaction_bundle_p50", waits, "ms", "lower"),
        Figure("fsync", fsync, "ms", "lower"),
    ]
    return report


def read(data: Path) -> list[list[bytes]]:
    """Return the bundles of a directory, each a record. Raises: FileNotFoundError if there are none."""
    records = [[gzip.decompress(path.read_bytes())] for path in sorted(data.glob("*.json.gz"))]
    if not records:
        raise FileNotFoundError(f"No *.json.gz in {data}; name a directory of gzip transaction bundles.")
    return records


def people(first: int, count: int, resources: int = RESOURCES_EACH) -> list[list[bytes]]:
    """Return the bundles of the sample generator's people, each in the order they must come in."""
    return [list(patient_record(resources, seed)) for seed in range(first, first + count)]


def one_round(
    place: dict[str, Any], records: list[list[bytes]], clients: int = CLIENTS
) -> tuple[float, list[float]]:
    """Return (resources per second, seconds of each bundle) of clients that share the records."""
    resources = sum(len(orjson.loads(body)["entry"]) for record in records for body in record)
    authorization = {
        "Authorization": f"Bearer {stand.token(place)}",
        "Content-Type": "application/fhir+json",
    }

    def lane(at: int) -> list[float]:
        times = []
        with requests.Session() as session:
            session.headers.update(authorization)
            for body in (body for record in records[at::clients] for body in record):
                begin = time.monotonic()
                answer = session.post(place["hub"]["fhir"], data=body, timeout=300)
                if answer.status_code != 200:
                    raise RuntimeError(f"The hub answered {answer.status_code}: {answer.text[:500]}")
                times.append(time.monotonic() - begin)
        return times

    begin = time.monotonic()
    with ThreadPoolExecutor(clients) as pool:
        times = [spent for lane_times in pool.map(lane, range(clients)) for spent in lane_times]
    return resources / (time.monotonic() - begin), times
