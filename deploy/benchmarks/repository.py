"""`bench repository`: ingest, reads and searches of the FHIR API as clients see them, beside three floors.

Ours answers with token, policy, audit and validation on; beside it a bare Flask with one SELECT, bare psycopg
without HTTP, and COPY for the ingest. The processor time of server and PostgreSQL is counted apart.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote, urlsplit

import psycopg
import requests

from deploy.benchmarks import bare_flask, ingest, stand
from deploy.benchmarks.bare_select import select_times_ms, selects_s
from deploy.benchmarks.closed_loop import Loop, closed_loop, get
from deploy.benchmarks.effort import cpu_ms
from deploy.benchmarks.figures import Figure, Report, median_figure, percentile
from deploy.benchmarks.floors import copy_rows_s, fsync_ms, plain
from deploy.stack import ports

PEOPLE, RESOURCES_EACH = 100, 330
CLIENTS, INGEST_CLIENTS = 8, 4
ROUNDS, SECONDS, WARM_UP_S = 3, 3.0, 1.0
TWINS, THREADS = 157, 64  # 64 threads each create the same 157 resources: 10,048 requests
MUST_INGEST, MUST_P50_MS, MUST_P99_MS = 4000, 15, 50


@dataclass(frozen=True, slots=True)
class Asked:
    """One kind of request: its paths, the floor's statement with values, what it must reach."""

    name: str
    paths: list[str]
    query: str
    values: list[tuple[str, ...]]
    must: float
    by_resources: bool = False

    def rate(self, loop: Loop) -> float:
        """Return what counts of a loop."""
        return loop.resources_s if self.by_resources else loop.requests_s

    @property
    def unit(self) -> str:
        """Return the unit of the rate."""
        return "resources/s" if self.by_resources else "req/s"


@dataclass(slots=True)
class _Found:
    ours: list[float] = field(default_factory=list)
    flask: list[float] = field(default_factory=list)
    floor: list[float] = field(default_factory=list)
    server_ms: list[float] = field(default_factory=list)
    database_ms: list[float] = field(default_factory=list)


