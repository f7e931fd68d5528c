"""The floors: what the bare machine does for the same rows and bytes, without any of our code."""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path

import psycopg

BATCH = 400
READ = """SELECT compartment, type, id, version, facility, updated_at, source_at, epoch, seq, deleted, content
FROM resource LIMIT %s"""
COPY = """COPY floor_copy
(compartment, type, id, version, facility, updated_at, source_at, epoch, seq, deleted, content) FROM STDIN"""


def fsync_ms(directory: Path, rounds: int = 200) -> float:
    """Return the median time of writing 8 kB and fsync, in ms."""
    path = directory / "fsync.probe"
    times = []
    with path.open("wb", buffering=0) as file:
        for _ in range(rounds):
            begin = time.perf_counter()
            file.write(bytes(8192))
            os.fsync(file.fileno())
            times.append(time.perf_counter() - begin)
    path.unlink()
    return statistics.median(times) * 1000


def copy_rows_s(database_url: str, limit: int = 20000) -> tuple[float, int]:
    """Copy the present resources' rows into an empty, unindexed table, BATCH rows a commit.

    Returns: (rows per second, rows).
    """
    with psycopg.connect(plain(database_url)) as connection:
        connection.execute("DROP TABLE IF EXISTS floor_copy")
        connection.execute("CREATE TABLE floor_copy AS SELECT * FROM resource WITH NO DATA")
        connection.commit()
        rows = connection.execute(READ, (limit,)).fetchall()
        connection.commit()
        if not rows:
            return 0.0, 0
        begin = time.perf_counter()
        for at in range(0, len(rows), BATCH):
            with connection.cursor() as cursor, cursor.copy(COPY) as copy:
                for row in rows[at : at + BATCH]:
                    copy.write_row(row)
            connection.commit()
        spent = time.perf_counter() - begin
        connection.execute("DROP TABLE floor_copy")
        connection.commit()
    return len(rows) / spent, len(rows)


def select_ms(database_url: str, compartments: list[str], rounds: int = 30) -> tuple[float, int]:
    """Return (median ms, bytes) of the bare SELECT of the stored text of some compartments."""
    times, size = [], 0
    with psycopg.connect(plain(database_url)) as connection:
        for _ in range(rounds):
            begin = time.perf_counter()
            cursor = connection.cursor(binary=True)
            cursor.execute(
                "SELECT content FROM resource WHERE compartment = ANY(%s) AND NOT deleted", [compartments]
            )
            size = sum(len(row[0]) for row in cursor.fetchall())
            times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1000, size


def plain(database_url: str) -> str:
    """Return a libpq URL of a SQLAlchemy one."""
    return database_url.replace("postgresql+psycopg://", "postgresql://")
