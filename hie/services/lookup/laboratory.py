"""Results of all hospitals by test: the flowsheet and the trend (FHIR Observation, LOINC, UCUM)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from hie.repository.dates import first_of
from hie.services.lookup.codes import code, key, local_id, words
from hie.services.lookup.corrections import OldValue, fate, old_values
from hie.services.lookup.sources import Holdings, Json
from hie.services.lookup.units import unit_key
from hie.services.lookup.when import FAR_OFF, LONG_AGO, instant, written

# FHIR v3-ObservationInterpretation: our flag. It is shown as an arrow and a word, not by colour alone.
FLAGS = {
    "HH": "critical-high",
    "HU": "high",
    "H": "high",
    "LL": "critical-low",
    "LU": "low",
    "L": "low",
    "AA": "critical",
    "A": "abnormal",
    "POS": "positive",
    "DET": "positive",
    "N": "",
    "NEG": "",
    "ND": "",
}
LATEST = 6
MOST_DRAWN = Decimal(10) ** 300
NO_PANEL = ""


@dataclass(frozen=True, slots=True)
class Point:
    """One result of a test."""

    id: str
    at: datetime
    at_text: str
    facility: str
    text: str
    number: Decimal | None
    flag: str
    fate: str
    old: tuple[OldValue, ...]
    low: Decimal | None
    high: Decimal | None
    range_text: str
    encounter: str
    note: str


@dataclass(slots=True)
class Test:
    """A test with its results, the newest first; results in another unit are another test."""

    key: str
    name: str
    unit: str
    loinc: str
    kind: str
    points: list[Point] = field(default_factory=list)

    @property
    def range_text(self) -> str:
        """The reference range given with the newest result that has one."""
        return next((point.range_text for point in self.points if point.range_text), "")

    @property
    def has_trend(self) -> bool:
        """Whether there are at least two numbers to draw."""
        return sum(map(_is_drawable, self.points)) > 1


@dataclass(slots=True)
class Panel:
    """Tests that are reported together, with the latest times they were made at: the columns of the grid."""

    name: str
    kind: str
    tests: list[Test]
    columns: list[tuple[datetime, str, str]]
    total_columns: int

    def cells(self, test: Test) -> Iterator[Point | None]:
        """Give the test's result for each column, None where it was not made."""
        by_column = {(point.at, point.facility): point for point in reversed(test.points)}
        return (by_column.get((at, facility)) for at, _, facility in self.columns)


def tests(holdings: Holdings) -> dict[str, Test]:
    """Return the tests by key."""
    found: dict[str, Test] = {}
    for resource in holdings.of("Observation"):
        for part in _parts(resource):
            _add(found, resource, part, holdings)
    for past in holdings.withdrawn:
        if past.resource.get("resourceType") == "Observation":
            gone = {**past.resource, "status": "entered-in-error"}
            for part in _parts(gone):
                _add(found, gone, part, holdings)
    _join_by_name(found)
    for test in found.values():
        test.points.sort(key=lambda point: point.at, reverse=True)
    return found


def panels(holdings: Holdings, found: dict[str, Test], latest: int = LATEST) -> list[Panel]:
    """Return the tests grouped as their newest report groups them, the panel with the newest result first."""
    panel_of = _panel_names(holdings)
    groups: dict[tuple[str, str], list[tuple[int, Test]]] = {}
    for test in found.values():
        name, place = next((panel_of[p.id] for p in test.points if p.id in panel_of), (NO_PANEL, 0))
        groups.setdefault((test.kind, name), []).append((place, test))
    made = [
        _panel(kind, name, [test for _, test in sorted(members, key=lambda m: m[0])], latest)
        for (kind, name), members in groups.items()
    ]
    return sorted(made, key=lambda panel: (panel.kind == "laboratory", panel.columns[0][0]), reverse=True)


def value_words(part: Json) -> str:  # noqa: PLR0911 - one return for each value[x]
    """Return an Observation's (or component's) value in words, without its unit."""
    quantity = part.get("valueQuantity")
    if quantity and quantity.get("value") is not None:
        return f"{quantity.get('comparator', '')}{quantity['value']}"
    for element in ("valueString", "valueInteger", "valueDateTime", "valueTime"):
        if part.get(element) is not None:
            return str(part[element])
    if "valueBoolean" in part:
        return "+" if part["valueBoolean"] else "-"
    if "valueCodeableConcept" in part:
        return words(part["valueCodeableConcept"])
    if ratio := part.get("valueRatio"):
        return "{}:{}".format(
            *(ratio.get(side, {}).get("value", "") for side in ("numerator", "denominator"))
        )
    if between := part.get("valueRange"):
        return "{}-{}".format(*(between.get(side, {}).get("value", "") for side in ("low", "high")))
    return words(part.get("dataAbsentReason"))


def kind_of(resource: Json) -> str:
    """Return laboratory, vital-signs, exam, … : the category of an Observation."""
    for category in resource.get("category") or ():
        if found := code(category):
            return found
    return "laboratory"


def _parts(resource: Json) -> Iterator[Json]:
    components = resource.get("component") or ()
    if not components or value_words(resource):
        yield resource
    yield from components


