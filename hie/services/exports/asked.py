"""What a kick-off asks for (Bulk Data Access IG 2, "Kick-off Request"), checked before it is taken on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, tzinfo
from typing import Any

from esb.fhir.types import RESOURCE_TYPES
from hie.errors import NotSupported, NotValid
from hie.repository.criteria import split
from hie.repository.dates import span
from hie.repository.unknown import NAME

FORMATS = frozenset({"application/fhir+ndjson", "application/ndjson", "ndjson"})
REFUSED = {
    "_elements": "whole resources are exported",
    "includeAssociatedData": "no data are associated here",
    "organizeOutputBy": "files are made by type",
    "allowPartialManifests": "the manifest comes when all files are there",
}


@dataclass(slots=True)
class Export:
    """An export as asked for.

    level: system, patient (what is in any patient's compartment) or group (in its members').
    patients: ids of source Patients; None means all. types: empty means all. since, until: ISO instants.
    """

    level: str
    types: list[str] = field(default_factory=list)
    since: str | None = None
    until: str | None = None
    filters: dict[str, list[str]] = field(default_factory=dict)
    patients: list[str] | None = None

    def stored(self) -> dict[str, Any]:
        """Return what the job's row keeps."""
        return asdict(self)


def read(level: str, params: Sequence[tuple[str, str]], zone: tzinfo, *, lenient: bool = False) -> Export:
    """Return the export that parameters ask for.

    Args:
        lenient: leave aside what is not offered (Prefer: handling=lenient) instead of refusing it.

    Raises: NotValid, NotSupported.
    """
    export = Export(level)
    for name, value in params:
        if name in READERS:
            READERS[name](export, value, zone)
        elif not lenient:
            why = REFUSED.get(name, "it is no parameter of $export")
            raise NotSupported(f"{name if NAME.fullmatch(name) else 'A parameter'} is not offered: {why}.")
    if export.patients is not None and level == "system":
        raise NotValid("patient goes with Patient/$export and Group/[id]/$export.")
    if export.types and not set(export.filters) <= set(export.types):
        raise NotValid("_typeFilter names a type that _type does not.")
    return export


def _format(export: Export, value: str, zone: tzinfo) -> None:
    # A plus sign that nobody escaped arrives as a blank.
    if value.replace(" ", "+") not in FORMATS:
        raise NotSupported("_outputFormat is application/fhir+ndjson.")


def _types(export: Export, value: str, zone: tzinfo) -> None:
    named = [name.strip() for name in value.split(",") if name.strip()]
    if not RESOURCE_TYPES.issuperset(named):
        raise NotValid("_type names a type that FHIR R4 does not have.")
    export.types = sorted({*export.types, *named})


def instant(name: str, value: str, zone: tzinfo) -> datetime:
    """Return the instant a parameter names. Raises: NotValid."""
    found = span(value.replace(" ", "+"), zone)
    if found is None:
        raise NotValid(f"{name} is no FHIR instant.")
    return found[0]


def _since(export: Export, value: str, zone: tzinfo) -> None:
    export.since = instant("_since", value, zone).isoformat()


def _until(export: Export, value: str, zone: tzinfo) -> None:
    export.until = instant("_until", value, zone).isoformat()


def _filter(export: Export, value: str, zone: tzinfo) -> None:
    type_, params = split(value)
    if not params:
        raise NotValid("_typeFilter is a search, as in Observation?status=final.")
    export.filters.setdefault(type_, []).append(value)


def _patient(export: Export, value: str, zone: tzinfo) -> None:
    type_, _, id_ = value.rpartition("/")
    if type_.rpartition("/")[2] != "Patient" or not id_:
        raise NotValid("patient is a reference, as in Patient/x.")
    export.patients = [*(export.patients or []), id_]


READERS: Mapping[str, Callable[[Export, str, tzinfo], None]] = {
    "_outputFormat": _format,
    "_type": _types,
    "_since": _since,
    "_until": _until,
    "_typeFilter": _filter,
    "patient": _patient,
}
