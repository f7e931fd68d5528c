"""The source records of a person and the resources that came with them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Any

import orjson

from hie.services.lookup.codes import local_id

Json = dict[str, Any]
OBSERVATION = b'"resourceType":"Observation"'
HEAD = 120
# A number whose fraction ends in 0, is very small or very long, or that has an exponent.
FRAGILE = re.compile(rb":\s*-?\d+(?:\.(?:\d*0|000\d*|\d{12,})[,}\]\s]|(?:\.\d+)?[eE][-+\d])")
DECIMALS = json.JSONDecoder(parse_float=Decimal)


@dataclass(frozen=True, slots=True)
class Source:
    """One source record: the identity (a Patient's id) and the facility that keeps it."""

    identity: str
    facility: str


@dataclass(frozen=True, slots=True)
class Past:
    """An earlier version of a resource, and when it arrived."""

    resource: Json
    updated_at: datetime


@dataclass(slots=True)
class Holdings:
    """Everything of one person, read once: by type, with its facility, and the versions that went before.

    `withdrawn` holds the last version of resources that their hospital deleted.
    """

    sources: Sequence[Source]
    zone: tzinfo
    by_type: dict[str, list[Json]] = field(default_factory=dict)
    past: Mapping[tuple[str, str], Sequence[Past]] = field(default_factory=dict)
    withdrawn: Sequence[Past] = ()
    _facility: dict[str, str] = field(default_factory=dict)
    _observations: dict[str, Json] | None = None

    def __post_init__(self) -> None:
        self._facility = {source.identity: source.facility for source in self.sources}

    def add(self, resource: Json) -> None:
        """Take in one resource."""
        self.by_type.setdefault(resource.get("resourceType", ""), []).append(resource)

    def of(self, *types: str) -> list[Json]:
        """Return the resources of these types, in the order of the types."""
        return [resource for type_ in types for resource in self.by_type.get(type_, ())]

    def facility_of(self, resource: Json) -> str:
        """Return the facility whose source record the resource belongs to; empty if it names none of them."""
        if resource.get("resourceType") == "Patient":
            return self._facility.get(resource.get("id", ""), "")
        for element in ("subject", "patient", "beneficiary", "for"):
            if element in resource:
                return self._facility.get(local_id(resource[element]), "")
        for participant in resource.get("participant") or ():
            if (
                isinstance(participant, dict)
                and (found := local_id(participant.get("actor"))) in self._facility
            ):
                return self._facility[found]
        return ""

    def observation(self, id_: str) -> Json:
        """Return the Observation of an id, empty if there is none; the first call makes the table."""
        if self._observations is None:
            self._observations = {str(resource.get("id")): resource for resource in self.of("Observation")}
        return self._observations.get(id_, {})

    def versions(self, resource: Json) -> Sequence[Past]:
        """Return the earlier versions of a resource, the newest first."""
        return self.past.get((resource.get("resourceType", ""), resource.get("id", "")), ())


def gather(sources: Sequence[Source], contents: Iterable[bytes], zone: tzinfo) -> Holdings:
    """Return the holdings that stored texts make; an Observation's numbers keep their digits (128.50)."""
    holdings = Holdings(sources, zone)
    for content in contents:
        holdings.add(parse(content))
    return holdings


def parse(content: bytes | str) -> Json:
    """Return a stored resource; a number keeps the digits it was written with (128.50).

    Only an Observation with a number that a float would write otherwise takes the slow parser.
    """
    raw = content.encode() if isinstance(content, str) else content
    found: Json
    if OBSERVATION in raw[:HEAD] and FRAGILE.search(raw):
        found = DECIMALS.decode(raw.decode())
        return found
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        # A stored text is JSON: what orjson refuses is a number that no float holds.
        found = DECIMALS.decode(raw.decode())
        return found
