"""What the CSV mappings share: references, concepts, quantities, entries of one patient."""

from __future__ import annotations

import re
from typing import Any

import orjson

from esb.fhir.bundles import delete_entry, entry
from front_end_processor.normalise.csv_rows import Row
from front_end_processor.normalise.fhir_ids import Resolve
from front_end_processor.normalise.ids import Ids
from front_end_processor.normalise.profile import Profile

Resource = dict[str, Any]

V2_0203 = "http://terminology.hl7.org/CodeSystem/v2-0203"
UCUM = "http://unitsofmeasure.org"
LOINC = "http://loinc.org"
FACILITY = "urn:hie:facility"
_COMPARED = re.compile(r"\s*(<=|>=|<|>|≤|≥|＜|＞)\s*(-?[0-9]+(?:\.[0-9]+)?)\s*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?", re.ASCII)
_COMPARATORS = {"≤": "<=", "≥": ">=", "＜": "<", "＞": ">"}
_RANGE = re.compile(r"\(?\s*(-?[0-9.]+)\s*(?:-{1,2}|~|～|—|–|至)\s*(-?[0-9.]+)\s*\)?")


class Draft:
    """The entries of one patient that come of a group of rows, each resource once, the last one wins."""

    def __init__(self, profile: Profile, ids: Ids, resolve: Resolve, patient_no: str) -> None:
        self.profile = profile
        self.ids = ids
        self.resolve = resolve
        self.patient_no = patient_no
        self.aliases: list[tuple[str, str, str]] = []
        self.warnings: list[str] = []
        self._entries: dict[str, Resource] = {}

    def reference(self, type_: str, local: str) -> Resource:
        """Return a reference to what the hospital calls by a number."""
        return {"reference": f"{type_}/{self.ids.of(type_, local)}"}

    @property
    def subject(self) -> Resource:
        """The reference to the patient."""
        return self.reference("Patient", self.patient_no)

    def identifier(self, kind: str, value: str, type_code: str = "") -> Resource:
        """Return a number of the hospital's own as an Identifier."""
        found: Resource = {"system": self.ids.system(kind), "value": value}
        if type_code:
            found["type"] = {"coding": [{"system": V2_0203, "code": type_code}]}
        return found

    def resource(self, type_: str, local: str) -> Resource:
        """Return the beginning of a resource under its id."""
        return {"resourceType": type_, "id": self.ids.of(type_, local)}

    def put(self, resource: Resource) -> None:
        """Add a full snapshot."""
        self._entries[f"{resource['resourceType']}/{resource['id']}"] = entry(resource)

    def delete(self, type_: str, id_: str) -> None:
        """Add a deletion."""
        self._entries[f"{type_}/{id_}"] = delete_entry(type_, id_)

    def entries(self) -> list[Resource]:
        """Return all entries, with a placeholder of the patient where the rows only mention it."""
        found = list(self._entries.values())
        if self.patient_no and f"Patient/{self.ids.of('Patient', self.patient_no)}" not in self._entries:
            patient = self.resource("Patient", self.patient_no)
            patient["identifier"] = [self.identifier("mrn", self.patient_no, "MR")]
            found.append(entry(patient, if_none_match=True))
        return found

    def system(self, table: str) -> str:
        """Return the hospital's own coding system of a kind of code."""
        return f"urn:hie:{self.ids.facility}:code:{table}"

    def concept(self, table: str, code: str, text: str) -> Resource:
        """Return a CodeableConcept of a local code, with its mapping where the profile has one."""
        codings: list[Resource] = []
        if code:
            codings.append(
                {"system": self.system(table), "code": code, **({"display": text} if text else {})}
            )
            mapped = self.profile.tables.get(table, {}).get(code.upper())
            if mapped and mapped.system:
                display = {"display": mapped.display} if mapped.display else {}
                codings.append({"system": mapped.system, "code": mapped.code, **display})
        found: Resource = {"coding": codings} if codings else {}
        if text or code:
            found["text"] = text or code
        return found

    def staff(self, name: str, number: str = "") -> Resource:
        """Return a logical reference to a member of staff."""
        found: Resource = {"type": "Practitioner"}
        if number:
            found["identifier"] = {"system": self.ids.system("staff"), "value": number}
        if name:
            found["display"] = name
        return found

    @property
    def organization(self) -> Resource:
        """The logical reference to the hospital itself."""
        return {
            "type": "Organization",
            "identifier": {"system": FACILITY, "value": self.ids.facility},
            "display": self.profile.name,
        }


def put_value(of: Draft, observation: Resource, value: str, unit: str) -> None:
    """Put a result as printed into an Observation: Quantity, compared Quantity, or text."""
    match = _COMPARED.fullmatch(value)
    if _NUMBER.fullmatch(value):
        observation["valueQuantity"] = {"value": orjson.Fragment(value), **unit_of(of, unit)}
    elif match and _NUMBER.fullmatch(match[2]):
        comparator = _COMPARATORS.get(match[1], match[1])
        found = {"value": orjson.Fragment(match[2]), "comparator": comparator}
        observation["valueQuantity"] = {**found, **unit_of(of, unit)}
    elif value:
        observation["valueString"] = f"{value} {unit}".strip() if unit else value
    else:
        system = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
        observation["dataAbsentReason"] = {"coding": [{"system": system, "code": "unknown"}]}


def unit_of(of: Draft, unit: str) -> Resource:
    """Return the unit elements of a Quantity: as printed, and in UCUM where known."""
    if not unit:
        return {}
    known = of.profile.tables.get("units", {}).get(unit.upper())
    return {"unit": unit, **({"system": UCUM, "code": known.code} if known else {})}


def put_range(observation: Resource, printed: str, of: Draft, unit: str) -> None:
    """Put a reference range as printed into an Observation, with low and high where it says them."""
    if not printed:
        return
    found: Resource = {}
    between, compared = _RANGE.fullmatch(printed), _COMPARED.fullmatch(printed)
    if between and _NUMBER.fullmatch(between[1]) and _NUMBER.fullmatch(between[2]):
        for element, digits in (("low", between[1]), ("high", between[2])):
            found[element] = {"value": orjson.Fragment(digits), **unit_of(of, unit)}
    elif compared and _NUMBER.fullmatch(compared[2]):
        element = "high" if compared[1] in ("<", "<=", "≤", "＜") else "low"
        found[element] = {"value": orjson.Fragment(compared[2]), **unit_of(of, unit)}
    observation["referenceRange"] = [{**found, "text": printed}]


def put_flag(of: Draft, observation: Resource, flag: str) -> None:
    """Put an abnormal flag into an Observation; one that nobody mapped stays as text."""
    if not flag:
        return
    known = of.profile.tables.get("interpretation", {}).get(flag.upper())
    concept: Resource = {"text": flag}
    if known:
        system = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
        concept = {"coding": [{"system": system, "code": known.code, "display": known.display}], "text": flag}
    observation["interpretation"] = [concept]


def money(row: Row, column: str) -> Resource:
    """Return an amount in yuan with the digits that were sent."""
    return {"value": row.number(column), "currency": "CNY"}
