"""What stands at any path of any search parameter of R4 is found by it, and by no other value."""

from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest

from esb.fhir.search_parameters import PARAMETERS, Component, Parameter, Path
from esb.fhir.types import RESOURCE_TYPES
from hie.repository import definitions
from hie.repository.conditions import Manner, condition
from hie.repository.extract import index_of
from tests.in_memory import is_found

ZONE = ZoneInfo("Asia/Shanghai")
HOW = Manner(ZONE)
PATIENT = "r1"
UCUM = "http://unitsofmeasure.org"
IN_THE_ROW = ("_id", "_lastUpdated")


# A resource, what it is found by, and what it is not found by.
Place = tuple[dict[str, Any], str, str]


class Sample(NamedTuple):
    """What stands at an element, what it is asked for by, and what else it is not found by."""

    value: Any
    asked: str
    other: str


def of(*names: str, value: Any, asked: str, other: str) -> dict[str, Sample]:
    return dict.fromkeys(names, Sample(value, asked, other))


AMOUNT = {"value": 5, "system": UCUM, "code": "mg", "unit": "mg"}
TOKENS = {
    **of(
        "CodeableConcept",
        value={"coding": [{"system": "urn:s", "code": "Cc"}]},
        asked="urn:s|Cc",
        other="urn:s|Dd",
    ),
    **of("Coding", value={"system": "urn:s", "code": "Cc"}, asked="urn:s|Cc", other="urn:t|Cc"),
    **of("Identifier", value={"system": "urn:s", "value": "Cc"}, asked="urn:s|Cc", other="urn:s|Cd"),
    **of("ContactPoint", value={"system": "phone", "value": "0571 88"}, asked="057188", other="057189"),
    **of("code", "id", "string", value="Cc", asked="Cc", other="Cd"),
    **of("uri", value="urn:Cc", asked="urn:Cc", other="urn:Cd"),
    **of("boolean", value=True, asked="true", other="false"),
}
STRINGS = {
    **of("string", "markdown", value="Hang zhou", asked="hangz", other="ang"),
    **of("HumanName", value={"family": "Hang"}, asked="hang", other="ang"),
    **of("Address", value={"city": "Hang zhou"}, asked="hang", other="ang"),
}
URIS = of("uri", "url", "canonical", value="http://a.test/x", asked="http://a.test/x", other="http://a.test")
DATES = {
    **of("date", value="2024-02-29", asked="2024-02", other="2024-03"),
    **of("dateTime", "instant", value="2024-02-29T12:00:00Z", asked="2024-02-29", other="2024-02-28"),
    **of("Period", value={"start": "2024-02-01", "end": "2024-02-03"}, asked="2024-02", other="2024-02-02"),
    **of("Timing", value={"event": ["2024-02-29"]}, asked="2024-02-29", other="gt2024-03"),
}
NUMBERS = {
    **of("integer", "decimal", value=5, asked="5", other="6"),
    **of("Range", value={"low": {"value": 5}, "high": {"value": 6}}, asked="ge5", other="gt7"),
}
QUANTITIES = {
    **of("Quantity", "Age", "Duration", value=AMOUNT, asked=f"5|{UCUM}|mg", other=f"5|{UCUM}|kg"),
    **of("Money", value={"value": 5, "currency": "CNY"}, asked="5|urn:iso:std:iso:4217|CNY", other="6"),
    **of("Range", value={"low": AMOUNT, "high": AMOUNT}, asked="5", other="gt5"),
    **of("SampledData", value={"origin": AMOUNT, "data": "0 1", "period": 1}, asked="ge5", other="gt7"),
}
SAMPLES = {
    "token": TOKENS,
    "string": STRINGS,
    "uri": URIS,
    "date": DATES,
    "number": NUMBERS,
    "quantity": QUANTITIES,
}


def sample(path: Path, kind: str, targets: tuple[str, ...]) -> Sample:
    """Return what may stand at the end of a path."""
    if path.exists:
        return Sample(True, "true", "false")
    if kind != "reference":
        return SAMPLES[kind][path.type]
    target = path.target or (targets[0] if targets else "Basic")
    if path.type == "Resource":
        return Sample({"resourceType": target, "id": PATIENT}, f"{target}/{PATIENT}", f"{target}/r2")
    if path.type == "Reference":
        return Sample({"reference": f"{target}/{PATIENT}"}, f"{target}/{PATIENT}", f"{target}/r2")
    return URIS["canonical"]


def planted(resource: dict[str, Any], steps: tuple[str, ...], value: Any) -> dict[str, Any]:
    """Return a resource or element with a value at the end of some steps, beside what stands there."""
    if not steps:
        return resource | value
    first, rest = steps[0], steps[1:]
    if first.startswith("?"):
        key, _, wanted = first[1:].partition("=")
        return planted(resource, rest, value) | {key: wanted}
    is_list = rest[:1] == ("[0]",)
    rest = rest[1:] if is_list else rest
    there = resource.get(first) or {}
    there = there[0] if isinstance(there, list) else there
    inner = planted(there, rest, value) if rest and isinstance(there, dict) else value
    return resource | {first: [inner] if is_list else inner}


def places(type_: str, parameter: Parameter) -> Iterator[Place]:
    """Yield resources that a parameter finds, each with what it is found by and with what it is not."""
    bare = {"resourceType": type_, "id": "x"}
    for path in parameter.paths:
        if parameter.components:
            yield from combined(bare, path, parameter.components)
        else:
            of_it = sample(path, parameter.kind, parameter.targets)
            steps = ("deceasedBoolean",) if path.exists else path.steps
            yield planted(bare, steps, of_it.value), of_it.asked, of_it.other


def combined(bare: dict[str, Any], root: Path, parts: tuple[Component, ...]) -> Iterator[Place]:
    """Yield the same for a composite below a root; with its last part amiss it is not found."""
    for paths in product(*(part.paths for part in parts)):
        samples = [sample(path, part.kind, ()) for path, part in zip(paths, parts, strict=True)]
        made = bare
        for path, of_it in zip(paths, samples, strict=True):
            steps = path.steps if path.from_resource else (*root.steps, *path.steps)
            made = planted(made, steps, of_it.value)
        asked = [of_it.asked for of_it in samples]
        yield made, "$".join(asked), "$".join([*asked[:-1], samples[-1].other])


@pytest.mark.parametrize("type_", sorted(RESOURCE_TYPES))
def test_what_stands_at_a_path_is_found_by_its_parameter(type_: str) -> None:
    wrong = []
    for parameter in PARAMETERS[type_].values():
        if parameter.code in IN_THE_ROW or parameter.kind not in definitions.INDEXED:
            continue
        for resource, asked, other in places(type_, parameter):
            patient = PATIENT if asked == f"Patient/{PATIENT}" else ""
            index = index_of(resource, patient, ZONE)
            found, misled = (
                is_found(condition(type_, parameter, "", value, HOW), index, patient)
                for value in (asked, other)
            )
            if not found or misled:
                wrong.append((parameter.code, asked if not found else f"not {other}", resource))
    assert not wrong
