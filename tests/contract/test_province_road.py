"""The synthetic province through the inlets of five processors, each by its hospital's make."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from deploy.sample.generate import HOSPITALS, province
from deploy.sample.model import Event
from esb.envelope import inflate
from front_end_processor.app import Processor
from front_end_processor.cache.tables import outbox
from front_end_processor.pipeline.capture import Captured, Received
from front_end_processor.pipeline.inlet_csv import CsvInlet
from front_end_processor.pipeline.inlets import capture_fhir, wait
from tests import province as totals
from tests.fep_world import processor, rows

PEOPLE = 40
# A code that nobody has mapped yet is kept as it came; any other warning would be a fault of a map.
EXPECTED_WARNING = re.compile(r"(drug|laboratory) code \S+ is not mapped")


@pytest.fixture(scope="module")
def processors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Processor]]:
    """Processors of the five makes after all that happened to a few dozen people in three years."""
    with ExitStack() as stack:
        made = {
            code: stack.enter_context(
                processor(tmp_path_factory.mktemp(code), FEP_FACILITY=code, FEP_PROFILE=code.lower())
            )
            for code in HOSPITALS
        }
        waiting = [
            captured for event in province(PEOPLE, 5) for captured in take(made[event.facility], event)
        ]
        for captured in waiting:
            wait(captured)
        yield made


def take(fep: Processor, event: Event) -> list[Captured]:
    """Give an event to the inlet it comes by; a file must be taken whole, a Bundle answered with 2xx."""
    if event.kind == "hl7":
        return [fep.capture.take(Received("mllp", event.body))]
    if event.kind == "fhir":
        capture_fhir(fep.capture, event.body, "POST ", "", "")
    else:
        taken = CsvInlet(fep.capture, fep.profile).take(event.name, event.body)
        assert not taken.rejected, (event.facility, event.name, taken.reasons)
    return []


def on_the_way(fep: Processor) -> list[dict[str, Any]]:
    """Return the last snapshot of every resource in the outbox; a placeholder only if nothing else is."""
    last: dict[str, dict[str, Any]] = {}
    for row in rows(fep, outbox):
        for entry in totals.parse(inflate(row.payload))["entry"]:
            request = entry["request"]
            if request["method"] == "PUT" and not (request.get("ifNoneMatch") and request["url"] in last):
                last[request["url"]] = entry["resource"]
    return list(last.values())


@pytest.mark.parametrize("code", HOSPITALS)
def test_nothing_a_hospital_sends_is_refused_or_read_only_in_part(
    code: str, processors: dict[str, Processor]
):
    found = rows(processors[code])
    assert found
    assert Counter(row.fate for row in found) == {"captured": len(found)}
    warnings = {text for row in found for text in json.loads(row.warnings)}
    assert [text for text in warnings if not EXPECTED_WARNING.fullmatch(text)] == []


@pytest.mark.parametrize("code", HOSPITALS)
def test_what_goes_to_the_hub_comes_to_the_hospitals_own_totals(code: str, processors: dict[str, Processor]):
    resources = on_the_way(processors[code])
    assert totals.recorded(resources) == totals.told_sums(resources) != {}
    assert totals.counted(resources) == totals.told_counts(resources)
