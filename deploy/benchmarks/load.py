"""Load on the front-end processors: MLLP senders that wait for each answer, in closed or open loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

START, END = b"\x0b", b"\x1c\x0d"
ANSWER_TIMEOUT_S = 60


@dataclass(slots=True)
class Sent:
    """What was sent: by (facility, control id) the instant it was handed over and whether AA came back."""

    at: dict[tuple[str, str], float] = field(default_factory=dict)
    answered: dict[tuple[str, str], float] = field(default_factory=dict)
    refused: list[tuple[str, str, str]] = field(default_factory=list)


def control_id(message: bytes) -> str:
    """Return MSH-10 of a message."""
    return message.split(b"\r", 1)[0].split(b"|")[9].decode("ascii")


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: bytes) -> bytes:
    """Send one message and return the answer without its frame."""
    writer.write(START + message + END)
    await writer.drain()
    frame = await asyncio.wait_for(reader.readuntil(END), ANSWER_TIMEOUT_S)
    return frame.lstrip(START).removesuffix(END)


async def mllp_sender(
    hospital: dict[str, Any], messages: Iterator[bytes], sent: Sent, due: Iterator[float] | None = None
) -> None:
    """Send messages over one connection, each after the last one's answer.

    Args:
        due: for each message the instant (time.monotonic) before which it is not sent; None: at once.
    """
    host, port = hospital["mllp"].split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for message in messages:
        key = (hospital["code"], control_id(message))
        if due is not None:
            begin = next(due)
            await asyncio.sleep(max(0.0, begin - time.monotonic()))
        else:
            begin = time.monotonic()
        sent.at[key] = begin
        answer = await exchange(reader, writer, message)
        if b"MSA|AA" in answer or b"MSA|CA" in answer:
            sent.answered[key] = time.monotonic()
        else:
            sent.refused.append((*key, answer[-300:].decode("utf-8", "replace")))
    writer.close()


def shares(messages: Sequence[bytes], connections: int) -> list[list[bytes]]:
    """Return the messages dealt to the connections in turn."""
    return [list(messages[n::connections]) for n in range(connections)]


async def closed_loop(place: dict[str, Any], mix: dict[str, list[bytes]], connections: int) -> Sent:
    """Send every hospital's messages over some connections each, as fast as the answers come."""
    sent = Sent()
    await asyncio.gather(
        *(
            mllp_sender(hospital, iter(share), sent)
            for hospital in place["hospitals"]
            for share in shares(mix[hospital["code"]], connections)
        )
    )
    return sent


async def open_loop(
    place: dict[str, Any], mix: dict[str, list[bytes]], connections: int, rate: float
) -> Sent:
    """Send at a fixed rate over all hospitals together, whether or not answers are slow.

    Latency counts from the instant a message was due, so a stall is not hidden by the sender's own waiting.
    """
    sent = Sent()
    lanes = [(h, share) for h in place["hospitals"] for share in shares(mix[h["code"]], connections)]
    begin = time.monotonic() + 0.5
    gap = len(lanes) / rate

    def due(lane: int) -> Iterator[float]:
        for number in range(10**9):
            yield begin + lane / rate + number * gap

    await asyncio.gather(
        *(mllp_sender(h, iter(share), sent, due(lane)) for lane, (h, share) in enumerate(lanes))
    )
    return sent
