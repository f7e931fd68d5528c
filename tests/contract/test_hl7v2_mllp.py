"""The MLLP listener over real sockets: order, limits, faults, slow and dead peers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from front_end_processor.adapters.hl7v2.ack import acknowledge
from front_end_processor.adapters.hl7v2.client import Client
from front_end_processor.adapters.hl7v2.framing import END, START
from front_end_processor.adapters.hl7v2.mllp import Limits, Listener
from tests.samples import hl7v2_messages as samples

ZONE = ZoneInfo("Asia/Shanghai")
DEADLINE_S = 10.0


@dataclass
class Hospital:
    """A listener on a thread of its own that keeps what it is given."""

    limits: Limits = field(default_factory=Limits)
    captured: list[bytes] = field(default_factory=list)
    refused: list[tuple[bytes, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    delay_s: Callable[[bytes], float] = lambda raw: 0.0
    most_outstanding: int = 0
    port: int = 0

    def __post_init__(self) -> None:
        self._outstanding = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    async def _capture(self, raw: bytes, peer: str) -> bytes:
        self.captured.append(raw)
        self._outstanding += 1
        self.most_outstanding = max(self.most_outstanding, self._outstanding)
        try:
            if b"BREAK" in raw:
                raise RuntimeError("a bug")
            await asyncio.sleep(self.delay_s(raw))
            return acknowledge(raw, "AA", now=datetime.now(ZONE)).raw
        finally:
            self._outstanding -= 1

    async def _refuse(self, raw: bytes, peer: str, reason: str, size: int) -> bytes:
        assert size >= len(raw)
        self.refused.append((raw, reason))
        return acknowledge(raw, "AR", reason, now=datetime.now(ZONE)).raw

    def stop(self) -> None:
        """End it, from any thread; `with` waits for the end."""
        self._loop.call_soon_threadsafe(self._stop.set)

    async def _serve(self) -> None:
        handler = asyncio.get_running_loop().set_exception_handler
        handler(lambda _loop, context: self.faults.append(str(context.get("exception"))))
        listener = Listener("127.0.0.1", 0, self._capture, self._refuse, self.limits)
        await listener.start()
        self.port = listener.port
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._ready.set()
        await self._stop.wait()
        await listener.stop()

    def __enter__(self) -> Hospital:
        self._thread.start()
        assert self._ready.wait(DEADLINE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()

    def client(self, timeout_s: float = DEADLINE_S) -> Client:
        return Client("127.0.0.1", self.port, timeout_s)


@pytest.fixture
def hospital() -> Iterator[Hospital]:
    with Hospital() as running:
        yield running


def message(control: str, extra: str = "") -> bytes:
    return samples.build("ADT^A08", samples.PID, *([extra] if extra else []), control=control)


def msa(raw: bytes) -> tuple[str, str]:
    line = raw.decode().split("\r")[1].split("|")
    return line[1], line[2]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_message_is_answered_on_the_same_connection(hospital: Hospital) -> None:
    with hospital.client() as client:
        assert msa(client.send(message("1"))) == ("AA", "1")
        assert msa(client.send(message("2"))) == ("AA", "2")


def test_a_sender_may_write_ahead_and_is_answered_in_order() -> None:
    """Even where later messages are kept sooner."""
    with (
        Hospital(delay_s=lambda raw: 0.05 if b"|K0|" in raw else 0.0) as hospital,
        hospital.client() as client,
    ):
        for number in range(50):
            client.write(message(f"K{number}"))
        assert [msa(client.read())[1] for _ in range(50)] == [f"K{n}" for n in range(50)]
        assert [raw.split(b"|")[9] for raw in hospital.captured] == [b"K%d" % n for n in range(50)]


def test_a_message_that_arrives_byte_by_byte_is_one_message(hospital: Hospital) -> None:
    with hospital.client() as client:
        for byte in START + message("9") + END:
            client.write_bytes(bytes((byte,)))
        assert msa(client.read()) == ("AA", "9")


def test_outstanding_messages_are_bounded_and_none_is_lost() -> None:
    limits = Limits(max_outstanding=8)
    with Hospital(limits, delay_s=lambda raw: 0.005) as hospital, hospital.client() as client:
        for number in range(200):
            client.write(message(str(number)))
        assert [msa(client.read())[1] for _ in range(200)] == [str(n) for n in range(200)]
        assert hospital.most_outstanding <= 8


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (message("X") + END, "0x0B"),
        (START + message("X") + message("Y") + END, "two messages"),
        (START + b"\r" + END, "empty"),
    ],
)
def test_a_broken_frame_is_kept_refused_and_the_next_is_taken(
    hospital: Hospital, broken: bytes, reason: str
) -> None:
    with hospital.client() as client:
        client.write_bytes(broken)
        assert b"\rMSA|AR" in client.read()
        assert msa(client.send(message("next"))) == ("AA", "next")
    assert len(hospital.refused) == 1 and reason in hospital.refused[0][1]
    assert len(hospital.captured) == 1


def test_a_frame_without_end_is_refused_when_the_next_begins(hospital: Hospital) -> None:
    with hospital.client() as client:
        client.write_bytes(START + message("A") + START + message("B") + END)
        assert msa(client.read()) == ("AR", "A")
        assert msa(client.read()) == ("AA", "B")


def test_a_message_over_the_limit_is_answered_ar_and_the_next_is_taken() -> None:
    with Hospital(Limits(max_message=100_000)) as hospital, hospital.client() as client:
        client.write(message("big", "NTE|1||" + "x" * 400_000))
        assert msa(client.read()) == ("AR", "big")
        assert msa(client.send(message("small"))) == ("AA", "small")
        assert "limit of 100000 bytes" in hospital.refused[0][1]


def test_half_a_frame_is_kept_when_the_sender_hangs_up(hospital: Hospital) -> None:
    with hospital.client() as client:
        client.write_bytes(START + message("half")[:40])
    wait_for(lambda: len(hospital.refused) == 1)
    assert "ended in the middle" in hospital.refused[0][1]


def test_half_a_frame_is_answered_where_the_sender_still_listens(hospital: Hospital) -> None:
    with hospital.client() as client:
        client.write_bytes(START + message("half"))
        client.end()
        assert msa(client.read()) == ("AR", "half")


def test_a_frame_that_does_not_go_on_is_given_up() -> None:
    with Hospital(Limits(frame_timeout_s=0.2)) as hospital, hospital.client() as client:
        client.write_bytes(START + message("slow")[:60])
        client.read()
        assert "did not come in time" in hospital.refused[0][1]


def test_a_silent_connection_is_closed_without_a_note() -> None:
    with Hospital(Limits(idle_timeout_s=0.2)) as hospital, hospital.client() as client:
        assert msa(client.send(message("1"))) == ("AA", "1")
        with pytest.raises(ConnectionError):
            client.read()
        assert not hospital.refused


def test_a_sender_that_reads_no_answers_does_not_hold_up_others() -> None:
    limits = Limits(answer_timeout_s=0.5)
    with Hospital(limits) as hospital, hospital.client(2) as deaf, hospital.client() as other:
        deaf._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf._socket.settimeout(0.5)
        with pytest.raises(OSError):
            for number in range(200_000):
                deaf.write(message(str(number)))
        began = time.monotonic()
        assert msa(other.send(message("1"))) == ("AA", "1")
        assert time.monotonic() - began < 2


def test_a_sender_that_vanishes_before_its_answer_does_not_hold_up_others() -> None:
    with Hospital(delay_s=lambda raw: 0.2 if b"|gone|" in raw else 0) as hospital:
        gone = hospital.client()
        gone.write(message("gone"))
        wait_for(lambda: len(hospital.captured) == 1)
        gone._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        gone.close()
        with hospital.client() as client:
            assert msa(client.send(message("here"))) == ("AA", "here")


def test_a_fault_in_keeping_gives_no_answer_so_that_the_sender_repeats(hospital: Hospital) -> None:
    with hospital.client() as client:
        client.write(message("1", "NTE|1||BREAK"))
        with pytest.raises(ConnectionError):
            client.read()
    with hospital.client() as client:
        assert msa(client.send(message("2"))) == ("AA", "2")


def test_what_was_captured_is_answered_before_the_listener_stops() -> None:
    with Hospital(delay_s=lambda raw: 0.3) as hospital:
        client = hospital.client()
        client.write(message("last"))
        wait_for(lambda: len(hospital.captured) == 1)
    assert msa(client.read()) == ("AA", "last")
    client.close()


def test_a_listener_that_stops_under_load_answers_what_it_captured_and_takes_no_more() -> None:
    hospital = Hospital(Limits(max_outstanding=8))

    def delay_s(_raw: bytes) -> float:
        if len(hospital.captured) == 20:
            hospital.stop()
        return 0.01

    hospital.delay_s = delay_s
    with hospital:
        client = hospital.client()
        with contextlib.suppress(OSError):
            client.write_bytes(b"".join(START + message(str(number)) + END for number in range(2000)))
        wait_for(lambda: len(hospital.captured) >= 20)
    assert 20 <= len(hospital.captured) <= 20 + 2 * hospital.limits.max_outstanding
    for raw in hospital.captured:
        assert msa(client.read())[1].encode() == raw.split(b"|")[9]
    with client, pytest.raises(OSError):
        client.read()
    assert (hospital.refused, hospital.faults) == ([], [])


def test_the_rest_of_a_frame_is_not_answered_where_the_stop_is_ours() -> None:
    with Hospital() as hospital:
        client = hospital.client()
        client.write_bytes(START + message("whole") + END + START + message("half")[:60])
        assert msa(client.read()) == ("AA", "whole")
    with client, pytest.raises(OSError):
        client.read()
    assert (hospital.refused, len(hospital.captured)) == ([], 1)


def test_a_foreign_character_set_goes_through_whole(hospital: Hospital) -> None:
    raw = samples.example("ADT^A01", charset="GB 18030-2000", codec="gb18030", version="2.3.1")
    with hospital.client() as client:
        assert b"GB 18030-2000" in client.send(raw)
    assert hospital.captured == [raw]
