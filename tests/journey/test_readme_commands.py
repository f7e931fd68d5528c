"""README's commands, as they are printed there, run against a region: a newcomer's first ten minutes."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deploy.stack.demo import PORT_BASE
from tests.journey.road import Fep, Hub, wait_for
from tests.readme import READMES, ROOT, commands

FIRST_MLLP = PORT_BASE + 101


LINES = commands(READMES["English"])[1:]
# Where the block turns from sending to reading.
READING = next(place for place, line in enumerate(LINES) if line.startswith("SECRET="))


def paste(region: dict[str, Any], lines: list[str]) -> str:
    """Return what commands print; only ports and directory are this region's instead of the demo's."""
    shift = int(region["hospitals"][0]["mllp"].rpartition(":")[2]) - FIRST_MLLP
    script = re.sub(r"(?<=127\.0\.0\.1:)\d+", lambda port: str(int(port[0]) + shift), "\n".join(lines))
    done = subprocess.run(
        ["sh", "-euc", script],
        cwd=ROOT,
        env={"REGION": region["dir"], "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def printed(region: dict[str, Any]) -> str:
    """What the commands that send print."""
    return paste(region, LINES[:READING])


def test_each_of_them_is_answered_as_taken(region: dict[str, Any], printed: str):
    assert "MSA|AA|EXAMPLE0001" in printed
    assert '"transaction-response"' in printed
    assert "201 Created" in printed
    inbox = Path(Fep(region["hospitals"][1]).inbox)
    wait_for("the file in done/", lambda: list((inbox / "done").glob("patients-20261101-01*.csv")))
    assert list((inbox / "failed").glob("patients-20261101-01*")) == []


def test_the_commands_that_read_find_the_patient_as_whole_as_the_bundle_and_the_message_made_it(
    region: dict[str, Any], printed: str
):
    hospital = Fep(region["hospitals"][0])
    wait_for("the receipts", hospital.is_settled)
    (entry,) = json.loads(paste(region, LINES[READING:]))["entry"]
    patient = entry["resource"]
    assert ("urn:hie:H01:mrn", "100001") in [(one["system"], one["value"]) for one in patient["identifier"]]
    assert (patient["active"], patient["birthDate"]) == (True, "1985-06-15")
    assert patient["address"][0]["city"] == "云岭市"


def test_what_they_send_is_one_record_from_two_hospitals(region: dict[str, Any], printed: str):
    hub = Hub(region)

    def record() -> list[dict[str, Any]] | None:
        admitted = hub.search("Patient", identifier="100001")
        found = hub.search(f"Patient/{admitted[0]['id']}/$everything") if admitted else []
        has_all = {"Encounter", "Condition", "Observation", "AllergyIntolerance"} <= {
            resource["resourceType"] for resource in found
        }
        return found if has_all else None

    found = wait_for("the record of both hospitals", record)
    patients = [resource for resource in found if resource["resourceType"] == "Patient"]
    assert {patient["name"][0]["text"] for patient in patients} == {"黎小满"}
    assert len(patients) == 2


def test_a_listener_that_is_not_there_is_named(tmp_path: Path):
    message = ROOT / "docs" / "examples" / "admission.hl7"
    done = subprocess.run(
        [ROOT / ".venv" / "bin" / "fep", "send", "127.0.0.1:1", message],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("fep: nobody answers at 127.0.0.1:1 (Connection refused)")


def test_a_refused_message_ends_the_sending_command_with_its_reason(region: dict[str, Any], tmp_path: Path):
    unknown = (
        (ROOT / "docs" / "examples" / "admission.hl7").read_bytes().replace(b"ADT^A01^ADT_A01", b"ADT^Q99")
    )
    (tmp_path / "unknown.hl7").write_bytes(unknown)
    done = subprocess.run(
        [ROOT / ".venv" / "bin" / "fep", "send", region["hospitals"][0]["mllp"], tmp_path / "unknown.hl7"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "MSA|AR|EXAMPLE0001" in done.stdout
    assert "Q99" in done.stdout
