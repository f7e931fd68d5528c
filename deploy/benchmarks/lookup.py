"""`bench lookup`: `Patient/$everything` of a person with 1,000 resources and the portal's record page.

Measured with 10,000 and again with more than 200,000 resources in the repository; the floor is the bare
SELECT of the same stored text; the portal is used as a doctor uses it.
"""

from __future__ import annotations

import contextlib
import re
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import psycopg
import requests

from deploy.benchmarks import stand
from deploy.benchmarks.figures import Figure, Report, median_figure, percentile
from deploy.benchmarks.floors import fsync_ms, plain, select_ms
from deploy.benchmarks.portal import open_record
from deploy.sample.bundles import patient_record

PERSON_RESOURCES = 1000
SMALL, LARGE = 10_000, 210_000
FILLER_RESOURCES = 500
ROUNDS = 3
REQUESTS = 60
READINGS = 10
WARM_UP = 10
MUST_RATIO, MUST_EXTRA_MS = 3, 10
MUST_GROWTH = 1.35
CLIENTS = 4


def run(_data: Path | None) -> Report:
    """Measure the look-up at two sizes."""
    report = Report("lookup")
    with stand.region(hospitals=1) as place:
        fsync = fsync_ms(Path(place["dir"]))
        patient = _load_person(place)
        small = _measure(place, patient, SMALL)
        large = _measure(place, patient, LARGE)
    for size, found in ((SMALL, small), (LARGE, large)):
        floor = statistics.median(found["select"])
        report.figures += [
            median_figure(
                f"everything_1000_at_{size}",
                found["everything"],
                "ms",
                "lower",
                must=round(MUST_RATIO * floor + MUST_EXTRA_MS, 2),
                floor=floor,
            ),
            median_figure(f"everything_1000_p99_at_{size}", found["p99"], "ms", "lower"),
            median_figure(f"portal_record_page_at_{size}", found["page"], "ms", "lower", floor=floor),
        ]
    growth, bare = (
        statistics.median(large[what]) / statistics.median(small[what]) for what in ("everything", "select")
    )
    report.figures += [
        Figure("everything_growth_at_20x", growth, "times", "lower", MUST_GROWTH, floor=bare),
        Figure("fsync", fsync, "ms", "lower"),
    ]
    return report


def _post(place: dict[str, Any], headers: dict[str, str], body: bytes) -> dict[str, Any]:
    answer = requests.post(place["hub"]["fhir"], data=body, headers=headers, timeout=300)
    if answer.status_code != 200:
        raise RuntimeError(f"The hub answered {answer.status_code}: {answer.text[:500]}")
    made: dict[str, Any] = orjson.loads(answer.content)
    return made


def _headers(place: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {stand.token(place)}", "Content-Type": "application/fhir+json"}


def _load_person(place: dict[str, Any]) -> str:
    headers = _headers(place)
    patient = ""
    for body in patient_record(PERSON_RESOURCES, 1):
        for entry in _post(place, headers, body)["entry"]:
            place_made = entry["response"]["location"]
            if match := re.search(r"Patient/([^/]+)", place_made):
                patient = match[1]
    return patient


def _fill(place: dict[str, Any], size: int) -> None:
    headers = _headers(place)
    missing = size - stand.count_resources(place)
    people = range(size, size + max(0, -(-missing // FILLER_RESOURCES)))
    stand.say(f"loading {missing} resources")

    def load(seed: int) -> None:
        for body in patient_record(FILLER_RESOURCES, seed):
            _post(place, headers, body)
        if seed % 40 == 0:
            stand.say(f"{stand.count_resources(place)} resources of {size}")

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(load, people))
    with psycopg.connect(plain(place["hub"]["database_url"]), autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def _measure(place: dict[str, Any], patient: str, size: int) -> dict[str, list[float]]:
    _fill(place, size)
    found: dict[str, list[float]] = {"everything": [], "p99": [], "select": [], "page": []}
    doctor = _Doctor(place)
    doctor.open(patient)
    for _ in range(ROUNDS):
        floor, _size = select_ms(place["hub"]["database_url"], [patient])
        times = _everything(place, patient)
        found["select"].append(floor)
        found["everything"].append(percentile(times, 0.5))
        found["p99"].append(percentile(times, 0.99))
        found["page"].append(percentile(doctor.read(READINGS), 0.5))
    stand.say(f"at {size}: {found}")
    return found


def _everything(place: dict[str, Any], patient: str) -> list[float]:
    """Return how long each answer took, in ms, up to its last byte; the client itself is a thin one."""
    times = []
    address = urlsplit(f"{place['hub']['fhir']}/Patient/{patient}/$everything")
    with contextlib.closing(HTTPConnection(address.netloc, timeout=60)) as connection:
        headers = _headers(place)
        for number in range(WARM_UP + REQUESTS):
            begin = time.perf_counter()
            connection.request("GET", address.path, headers=headers)
            content = connection.getresponse().read()
            spent = (time.perf_counter() - begin) * 1000
            entries = orjson.loads(content).get("entry", [])
            if len(entries) < PERSON_RESOURCES:
                raise RuntimeError(f"$everything gave {len(entries)} resources of {PERSON_RESOURCES}.")
            if number >= WARM_UP:
                times.append(spent)
    return times


class _Doctor:
    """A doctor's browser as far as a benchmark needs one: cookies, forms, the record page."""

    def __init__(self, place: dict[str, Any]) -> None:
        self._place = place
        self._session = requests.Session()
        self._page = ""

    def open(self, patient: str) -> None:
        """Sign in, find the person and confirm, as the portal asks."""
        self._page = open_record(self._session, self._place, patient)

    def read(self, times: int) -> list[float]:
        """Return how long the record page took, in ms."""
        spent = []
        for _ in range(times):
            begin = time.perf_counter()
            answer = self._session.get(self._page, timeout=60)
            spent.append((time.perf_counter() - begin) * 1000)
            answer.raise_for_status()
        return spent
