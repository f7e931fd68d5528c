"""Normalises HL7 v2 messages in tests and checks every resource against the rules of R4."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from esb.fhir import lexemes
from esb.fhir.validation import check_resource
from front_end_processor.normalise import profile
from front_end_processor.normalise.hl7v2 import normalise_hl7
from front_end_processor.normalise.ids import Ids
from front_end_processor.normalise.model import Normalised
from tests.samples import hl7v2_messages as samples

PROFILE = profile.load("h02")
IDS = Ids(b"k" * 32, "H02")
NOW = datetime(2026, 6, 1, tzinfo=UTC)
Resource = dict[str, Any]


def normalised(raw: bytes, by: profile.Profile = PROFILE) -> Normalised:
    """Return what a message becomes, every resource of it valid."""
    result = normalise_hl7(raw, by, IDS, now=NOW)
    for entry in entries(result):
        check_resource(entry["resource"])
    return result


def entries(result: Normalised) -> list[Resource]:
    """Return the entries of the bundle, numbers as Decimal."""
    found: list[Resource] = lexemes.loads(result.bundle)["entry"]
    return found


def resources(raw: bytes, type_: str) -> list[Resource]:
    """Return the resources of a type that a message becomes."""
    found = [entry["resource"] for entry in entries(normalised(raw))]
    return [resource for resource in found if resource["resourceType"] == type_]


def one(kind: str, type_: str, *segments: str, **header: str) -> Resource:
    """Return the single resource of a type out of a message built of segments (or the kind's example)."""
    raw = samples.build(kind, *segments, **header) if segments else samples.example(kind, **header)
    (found,) = resources(raw, type_)
    return found
