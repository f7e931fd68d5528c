"""Capture on a real SQLite file: one fate per message, shared commits, no answer before the disk."""

import asyncio
import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from deploy.stack.postgres import Cluster
from front_end_processor import keys
from front_end_processor.app import Processor
from front_end_processor.cache import engine as cache_engine
from front_end_processor.cache.engine import CacheInUse, Claim, open_engine
from front_end_processor.cache.fates import Verdict
from front_end_processor.cache.migrate import alembic_config, migrate
from front_end_processor.cache.station import ForeignCache
from front_end_processor.cache.tables import REVISION, metadata, outbox
from front_end_processor.pipeline.capture import Received
from front_end_processor.pipeline.faults import NotKept
from front_end_processor.pipeline.inlets import replay, wait
from front_end_processor.pipeline.writer import NotStored
from tests.fep_world import adt, capture, fates, processor, rows, sent


def test_a_message_is_kept_as_it_came_with_what_it_became(tmp_path):
    raw = adt("A1")
    with processor(tmp_path) as fep:
        settled = capture(fep, raw)
        (row,), (entry,) = rows(fep), rows(fep, outbox)
        (bundle,) = sent(fep)
    assert settled.fate is Verdict.CAPTURED
    assert (row.raw, row.kind, row.sender, row.control_id) == (raw, "ADT^A01", "HIS", "A1")
    assert (entry.seq, entry.epoch) == (row.entries_from, row.epoch)
    assert {e["resource"]["resourceType"] for e in bundle["entry"]} == {"Patient", "Encounter"}


def test_the_number_of_the_patient_stands_in_the_raw_message_only(tmp_path):
    with processor(tmp_path) as fep:
        capture(fep, adt("A1", number="SECRET77"))
        (row,), (entry,) = rows(fep), rows(fep, outbox)
    shown = {key: value for key, value in row._mapping.items() if key != "raw"}
    assert "SECRET77" not in str(shown) + str({k: v for k, v in entry._mapping.items() if k != "payload"})


def test_the_same_message_twice_is_kept_once_and_counted(tmp_path):
    with processor(tmp_path) as fep:
        capture(fep, adt("A1"))
        again = capture(fep, adt("A1"))
        (row,) = rows(fep)
        assert (again.fate, again.seq, row.repeats) == (Verdict.REPEATED, row.seq, 1)
        assert len(rows(fep, outbox)) == 1


def test_a_control_id_over_other_content_is_set_aside_where_an_inlet_may_not_reuse_it(tmp_path):
    with processor(tmp_path) as fep:
        capture(fep, adt("A1"))
        other = capture(fep, adt("A1", name="李^四"))
        assert other.fate is Verdict.SET_ASIDE
        assert "Control id already used" in other.reason
        assert (fates(fep), len(rows(fep, outbox))) == (["captured", "set_aside"], 1)


def test_a_sender_who_no_longer_waits_does_not_end_the_writer(tmp_path):
    async def leave(fep: Processor) -> None:
        waiting = asyncio.ensure_future(fep.hl7.capture(adt("A1"), "127.0.0.1:1"))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    with processor(tmp_path) as fep:
        with fep.cache.writing():  # the disk takes its time
            asyncio.run(leave(fep))
        assert capture(fep, adt("A2")).fate is Verdict.CAPTURED
        assert fep.writer.is_alive()
        assert fates(fep) == ["captured", "captured"]


def test_a_refused_message_does_not_hold_up_the_next_one(tmp_path):
    with processor(tmp_path) as fep:
        refused = capture(fep, adt("A1", event="Z99"))
        assert refused.fate is Verdict.SET_ASIDE
        assert capture(fep, adt("A2")).fate is Verdict.CAPTURED
        row = rows(fep)[0]
    assert (row.control_id, row.kind, row.sender) == ("A1", "ADT^Z99", "HIS")


