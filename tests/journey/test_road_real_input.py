"""Real public input through the whole road; skipped where the shared data are absent."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.journey.road import Fep, Hub, code_of, text_of, wait_for

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
# Refused, each for a reason an interface engineer accepts.
REFUSED: dict[str, str] = {}


def files(folder: str, pattern: str) -> list[Path]:
    """Return the samples of a folder. Skips the test where they are absent."""
    found = sorted((DATA / folder).glob(pattern)) if (DATA / folder).is_dir() else []
    if not found:
        pytest.skip(f"shared/data/{folder} is not here; the real samples are not part of the project")
    return found


def test_all_synthea_bundles_reach_the_hub(region: dict[str, Any]):
    fep, hub = Fep(region["hospitals"][0]), Hub(region)
    sent: dict[str, int] = {}
    for path in files("synthea", "*.json.gz"):
        body = gzip.decompress(path.read_bytes())
        answer = fep.post("", body, **{"X-Request-Id": f"synthea-{path.stem}"})
        assert answer.status_code == 200, (path.name, answer.text[:500])
        patient = next(
            entry["response"]["location"]
            for entry in answer.json()["entry"]
            if entry["response"]["location"].startswith("Patient/")
        )
        about = [e["resource"] for e in json.loads(body)["entry"]]
        sent[patient.split("/")[1]] = sum(
            resource["resourceType"] not in ("Organization", "Practitioner") for resource in about
        )
    assert len(sent) == 40
    for path in files("synthea", "*.json.gz"):
        row = fep.wait_settled(f"synthea-{path.stem}")
        assert row["receipt"] == "stored", (path.name, row["receipt_reason"])
    for patient, count in sent.items():
        answer = hub.get(f"Patient/{patient}/$everything").json()
        own = [
            e
            for e in answer["entry"]
            if e["resource"]["resourceType"] not in ("Organization", "Practitioner")
        ]
        assert len(own) == count


def test_nine_of_ten_public_hl7_messages_are_taken_and_the_others_told_why(region: dict[str, Any]):
    fep = Fep(region["hospitals"][1])
    samples = files("hl7v2", "*.hl7")
    before = max((row["seq"] for row in fep.rows()), default=0)
    refused: dict[str, str] = {}
    taken = []
    for path in samples:
        raw = path.read_bytes().replace(b"\r\n", b"\r").replace(b"\n", b"\r").strip() + b"\r"
        with fep.mllp() as sender:
            answer = sender.send(raw)
        if code_of(answer) in ("AA", "CA"):
            taken.append(path.name)
        else:
            refused[path.name] = text_of(answer)
    assert len(taken) >= 0.9 * len(samples), refused
    assert refused.keys() == REFUSED.keys(), refused
    for name, reason in REFUSED.items():
        assert reason in refused[name]
    wait_for(
        "the receipts of all that was taken",
        lambda: all(row["receipt"] for row in fep.rows(f"m.seq > {before} AND m.fate = 'captured'")),
    )
    rows = fep.rows(f"m.seq > {before} AND m.fate = 'captured'")
    assert len(rows) == len(taken)
    for row in rows:
        of_patient = [other for other in rows if other["patient_key"] == row["patient_key"]]
        later = [other for other in of_patient if other["source_at"] > row["source_at"]]
        # What is older than what the corpus says of the same patient elsewhere is kept as history.
        allowed = ("stored", "superseded") if later else ("stored",)
        assert row["receipt"] in allowed, (row["kind"], row["receipt_reason"])
    assert sum(row["receipt"] == "stored" for row in rows) > 0.8 * len(rows)