def run(data: Path | None) -> Report:
    """Measure; `data` holds gzip transaction bundles, else the sample generator makes people."""
    report = Report("repository")
    with stand.region(hospitals=1) as place:
        report.figures.append(Figure("fsync", fsync_ms(Path(place["dir"])), "ms", "lower"))
        report.figures += _ingest(place, data)
        with psycopg.connect(plain(place["hub"]["database_url"]), autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
            connection.execute(bare_flask.TABLE)
            for statement in bare_flask.INDEXES:
                connection.execute(statement)
            asked = _asked(connection)
        with _bare_flask(place) as flask:
            for one in asked:
                report.figures += _measure(place, flask, one)
            report.figures += _single(place, flask, asked[-1])
        report.figures.append(_twins(place))
    return report


def _ingest(place: dict[str, Any], data: Path | None) -> list[Figure]:
    records = ingest.read(data) if data else None
    rates, server_ms, database_ms = [], [], []
    for number in range(ROUNDS):
        part = PEOPLE // ROUNDS + 1
        made = records or ingest.people(number * part, part, RESOURCES_EACH)
        held, before = stand.count_resources(place), _efforts(place)
        rate, _times = ingest.one_round(place, made, INGEST_CLIENTS)
        server, database = (b - a for a, b in zip(before, _efforts(place), strict=True))
        stored = stand.count_resources(place) - held
        stand.say(f"ingest: {rate:.0f} resources/s")
        rates.append(rate)
        server_ms.append(server / stored)
        database_ms.append(database / stored)
    copied, _rows = copy_rows_s(place["hub"]["database_url"])
    return [
        median_figure("ingest", rates, "resources/s", "higher", must=MUST_INGEST, floor=copied),
        median_figure("ingest_cpu_server", server_ms, "ms/resource", "lower"),
        median_figure("ingest_cpu_postgresql", database_ms, "ms/resource", "lower"),
    ]


def _asked(connection: psycopg.Connection[Any]) -> list[Asked]:
    """Return the kinds of request, each about everybody in random order."""
    people = connection.execute(
        "SELECT id, family, birth_date FROM floor_resource WHERE type = 'Patient' AND family IS NOT NULL"
    ).fetchall()
    codes = connection.execute(
        "SELECT DISTINCT compartment, content::jsonb #>> '{code,coding,0,system}', code FROM floor_resource"
        " WHERE type = 'Observation' AND code IS NOT NULL"
    ).fetchall()
    rng = Random(7)
    rng.shuffle(people)
    rng.shuffle(codes)
    ids = [row[0] for row in people]
    return [
        Asked("read_patient", [f"/Patient/{i}" for i in ids], bare_flask.BY_ID, [(i,) for i in ids], 1500),
        Asked(
            "observation_by_patient_and_code",
            [f"/Observation?patient={p}&code={_word(f'{system}|{code}')}" for p, system, code in codes],
            bare_flask.BY_CODE,
            [(p, code) for p, _, code in codes],
            700,
        ),
        Asked(
            "patient_by_family_and_birthdate",
            [f"/Patient?family={_word(family)}&birthdate={born}" for _, family, born in people],
            bare_flask.BY_NAME,
            [(family, born) for _, family, born in people],
            900,
        ),
        Asked(
            "everything",
            [f"/Patient/{i}/$everything" for i in ids],
            bare_flask.EVERYTHING,
            [(i,) for i in ids],
            30_000,
            by_resources=True,
        ),
    ]


def _word(text: str) -> str:
    return quote(text, safe="")


def _entries(body: bytes) -> int:
    count = body.count(b'"fullUrl"')
    if not count:
        raise RuntimeError(f"An answer holds nothing: {body[:200]!r}")
    return count


def _one(body: bytes) -> int:
    if b'"Patient"' not in body:
        raise RuntimeError(f"An answer is no Patient: {body[:200]!r}")
    return 1


def _measure(place: dict[str, Any], flask: str, one: Asked) -> list[Figure]:
    """Return the figures of one kind of request: each round measures ours and both floors."""
    check = _one if one.name == "read_patient" else _entries
    hub = urlsplit(place["hub"]["fhir"])
    ours = _requests(one.paths, hub.path, hub.netloc, stand.token(place))
    bare = _requests(one.paths, "/fhir", flask, "none")
    found = _Found()
    closed_loop(hub.netloc, ours, CLIENTS, WARM_UP_S, check)
    closed_loop(flask, bare, CLIENTS, WARM_UP_S, _entries)
    for _ in range(ROUNDS):
        before = _efforts(place)
        loop = closed_loop(hub.netloc, ours, CLIENTS, SECONDS, check)
        server, database = (b - a for a, b in zip(before, _efforts(place), strict=True))
        count = loop.resources if one.by_resources else len(loop.times)
        found.ours.append(one.rate(loop))
        found.server_ms.append(server / count)
        found.database_ms.append(database / count)
        found.flask.append(one.rate(closed_loop(flask, bare, CLIENTS, SECONDS, _entries)))
        statements, rows = selects_s(
            place["hub"]["database_url"], one.query, one.values, CLIENTS, SECONDS / 2
        )
        found.floor.append(rows if one.by_resources else statements)
    stand.say(f"{one.name}: {statistics.median(found.ours):.0f} {one.unit}, {found}")
    per = "ms/resource" if one.by_resources else "ms/req"
    floor = statistics.median(found.floor)
    return [
        median_figure(one.name, found.ours, one.unit, "higher", must=one.must, floor=floor),
        Figure(
            f"{one.name}_to_bare_flask",
            statistics.median(found.ours) / statistics.median(found.flask),
            "times",
            "higher",
        ),
        median_figure(f"{one.name}_cpu_server", found.server_ms, per, "lower"),
        median_figure(f"{one.name}_cpu_postgresql", found.database_ms, per, "lower"),
    ]


def _single(place: dict[str, Any], flask: str, everything: Asked) -> list[Figure]:
    """Return how long one client waits for $everything, beside both floors."""
    hub = urlsplit(place["hub"]["fhir"])
    asked = _requests(everything.paths, hub.path, hub.netloc, stand.token(place))
    bare = _requests(everything.paths, "/fhir", flask, "none")
    closed_loop(hub.netloc, asked, 1, WARM_UP_S, _entries)
    ours, theirs, floor = [], [], []
    for _ in range(ROUNDS):
        ours.append([t * 1000 for t in closed_loop(hub.netloc, asked, 1, SECONDS, _entries).times])
        theirs.append([t * 1000 for t in closed_loop(flask, bare, 1, SECONDS, _entries).times])
        floor.append(
            select_times_ms(place["hub"]["database_url"], everything.query, everything.values, SECONDS / 2)
        )
    figures = []
    for share, must in ((50, MUST_P50_MS), (99, MUST_P99_MS)):
        of = [[percentile(times, share / 100) for times in each] for each in (ours, theirs, floor)]
        name = f"everything_one_client_p{share}"
        selected = statistics.median(of[2])
        figures.append(median_figure(name, of[0], "ms", "lower", must=must, floor=selected))
        to_flask = statistics.median(of[0]) / statistics.median(of[1])
        figures.append(Figure(f"{name}_to_bare_flask", to_flask, "times", "lower"))
    return figures


def _requests(paths: Sequence[str], base: str, host: str, token: str) -> Iterator[bytes]:
    return cycle([get(base + path, host, token) for path in paths])


def _efforts(place: dict[str, Any]) -> tuple[float, float]:
    return cpu_ms([place["pids"]["hub.web"]]), cpu_ms([place["pids"]["postgres"]])


@contextlib.contextmanager
def _bare_flask(place: dict[str, Any]) -> Iterator[str]:
    """Run the web floor; give its address."""
    address = f"127.0.0.1:{ports.pick()}"
    app = "deploy.benchmarks.bare_flask:create_app()"
    words = [
        sys.executable,
        "-m",
        "gunicorn",
        "-b",
        address,
        "-w",
        "2",
        "-k",
        "gthread",
        "--threads",
        "4",
        app,
    ]
    env = os.environ | {"FLOOR_DATABASE_URL": plain(place["hub"]["database_url"])}
    process = subprocess.Popen(words, env=env, cwd=stand.ROOT, stderr=subprocess.DEVNULL)
    try:
        stand.wait_for("the bare Flask", lambda: ports.answers(int(address.rpartition(":")[2])), 30)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=30)


