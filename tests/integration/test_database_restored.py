"""A hub's database that pg_dump saved and another PostgreSQL cluster restored: nobody misses anything."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from deploy.stack import postgres
from deploy.stack.postgres import Cluster, binaries
from hie.schema import AuditEventRow, rebasing
from hie.schema.base import Base
from hie.schema.repository import Xid8
from hie.work.process import work_once
from tests.hub_world import Caller, Json, application, created, patient
from tests.receiver import Receiver, receiving
from tests.subscriptions_world import by_criteria, events, turn

WAIT = {"Prefer": "respond-async"}
OLD_AGE = "DO $$ BEGIN FOR i IN 1..5000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def settings(tmp_path: Path, receiver: Receiver) -> dict[str, str]:
    return {"HIE_EXPORT_DIR": str(tmp_path / "exports"), "HIE_NOTIFY_TO": f"{receiver.url}/notices"}


@pytest.fixture
def elsewhere(servers_dir: Path) -> Iterator[Cluster]:
    """Another cluster, with an empty database."""
    directory = servers_dir / "elsewhere"
    directory.mkdir(mode=0o711)
    running = postgres.throwaway(directory)
    postgres.ensure_database(running, "hie", postgres.ACCOUNT)
    yield running
    postgres.stop(running)


def restored(url: str, elsewhere: Cluster, dump: Path) -> str:
    """Carry a database into another cluster, as an operator does; return its address there."""
    plain = url.replace("postgresql+psycopg://", "postgresql://", 1)
    run(str(binaries() / "pg_dump"), "-Fc", "-f", str(dump), plain)
    run(str(binaries() / "pg_restore"), "--exit-on-error", "-d", elsewhere.url("hie"), str(dump))
    return elsewhere.url("hie").replace("postgresql://", "postgresql+psycopg://", 1)


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def hie(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"HIE_DATABASE_URL": url, "HIE_HTTP": "127.0.0.1:1"}
    command = [str(Path(sys.executable).parent / "hie"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def exported(app: Flask, call: Caller, path: str) -> tuple[set[str], str]:
    """Which resources an export gives, and as of when."""
    job = call("GET", path, **WAIT).headers["Content-Location"].partition("/fhir")[2]
    hub = app.extensions["hie"]
    while work_once(hub.engine, hub.config, ("export",), lambda: False):
        pass
    found: Json = call("GET", job).get_json()
    files = [call("GET", one["url"].partition("/fhir")[2]) for one in found["output"]]
    texts = [line for file in files for line in file.get_data(as_text=True).splitlines()]
    return {line.partition('"id":"')[2].partition('"')[0] for line in texts}, found["transactionTime"]


def test_every_stored_transaction_id_is_known_to_the_rebase() -> None:
    stored = {
        (table.name, column.name)
        for table in Base.metadata.tables.values()
        for column in table.columns
        if isinstance(column.type, Xid8)
    }
    known = {(name, "xid") for name in rebasing.WRITTEN} | set(rebasing.MARKS.items()) | {("job", "snapshot")}
    assert stored == known


def test_after_a_restore_into_another_cluster_every_reader_goes_on_where_it_stood(
    fresh_database_url: str, elsewhere: Cluster, tmp_path: Path, receiver: Receiver, settings: dict[str, str]
) -> None:
    with psycopg.connect(fresh_database_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(OLD_AGE)
    with application(fresh_database_url, **settings) as app:
        call = Caller(app)
        created(call, by_criteria(receiver, "Patient?gender=male", payload="application/fhir+json"))
        turn(app)
        seen = created(call, patient("1", gender="male"))["id"]
        turn(app)
        found, since = exported(app, call, "/$export?_type=Patient")
        assert found == {seen}
        unseen = created(call, patient("2", gender="male"))["id"]
        open_job = call("GET", "/$export?_type=Patient", **WAIT).headers["Content-Location"]
    url = restored(fresh_database_url, elsewhere, tmp_path / "hie.dump")
    with ThreadPoolExecutor() as pool:
        for refused in pool.map(partial(hie, url), ("web", "work", "ingest", "redrive")):
            assert (refused.returncode, "hie rebase" in refused.stderr) == (2, True), refused.stderr
    done = hie(url, "rebase")
    assert (done.returncode, done.stdout.strip()) == (0, '{"rebased": true}'), done.stderr
    assert hie(url, "rebase").stdout.strip() == '{"rebased": false}'
    assert hie(url, "redrive").returncode == 0
    receiver.told.clear()
    with application(url, **settings) as app:
        call = Caller(app)
        failed = call("GET", open_job.partition("/fhir")[2])
        assert "restored" in failed.get_data(as_text=True)
        late = created(call, patient("3", gender="male"))["id"]
        turn(app)
        turn(app)
        assert [one.path.rpartition("/")[2] for one in receiver.told] == [unseen, late]
        assert [(number, id_) for number, id_, _ in events(app)] == [(1, seen), (2, unseen), (3, late)]
        assert exported(app, call, f"/$export?_type=Patient&_since={since.replace('+', '%2B')}")[0] == {
            unseen,
            late,
        }
        assert exported(app, call, "/$export?_type=Patient")[0] == {seen, unseen, late}
        with Session(app.extensions["hie"].engine) as session:
            rebased = sa.select(AuditEventRow.actor).where(AuditEventRow.operation == "database.rebase")
            assert len(session.scalars(rebased).all()) == 1
