"""A subscriber for tests: a real HTTP server that remembers what it was told and answers as it is bid."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.hub_world import Json


@dataclass
class Told:
    """One request that came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """What came in; `answer` is the status it gives; while `hold` is not set, requests wait."""

    url: str = ""
    answer: int = 200
    told: list[Told] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver on a free port of the loopback."""
    receiver = Receiver()
    receiver.hold.set()

    class Handler(BaseHTTPRequestHandler):
        def take(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            receiver.told.append(Told(self.command, self.path, dict(self.headers), body))
            receiver.hold.wait(60)
            self.send_response(receiver.answer)
            self.send_header("Location", f"{receiver.url}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_PUT = do_GET = take

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A caller that was killed is no error of ours."""

    server = Server(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.hold.set()
        server.shutdown()
        thread.join()
        server.server_close()


def parameters(bundle: Json) -> Json:
    """Return the status parameters of a notification by name; events as (number, focus)."""
    given = bundle["entry"][0]["resource"]["parameter"]
    found: Json = {"events": []}
    for one in given:
        if one["name"] == "notification-event":
            parts = {part["name"]: next(v for k, v in part.items() if k != "name") for part in one["part"]}
            focus = parts.get("focus", {}).get("reference", "").partition("/fhir/")[2]
            found["events"].append((int(parts["event-number"]), focus))
        else:
            found[one["name"]] = next(v for k, v in one.items() if k != "name")
    return found
