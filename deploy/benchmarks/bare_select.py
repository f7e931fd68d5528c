"""The floor of reads: the same rows by psycopg in as many processes as there are clients, without HTTP."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

import psycopg

from deploy.benchmarks.floors import plain


def selects_s(
    database_url: str, query: str, values: Sequence[tuple[str, ...]], clients: int, seconds: float
) -> tuple[float, float]:
    """Return (statements per second, rows per second) of clients that share the values."""
    with ProcessPoolExecutor(clients) as pool:
        lanes = [pool.submit(_lane, plain(database_url), query, values[n:], seconds) for n in range(clients)]
        found = [lane.result() for lane in lanes]
    return sum(count / spent for count, _, spent in found), sum(rows / spent for _, rows, spent in found)


def select_times_ms(
    database_url: str, query: str, values: Sequence[tuple[str, ...]], seconds: float
) -> list[float]:
    """Return how long each statement of one client takes, in ms."""
    times: list[float] = []
    with psycopg.connect(plain(database_url), autocommit=True) as connection:
        cursor = connection.cursor(binary=True)
        start = begin = time.perf_counter()
        while begin - start < seconds:
            cursor.execute(query, values[len(times) % len(values)]).fetchall()
            end = time.perf_counter()
            times.append((end - begin) * 1000)
            begin = end
    return times


def _lane(
    database_url: str, query: str, values: Sequence[tuple[str, ...]], seconds: float
) -> tuple[int, int, float]:
    count = rows = 0
    with psycopg.connect(database_url, autocommit=True) as connection:
        cursor = connection.cursor(binary=True)
        begin = time.perf_counter()
        while (spent := time.perf_counter() - begin) < seconds:
            rows += len(cursor.execute(query, values[count % len(values)]).fetchall())
            count += 1
    return count, rows, spent
