"""Subscribers of every kind: who drips, who floods, who redirects, who is gone; none holds up a worker."""

import contextlib
import itertools
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deploy.stack import certificates
from hie.config import Config
from hie.services.subscriptions import calling
from hie.services.subscriptions.calling import Call, send
from hie.work import importing

CONFIG = Config.from_env({"HIE_DATABASE_URL": "postgresql+psycopg://nobody@127.0.0.1:1/none"})
Serve = Callable[[Iterable[bytes]], Call]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Answer a call by pieces, one after the other, for as long as somebody takes them."""
    stopping = threading.Event()
    with contextlib.ExitStack() as servers:

        def answering(pieces: Iterable[bytes]) -> Call:
            server = servers.enter_context(socket.create_server(("127.0.0.1", 0)))
            threading.Thread(target=answer, args=(server, pieces), daemon=True).start()
            url = f"http://127.0.0.1:{server.getsockname()[1]}/notices"
            return Call(url, "POST", url, {}, b"", "event")

        def answer(server: socket.socket, pieces: Iterable[bytes]) -> None:
            with contextlib.suppress(OSError), server.accept()[0] as connection:
                connection.recv(1 << 16)
                for piece in pieces:
                    connection.sendall(piece)
                    if stopping.wait(0.02):
                        return

        yield answering
        stopping.set()


@pytest.mark.parametrize(
    ("begins", "then"),
    [(b"HTTP/1.1 200", b" "), (b"HTTP/1.1 200 OK\r\nX: ", b"y"), (b"", b"HTTP/1.1 100 Continue\r\n\r\n")],
)
def test_who_answers_a_byte_now_and_then_is_cut_off(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, begins: bytes, then: bytes
) -> None:
    monkeypatch.setattr(calling, "MOST_S", 0.3)
    failure = send(serve(itertools.chain([begins], itertools.repeat(then))), CONFIG)
    assert failure == "The endpoint took longer than 0.3 s to answer."


def test_what_an_answer_holds_is_not_read(serve: Serve) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n"
    assert send(serve(itertools.chain([head], itertools.repeat(bytes(1000)))), CONFIG) is None


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 401, 410, 429, 500, 503])
def test_anything_but_2xx_is_a_failure_and_leads_nowhere_else(serve: Serve, status: int) -> None:
    head = f"HTTP/1.1 {status} X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    assert send(serve([head.encode()]), CONFIG) == f"The endpoint answered {status}."


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_2xx_is_an_acknowledgement(serve: Serve, status: int) -> None:
    assert send(serve([f"HTTP/1.1 {status} OK\r\n\r\n".encode()]), CONFIG) is None


class Answering(BaseHTTPRequestHandler):
    """Answers everything by a line."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"{}\n")

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Be quiet."""


class Secured(ThreadingHTTPServer):
    """A server that bears callers who hang up because they do not trust it."""

    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """To hang up is the caller's right."""


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """An https server with a certificate of the region's own authority: its address, and the authority."""
    made = certificates.ensure(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.server, made.server_key)
    server = Secured(("127.0.0.1", 0), Answering)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"https://127.0.0.1:{server.server_address[1]}/notices", made.ca
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_operators_own_authority_is_trusted_by_notices_and_imports(
    secured: tuple[str, Path], tmp_path: Path
) -> None:
    url, authority = secured
    call, target = Call(url, "POST", url, {}, b"{}", "event"), tmp_path / "got"
    failure = send(call, CONFIG)
    assert failure is not None
    assert "SSL" in failure
    with pytest.raises(OSError, match="certificate"):
        importing._fetch(url, target, CONFIG)
    trusting = replace(CONFIG, ca_file=authority)
    assert send(call, trusting) is None
    importing._fetch(url, target, trusting)
    assert target.read_bytes() == b"{}\n"


def test_who_is_gone_is_a_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/notices"
    failure = send(Call(url, "POST", url, {}, b"", "event"), CONFIG)
    assert failure == "The endpoint could not be reached (ConnectionRefusedError)."
