"""What somebody who tries it expects of `deploy/demo`: its pages open, and Ctrl-C leaves nothing behind."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from deploy.stack import ports, processes
from tests.journey.road import wait_for

COMMAND = str(Path(__file__).resolve().parents[2] / "deploy" / "demo")
START_S, STOP_S = 240, 90


@pytest.fixture
def demo(servers_dir: Path) -> Iterator[tuple["subprocess.Popen[bytes]", Path, int]]:
    """A demo of one hospital with few people: its process, its directory, its first port."""
    home = servers_dir / "demo"
    base = ports.window(200)
    command = [COMMAND, "--people", "20", "--hospitals", "1", "--port-base", str(base), "--dir", str(home)]
    out, errors = servers_dir / "demo.out", servers_dir / "demo.err"
    with out.open("wb") as stdout, errors.open("wb") as stderr:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, start_new_session=True
        )
    try:
        wait_for(
            "the pages of the demo",
            lambda: process.poll() is not None or "The region is up" in out.read_text(encoding="utf-8"),
            START_S,
        )
        assert process.poll() is None, errors.read_text(encoding="utf-8")[-2000:]
        yield process, home, base
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(STOP_S)


def using(home: Path) -> list[str]:
    """Return the commands of all processes that name a directory or work in it."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if entry.name.isdigit() and str(home) in f"{words} {os.readlink(entry / 'cwd')}":
                found.append(words)
        except OSError:
            continue
    return found


def test_the_pages_it_prints_open_and_ctrl_c_leaves_nothing_running(
    demo: tuple["subprocess.Popen[bytes]", Path, int], servers_dir: Path
):
    process, home, base = demo
    region = json.loads((home / "region.json").read_text(encoding="utf-8"))
    printed = (servers_dir / "demo.out").read_text(encoding="utf-8")
    for address in (region["hub"]["portal"], region["hospitals"][0]["console"]):
        assert address in printed
        assert requests.get(address, timeout=20).status_code in (200, 401)
    assert "doctor.h01" in printed
    first = region["hospitals"][0]
    for address in (first["mllp"], first["fhir"], str(home / "region.json")):
        assert address in printed
    (command,) = [line.strip() for line in printed.splitlines() if line.strip().startswith("curl ")][:1]
    sent = subprocess.run(
        ["sh", "-c", f"{command} -sS -w %{{http_code}}"], capture_output=True, text=True, check=True
    )
    assert sent.stdout.endswith("201")

    os.killpg(process.pid, signal.SIGINT)

    assert process.wait(STOP_S) == 0
    assert [name for name, pid in region["pids"].items() if processes.find(pid)] == []
    assert [port for port in range(base, base + 200) if ports.answers(port, 0.2)] == []
    assert using(home) == []
