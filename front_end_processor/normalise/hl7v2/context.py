"""What the mapping of one message works with: message, profile, ids, and what came of it so far."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from esb.fhir import bundles
from front_end_processor.adapters.hl7v2.er7 import Message, Repeat, Segment
from front_end_processor.normalise.hl7v2 import times
from front_end_processor.normalise.ids import Ids
from front_end_processor.normalise.profile import Code, Profile

Resource = dict[str, Any]
V2_TABLE = "http://terminology.hl7.org/CodeSystem/v2-"
_HL7_TABLE = re.compile(r"HL7?0*(\d{1,4})\Z", re.IGNORECASE)
_OID = re.compile(r"[012](?:\.\d+)+\Z")
_NOT_SLUG = re.compile(r"[^a-z0-9.]+")
_SPACES = re.compile(r"\s+")
_LOCAL = frozenset(("", "L", "LOCAL", "LB"))
# kinds of code taken from one list whose meanings are mapped apart: the panel UA (尿常规) is not uric acid
_SAME_CODES = {"panel": "laboratory"}
_CACHE_SIZE = 20_000


class Meanings:
    """What one hospital's codes mean: compiled from the profile, with what was already worked out."""

    def __init__(self, profile: Profile, facility: str) -> None:
        self.profile = profile
        self.facility = facility
        shipped = {name: code.code for name, code in profile.tables["code_system"].items()}
        own = {name: uri.replace("{facility}", facility) for name, uri in profile.systems.items()}
        self.systems = {**shipped, **own}
        self.concepts: dict[tuple[str, str], tuple[Resource | None, str]] = {}
        self.number_kinds: dict[tuple[str, ...], tuple[str, str]] = {}
        self.units: dict[str, Resource] = {}
        self.ranges: dict[tuple[str, str], list[Resource]] = {}
        self.staff: dict[str, Resource | None] = {}
        self.places: dict[str, Resource | None] = {}
        self.flags: dict[str, Resource] = {}
        self.defaults: dict[str, str] = dict(profile.hl7v2.get("default_systems") or {})

    def system(self, named: str, table: str) -> str:
        """Return the URI of a coding system as a message names it; the hospital's own if it is not known."""
        name = named.upper()
        if name in _LOCAL or name.startswith("99"):
            return self.local(table)
        known = self.systems.get(name)
        if known:
            return known
        table_number = _HL7_TABLE.match(name)
        if table_number:
            return V2_TABLE + table_number.group(1).zfill(4)
        if _OID.match(named):
            return f"urn:oid:{named}"
        if named.startswith(("http://", "https://", "urn:")):
            return named
        return f"urn:hie:{self.facility}:code:{_NOT_SLUG.sub('-', named.lower()).strip('-') or table}"

    def local(self, table: str) -> str:
        """Return the hospital's own coding system of a kind of code."""
        return f"urn:hie:{self.facility}:code:{_SAME_CODES.get(table, table)}"

    def concept(self, repeat: Repeat, table: str) -> tuple[Resource | None, str]:
        """Return a CodeableConcept of a CE or CWE, and a warning (empty if none).

        The code stays as it came; a coding is added where the profile has a table of that name and it knows
        the code. Kinds of code without such a table are not expected to be mapped.
        """
        key = (table, repeat.raw)
        found = self.concepts.get(key)
        if found is None:
            if len(self.concepts) >= _CACHE_SIZE:
                self.concepts.clear()
            found = self.concepts[key] = self._concept(repeat, table)
        return found

    def _concept(self, repeat: Repeat, table: str) -> tuple[Resource | None, str]:
        codings: list[Resource] = []
        mapping = self.profile.tables.get(table)
        local, mapped = "", False
        for first in (1, 4):
            code = _SPACES.sub(" ", repeat.whole(first))
            if not code:
                continue
            named = repeat[first + 2]
            by_name = bool(named) or first == 4
            system = self.system(named, table) if by_name else self._guess(code, table)
            if any(c["system"] == system and c["code"] == code for c in codings):
                continue  # the table gave it already
            coding = {"system": system, "code": code}
            display = repeat.whole(first + 1)
            if display:
                coding["display"] = display
            codings.append(coding)
            if system.startswith("urn:hie:"):
                local = local or code
            else:
                mapped = True
            target = mapping.get(code.upper()) if mapping else None
            if target and target.system and not any(c["code"] == target.code for c in codings[:-1]):
                mapped = True
                codings.append(_coding(target))
        text = repeat[9] or repeat.whole(2) or repeat.whole(5) or (codings[0]["code"] if codings else "")
        if not text:
            return None, ""
        concept: Resource = {"coding": codings, "text": text} if codings else {"text": text}
        is_wanted = local and not mapped and mapping is not None
        return concept, f"{table} code {local} is not mapped" if is_wanted else ""

    def _guess(self, code: str, table: str) -> str:
        """Return the system of a code sent without one: the profile's default where the code can be of it."""
        default = self.defaults.get(table, "")
        if default.endswith("icd-10") and not re.match(r"[A-Z]\d\d", code):
            return self.local(table)
        return default or self.local(table)


