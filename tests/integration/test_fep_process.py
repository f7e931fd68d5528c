"""A processor as a process, killed and stopped at bad moments."""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from esb.runtime import BROKEN
from front_end_processor.adapters.hl7v2.client import Client
from front_end_processor.app import exit_on_task
from front_end_processor.cache.engine import Cache
from front_end_processor.cache.tables import message, outbox
from tests.fep_world import ROOT, TOKEN, Running, adt, settings, until


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@pytest.fixture
def running(tmp_path) -> Iterator[Running]:
    """A running processor without broker and hub."""
    http, mllp = free_ports(2)
    made = Running(tmp_path, http, mllp, FEP_INBOX_DIR=str(tmp_path / "inbox"))
    yield made
    made.stop()


def counted(running: Running) -> tuple[int, int, int]:
    """Messages, distinct control ids, outbox rows."""
    cache = Cache(running.env["FEP_CACHE_URL"])
    with cache.reading() as connection:
        ids = list(connection.scalars(sa.select(message.c.control_id)))
        entries = len(list(connection.scalars(sa.select(outbox.c.seq))))
    cache.close()
    return len(ids), len(set(ids)), entries


def test_killed_between_disk_and_acknowledgement_the_resend_is_not_doubled(running):
    acknowledged: list[str] = []
    stop = threading.Event()

    def send() -> None:
        number = 0
        while not stop.is_set():
            control_id = f"K{number}"
            try:
                with Client("127.0.0.1", running.mllp, 5) as client:
                    while not stop.is_set():
                        control_id = f"K{number}"
                        if b"|AA|" in client.send(adt(control_id, number=f"P{number % 7}")):
                            acknowledged.append(control_id)
                            number += 1
            except OSError:
                stop.wait(0.05)

    sender = threading.Thread(target=send)
    sender.start()
    for _ in range(3):
        before = len(acknowledged)
        while len(acknowledged) < before + 40:
            assert sender.is_alive()
            stop.wait(0.01)
        running.kill()
        running.restart()
    before = len(acknowledged)
    while len(acknowledged) < before + 5:
        stop.wait(0.01)
    stop.set()
    sender.join(10)
    messages, distinct, entries = counted(running)
    assert messages == distinct == entries
    assert distinct >= len(set(acknowledged)) == len(acknowledged)


def test_it_starts_and_acknowledges_without_broker_and_hub_and_ends_cleanly(running):
    with Client("127.0.0.1", running.mllp) as client:
        assert b"MSA|AA|A1" in client.send(adt("A1"))
    assert running.stop() == 0
    assert counted(running) == (1, 1, 1)


def test_every_inlet_of_one_process_takes_its_kind(running, tmp_path):
    with Client("127.0.0.1", running.mllp) as client:
        assert b"MSA|AE|" not in client.send(adt("A1"))
    request = urllib.request.Request(
        f"http://127.0.0.1:{running.http}/fhir",
        data=json.dumps({"resourceType": "Bundle", "type": "collection", "entry": [PATIENT]}).encode(),
        headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/fhir+json"},
    )
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200
    draft = tmp_path / "inbox" / "charges-20260401-01.csv.part"
    draft.write_text(CHARGES, "gb18030")
    draft.rename(draft.with_suffix(""))
    done = tmp_path / "inbox" / "done" / "charges-20260401-01.csv"
    until(done.exists)
    assert counted(running) == (3, 3, 3)


