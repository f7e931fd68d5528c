"""The default province of 2,000 people as a whole: its size and the rare things in it."""

import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

import pytest

from deploy.sample.generate import province


@dataclass
class Whole:
    """What was seen in one pass over the province."""

    resources: int = 0
    seconds: float = 0.0
    triggers: Counter[str] = field(default_factory=Counter)
    reports: Counter[str] = field(default_factory=Counter)


@pytest.fixture(scope="module")
def whole():
    seen, began = Whole(), time.perf_counter()
    for event in province(2000, 1):
        seen.resources += event.resources
        if event.kind == "hl7":
            seen.triggers[event.body.split(b"|", 9)[8][:7].decode()] += 1
        elif event.kind == "fhir" and b"DiagnosticReport" in event.body:
            for entry in json.loads(event.body)["entry"]:
                if entry["resource"]["resourceType"] == "DiagnosticReport":
                    seen.reports[entry["resource"]["status"]] += 1
    seen.seconds = time.perf_counter() - began
    return seen


def test_two_thousand_people_are_about_two_hundred_thousand_resources(whole):
    rate = whole.resources / whole.seconds
    sys.stdout.write(f"{whole.resources} resources in {whole.seconds:.1f} s, {rate:.0f}/s\n")
    assert 150_000 <= whole.resources <= 260_000


def test_the_hl7_hospitals_send_every_trigger_now_and_then(whole):
    wanted = """
    ADT^A01 ADT^A02 ADT^A03 ADT^A04 ADT^A08 ADT^A13 ADT^A28 ADT^A31 ADT^A40 ORM^O01 OML^O21 ORU^R01
    RDE^O11 RDE^O01 SIU^S12 SIU^S13 SIU^S15 DFT^P03 MDM^T02"""
    assert set(wanted.split()) <= set(whole.triggers)


def test_results_are_corrected_and_withdrawn_now_and_then(whole):
    assert whole.reports["corrected"] and whole.reports["entered-in-error"]
    assert whole.reports["final"] > 20 * whole.reports["corrected"]
