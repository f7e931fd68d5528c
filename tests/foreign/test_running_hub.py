"""What only a running hub shows: heads too large for the server, bodies that do not come whole."""

import contextlib
import http.client
import os
import re
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from deploy.stack import web
from tests.foreign.conftest import Hub
from tests.hub_world import JSON

HUGE = "a" * 300_000


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (f"/fhir/Patient?name={HUGE}", {}),
        (f"/fhir/Patient/{HUGE}", {}),
        ("/fhir/Patient", {"Authorization": f"Bearer {HUGE}"}),
        ("/fhir/Patient", {f"X-Many-{number}": "a" * 1000 for number in range(300)}),
        ("/fhir/Patient", {"X-Request-Id": HUGE}),
    ],
    ids=["query", "path", "token", "many headers", "one header"],
)
def test_a_head_of_any_size_is_refused_or_answered_and_the_hub_lives_on(
    hub: Hub, path: str, headers: dict[str, str]
) -> None:
    connection = http.client.HTTPConnection(urlsplit(hub.root).netloc, timeout=30)
    try:
        connection.request("GET", path, headers=headers)
        status = connection.getresponse().status
    except (ConnectionResetError, BrokenPipeError):
        # The server hung up before all of it was sent; there is no answer to read.
        status = 431
    finally:
        connection.close()
    assert 400 <= status < 500
    assert web.status(f"{hub.root}/healthz") == 200


PDF = b"%PDF-1.7 " + b"x" * 3000
CUT = f"Content-Length: {len(PDF) + 1}"
CHUNK = f"{len(PDF):x}\r\n".encode() + PDF + b"\r\n"


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        (CUT, PDF, 400),
        ("Transfer-Encoding: chunked", CHUNK, 411),
        ("Transfer-Encoding: chunked", CHUNK + b"no size\r\n", 411),
    ],
    ids=["shorter than it says", "without its last chunk", "a chunk of no size"],
)
def test_a_content_that_was_cut_on_its_way_is_not_kept(
    hub: Hub, headers: str, body: bytes, status: int
) -> None:
    answered = posted(hub, "/fhir/Binary", "application/pdf", headers, body, hangs_up=True)
    # Who hung up is not always answered any more.
    assert not answered or answered.startswith(f"HTTP/1.1 {status} ")
    assert not answered or '"resourceType":"OperationOutcome"' in answered
    count = requests.get(f"{hub.fhir}/Binary?_summary=count", headers=bearer(hub), timeout=30)
    assert count.json()["total"] == 0


def test_a_body_in_chunks_is_taken_up_to_the_limit_and_not_cut_there(hub: Hub) -> None:
    chunked = "Transfer-Encoding: chunked"
    small = b'{"resourceType":"Basic","code":{"text":"x"}}'
    whole = f"{len(small):x}\r\n".encode() + small + b"\r\n0\r\n\r\n"
    assert posted(hub, "/fhir/Basic", JSON, chunked, whole).startswith("HTTP/1.1 201 ")
    # What follows the limit is white space: up to it, this is a resource.
    blanks = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
    long = f"{len(small):x}\r\n".encode() + small + b"\r\n" + blanks * 51 + b"0\r\n\r\n"
    assert posted(hub, "/fhir/Basic", JSON, chunked, long).startswith("HTTP/1.1 413 ")


def bearer(hub: Hub) -> dict[str, str]:
    return {"Authorization": f"Bearer {hub.token()}"}


def posted(hub: Hub, path: str, kind: str, headers: str, body: bytes, *, hangs_up: bool = False) -> str:
    """Return the answer to a POST; whoever hangs up sends nothing behind the body."""
    address = urlsplit(hub.root)
    lines = [f"POST {path} HTTP/1.1", "Host: hub", f"Authorization: Bearer {hub.token()}"]
    head = "\r\n".join([*lines, f"Content-Type: {kind}", "Connection: close", headers, "", ""])
    with socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=60) as connection:
        # The hub may have answered and hung up before it read all.
        with contextlib.suppress(ConnectionError):
            connection.sendall(head.encode() + body)
            if hangs_up:
                connection.shutdown(socket.SHUT_WR)
        answered = b""
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(65536):
                answered += piece
    return answered.decode()


def peaks(hub: Hub) -> int:
    """Return the most memory that the hub's processes ever held, in bytes, of all together."""
    tasks = Path(f"/proc/{hub.pid}/task/{hub.pid}/children").read_text().split()
    status = [Path(f"/proc/{pid}/status").read_text() for pid in tasks]
    return sum(int(found[1]) << 10 for text in status if (found := re.search(r"VmHWM:\s+(\d+) kB", text)))


def test_a_large_content_comes_and_goes_in_less_memory_than_it_has_itself(hub: Hub) -> None:
    headers = {"Authorization": f"Bearer {hub.token()}", "Content-Type": "application/pdf"}

    def passed(content: bytes, times: int) -> None:
        for _ in range(times):
            made = requests.post(f"{hub.fhir}/Binary", content, headers=headers, timeout=60)
            assert made.status_code == 201, made.text
            path = made.headers["Location"].partition("/_history/")[0]
            assert requests.get(path, headers=headers | {"Accept": "*/*"}, timeout=60).content == content

    passed(os.urandom(2_000_000), 20)
    before = peaks(hub)
    large = os.urandom(45_000_000)
    passed(large, 3)
    assert peaks(hub) - before < len(large)
