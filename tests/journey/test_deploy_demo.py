"""What one expects of `deploy/demo`: five hospitals' data, pages that open, no trace after Ctrl-C."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from deploy.sample.generate import HOSPITALS
from deploy.stack import ports, processes
from tests import province
from tests.journey.road import Fep, Hub, wait_for

COMMAND = str(Path(__file__).resolve().parents[2] / "deploy" / "demo")
START_S, SAMPLE_S, STOP_S = 240, 240, 90
PEOPLE = 40
PAGE = "1000"


@pytest.fixture(scope="module")
def demo(servers_dir: Path) -> Iterator[tuple["subprocess.Popen[bytes]", Path, int]]:
    """A demo of five hospitals with few people: its process, its directory, its first port."""
    home = servers_dir / "demo"
    base = ports.window(200)
    command = [COMMAND, "--people", str(PEOPLE), "--port-base", str(base), "--dir", str(home)]
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


@pytest.fixture(scope="module")
def sent(demo: tuple["subprocess.Popen[bytes]", Path, int]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The region, and what the sender of the sample said at its end, when all of it is at the hub."""
    _, home, _ = demo
    region = json.loads((home / "region.json").read_text(encoding="utf-8"))
    log = home / "log" / "sample.log"

    def last() -> dict[str, Any] | None:
        line = (log.read_text(encoding="utf-8").splitlines() or [""])[-1]
        return json.loads(line) if line.startswith("{") else None

    summary = wait_for("the end of the sample", last, SAMPLE_S)
    for hospital in region["hospitals"]:
        wait_for(f"the receipts of {hospital['code']}", Fep(hospital).is_settled, SAMPLE_S)
    return region, summary


def everything(hub: Hub, type_: str) -> list[dict[str, Any]]:
    """Return all resources of a type, page by page, their numbers as they are written."""
    found: list[dict[str, Any]] = []
    url: str | None = f"{hub.base}/{type_}?_count={PAGE}"
    while url:
        answer = hub.session.get(url, timeout=30)
        assert answer.status_code == 200, answer.text
        bundle = province.parse(answer.text)
        found += [
            entry["resource"] for entry in bundle.get("entry", []) if entry["search"]["mode"] == "match"
        ]
        url = next((link["url"] for link in bundle["link"] if link["relation"] == "next"), None)
    return found


def test_nothing_of_the_synthetic_province_is_refused(sent: tuple[dict[str, Any], dict[str, Any]]):
    region, summary = sent
    assert (summary["refused"], summary["reasons"]) == (0, {})
    assert summary["accepted"] == summary["messages"] > 0
    fates = {
        (row["fate"], row["receipt"]) for hospital in region["hospitals"] for row in Fep(hospital).rows()
    }
    assert fates <= {("captured", "stored"), ("captured", "superseded")}


def test_the_hub_has_what_five_hospitals_say_they_recorded_to_the_fen(
    sent: tuple[dict[str, Any], dict[str, Any]],
):
    region, _ = sent
    hub = Hub(region)
    told = everything(hub, "MeasureReport")
    resources = [resource for type_ in province.KIND_OF for resource in everything(hub, type_)]
    assert province.counted(resources) == province.told_counts(told)
    assert province.recorded(resources) == province.told_sums(told)
    assert {facility for facility, _, _ in province.told_sums(told)} == set(HOSPITALS)


def paste(commands: str) -> str:
    """Run commands as a newcomer does, somewhere else than in the checkout; return what they print."""
    done = subprocess.run(["sh", "-ec", commands], cwd="/", capture_output=True, text=True, check=True)
    return done.stdout


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
    assert f"\nREGION={home} " in printed
    first = region["hospitals"][0]
    for address in (first["mllp"], first["fhir"], str(home / "region.json")):
        assert address in printed
    first, *reading = [line for line in printed.splitlines() if line.startswith("  ")][:3]
    assert "MSA|AA|EXAMPLE0001" in paste(first)
    found = wait_for("the patient", lambda: json.loads(paste("\n".join(reading))).get("entry"))
    assert found[0]["resource"]["birthDate"] == "1985-06-15"

    os.killpg(process.pid, signal.SIGINT)

    assert process.wait(STOP_S) == 0
    assert [name for name, pid in region["pids"].items() if processes.find(pid)] == []
    assert [port for port in range(base, base + 200) if ports.answers(port, 0.2)] == []
    assert using(home) == []
