"""Writes the table of docs/interfaces.md: for each agreed trigger, which resources arise from which fields.

Run: `python -m front_end_processor.normalise.hl7v2.summary docs/interfaces.md`
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from front_end_processor.normalise.hl7v2.specimens import SPECIMEN
from front_end_processor.normalise.hl7v2.triggers import STEPS, TRIGGERS

# The triggers every hospital of a region may count on.
AGREED = (
    *(f"ADT^A{event}" for event in ("01", "02", "03", "04", "08", "11", "13", "28", "31", "40")),
    "ORU^R01",
    "OML^O21",
    "ORM^O01",
    "RDE^O01",
    "RDE^O11",
    "RAS^O01",
    "RAS^O17",
    *(f"SIU^S{event}" for event in (12, 13, 14, 15)),
    "DFT^P03",
    "MDM^T02",
)
BEGIN, END = "<!-- agreed triggers: generated -->\n", "<!-- end -->"
_ITEM = "OBX-2 OBX-3 OBX-4 OBX-5 OBX-6 OBX-11 NTE-3"
# What a builder reads beside the rows of its maps: number, status, value, role. Builder -> resource -> fields
_BESIDE: Mapping[str, Mapping[str, str]] = {
    "merge": {"Patient": "MRG-1"},
    "visit": {"Encounter": "PID-18 DG1-6 DG1-15"},
    "diagnoses": {"Condition": "DG1-6 DG1-20 DG1-21"},
    "allergies": {"AllergyIntolerance": "AL1-4 AL1-5 IAM-4 IAM-5 IAM-6 IAM-17"},
    "procedures": {"Procedure": "PR1-19 PR1-20"},
    "insurance": {"Coverage": "IN1-2 IN1-3 IN1-4"},
    "observations": {"Observation": _ITEM},
    "answers": {"Observation": _ITEM},
    "results": {
        "DiagnosticReport": "ORC-2 ORC-3 OBR-2 OBR-3 OBR-4 OBR-24 OBR-25 OBX-2 OBX-5 NTE-3",
        "Observation": f"ORC-2 ORC-3 OBR-2 OBR-3 {_ITEM}",
    },
    "orders": {"ServiceRequest": "ORC-1 ORC-2 ORC-3 ORC-4 ORC-5 OBR-2 OBR-3 OBR-24 OBR-27 TQ1-9 NTE-3"},
    "drug orders": {
        "MedicationRequest": "ORC-1 ORC-2 ORC-3 ORC-5 RXE-1 RXE-3 RXE-5 RXE-7 RXE-10 RXE-11 RXE-12 RXE-15 "
        "TQ1-3"
    },
    "administrations": {
        "MedicationAdministration": "ORC-2 ORC-3 RXA-2 RXA-3 RXA-4 RXA-6 RXA-7 RXA-20 RXA-21 "
        "RXR-1 RXR-2 RXR-4"
    },
    "appointment": {
        "Appointment": "SCH-1 SCH-2 SCH-9 SCH-10 SCH-11 SCH-25 TQ1-7 TQ1-8 AIS-4 AIS-7 AIP-3 AIL-3 AIG-3"
    },
    "charges": {"ChargeItem": "FT1-2 FT1-6 FT1-8 FT1-9 FT1-10 FT1-11 FT1-12 FT1-17 FT1-33"},
    "document": {"DocumentReference": "TXA-3 TXA-12 TXA-13 TXA-16 TXA-19 OBX-2 OBX-5"},
}


def fields_of(kind: str) -> dict[str, list[str]]:
    """Return the fields that each resource of a trigger is made of, in the order of the maps."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for step in TRIGGERS[kind].steps:
        for type_, rows in STEPS[step].maps:
            found[type_.partition(".")[0]] |= dict.fromkeys(row.source for row in rows)
        for type_, named in _BESIDE.get(_plain(step), {}).items():
            found[type_] |= dict.fromkeys(named.split())
        if "Specimen" in STEPS[step].resources:
            found["Specimen"] |= dict.fromkeys([*(row.source for row in SPECIMEN), "SPM-2", "OBR-15"])
    return {type_: list(names) for type_, names in found.items()}


def _plain(step: str) -> str:
    name = step.rstrip("?")
    return "visit" if name.startswith("visit ") else name


def _mentioned(kind: str) -> set[str]:
    steps = TRIGGERS[kind].steps
    return {type_ for step in steps if step.endswith("?") for type_ in STEPS[step].resources}


def _short(fields: Iterable[str]) -> str:
    """Return fields as a reader likes them: PID-3, 5, 7; PD1-4."""
    numbers: dict[str, set[int]] = defaultdict(set)
    for field in fields:
        segment, _, number = field.partition("-")
        numbers[segment].add(int(number))
    return "; ".join(f"{segment}-{', '.join(map(str, sorted(each)))}" for segment, each in numbers.items())


def render() -> str:
    """Return the table: triggers that make the same of the same fields share their rows."""
    groups: dict[tuple[tuple[str, str], ...], list[str]] = defaultdict(list)
    for kind in AGREED:
        mentioned = _mentioned(kind)
        rows = (
            (f"{type_} (where unknown)" if type_ in mentioned else type_, _short(fields))
            for type_, fields in fields_of(kind).items()
        )
        groups[tuple(rows)].append(kind)
    lines = ["| trigger | resource | from |", "|---|---|---|"]
    for made, kinds in groups.items():
        first = ", ".join(kinds)
        for type_, fields in made:
            lines.append(f"| {first} | {type_} | {fields} |")
            first = ""
    return "\n".join(lines) + "\n"


def inserted(page: str) -> str:
    """Return a page with the table between its marks."""
    return re.sub(
        f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: BEGIN + render() + END, page, count=1, flags=re.S
    )


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(inserted(path.read_text(encoding="utf-8")), encoding="utf-8")
