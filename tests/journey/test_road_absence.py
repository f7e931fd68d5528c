"""Hub, broker and database, each away alone in the middle of traffic: what was acknowledged arrives, once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.journey.road import Fep, Hub, code_of, wait_for
from tests.samples import hl7v2_messages as samples

COMMAND = str(Path(__file__).resolve().parents[2] / "deploy" / "region")
BEFORE, AFTER = 5, 10
# what is away -> how the names of its processes begin
AWAY = {"hub": "hub.", "broker": "rabbitmq", "database": "postgres"}


@pytest.fixture
def fep(region: dict[str, Any]) -> Fep:
    return Fep(region["hospitals"][1])


def by_mllp(fep: Fep, number: str) -> bool:
    pid = f"PID|1||{number}^^^H02^MR||公孙^瑞||19680709|M"
    with fep.mllp() as sender:
        return code_of(sender.send(samples.build("ADT^A31", pid, control=number))) == "AA"


def by_fhir(fep: Fep, number: str) -> bool:
    patient = {"resourceType": "Patient", "identifier": [{"system": "urn:x", "value": number}]}
    return fep.post("/Patient", patient, **{"X-Request-Id": number}).status_code == 201


def by_file(fep: Fep, number: str) -> bool:
    """Drop a file and see it in done/, which is its acknowledgement."""
    name = f"patients-20260401-{number}.csv"
    header = "patient_no,name,sex,status,updated_at"
    fep.drop(name, f"{header}\n{number},公孙瑞,1,normal,2026-04-01 10:00:00\n".encode())
    wait_for(f"{name} in done/", (fep.inbox / "done" / name).exists)
    return True


INLETS: dict[str, Callable[[Fep, str], bool]] = {"M": by_mllp, "F": by_fhir, "C": by_file}


class Traffic:
    """Sends by one inlet, one after the other, until enough came after the death."""

    def __init__(self, fep: Fep, inlet: str, series: str, died: threading.Event) -> None:
        self.acknowledged: list[str] = []
        self.under_way = threading.Event()
        self._fep, self._inlet, self._series, self._died = fep, inlet, series, died

    def run(self) -> None:
        """Send; every one must be acknowledged as if nothing were away."""
        left = AFTER if self._inlet != "C" else 2
        while left:
            left -= self._died.is_set()
            number = f"{self._series}{self._inlet}{len(self.acknowledged):03}"
            assert INLETS[self._inlet](self._fep, number), f"{number} was not acknowledged"
            self.acknowledged.append(number)
            if len(self.acknowledged) >= (BEFORE if self._inlet != "C" else 1):
                self.under_way.set()


def kill(region: dict[str, Any], prefix: str) -> None:
    pids = json.loads((Path(region["dir"]) / "region.json").read_text(encoding="utf-8"))["pids"]
    for name in [name for name in pids if name.startswith(prefix)]:
        os.kill(pids[name], signal.SIGKILL)


def bring_back(region: dict[str, Any]) -> None:
    done = subprocess.run(
        [COMMAND, "up", "--dir", region["dir"]], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("what", AWAY)
def test_what_is_acknowledged_by_any_inlet_while_it_dies_arrives_once(
    what: str, region: dict[str, Any], fep: Fep
):
    died = threading.Event()
    series = f"AWAY{what[0].upper()}"
    traffic = [Traffic(fep, inlet, series, died) for inlet in INLETS]
    with ThreadPoolExecutor(len(traffic)) as pool:
        running = [pool.submit(each.run) for each in traffic]
        try:
            for each in traffic:
                assert each.under_way.wait(30)
            kill(region, AWAY[what])
        finally:
            died.set()
        for future in running:
            future.result(60)
    bring_back(region)
    wait_for("all receipts", fep.is_settled, 60)
    hub = Hub(region)
    for number in [number for each in traffic for number in each.acknowledged]:
        patient = hub.found(f"Patient?identifier={number}")
        assert patient["meta"]["versionId"] == "1", number
