"""Two writers at once: one wins, nothing is doubled, nobody waits for ever."""

import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from hie.errors import HieError
from hie.repository import read, store
from hie.repository.writes import Write

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)


def resource(id_: str, value: str) -> dict[str, Any]:
    return {"resourceType": "Basic", "id": id_, "code": {"text": value}}


def together(threads: int, act: Callable[[int], None]) -> list[BaseException]:
    failures: list[BaseException] = []
    start = threading.Barrier(threads)

    def run(number: int) -> None:
        try:
            start.wait()
            act(number)
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    workers = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert not any(worker.is_alive() for worker in workers)
    return failures


def test_one_id_created_by_sixteen_is_created_once(fresh_database_url: str) -> None:
    engine = sa.create_engine(fresh_database_url, pool_size=16)
    fates: Counter[str] = Counter()

    def create(number: int) -> None:
        with Session(engine) as session, session.begin():
            outcome = store.write(session, [Write("put", "Basic", "x", resource("x", str(number)))], NOW)[0]
        fates[outcome.fate] += 1

    assert together(16, create) == []
    assert fates == {"created": 1, "updated": 15}
    with Session(engine) as session:
        versions = read.history(session, "Basic", "x", sa.true())
    assert sorted(v.version for v in versions) == list(range(1, 17))
    engine.dispose()


def test_create_insists_on_being_the_first(fresh_database_url: str) -> None:
    engine = sa.create_engine(fresh_database_url, pool_size=8)

    def create(number: int) -> None:
        with Session(engine) as session, session.begin():
            store.write(session, [Write("create", "Basic", "x", resource("x", str(number)))], NOW)

    failures = together(8, create)
    assert len(failures) == 7
    assert all(isinstance(error, HieError) and error.http == 409 for error in failures)
    engine.dispose()


def test_batches_that_share_keys_in_any_order_do_not_deadlock(fresh_database_url: str) -> None:
    engine = sa.create_engine(fresh_database_url, pool_size=8)
    ids = [f"k{n}" for n in range(40)]

    def write(number: int) -> None:
        for turn in range(10):
            mine = ids[:: 1 if (number + turn) % 2 else -1]
            with Session(engine) as session, session.begin():
                writes = [Write("put", "Basic", id_, resource(id_, f"{number}.{turn}")) for id_ in mine]
                store.write(session, writes, NOW)

    assert together(6, write) == []
    with Session(engine) as session:
        for id_ in ids:
            numbers = [v.version for v in read.history(session, "Basic", id_, sa.true())]
            assert sorted(numbers) == list(range(1, 61))
    engine.dispose()


def test_a_waiting_writer_sees_what_the_first_one_committed(fresh_database_url: str) -> None:
    engine = sa.create_engine(fresh_database_url, pool_size=4)
    with Session(engine) as session, session.begin():
        store.write(session, [Write("put", "Basic", "x", resource("x", "0"))], NOW)
    written = threading.Event()

    def second(_: int) -> None:
        written.wait(10)
        with Session(engine) as session, session.begin():
            outcome = store.write(session, [Write("put", "Basic", "x", resource("x", "2"))], NOW)[0]
            assert outcome.version == 3

    worker = threading.Thread(target=second, args=(0,))
    with Session(engine) as session, session.begin():
        store.write(session, [Write("put", "Basic", "x", resource("x", "1"))], NOW)
        worker.start()
        written.set()
        _until_somebody_waits(engine)
    worker.join(10)
    with Session(engine) as session:
        assert len(read.history(session, "Basic", "x", sa.true())) == 3
    engine.dispose()


def _until_somebody_waits(engine: sa.Engine) -> None:
    deadline = datetime.now(UTC).timestamp() + 10
    waiting = sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    while datetime.now(UTC).timestamp() < deadline:
        with engine.connect() as connection:
            if connection.execute(waiting).scalar_one():
                return
    raise AssertionError("nobody waits")
