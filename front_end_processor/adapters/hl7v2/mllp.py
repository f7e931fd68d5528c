"""MLLP listener (HL7 v2 Transport Specification, MLLP release 1): frames in, acknowledgements out.

A sender may write several frames before it waits. `capture` is called for one frame after the other in the
order of arrival, and the answers are written in that order. What is no proper frame goes to `refuse` with the
reason, so that it is kept and shown, and is answered AR where an answer is possible.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from front_end_processor.adapters.hl7v2.framing import END, HALF, STALLED, START, Framer, Piece

_CHUNK = 65536

# Begin keeping a message; the awaitable gives the acknowledgement once it is durable (empty: none is wanted).
Capture = Callable[[bytes, str], Awaitable[bytes]]
# Keep what cannot be a message, with the reason and its size; gives the acknowledgement (AR).
Refuse = Callable[[bytes, str, str, int], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection may ask for."""

    max_message: int = 20 * 1024 * 1024
    max_outstanding: int = 256
    max_outstanding_bytes: int = 64 * 1024 * 1024
    idle_timeout_s: float = 3600.0
    frame_timeout_s: float = 60.0
    answer_timeout_s: float = 60.0
    max_connections: int = 512


class Listener:
    """A listening MLLP port. `await start()`, then `await stop()`; answers under way are finished."""

    def __init__(
        self, host: str, port: int, capture: Capture, refuse: Refuse, limits: Limits | None = None
    ) -> None:
        self._host = host
        self._port = port
        self._capture = capture
        self._refuse = refuse
        self._limits = limits or Limits()
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], _Connection] = {}

    @property
    def port(self) -> int:
        """The port it listens on (useful where 0 was asked for)."""
        if self._server is None:
            return self._port
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Begin to listen. Raises: OSError if the port is in use."""
        self._server = await asyncio.start_server(self._accept, self._host, self._port, limit=_CHUNK)

    async def stop(self, timeout_s: float = 10.0) -> None:
        """Take no more; answer what was captured; then close."""
        if self._server is None:
            return
        self._server.close()
        for connection in self._connections.values():
            connection.stop()
        if self._connections:
            _, late = await asyncio.wait(set(self._connections), timeout=timeout_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._connections) >= self._limits.max_connections:
            writer.close()
            return
        connection = _Connection(self._capture, self._refuse, self._limits, reader, writer)
        self._connections[task] = connection
        try:
            await connection.run()
        finally:
            del self._connections[task]


class _Connection:
    """One sender: reads frames, has them captured in order, writes the answers in order."""

    def __init__(
        self,
        capture: Capture,
        refuse: Refuse,
        limits: Limits,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._capture = capture
        self._refuse = refuse
        self._limits = limits
        self._reader = reader
        self._writer = writer
        self._framer = Framer(limits.max_message)
        self._answers: asyncio.Queue[tuple[asyncio.Future[bytes], int] | None] = asyncio.Queue()
        self._outstanding = 0
        self._outstanding_bytes = 0
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._broken = False
        self._stopping = False
        self._reading: asyncio.Timeout | None = None
        name = writer.get_extra_info("peername")
        self._peer = f"{name[0]}:{name[1]}" if name else "unknown"

    def stop(self) -> None:
        """Read nothing more; what is not captured yet is neither kept nor answered: its sender repeats it."""
        self._stopping = True
        if self._reading is not None:
            with contextlib.suppress(RuntimeError):  # it ends by itself at this moment
                self._reading.reschedule(asyncio.get_running_loop().time())

    async def run(self) -> None:
        """Serve the sender until it ends, is silent too long, or we stop."""
        _keep_alive(self._writer)
        answering = asyncio.create_task(self._answer())
        try:
            await self._read()
        finally:
            self._answers.put_nowait(None)
            with contextlib.suppress(asyncio.CancelledError):
                await answering
            self._writer.close()
            with contextlib.suppress(OSError):
                await asyncio.wait_for(self._writer.wait_closed(), 5)

    async def _read(self) -> None:
        reason = HALF
        while not self._broken and not self._stopping:
            limits = self._limits
            patience = limits.frame_timeout_s if self._framer.has_rest else limits.idle_timeout_s
            try:
                async with asyncio.timeout(patience) as self._reading:
                    data = await self._reader.read(_CHUNK)
            except TimeoutError:
                reason = STALLED
                break
            except OSError:
                break
            finally:
                self._reading = None
            if not data:
                break
            for piece in self._framer.feed(data):
                await self._take(piece)
        for piece in self._framer.rest(reason):
            await self._take(piece)

    async def _take(self, piece: Piece) -> None:
        """Have a piece captured or refused once there is room; calls are made in order of arrival."""
        await self._has_room.wait()
        if self._stopping:
            return
        size = len(piece.raw)
        self._outstanding += 1
        self._outstanding_bytes += size
        self._update_room()
        if piece.fault:
            answer = self._refuse(piece.raw, self._peer, piece.fault, len(piece.raw) + piece.dropped)
        else:
            answer = self._capture(piece.raw, self._peer)
        self._answers.put_nowait((asyncio.ensure_future(answer), size))

    def _update_room(self) -> None:
        limits = self._limits
        full = self._outstanding >= limits.max_outstanding
        if full or self._outstanding_bytes >= limits.max_outstanding_bytes:
            self._has_room.clear()
        else:
            self._has_room.set()

    async def _answer(self) -> None:
        """Write the answers in the order of the messages; after a dead peer only wait for what is kept."""
        while (waiting := await self._answers.get()) is not None:
            future, size = waiting
            try:
                raw = await future
            except Exception:  # noqa: BLE001 - capture() answers for itself; without an answer the sender repeats
                self._broken = True
                self._writer.close()
                raw = b""
            self._outstanding -= 1
            self._outstanding_bytes -= size
            self._update_room()
            if raw and not self._broken:
                await self._write(START + raw + END)

    async def _write(self, frame: bytes) -> None:
        try:
            self._writer.write(frame)
            if self._answers.empty() or self._writer.transport.get_write_buffer_size() > _CHUNK:
                await asyncio.wait_for(self._writer.drain(), self._limits.answer_timeout_s)
        except OSError:  # a time-out too
            self._broken = True
            self._writer.transport.abort()


def _keep_alive(writer: asyncio.StreamWriter) -> None:
    """Let the kernel find out that a peer is gone."""
    connection = writer.get_extra_info("socket")
    if connection is None:
        return
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