def _coding(target: Code) -> Resource:
    coding = {"system": target.system, "code": target.code}
    if target.display:
        coding["display"] = target.display
    return coding


@lru_cache(maxsize=32)
def meanings(profile: Profile, facility: str) -> Meanings:
    """Return the compiled meanings of a profile's codes."""
    return Meanings(profile, facility)


class Context:
    """One message on its way to resources."""

    def __init__(self, message: Message, profile: Profile, ids: Ids, event: str) -> None:
        self.message = message
        self.profile = profile
        self.ids = ids
        self.event = event
        self.meanings = meanings(profile, ids.facility)
        self.zone = profile.zone
        self.warnings: list[str] = []
        self.entries: list[Resource] = []
        self.known: dict[tuple[str, str], Resource] = {}
        self.subject: Segment | None = None
        self.patient_key = self.patient_id = self.encounter_id = ""
        self.patient: Resource = {}
        self.encounter: Resource | None = None
        self.visit_key = ""
        self.needs_visit = False

    def warn(self, text: str) -> None:
        """Note what was left out or not understood, by field and code, without a patient's data."""
        if text not in self.warnings and len(self.warnings) < 50:
            self.warnings.append(text)

    def add(self, resource: Resource, *, placeholder: bool = False) -> None:
        """Put a resource into the bundle; a second one of the same id replaces the first."""
        key = (resource["resourceType"], resource["id"])
        if key in self.known:
            entry = self.known[key]
            entry["resource"] = resource
            if not placeholder:
                entry["request"].pop("ifNoneMatch", None)
            return
        entry = bundles.entry(resource, if_none_match=placeholder)
        self.known[key] = entry
        self.entries.append(entry)

    def has(self, type_: str, id_: str) -> bool:
        """Is a resource of that id in the bundle already?"""
        return (type_, id_) in self.known

    def concept(self, segment: Segment, field: int, table: str) -> Resource | None:
        """Return a field of type CE or CWE as a CodeableConcept."""
        repeat = segment.first(field)
        return None if repeat is None else self.concept_of(repeat, table)

    def concept_of(self, repeat: Repeat, table: str) -> Resource | None:
        """Return one repetition of a CE or CWE as a CodeableConcept."""
        concept, warning = self.meanings.concept(repeat, table)
        if warning:
            self.warn(warning)
        return concept

    def concepts(self, segment: Segment, field: int, table: str) -> list[Resource]:
        """Return all repetitions of a CE or CWE as CodeableConcepts."""
        return [c for c in (self.concept_of(r, table) for r in segment.repeats(field)) if c]

    def code(self, table: str, sent: str, place: str) -> Code | None:
        """Return what a code means by a table; warns where it is not in it."""
        if not sent:
            return None
        found = self.profile.tables[table].get(sent.upper())
        if found is None:
            self.warn(f"{place}: code is not in table {table}")
        return found

    def moment(self, sent: str, place: str) -> times.Moment | None:
        """Return a time stamp; warns and gives None where there is no such time."""
        if not sent:
            return None
        found = times.parse(sent, self.zone)
        if found is None:
            self.warn(f"{place}: no such date or time, left out")
        return found

    def date_time(self, segment: Segment, field: int) -> str | None:
        """Return a field as a FHIR dateTime."""
        found = self._moment_in(segment, field)
        return found.text if found else None

    def date(self, segment: Segment, field: int) -> str | None:
        """Return a field as a FHIR date."""
        found = self._moment_in(segment, field)
        return found.date if found else None

    def instant(self, segment: Segment, field: int) -> str | None:
        """Return a field as a FHIR instant; None where it was not sent to the minute."""
        found = self._moment_in(segment, field)
        return found.text if found and found.is_timed else None

    def _moment_in(self, segment: Segment, field: int) -> times.Moment | None:
        sent = segment.get(field)
        found = times.parse(sent, self.zone) if sent else None
        return self.moment(sent, f"{segment.name}-{field}") if sent and found is None else found

    def notes(self, segments: list[Segment]) -> list[Resource]:
        """Return NTE segments as Annotations."""
        texts = (segment.text(3) for segment in segments)
        return [{"text": text} for text in texts if text]

    def base(self, type_: str, local_id: str, subject: str = "subject") -> Resource:
        """Return the beginning of a clinical resource: type, id, whose it is, during which visit."""
        resource: Resource = {
            "resourceType": type_,
            "id": self.ids.of(type_, local_id),
            subject: self.patient,
        }
        if self.encounter is not None:
            resource["encounter"] = self.encounter
        return resource

    def identifier(self, kind: str, value: str, type_code: str = "") -> Resource:
        """Return an identifier of one of the hospital's own number ranges."""
        identifier: Resource = {"system": self.ids.system(kind), "value": value}
        if type_code:
            identifier["type"] = {"coding": [{"system": V2_TABLE + "0203", "code": type_code}]}
        return identifier