def test_senders_at_once_share_commits_and_each_keeps_its_order(tmp_path):
    with processor(tmp_path) as fep:
        commits = []
        sa.event.listen(fep.cache.engine, "commit", lambda _connection: commits.append(1))

        def send(number: int) -> None:
            for turn in range(20):
                capture(fep, adt(f"{number}-{turn}", number=f"P{number}"))

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(send, range(16)))
        ids = [row.control_id for row in rows(fep)]
    assert len(ids) == 320
    assert len(commits) < 320
    for number in range(16):
        own = [one for one in ids if one.startswith(f"{number}-")]
        assert own == [f"{number}-{turn}" for turn in range(20)]


def test_a_database_that_is_locked_means_not_stored_and_later_stored(tmp_path, monkeypatch):
    monkeypatch.setattr(cache_engine, "BUSY_TIMEOUT_S", 0.2)
    with processor(tmp_path) as fep:
        capture(fep, adt("A0"))
        other = open_engine(f"sqlite:///{tmp_path}/cache.db")
        with other.begin(), pytest.raises(NotStored, match="send it again"):
            capture(fep, adt("A1"))
        other.dispose()
        assert capture(fep, adt("A1")).fate is Verdict.CAPTURED
        assert [row.control_id for row in rows(fep)] == ["A0", "A1"]


def test_a_full_disk_means_not_stored(tmp_path):
    with processor(tmp_path) as fep:
        capture(fep, adt("A0"))
        with fep.cache.writing() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()

        def limit(connection, _record, _proxy):
            connection.execute(f"PRAGMA max_page_count={pages}")

        sa.event.listen(fep.cache.engine, "checkout", limit)
        with pytest.raises(NotStored):
            capture(
                fep, adt("A1", more="NTE|1||" + "".join(chr(0x4E00 + i % 9999) for i in range(30000)) + "\r")
            )


def test_a_message_that_breaks_the_writing_is_set_aside_and_its_neighbours_are_kept(tmp_path):
    with processor(tmp_path) as fep:
        normalise = fep.capture._normalisers["mllp"]

        def broken(received):
            made = normalise(received)
            if b"BREAKS" not in received.raw:
                return made
            return replace(made, entries=[replace(made.entries[0], kind="ADT^\ud800")])

        fep.capture._normalisers["mllp"] = broken
        taken = [fep.capture.take(Received("mllp", adt(name))) for name in ("A0", "BREAKS", "A2")]
        assert wait(taken[0]).fate is wait(taken[2]).fate is Verdict.CAPTURED
        with pytest.raises(NotKept):
            wait(taken[1])
        (row,) = [row for row in rows(fep) if row.fate == "set_aside"]
        assert (row.control_id, row.raw, row.reason) == ("BREAKS", adt("BREAKS"), NotKept.describe())
        assert len(rows(fep, outbox)) == 2
        fep.capture._normalisers["mllp"] = normalise
        assert replay(fep.capture, fep.cache, row.seq).fate is Verdict.CAPTURED


def test_a_sender_is_told_ae_where_the_content_is_at_fault_and_the_next_is_kept(tmp_path):
    with processor(tmp_path) as fep:
        normalise = fep.capture._normalisers["mllp"]
        fep.capture._normalisers["mllp"] = lambda received: replace(
            made := normalise(received), entries=[replace(made.entries[0], kind="ADT^\ud800")]
        )
        answer = asyncio.run(_answer(fep, adt("A1")))
    assert b"MSA|AE|A1|" in answer


async def _answer(fep, raw):
    return await fep.hl7.capture(raw, "peer")


def test_a_file_whose_name_is_no_utf8_is_kept(tmp_path):
    name = b"patients-20260401-\xff.csv".decode("utf-8", "surrogateescape")
    with processor(tmp_path) as fep:
        wait(fep.capture.take(Received("mllp", adt("A1"), request=name)))
        (row,) = rows(fep)
    assert row.request == "patients-20260401-?.csv"


def test_what_was_set_aside_is_replayed_after_a_fix_without_doubling(tmp_path):
    with processor(tmp_path, FEP_PROFILE="h01") as fep:
        settled = capture(fep, adt("A1", name="李^四"))
        reused = capture(fep, adt("A1", name="李^四^"))
        done = replay(fep.capture, fep.cache, reused.seq)
        row = rows(fep)[1]
    assert (settled.fate, done.fate, done.seq) == (Verdict.CAPTURED, Verdict.CAPTURED, reused.seq)
    assert (row.fate, row.reason, row.entries) == ("captured", "", 1)
    assert row.replayed_at is not None
    assert row.entries_from > row.seq


