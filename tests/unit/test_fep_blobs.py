"""Large contents are taken out of a Bundle; what only looks like one stays."""

import base64
import os

import pytest

from esb.blobs import name_of
from esb.errors import NotValid
from esb.fhir.lexemes import dumps, loads
from esb.fhir.validation import check_resource
from front_end_processor.pipeline.blobs import lift

CONTENT = os.urandom(1_500_000)
LARGE = base64.b64encode(CONTENT).decode()
LINES = "\r\n".join(LARGE[place : place + 76] for place in range(0, len(LARGE), 76))


def bundle(**elements) -> bytes:
    return dumps({"resourceType": "Bundle", "entry": [{"resource": elements}]})


def lifted(raw: bytes) -> tuple[dict, list]:
    changed, contents = lift(raw, lambda name, content: name.encode() + content[:1])
    return loads(changed)["entry"][0]["resource"], contents


@pytest.mark.parametrize("data", [LARGE, LINES])
def test_a_large_attachment_is_taken_out_by_its_hash(data):
    raw = bundle(resourceType="Patient", photo=[{"contentType": "image/png", "data": data, "title": "x"}])
    patient, (content,) = lifted(raw)
    check_resource(patient)
    assert (patient["photo"][0]["url"], content.size) == (f"blob:sha256:{name_of(CONTENT)}", len(CONTENT))
    assert "data" not in patient["photo"][0]


def test_a_large_binary_is_taken_out():
    binary, (content,) = lifted(bundle(resourceType="Binary", contentType="application/pdf", data=LARGE))
    check_resource(binary)
    assert (content.hash, "data" in binary) == (name_of(CONTENT), False)


def test_a_long_curve_is_no_file():
    curve = {"origin": {"value": 0}, "period": 2, "dimensions": 1, "data": "123 " * 400_000 + "7"}
    raw = bundle(resourceType="Observation", status="final", code={"text": "ECG"}, valueSampledData=curve)
    observation, contents = lifted(raw)
    check_resource(observation)
    assert (contents, observation["valueSampledData"]["data"]) == ([], curve["data"])


def test_what_is_not_base64_is_refused():
    raw = bundle(resourceType="Patient", photo=[{"contentType": "image/png", "data": LARGE[:-1] + "!"}])
    with pytest.raises(NotValid, match="not base64"):
        lift(raw, lambda name, content: content)
