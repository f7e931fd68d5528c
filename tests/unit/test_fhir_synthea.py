"""Real resources of a foreign system are accepted; a second validator agrees with ours."""

from __future__ import annotations

import gzip
from pathlib import Path

import orjson
import pytest
from fhir.resources.R4B import get_fhir_model_class

from esb.fhir import lexemes
from esb.fhir.references import patient_of
from esb.fhir.validation import check_resource
from tests.unit.test_fhir_validation import TRICKY

SYNTHEA = Path(__file__).parents[3] / "shared" / "data" / "synthea"
BUNDLES = sorted(SYNTHEA.glob("*.json.gz"))
# Types of Synthea that are in no patient's compartment.
UNOWNED = {"Organization", "Practitioner", "Location", "Medication", "PractitionerRole", "Device"}
needs_synthea = pytest.mark.skipif(not BUNDLES, reason="no ../shared/data/synthea here")


@needs_synthea
@pytest.mark.parametrize("path", BUNDLES, ids=lambda path: path.name)
def test_every_synthea_resource_is_valid_belongs_to_its_patient_and_keeps_its_digits(path):
    raw = gzip.decompress(path.read_bytes())
    bundle = lexemes.loads(raw)
    check_resource(bundle)
    for entry in bundle["entry"]:
        resource = entry["resource"]
        assert patient_of(resource) or resource["resourceType"] in UNOWNED, resource["resourceType"]
    assert orjson.loads(lexemes.dumps(bundle)) == orjson.loads(raw)


@pytest.mark.parametrize("name", sorted(TRICKY))
def test_fhir_resources_accepts_what_we_accept(name):
    resource = TRICKY[name]
    get_fhir_model_class(resource["resourceType"]).model_validate(resource)