def test_a_body_in_chunks_is_taken_whole_or_not_at_all(tmp_path):
    http, mllp = free_ports(2)
    running = Running(tmp_path, http, mllp, FEP_MAX_MESSAGE="4096")
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [PATIENT]}
    whole = json.dumps(bundle).encode()
    # As text it would be whole wherever it is cut.
    long = whole + b" " * (3 << 20)

    def answered(head: str, *sent: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", http), 10) as connection:
            lines = ("POST /fhir HTTP/1.1", "Host: x", f"Authorization: Bearer {TOKEN}", head)
            connection.sendall("\r\n".join((*lines, "Content-Type: application/fhir+json", "", "")).encode())
            with contextlib.suppress(OSError):
                for piece in sent:
                    connection.sendall(piece)
                connection.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                return connection.recv(12)
            return b""

    def chunk(content: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(content), content)

    chunked, end = "Transfer-Encoding: chunked", b"0\r\n\r\n"
    try:
        assert answered(f"Content-Length: {len(whole) + 9}", whole) == b""
        assert answered(chunked, chunk(whole)) == b""
        assert answered(chunked, chunk(long), end) in (b"HTTP/1.1 413", b"")
        assert counted(running) == (0, 0, 0)
        assert answered(chunked, chunk(whole[:50]), chunk(whole[50:]), end) == b"HTTP/1.1 200"
        assert counted(running) == (1, 1, 1)
    finally:
        running.stop()


def test_a_truncated_frame_and_a_message_over_the_limit_get_a_row_and_the_next_one_is_taken(tmp_path):
    http, mllp = free_ports(2)
    running = Running(tmp_path, http, mllp, FEP_MAX_MESSAGE="4096")
    try:
        with Client("127.0.0.1", mllp) as client:
            answer = client.send(adt("BIG", more="NTE|1||" + "x" * 5000 + "\r"))
            assert b"|AR|" in answer
            assert b"|AA|" in client.send(adt("A1"))
            client.write_bytes(b"\x0b" + adt("HALF")[:80])
            client.end()
            client.read()
        cache = Cache(running.env["FEP_CACHE_URL"])
        with cache.reading() as connection:
            rows = connection.execute(
                sa.select(message.c.fate, message.c.reason).order_by(message.c.seq)
            ).all()
        cache.close()
    finally:
        running.stop()
    assert [row.fate for row in rows] == ["set_aside", "captured", "set_aside"]
    assert "size limit" in rows[0].reason
    assert "middle of a frame" in rows[2].reason


def fep(*arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "front_end_processor", *arguments]
    return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False)


BREAKING = """
import asyncio, os, threading
from front_end_processor.app import Processor, run
from front_end_processor.config import Config

def broken():
    raise ValueError("Zhang San")

threading.Timer(1, broken).start()
raise SystemExit(asyncio.run(run(Processor(Config.from_env(os.environ)))))
"""


def test_a_thread_that_breaks_ends_the_process_and_names_no_patient(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", BREAKING],
        env=settings(tmp_path),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    told = ended.stdout + ended.stderr
    assert (ended.returncode, "ValueError" in told, "in broken" in told) == (BROKEN, True, True)
    assert "Zhang" not in told


def test_the_commands_explain_themselves_and_what_is_wrong(tmp_path):
    assert "examples:" in fep("--help", env={}).stdout
    nothing = fep("run", env={})
    assert nothing.returncode == 1
    assert "FEP_FACILITY is missing" in nothing.stderr
    env = settings(tmp_path, FEP_PROFILE="nowhere")
    found = fep("check", env=env)
    assert found.returncode == 1
    assert "FIX  profile: profile nowhere: not found" in found.stdout
    assert "FIX  keys" in found.stdout
    assert "Traceback" not in found.stdout + found.stderr + nothing.stderr


PATIENT = {"resource": {"resourceType": "Patient", "id": "p1", "name": [{"text": "张三"}]}}
CHARGES = (
    "费用流水号,患者编号,就诊流水号,项目代码,项目名称,费用类别代码,费用类别,数量,单价,金额,费用状态,收费时间,记账日期,更新时间\n"
    "C1,P1,V1,X01,阿莫西林,01,西药费,2,6.25,12.50,normal,2026-04-01 10:00:00,2026-04-01,2026-04-01 10:00:00\n"
)


def test_a_task_that_breaks_ends_the_process(monkeypatch):
    ended = []
    monkeypatch.setattr("front_end_processor.app.os._exit", ended.append)

    async def world() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(exit_on_task)
        loop.call_soon(int, "no number")
        loop.call_exception_handler({"message": "a peer is gone", "exception": ConnectionResetError()})
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(world())
    assert ended == [BROKEN]
