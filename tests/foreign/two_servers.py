"""The same resources in the hub and in an independent repository in memory, and searches to ask both."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from random import Random
from typing import Any

from deploy.sample.bundles import patient_record
from esb.fhir.search_parameters import PARAMETERS, values
from hie.api.metadata import search_parameters
from tests.foreign.conftest import HERE
from tests.hub_world import Caller, Json, entry, ids, transaction

SEED = 20261121
RECORDS, OF_EACH = 6, 45
LOINC, UCUM, GENDER = (
    "http://loinc.org",
    "http://unitsofmeasure.org",
    "http://hl7.org/fhir/administrative-gender",
)
FAMILIES = ("Wang", "WANGLER", "van Houten", "O'Neill", "Ørsted", "Lee", "张", "欧阳")
GIVENS = ("Anna", "Annalee", "Bo", "José", "Wei", "Mary Ann")
CITIES = ("Hangzhou", "Ningbo", "Huzhou", "New Ningbo")
DAYS = ("2024", "2024-02", "2024-02-29", "2024-03-01", "2024-12-31", "2025-01-01", "2023-06")
INSTANTS = ("2024-02-29T00:00:00Z", "2024-02-29T23:59:59Z", "2024-03-01T12:30:00Z", "2025-01-01T00:00:00Z")
CODES = ("718-7", "2823-3", "4548-4", "LA-a", "la-A")
NUMBERS = ("5.4", "5.40", "5", "100", "0.054", "-2")
URLS = ("http://example.org/fhir/ValueSet/a", "http://example.org/fhir/ValueSet/ab", "urn:oid:1.2.3")
TYPES = (
    "Patient",
    "Observation",
    "Encounter",
    "Condition",
    "MedicationRequest",
    "DiagnosticReport",
    "AllergyIntolerance",
    "ValueSet",
    "RiskAssessment",
    "Organization",
)
KINDS = ("token", "string", "reference", "date", "uri", "quantity", "number")
PREFIXES = ("", "", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")
# Kept by the server itself, so not the same in both.
OF_THE_SERVER = frozenset({"_lastUpdated", "_source", "_tag", "_security", "_profile"})


@dataclass(frozen=True)
class Atom:
    """One parameter with one value. prefix: of a date or number."""

    type: str
    code: str
    kind: str
    modifier: str
    prefix: str
    value: str

    @property
    def asked(self) -> tuple[str, str]:
        """Return name and value as they stand in an address, unescaped."""
        return self.code + (f":{self.modifier}" if self.modifier else ""), self.prefix + self.value


def resources() -> list[Json]:
    """Return records as hospitals write them, and resources drawn so that values nearly meet."""
    made: dict[tuple[str, str], Json] = {}
    for seed in range(RECORDS):
        for bundle in patient_record(40, seed + 1):
            for one in json.loads(bundle)["entry"]:
                made[one["resource"]["resourceType"], one["resource"]["id"]] = one["resource"]
    for one in chain(_drawn(Random(SEED)), _panels(Random(SEED + 1))):
        made[one["resourceType"], one["id"]] = one
    return list(made.values())


def _concept(draw: Random) -> Json:
    codings = [{"system": LOINC, "code": code} for code in draw.sample(CODES, draw.choice((1, 1, 2)))]
    if draw.random() < 0.2:
        codings.append({"code": draw.choice(CODES)})
    return {"coding": codings} | ({"text": draw.choice(CODES)} if draw.random() < 0.3 else {})


def _quantity(draw: Random) -> Json:
    return {
        "value": float(draw.choice(NUMBERS)),
        "unit": "mg",
        "system": UCUM,
        "code": draw.choice(("mg", "g")),
    }


def _when(draw: Random) -> Json:
    kind = draw.choice(("DateTime", "DateTime", "Instant", "Period", "Open", None))
    if kind is None:
        return {}
    if kind == "Period":
        start, end = sorted(draw.sample(INSTANTS, 2))
        return {"effectivePeriod": {"start": start, "end": end}}
    if kind == "Open":
        return {"effectivePeriod": {"start": draw.choice(INSTANTS)}}
    return {"effectiveDateTime": draw.choice(DAYS if kind == "DateTime" else INSTANTS)}


def _drawn(draw: Random) -> Iterator[Json]:
    for n in range(OF_EACH):
        person: Json = {"resourceType": "Patient", "id": f"gp{n}", "active": draw.random() < 0.5}
        person["name"] = [
            {"family": draw.choice(FAMILIES), "given": draw.sample(GIVENS, draw.choice((1, 2)))}
            for _ in range(draw.choice((1, 1, 2)))
        ]
        person["identifier"] = [{"system": "urn:g", "value": f"{n % 7}"}, {"value": f"x{n}"}][: 1 + n % 2]
        if n % 3:
            person["gender"] = draw.choice(("male", "female", "other"))
        if n % 4:
            person["birthDate"] = draw.choice(DAYS)
        if n % 5 == 0:
            person["address"] = [{"city": draw.choice(CITIES), "country": "CN"}]
        if n % 6 == 0:
            person["telecom"] = [
                {"system": "phone", "value": f"+86 {n}"},
                {"system": "email", "value": "a@b.cn"},
            ]
        if n % 7 == 0:
            person["deceasedBoolean"] = n % 2 == 0
        if n % 9 == 0:
            person["link"] = [{"other": {"reference": f"Patient/gp{n // 2}"}, "type": "seealso"}]
        yield person
    for n in range(OF_EACH):
        seen: Json = {"resourceType": "Observation", "id": f"go{n}", "code": _concept(draw)}
        seen["status"] = draw.choice(("final", "amended", "preliminary"))
        if n % 5:
            seen["subject"] = {"reference": f"Patient/gp{draw.randrange(OF_EACH)}"}
        if n % 2:
            seen["valueQuantity"] = _quantity(draw)
        else:
            seen["valueCodeableConcept"] = _concept(draw)
        yield seen | _when(draw)
    for n in range(OF_EACH // 3):
        who = {"reference": f"Patient/gp{draw.randrange(OF_EACH)}"}
        probability = float(draw.choice(("0.5", "0.50", "0.125", "1", "0.4")))
        yield {
            "resourceType": "RiskAssessment",
            "id": f"gr{n}",
            "status": "final",
            "subject": who,
            "prediction": [{"probabilityDecimal": probability}],
        }
        yield {
            "resourceType": "ValueSet",
            "id": f"gv{n}",
            "status": draw.choice(("draft", "active")),
            "url": draw.choice(URLS) + ("" if n % 2 else str(n)),
            "name": draw.choice(FAMILIES[:3]).replace(" ", ""),
            "date": draw.choice(DAYS),
        }
        yield {
            "resourceType": "Organization",
            "id": f"gz{n}",
            "name": f"{draw.choice(CITIES)} Clinic",
            "active": True,
        }


def _panels(draw: Random) -> Iterator[Json]:
    """Give panels, whose components hold what must not be mixed, and reports about results."""
    for n in range(OF_EACH // 3):
        parts: list[Json] = [{"code": _concept(draw), "valueQuantity": _quantity(draw)} for _ in range(2)]
        if n % 3 == 0:
            parts.append({"code": _concept(draw), "valueCodeableConcept": _concept(draw)})
        who = {"reference": f"Patient/gp{draw.randrange(OF_EACH)}"}
        panel = {"resourceType": "Observation", "id": f"gc{n}", "status": "final", "subject": who}
        yield panel | {"code": _concept(draw), "component": parts} | _when(draw)
        results = [{"reference": f"Observation/go{draw.randrange(OF_EACH)}"} for _ in range(2)]
        report = {"resourceType": "DiagnosticReport", "id": f"gd{n}", "status": "final", "subject": who}
        yield report | {"code": _concept(draw), "result": [*results, {"reference": f"Observation/gc{n}"}]}


def atoms(known: list[Json], number: int) -> list[Atom]:
    """Return so many searches by one parameter, drawn from the values that are there and others near them."""
    draw = Random(SEED)
    by_type: dict[str, list[Json]] = {}
    for one in known:
        by_type.setdefault(one["resourceType"], []).append(one)
    stated = [
        (type_, one["name"], one["type"], one.get("documentation", ""))
        for type_ in TYPES
        for one in search_parameters(type_)
        if one["type"] in KINDS
        and one["name"] not in OF_THE_SERVER
        and not PARAMETERS[type_][one["name"]].url
    ]
    # A parameter without a value in any resource tells nothing; each of the others is asked for by turns.
    worth = [
        (type_, code, kind, told, found)
        for type_, code, kind, told in stated
        if (found := _texts(type_, code, kind, by_type.get(type_, [])))
    ]
    made: dict[Atom, None] = {}
    for turn in range(number):
        type_, code, kind, told, found = worth[turn % len(worth)]
        made[_atom(draw, type_, code, kind, told, found)] = None
    return list(made)


def _atom(draw: Random, type_: str, code: str, kind: str, told: str, found: list[str]) -> Atom:
    modifiers = [m for m in ("missing", "not", "exact", "contains") if f":{m}" in told]
    modifier = draw.choice(["", "", "", *modifiers])
    if modifier == "missing":
        return Atom(type_, code, kind, modifier, "", draw.choice(("true", "false")))
    value = draw.choice(found)
    prefix = draw.choice(PREFIXES) if kind in ("date", "quantity", "number") else ""
    if kind == "string":
        begin = draw.choice((0, 0, 0, 1)) if modifier != "exact" else 0
        if modifier != "exact" and len(value) > 1:
            value = value[begin : draw.choice((begin + 1, begin + 3, None))].strip() or value
        value = draw.choice((value, value, value.upper(), value.lower()))
    elif kind == "token" and code != "_id":
        value = draw.choice((value, value, value, value.upper(), "|" + value.rpartition("|")[2]))
    elif kind == "date" and draw.random() < 0.5:
        value = draw.choice((*DAYS, *INSTANTS))
    elif kind == "reference" and draw.random() < 0.3:
        value = value.rpartition("/")[2]
    elif kind == "uri" and draw.random() < 0.5:
        value = value[: draw.choice((-1, 20))]
    elif kind == "number":
        value = draw.choice((value, value + "0", *NUMBERS))
    elif kind == "quantity":
        value = draw.choice((value, *NUMBERS)) + draw.choice(("", "", f"|{UCUM}|mg", "||mg"))
    return Atom(type_, code, kind, modifier, prefix, value)


def leaves(one: Json, code: str) -> list[Any]:
    """Return what stands in a resource where a parameter looks."""
    return [v for path in PARAMETERS[one["resourceType"]][code].paths for v in values(one, path)]


def _texts(type_: str, code: str, kind: str, known: list[Json]) -> list[str]:
    """Return values a parameter could be asked for, from the resources of its type."""
    found = {text for one in known for value in leaves(one, code) for text in _written(kind, value)}
    return sorted(text for text in found if text.strip() and len(text) <= 60 and not set(text) & set(",$\\"))


def _written(kind: str, value: Any) -> Iterator[str]:
    if isinstance(value, bool):
        yield str(value).lower()
    elif isinstance(value, str | int | float):
        yield str(value)
    elif not isinstance(value, dict):
        return
    elif kind == "token":
        for coding in value.get("coding", [value]):
            number = coding.get("code", coding.get("value"))
            if isinstance(number, str):
                yield number
                if "system" in coding and "use" not in coding and not _is_contact(coding):
                    yield f"{coding['system']}|{number}"
    elif kind == "string":
        yield from texts_of(value)
    elif kind == "reference" and "reference" in value:
        yield value["reference"]
    elif kind == "date":
        yield from (value[edge] for edge in ("start", "end") if edge in value)
    elif kind == "quantity" and "value" in value:
        yield str(value["value"])


def _is_contact(coding: Json) -> bool:
    return coding.get("system") in ("phone", "email", "fax", "sms", "url", "pager", "other")


STRINGS = (
    "text",
    "family",
    "given",
    "prefix",
    "suffix",
    "line",
    "city",
    "district",
    "state",
    "postalCode",
    "country",
)


def texts_of(value: Any) -> list[str]:
    """Return the strings of a value that string parameters look at (search.html#string)."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, dict):
        return []
    parts = (value.get(key) for key in STRINGS)
    return list(chain.from_iterable(p if isinstance(p, list) else [p] for p in parts if p))


class Peer:
    """The independent repository: a process that is asked by lines of JSON."""

    def __init__(self, node: str) -> None:
        command = [node, str(HERE / "peer.mjs")]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def _ask(self, question: Json) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert "found" in answer, (question if "search" in question else "load", answer)
        return answer["found"]

    def load(self, given: list[Json]) -> None:
        """Give it resources."""
        assert self._ask({"load": given}) == len(given)

    def search(self, type_: str, *params: tuple[str, str]) -> set[str]:
        """Return the ids of what it finds."""
        return set(self._ask({"search": query(type_, *params)}))

    def values(self, given: list[Json]) -> list[dict[str, list[Any]]]:
        """Return what the published expressions of the parameters find in each resource, with its type."""
        found: list[dict[str, list[Any]]] = self._ask({"values": given})
        return found

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def query(type_: str, *params: tuple[str, str]) -> str:
    """Return a search as an address."""
    escapes = str.maketrans({c: f"%{ord(c):02X}" for c in "% &+#?=;"})
    return f"{type_}?" + "&".join(f"{name}={value.translate(escapes)}" for name, value in params)


class Ours:
    """The hub's application."""

    def __init__(self, call: Caller) -> None:
        self._call = call

    def load(self, given: list[Json]) -> None:
        """Give it resources."""
        entries = [entry(one, "PUT", f"{one['resourceType']}/{one['id']}") for one in given]
        answer = self._call("POST", "/", transaction(*entries))
        assert answer.status_code == 200, answer.text

    def search(self, type_: str, *params: tuple[str, str]) -> set[str]:
        """Return the ids of what it finds, over all pages."""
        url = "/" + query(type_, *params, ("_count", "500"))
        found: list[str] = []
        while url:
            answer = self._call("GET", url, Prefer="handling=strict")
            found += ids(answer)
            links = {link["relation"]: link["url"] for link in answer.get_json()["link"]}
            url = links.get("next", "").partition("/fhir")[2]
        assert len(found) == len(set(found))
        return set(found)
