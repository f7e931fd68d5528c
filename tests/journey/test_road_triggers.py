"""Each row of the trigger table (docs/interfaces-hl7v2.md), seen at the hub."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from front_end_processor.normalise import profile
from front_end_processor.normalise.hl7v2 import normalise_hl7
from front_end_processor.normalise.hl7v2.triggers import TRIGGERS
from front_end_processor.normalise.ids import Ids
from tests.journey.road import Fep, Hub, code_of
from tests.samples import hl7v2_messages as samples

# Numbers of the examples that must be another's in each message of this file.
OWN = (
    "P0001",
    "P0000",
    "V2026001",
    "ORD55",
    "LIS900",
    "S778",
    "RX66",
    "F9001",
    "AP77",
    "DOC88",
    "REF55",
    "PRB9",
)
PERSON = "11010519491231002X"


def message(number: int, kind: str) -> bytes:
    """Return the example of a trigger about a patient, a visit, an order of its own."""
    text = samples.example(kind, control=f"TRIG{number:03}").decode().replace(PERSON, "")
    text = text.replace("YB778899", f"YB{number:06}")
    for own in OWN:
        text = text.replace(own, f"{own}{number:03}")
    return text.encode()


MESSAGES = {kind: message(number, kind) for number, kind in enumerate(TRIGGERS)}


@pytest.fixture(scope="module")
def fep(region: dict[str, Any]) -> Fep:
    """The front-end processor of H02, after it took every example."""
    made = Fep(region["hospitals"][1])
    with made.mllp() as sender:
        for kind, raw in MESSAGES.items():
            answer = sender.send(raw)
            assert code_of(answer) == "AA", (kind, answer)
    return made


@pytest.fixture(scope="module")
def hub(region: dict[str, Any]) -> Hub:
    return Hub(region)


def expected(raw: bytes, fep: Fep) -> list[dict[str, Any]]:
    """Return the entries the hospital sends, under the ids it really gives."""
    ids = Ids((fep.keys / "id.key").read_bytes(), fep.code)
    made = normalise_hl7(raw, profile.load("h02", fep.code, name=fep.hospital["name"]), ids)
    entries: list[dict[str, Any]] = json.loads(made.bundle)["entry"]
    return entries


def without_meta(resource: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in resource.items() if key != "meta"}


@pytest.mark.parametrize("kind", TRIGGERS)
def test_what_a_trigger_says_is_at_the_hub(kind: str, fep: Fep, hub: Hub):
    number = list(TRIGGERS).index(kind)
    row = fep.wait_settled(f"TRIG{number:03}")
    assert (row["receipt"], row["kind"]) == ("stored", kind)
    patches: dict[str, list[dict[str, Any]]] = {}
    written: dict[str, dict[str, Any]] = {}
    for entry in expected(MESSAGES[kind], fep):
        url = entry["request"]["url"]
        if entry["request"]["method"] == "PATCH":
            patches[url] = json.loads(base64.b64decode(entry["resource"]["data"]))
        elif entry["request"]["method"] == "PUT":
            written[url] = entry["resource"]
    assert written
    for url, resource in written.items():
        found = hub.read(url)
        assert found is not None, f"{kind}: {url} is not at the hub"
        if url not in patches:
            assert without_meta(found) == without_meta(resource)
    for url, operations in patches.items():
        found = hub.read(url)
        assert found is not None
        for operation in operations:
            assert found[operation["path"].split("/")[1]] is not None
        assert found["active"] is False
        assert found["link"][0]["type"] == "replaced-by"


def test_a_merge_makes_two_numbers_one_person(fep: Fep, hub: Hub):
    number = list(TRIGGERS).index("ADT^A40")
    fep.wait_settled(f"TRIG{number:03}")
    (merged,) = hub.search("Patient", identifier=f"P0000{number:03}")
    (survivor,) = hub.search("Patient", identifier=f"P0001{number:03}")
    found = hub.search(f"Patient/{survivor['id']}/$everything")
    assert {merged["id"], survivor["id"]} <= {resource["id"] for resource in found}
