"""What the tests of the front-end processor share: a cache, a processor in this process or one of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import sqlalchemy as sa

from esb.envelope import inflate
from front_end_processor import keys
from front_end_processor.app import Processor
from front_end_processor.cache.migrate import migrate
from front_end_processor.cache.tables import message, outbox
from front_end_processor.config import Config
from front_end_processor.pipeline.capture import Received
from front_end_processor.pipeline.inlets import wait

ROOT = Path(__file__).resolve().parent.parent
TOKEN, PASSWORD = "a-token", "a-password"


def adt(
    control_id: str = "A1", *, number: str = "P1", event: str = "A01", name: str = "张^三", more: str = ""
) -> bytes:
    """An ADT message in UTF-8."""
    lines = (
        f"MSH|^~\\&|HIS|H01|FEP|HUB|20260401101500+0800||ADT^{event}|{control_id}|P|2.5||||||UNICODE UTF-8",
        f"EVN|{event}|20260401101500",
        f"PID|1||{number}^^^H01^MR||{name}||19800101|M",
        f"PV1|1|I|内科^1^2{'|' * 16}V{number}{'|' * 25}20260401100000",
    )
    return ("\r".join(lines) + f"\r{more}").encode()


def settings(directory: Path, **changes: str) -> dict[str, str]:
    """The settings of a processor that lives in a directory, its keys and secrets made."""
    values = {
        "FEP_FACILITY": "H01",
        "FEP_NAME": "测试医院",
        "FEP_CACHE_URL": f"sqlite:///{directory}/cache.db",
        "FEP_MLLP": "127.0.0.1:0",
        "FEP_HTTP": "127.0.0.1:0",
        "FEP_KEY_DIR": str(directory / "keys"),
        "FEP_TOKEN_FILE": str(directory / "token"),
        "FEP_CONSOLE_PASSWORD_FILE": str(directory / "password"),
        "FEP_PROFILE": "h01",
        **changes,
    }
    (directory / "token").write_text(TOKEN + "\n")
    (directory / "password").write_text(PASSWORD + "\n")
    keys.init(Path(values["FEP_KEY_DIR"]), values["FEP_FACILITY"])
    migrate(values["FEP_CACHE_URL"])
    return values


@contextmanager
def processor(directory: Path, **changes: str) -> Iterator[Processor]:
    """A processor in this process, writing but without listeners."""
    made = Processor(Config.from_env(settings(directory, **changes)))
    made.writer.start()
    try:
        yield made
    finally:
        made.stop()


def capture(made: Processor, raw: bytes):
    """Capture one HL7 v2 message and return its fate."""
    return wait(made.capture.take(Received("mllp", raw)))


def rows(made: Processor, table: sa.Table = message) -> list[Any]:
    """All rows of a table, in order."""
    with made.cache.reading() as connection:
        return list(connection.execute(sa.select(table).order_by(next(iter(table.primary_key)))))


def fates(made: Processor) -> list[str]:
    """The fates of all messages here."""
    return [row.fate for row in rows(made)]


def sent(made: Processor) -> list[dict[str, Any]]:
    """The Bundles that wait for the hub."""
    return [orjson.loads(inflate(row.payload)) for row in rows(made, outbox)]


def until(holds: Callable[[], Any], timeout_s: float = 20.0) -> Any:
    """Wait until something holds and return it; fail after a time."""
    deadline = time.monotonic() + timeout_s
    while not (found := holds()):
        assert time.monotonic() < deadline, "it did not come to hold in time"
        time.sleep(0.02)
    return found


class Running:
    """A processor as a process of its own."""

    def __init__(self, directory: Path, http: int, mllp: int, **changes: str) -> None:
        self.http, self.mllp = http, mllp
        addresses = {"FEP_HTTP": f"127.0.0.1:{http}", "FEP_MLLP": f"127.0.0.1:{mllp}"}
        self.env = os.environ | settings(directory, **addresses, **changes)
        self.log = directory / "fep.log"
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "front_end_processor", "run"], env=self.env, cwd=ROOT, stderr=log
            )
        self.process = process
        until(self._answers)
        return process

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/healthz", timeout=1) as answer:
                is_well = answer.status == 200
            # It listens for messages last.
            with socket.create_connection(("127.0.0.1", self.mllp), timeout=1):
                return is_well
        except OSError:
            return False

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Start it again."""
        self._start()

    def stop(self) -> int:
        """End it as systemd would; return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)
