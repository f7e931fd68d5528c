"""FHIR R4's own code systems and value sets, from its published definitions: all put in together, by COPY."""

from __future__ import annotations

import gzip
from importlib.resources import files
from typing import Any

import orjson
from sqlalchemy import select
from sqlalchemy.orm import Session

from hie.schema import CodeSystem, ValueSet
from hie.terminology.feeding import code_system, value_set
from hie.terminology.loading import Loaded
from hie.terminology.storing import lock, put_new

FILE = "codes/fhir_r4.ndjson.gz"  # written by deploy/definitions
KIND, SOURCE = "fhir-r4", "HL7 FHIR R4 (4.0.1)"
LANGUAGE = "en"


def load_published(session: Session) -> Loaded:
    """Put in what R4 publishes and nobody has brought yet, in any version; nothing is replaced."""
    lock(session)
    lines = gzip.decompress(files("hie.terminology").joinpath(FILE).read_bytes()).splitlines()
    known = {url for table in (CodeSystem, ValueSet) for url in session.scalars(select(table.url))}
    new = [resource for line in lines if (resource := orjson.loads(line))["url"] not in known]
    systems = [code_system(_described(one)) for one in new if one["resourceType"] == "CodeSystem"]
    put_new(session, systems, [value_set(one) for one in new if one["resourceType"] == "ValueSet"])
    count = sum(len(entries) for _, entries in systems)
    return Loaded(KIND, SOURCE, "4.0.1", "loaded" if new else "unchanged", count)


def _described(resource: dict[str, Any]) -> dict[str, Any]:
    return resource | {"language": LANGUAGE, "publisher": SOURCE}
