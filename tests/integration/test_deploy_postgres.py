"""The private PostgreSQL cluster."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import psycopg

from deploy.stack import postgres
from deploy.stack.processes import started_in, wait_until


def test_a_killed_postgresql_comes_back_with_its_data(servers_dir: Path) -> None:
    cluster = replace(postgres.throwaway(servers_dir / "killed"), forgetful=False)
    postgres.stop(cluster)
    postgres.start(cluster, dies_with_parent=True)
    with psycopg.connect(cluster.url()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    postmaster = postgres.running(cluster)
    assert postmaster is not None
    os.kill(postmaster.pid, signal.SIGKILL)
    assert wait_until(lambda: postgres.running(cluster) is None, timeout_s=5)

    postgres.start(cluster, dies_with_parent=True)

    with psycopg.connect(cluster.url()) as connection:
        assert connection.execute("SELECT one FROM kept").fetchone() == (1,)
    postgres.stop(cluster)
    assert list(started_in(cluster.data)) == []


def test_starting_postgresql_twice_is_harmless(servers_dir: Path) -> None:
    cluster = postgres.throwaway(servers_dir / "twice")
    first = postgres.running(cluster)
    assert postgres.start(cluster) == first
    postgres.stop(cluster)