def test_a_start_begins_a_new_epoch_and_numbers_go_on(tmp_path):
    with processor(tmp_path) as fep:
        capture(fep, adt("A1"))
        first = fep.epoch
    with processor(tmp_path) as fep:
        capture(fep, adt("A2"))
        entries = rows(fep, outbox)
    assert [entry.epoch for entry in entries] == [first, fep.epoch]
    assert fep.epoch > first
    assert entries[1].seq > entries[0].seq


def test_a_restored_cache_never_repeats_an_epoch(tmp_path):
    with processor(tmp_path) as fep:
        first = fep.epoch
    (tmp_path / "cache.db").unlink()
    with processor(tmp_path) as fep:
        assert fep.epoch > first
    (tmp_path / "keys" / "epoch").unlink()
    second = fep.epoch
    with processor(tmp_path) as fep:
        assert fep.epoch > second


def test_two_processors_do_not_share_a_cache(tmp_path):
    with processor(tmp_path), pytest.raises(CacheInUse), processor(tmp_path):
        pass


def test_another_hospitals_cache_is_refused(tmp_path):
    with processor(tmp_path):
        pass
    with pytest.raises(ForeignCache), processor(tmp_path, FEP_FACILITY="H02"):
        pass


def test_the_key_of_the_ids_is_never_replaced(tmp_path):
    keys.init(tmp_path / "keys", "H01")
    before = (tmp_path / "keys" / "id.key").read_bytes()
    assert keys.init(tmp_path / "keys", "H01") == []
    assert (tmp_path / "keys" / "id.key").read_bytes() == before


@pytest.fixture
def empty_database_url(cluster: Cluster) -> Iterator[str]:
    """A PostgreSQL database without tables."""
    name = f"fep_{secrets.token_hex(6)}"
    with psycopg.connect(cluster.url(), autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"')
    yield cluster.url(name).replace("postgresql://", "postgresql+psycopg://", 1)
    with psycopg.connect(cluster.url(), autocommit=True) as admin:
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def differences(url: str) -> list:
    migrate(url)
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), metadata)
    engine.dispose()
    return found


def test_the_migrations_make_the_tables_that_the_code_knows(tmp_path):
    assert differences(f"sqlite:///{tmp_path}/new.db") == []
    assert ScriptDirectory.from_config(alembic_config("")).get_current_head() == REVISION


def test_the_cache_may_be_a_postgresql_database(tmp_path: Path, empty_database_url: str):
    assert differences(empty_database_url) == []
    with processor(tmp_path, FEP_CACHE_URL=empty_database_url) as fep:
        first = capture(fep, adt("A1"))
        again = capture(fep, adt("A1"))
        threads = [threading.Thread(target=capture, args=(fep, adt(f"B{n}"))) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (first.fate, again.fate) == (Verdict.CAPTURED, Verdict.REPEATED)
        assert len(rows(fep)) == 9
        with pytest.raises(CacheInUse), processor(tmp_path, FEP_CACHE_URL=empty_database_url):
            pass


@pytest.fixture
def claim(empty_database_url: str) -> Iterator[Claim]:
    """The claim of a cache in PostgreSQL."""
    engine = open_engine(empty_database_url)
    made = Claim(engine)
    yield made
    made.release()
    engine.dispose()


def cut_off(url: str) -> None:
    """End every connection to a database, as its restart does."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_a_claim_that_went_with_its_connection_is_taken_again(claim: Claim, empty_database_url: str):
    cut_off(empty_database_url)
    assert claim.still_holds()
    other = open_engine(empty_database_url)
    with pytest.raises(CacheInUse):
        Claim(other)
    other.dispose()


def test_a_claim_that_another_took_meanwhile_is_lost(claim: Claim, empty_database_url: str):
    cut_off(empty_database_url)
    other = open_engine(empty_database_url)
    later = Claim(other)
    assert not claim.still_holds()
    later.release()
    other.dispose()
