"""Sending into a region: in order, one at a time, again after an absence, and a plain account of it."""

import json
import subprocess
import sys
import threading
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import StreamRequestHandler, ThreadingTCPServer

import pytest

from deploy.sample.generate import province
from deploy.sample.model import Event
from deploy.sample.roads import Away, DropFolder, Fhir, Mllp
from deploy.sample.send import send

AT = datetime.fromisoformat("2026-01-02T03:04:05")


class Station(ThreadingTCPServer):
    """A front-end processor as far as a sender sees it: acknowledges, refuses, hangs up, as told."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self):
        self.received, self.answers, self.in_hand, self.most_in_hand = [], [], 0, 0
        super().__init__(("127.0.0.1", 0), Line)

    @property
    def address(self):
        return f"127.0.0.1:{self.server_address[1]}"


class Line(StreamRequestHandler):
    def handle(self):
        data = b""
        while part := self.request.recv(65536):
            data += part
            while b"\x1c\r" in data:
                frame, _, data = data.partition(b"\x1c\r")
                self.server.most_in_hand = max(self.server.most_in_hand, data.count(b"\x0b") + 1)
                answer = self.server.answers.pop(0) if self.server.answers else "AA"
                if answer == "hang up":
                    return
                self.server.received.append(frame.lstrip(b"\x0b"))
                code, _, condition = answer.partition(" ")
                err = f"ERR|||{condition}|E\r" if condition else ""
                self.request.sendall(f"\x0bMSH|^~\\&|\rMSA|{code}|1\r{err}\x1c\r".encode())


class Desk(BaseHTTPRequestHandler):
    """A FHIR inlet as far as a sender sees it."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.server.answers.pop(0) if self.server.answers else 200
        self.server.received.append((self.headers["Authorization"], body))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture
def serve():
    """Run servers for the length of a test."""
    running = []

    def start(server):
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def station(serve):
    return serve(Station())


@pytest.fixture
def hospital(station, serve, tmp_path):
    desk = serve(HTTPServer(("127.0.0.1", 0), Desk))
    desk.received, desk.answers = [], []
    (tmp_path / "token").write_text("secret\n")
    (tmp_path / "inbox").mkdir()
    return {
        "code": "H01",
        "mllp": station.address,
        "fhir": f"http://127.0.0.1:{desk.server_address[1]}/fhir",
        "token_file": str(tmp_path / "token"),
        "inbox_dir": str(tmp_path / "inbox"),
        "desk": desk,
    }


def message(number):
    return Event(AT, "H01", "hl7", f"{number}.hl7", f"MSH|{number}\r".encode(), 2)


def test_the_next_message_waits_for_the_acknowledgement(station, hospital):
    summary = send((message(n) for n in range(50)), [hospital])
    assert station.received == [f"MSH|{n}\r".encode() for n in range(50)]
    assert station.most_in_hand == 1
    assert (summary["messages"], summary["accepted"], summary["resources"]) == (50, 50, 100)


def test_what_is_refused_is_counted_and_the_next_goes_on(station, hospital):
    station.answers = ["AA", "AE 101", "AR", "AA"]
    summary = send((message(n) for n in range(4)), [hospital])
    assert (summary["accepted"], summary["refused"]) == (2, 2)
    assert summary["reasons"] == {"H01 hl7 AE 101": 1, "H01 hl7 AR": 1}


def test_a_message_goes_again_when_the_other_side_hangs_up_or_has_trouble(station, hospital):
    station.answers = ["hang up", "AE 207", "AA"]
    summary = send([message(1), message(2)], [hospital])
    assert summary["accepted"] == 2
    assert station.received == [b"MSH|1\r", b"MSH|1\r", b"MSH|2\r"]


def test_a_bundle_carries_the_token_and_goes_again_after_a_503(hospital):
    desk = hospital["desk"]
    desk.answers = [503, 201, 422]
    event = Event(AT, "H01", "fhir", "1.json", b"{}", 3)
    summary = send([event, event], [hospital])
    assert [token for token, _ in desk.received] == ["Bearer secret"] * 3
    assert summary["reasons"] == {"H01 fhir HTTP 422": 1}


def test_a_file_appears_complete_or_not_at_all(tmp_path):
    event = Event(AT, "H01", "csv", "charges-20260102-01.csv", b"a,b\r\n", 0)
    assert DropFolder(tmp_path).send(event) == ""
    assert [p.name for p in tmp_path.iterdir()] == ["charges-20260102-01.csv"]


def test_a_full_drop_folder_holds_the_next_file_back(tmp_path):
    for number in range(60):
        (tmp_path / f"{number}.csv").touch()
    with pytest.raises(Away):
        DropFolder(tmp_path).send(Event(AT, "H01", "csv", "x.csv", b"", 0))


def test_an_absent_processor_is_away_not_broken(tmp_path):
    (tmp_path / "token").write_text("t")
    for road in (Mllp("127.0.0.1:9"), Fhir("http://127.0.0.1:9/fhir", tmp_path / "token")):
        with pytest.raises(Away):
            road.send(message(1))


def test_the_province_is_written_as_files(tmp_path):
    command = [sys.executable, "-m", "deploy.sample", "write", "--people", "16", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    summary = json.loads(done.stdout.splitlines()[-1])
    files = {str(p.relative_to(tmp_path)): p.read_bytes() for p in tmp_path.rglob("*.*")}
    wanted = {f"{e.facility}/{e.kind}/{e.name}": e.body for e in province(16)}
    assert files == wanted
    assert summary["people"] == 16 and summary["messages"] == len(wanted)