def _add(found: dict[str, Test], resource: Json, part: Json, holdings: Holdings) -> None:
    quantity = part.get("valueQuantity") or {}
    unit = str(quantity.get("unit") or quantity.get("code") or "")
    same = key(part.get("code"))
    text = value_words(part)
    old = old_values(text, holdings.versions(resource), lambda past: _same_part(past, same))
    if not text and not old:
        return
    at_text = first_of(resource, "effectiveDateTime", "effectivePeriod", "effectiveInstant", "issued")
    name = f"{same}|{unit_key(quantity)}" if unit else _key_without_unit(found, same)
    test = found.setdefault(
        name, Test(name, words(part.get("code")), unit, code(part.get("code"), "loinc"), kind_of(resource))
    )
    low, high, range_text = _range(part)
    number = _number(quantity)
    test.points.append(
        Point(
            id=str(resource.get("id", "")),
            at=instant(at_text, holdings.zone),
            at_text=written(at_text, holdings.zone),
            facility=holdings.facility_of(resource),
            text=text,
            number=number,
            flag=_flag(part, number, low, high),
            fate=fate(resource, old),
            old=old,
            low=low,
            high=high,
            range_text=range_text,
            encounter=local_id(resource.get("encounter")),
            note=" ".join(str(note.get("text", "")) for note in resource.get("note") or ()),
        )
    )


def _join_by_name(found: dict[str, Test]) -> None:
    """Bring a hospital's uncoded test to the coded one of the same name and unit, where there is only one."""
    coded: dict[tuple[str, str], list[Test]] = {}
    for test in found.values():
        if not test.key.startswith("text|"):
            coded.setdefault(_name_and_unit(test), []).append(test)
    for test in [test for test in found.values() if test.key.startswith("text|")]:
        twins = coded.get(_name_and_unit(test), [])
        if len(twins) == 1:
            twins[0].points += found.pop(test.key).points


def _name_and_unit(test: Test) -> tuple[str, str]:
    return "".join(test.name.split()).lower(), test.key.rpartition("|")[2] if test.unit else ""


def _key_without_unit(found: dict[str, Test], same: str) -> str:
    """Return the key of a test already known with a unit (a result such as "see note" joins it)."""
    return next((known for known in found if known.startswith(same + "|")), same)


def _same_part(version: Json, same: str) -> str:
    return next((value_words(part) for part in _parts(version) if key(part.get("code")) == same), "")


def _number(quantity: Json) -> Decimal | None:
    value = quantity.get("value")
    if value is None or isinstance(value, str):
        return None
    return value if isinstance(value, Decimal) else Decimal(str(value))


def _range(part: Json) -> tuple[Decimal | None, Decimal | None, str]:
    for given in part.get("referenceRange") or ():
        low, high = _number(given.get("low") or {}), _number(given.get("high") or {})
        if low is not None and high is not None:
            return low, high, str(given.get("text") or f"{low}-{high}")
        if low is not None or high is not None:
            return low, high, str(given.get("text") or (f"≥{low}" if low is not None else f"≤{high}"))
        if given.get("text"):
            return None, None, str(given["text"])
    return None, None, ""


def _flag(part: Json, number: Decimal | None, low: Decimal | None, high: Decimal | None) -> str:
    """Return the hospital's own flag; where it gave none, what the reference range says."""
    for concept in part.get("interpretation") or ():
        for coding in concept.get("coding") or ():
            if coding.get("code") in FLAGS:
                return FLAGS[coding["code"]]
    if number is not None and high is not None and number > high:
        return "high"
    if number is not None and low is not None and number < low:
        return "low"
    return ""


def _panel_names(holdings: Holdings) -> dict[str, tuple[str, int]]:
    """Return for each Observation id its report's name and its place in it, by the newest report."""
    reports = sorted(
        holdings.of("DiagnosticReport"),
        key=lambda report: instant(first_of(report, "effectiveDateTime", "issued"), holdings.zone),
    )
    names: dict[str, tuple[str, int]] = {}
    for report in reports:
        name = words(report.get("code"))
        for place, result in enumerate(report.get("result") or ()):
            names[local_id(result)] = name, place
    return names


def _panel(kind: str, name: str, members: list[Test], latest: int) -> Panel:
    columns: dict[tuple[datetime, str], str] = {}
    for test in members:
        for point in test.points:
            columns.setdefault((point.at, point.facility), point.at_text)
    newest = sorted(columns.items(), reverse=True)
    return Panel(
        name=name,
        kind=kind,
        tests=members,
        columns=[(at, at_text, facility) for (at, facility), at_text in newest[:latest]],
        total_columns=len(newest),
    )


def _drawn(number: Decimal | None) -> float | None:
    return float(number) if number is not None and abs(number) < MOST_DRAWN else None


def _is_drawable(point: Point) -> bool:
    """Whether a chart has a place for a result: a number that a float holds, at a time that is known."""
    return (
        _drawn(point.number) is not None and point.fate != "withdrawn" and point.at not in (LONG_AGO, FAR_OFF)
    )


def trend(test: Test) -> dict[str, Any]:
    """Return what a chart of the test needs: points oldest first, reference range, unit."""
    newest = next((p for p in test.points if p.low is not None or p.high is not None), None)
    return {
        "name": test.name,
        "unit": test.unit,
        "low": _drawn(newest.low if newest else None),
        "high": _drawn(newest.high if newest else None),
        "points": [
            {
                "at": p.at.isoformat(),
                "at_text": p.at_text,
                "value": _drawn(p.number),
                "text": p.text,
                "facility": p.facility,
                "flag": p.flag,
            }
            for p in reversed(test.points)
            if _is_drawable(p)
        ],
    }
