"""README's commands, as they are printed there, run against a region: a newcomer's first ten minutes."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deploy.stack.demo import PORT_BASE
from tests.journey.road import Fep, Hub, wait_for
from tests.readme import READMES, ROOT, commands

FIRST_MLLP = PORT_BASE + 101


@pytest.fixture(scope="module")
def printed(region: dict[str, Any]) -> str:
    """What the commands print; only ports and directory are this region's instead of the demo's."""
    shift = int(region["hospitals"][0]["mllp"].rpartition(":")[2]) - FIRST_MLLP
    _, *lines = commands(READMES["English"])
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


def test_each_of_them_is_answered_as_taken(region: dict[str, Any], printed: str):
    assert "MSA|AA|EXAMPLE0001" in printed
    assert '"transaction-response"' in printed
    assert "201 Created" in printed
    inbox = Path(Fep(region["hospitals"][1]).inbox)
    wait_for("the file in done/", lambda: list((inbox / "done").glob("patients-20261101-01*.csv")))
    assert list((inbox / "failed").glob("patients-20261101-01*")) == []


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
