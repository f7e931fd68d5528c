"""`bench growth`: what becomes of searches, disk and bulk export as the repository grows to two million.

The answers of the mix have a fixed size, so that only the size of the repository differs. The load goes by
COPY through the real write path (extraction, identities, relations), without HTTP. HIE_BENCH_RESOURCES in the
environment makes it smaller for a look.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote, urlsplit

import psycopg
import requests

from deploy.benchmarks import stand
from deploy.benchmarks.bare_select import select_times_ms
from deploy.benchmarks.closed_loop import Loop, closed_loop, get
from deploy.benchmarks.effort import cpu_ms
from deploy.benchmarks.figures import Figure, Report, median_figure, percentile
from deploy.benchmarks.floors import fsync_ms, plain

SMALL, LARGE = 30_000, int(os.environ.get("HIE_BENCH_RESOURCES", "2000000"))
RESOURCES_EACH = 400
LOADERS, CLIENTS, ROUNDS, SECONDS, WARM_UP_S = 2, 4, 3, 5.0, 3.0
PEOPLE = 60
MUST_GROWTH, MUST_GB, MUST_EXPORT_S = 1.35, 6.0, 10_000
FLOOR = "SELECT content FROM resource WHERE compartment = %s AND type = 'Patient' AND id = %s"
EXPORT_FLOOR = "COPY (SELECT content FROM resource WHERE NOT deleted) TO STDOUT"
# Name of a search: path with the person's id, number, family name, birth date.
MIX = {
    "read": "Patient/{id}",
    "identifier": "Patient?identifier={number}",
    "name_and_birth_date": "Patient?family={family}&birthdate={born}&_count=5",
    "observation_code": "Observation?patient={id}&code=http://loinc.org|718-7&_count=5",
    "observation_date": "Observation?patient={id}&date=ge2010-01-01&_sort=-date&_count=10",
    "observation_value": "Observation?patient={id}&value-quantity=gt100&_count=5",
    "condition": "Condition?patient={id}&_count=3",
    "encounters": "Encounter?patient={id}&_sort=-date&_count=5",
    "medication": "MedicationRequest?patient={id}&status=completed,active&_count=5",
    "chained": "Observation?patient.identifier={number}&_sort=-date&_count=5",
    "newest_of_a_code": "Observation?code=http://loinc.org|718-7&_sort=-date&_count=10",
    "with_subject": "DiagnosticReport?patient={id}&_include=DiagnosticReport:subject&_count=3",
}


@dataclass(slots=True)
class Mixed:
    """What the searches took at one size, by round: p50 in ms by name, effort in ms a request; errors.

    floor_ms: p50 of the bare SELECT of a Patient by its key.
    """

    times: dict[str, list[float]]
    server_ms: list[float] = field(default_factory=list)
    database_ms: list[float] = field(default_factory=list)
    errors: int = 0
    floor_ms: float = 0.0

    def p50(self, name: str) -> float:
        """Return the median of the rounds of a search, or of all."""
        return statistics.median(self.times[name])


def run(_data: Path | None) -> Report:
    """Measure at 30,000 and at two million resources."""
    report = Report("growth")
    with stand.region(hospitals=1) as place:
        fsync = fsync_ms(Path(place["dir"]))
        rate = _load(place, SMALL)
        small = _mix(place, SMALL)
        rate = _load(place, LARGE) or rate
        large = _mix(place, LARGE)
        gigabytes = _disk(place)
        export_rate, floor, growth_mb = _export(place)
    bare = large.floor_ms / small.floor_ms
    report.figures.append(
        Figure("search_mix_growth", large.p50("all") / small.p50("all"), "times", "lower", MUST_GROWTH, bare)
    )
    for size, mixed in ((SMALL, small), (LARGE, large)):
        at = f"at_{size}"
        report.figures += [
            median_figure(f"search_mix_p50_{at}", mixed.times["all"], "ms", "lower", floor=mixed.floor_ms),
            median_figure(f"search_mix_cpu_server_{at}", mixed.server_ms, "ms/req", "lower"),
            median_figure(f"search_mix_cpu_postgresql_{at}", mixed.database_ms, "ms/req", "lower"),
        ]
    report.figures += [
        Figure("search_mix_errors", small.errors + large.errors, "answers", "lower", 0),
        Figure("disk_per_2_million", gigabytes, "GB", "lower", MUST_GB),
        Figure("load", rate, "resources/s", "higher"),
        Figure("export", export_rate, "resources/s", "higher", MUST_EXPORT_S, floor),
        Figure("export_memory_growth", growth_mb, "MB", "lower", 64),
        Figure("fsync", fsync, "ms", "lower"),
    ]
    for name in MIX:
        report.figures.append(Figure(f"{name}_growth", large.p50(name) / small.p50(name), "times", "lower"))
        report.figures.append(Figure(f"{name}_p50_at_{LARGE}", large.p50(name), "ms", "lower"))
    return report


def _load(place: dict[str, Any], size: int) -> float:
    """Fill the repository up to a size; return the resources per second."""
    missing = size - stand.count_resources(place)
    if missing <= 0:
        return 0.0
    first = stand.count_resources(place) // RESOURCES_EACH
    until = first + -(-missing // RESOURCES_EACH)
    env = os.environ | {"HIE_CONFIG": place["hub"]["settings_file"]}
    begin = shown = time.monotonic()
    done = 0
    loaders = [
        subprocess.Popen(words, env=env, cwd=stand.ROOT, stdout=subprocess.PIPE, text=True)
        for words in (_loader(first + n, until) for n in range(LOADERS))
    ]

    def follow(loader: subprocess.Popen[str]) -> None:
        nonlocal done, shown
        assert loader.stdout is not None
        for line in loader.stdout:
            done += int(line)
            if time.monotonic() - shown > 10:
                shown = time.monotonic()
                stand.say(f"{done} of {missing} resources, {done / (shown - begin):.0f}/s")

    with ThreadPoolExecutor(LOADERS) as pool:
        list(pool.map(follow, loaders))
    if any(loader.wait() for loader in loaders):
        raise RuntimeError("A loader failed; its error stands above.")
    rate = missing / (time.monotonic() - begin)
    stand.say(f"{size} resources loaded at {rate:.0f}/s; VACUUM ANALYZE")
    with psycopg.connect(plain(place["hub"]["database_url"]), autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
    return rate


def _loader(first: int, until: int) -> list[str]:
    words = ["--first", first, "--until", until, "--step", LOADERS, "--resources", RESOURCES_EACH]
    return [sys.executable, "-m", "deploy.benchmarks.bulk_load", *map(str, words)]


def _mix(place: dict[str, Any], size: int) -> Mixed:
    """Return what the searches take, all together from several clients and each alone from one."""
    hub = urlsplit(place["hub"]["fhir"])
    token = stand.token(place)
    paths = _paths(place)
    found = Mixed({name: [] for name in ("all", *MIX)})

    def loop(some: list[str], clients: int, seconds: float) -> Loop:
        asked = cycle([get(f"{hub.path}/{path}", hub.netloc, token) for path in some])
        seen = closed_loop(hub.netloc, asked, clients, seconds, len, count_errors=True)
        found.errors += seen.errors
        return seen

    def p50_ms(seen: Loop) -> float:
        return percentile(seen.times, 0.5) * 1000

    mixed = [path for people in zip(*paths.values(), strict=True) for path in people]
    Random(3).shuffle(mixed)
    loop(mixed, CLIENTS, WARM_UP_S)
    for _ in range(ROUNDS):
        before = _efforts(place)
        seen = loop(mixed, CLIENTS, SECONDS)
        server, database = (b - a for a, b in zip(before, _efforts(place), strict=True))
        found.server_ms.append(server / len(seen.times))
        found.database_ms.append(database / len(seen.times))
        found.times["all"].append(p50_ms(seen))
        for name, some in paths.items():
            found.times[name].append(p50_ms(loop(some, 1, SECONDS / 10)))
    ids = [(path.partition("/")[2],) * 2 for path in paths["read"]]
    found.floor_ms = statistics.median(select_times_ms(place["hub"]["database_url"], FLOOR, ids, 1.0))
    stand.say(f"at {size}: " + ", ".join(f"{name} {found.p50(name):.1f} ms" for name in found.times))
    return found


def _efforts(place: dict[str, Any]) -> tuple[float, float]:
    return cpu_ms([place["pids"]["hub.web"]]), cpu_ms([place["pids"]["postgres"]])


def _paths(place: dict[str, Any]) -> dict[str, list[str]]:
    with psycopg.connect(plain(place["hub"]["database_url"])) as connection:
        people = connection.execute(
            "SELECT id, content::jsonb #>> '{identifier,0,value}', content::jsonb #>> '{name,0,family}',"
            " content::jsonb ->> 'birthDate' FROM resource WHERE type = 'Patient'"
            " AND content::jsonb #>> '{name,0,family}' IS NOT NULL ORDER BY id LIMIT %s",
            (PEOPLE,),
        ).fetchall()
    paths: dict[str, list[str]] = {name: [] for name in MIX}
    for id_, number, family, born in people:
        known = {"id": id_, "number": quote(number), "family": quote(family), "born": born}
        for name, path in MIX.items():
            paths[name].append(path.replace("|", "%7C").format(**known))
    return paths


def _disk(place: dict[str, Any]) -> float:
    """Return GB on disk, all indexes and history, per two million resources."""
    with psycopg.connect(plain(place["hub"]["database_url"])) as connection:
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    assert row is not None
    return float(row[0]) / 1e9 * 2_000_000 / stand.count_resources(place)


def _export(place: dict[str, Any]) -> tuple[float, float, float]:
    """Return (resources per second, the floor's, growth of the worker's memory in MB) of a system export."""
    floor = _copy_out(place)
    worker = place["pids"]["hub.work"]
    before = _memory_mb(worker)
    peak = before
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {stand.token(place)}"
        begin = time.monotonic()
        answer = session.get(
            f"{place['hub']['fhir']}/$export", headers={"Prefer": "respond-async"}, timeout=60
        )
        if answer.status_code != 202:
            raise RuntimeError(f"$export was answered {answer.status_code}: {answer.text[:300]}")
        status = answer.headers["Content-Location"]
        shown = begin
        while (answer := session.get(status, timeout=60)).status_code in (202, 429):
            peak = max(peak, _memory_mb(worker))
            if time.monotonic() - shown > 5:
                shown = time.monotonic()
                stand.say(f"export: {answer.headers.get('X-Progress', 'waiting')}")
            time.sleep(0.2)
        spent = time.monotonic() - begin
    if answer.status_code != 200:
        raise RuntimeError(f"The export ended with {answer.status_code}: {answer.text[:300]}")
    exported = sum(file.get("count", 0) for file in answer.json()["output"])
    if exported < stand.count_resources(place):
        raise RuntimeError(f"The export holds {exported} resources, not all.")
    return exported / spent, floor, max(0.0, peak - before)


def _copy_out(place: dict[str, Any]) -> float:
    begin = time.monotonic()
    with (
        psycopg.connect(plain(place["hub"]["database_url"])) as connection,
        connection.cursor() as cursor,
        cursor.copy(EXPORT_FLOOR) as copy,
    ):
        for _ in copy:
            pass
    return stand.count_resources(place) / (time.monotonic() - begin)


def _memory_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0