def _twins(place: dict[str, Any]) -> Figure:
    """Return how many resources too many (or too few) identical conditional creates have made."""
    mark = uuid.uuid4().hex[:8]
    system = "urn:hie:bench:twin"
    token = stand.token(place)

    def create(session: requests.Session, number: int) -> None:
        value = f"{mark}-{number}"
        answer = session.post(
            f"{place['hub']['fhir']}/Organization",
            json={"resourceType": "Organization", "identifier": [{"system": system, "value": value}]},
            headers={"Authorization": f"Bearer {token}", "If-None-Exist": f"identifier={system}|{value}"},
            timeout=120,
        )
        if answer.status_code not in (200, 201):
            raise RuntimeError(f"A conditional create was answered {answer.status_code}: {answer.text[:300]}")

    def lane(_number: int) -> None:
        with requests.Session() as session:
            for number in range(TWINS):
                create(session, number)

    stand.say(f"{THREADS} threads create the same {TWINS} resources")
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lane, range(THREADS)))
    wrong = sum(abs(_count(place, f"{system}|{mark}-{number}", token) - 1) for number in range(TWINS))
    return Figure("identical_conditional_creates_doubled_or_lost", wrong, "resources", "lower", 0)


def _count(place: dict[str, Any], identifier: str, token: str) -> int:
    answer = requests.get(
        f"{place['hub']['fhir']}/Organization",
        params={"identifier": identifier, "_summary": "count"},
        headers={"Authorization": f"Bearer {token}"},
        timeout=30,
    )
    answer.raise_for_status()
    return int(answer.json()["total"])
