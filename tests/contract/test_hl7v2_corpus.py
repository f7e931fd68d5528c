"""A public corpus of HL7 v2 messages: at least nine of ten are taken, and what they become is valid."""

from __future__ import annotations

from pathlib import Path

import pytest
from fhir.resources.R4B import get_fhir_model_class

from front_end_processor.adapters.hl7v2.errors import Unreadable
from tests.samples.hl7v2_reading import entries, normalised

CORPUS = Path(__file__).parents[3] / "shared" / "data" / "hl7v2"
FILES = sorted(CORPUS.glob("*.hl7"))


@pytest.mark.skipif(
    not FILES, reason="../shared/data/hl7v2 is not there: the public corpus is not part of this project"
)
def test_nine_of_ten_messages_are_taken_and_valid_by_two_validators() -> None:
    refused = {}
    for file in FILES:
        try:
            result = normalised(file.read_bytes())
        except Unreadable as error:
            refused[file.name] = error.text
            continue
        for entry in entries(result):
            resource = entry["resource"]
            get_fhir_model_class(resource["resourceType"]).model_validate(resource)
        assert result.source_at.tzinfo is not None
    assert len(refused) <= len(FILES) * 0.1, refused
