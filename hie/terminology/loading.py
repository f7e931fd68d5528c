"""Loads tables of codes into the store: idempotent, by version, all of a file or nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from esb.fhir.validation import check_resource
from hie.errors import Malformed, NotValid
from hie.schema import CodeSystem
from hie.terminology.feeding import TABLES
from hie.terminology.kinds import BASE, Kind, MapKind
from hie.terminology.reading import NotLoaded, Progress, read_entries
from hie.terminology.storing import put_code_system


@dataclass(frozen=True, slots=True)
class Loaded:
    """What became of a table. fate: loaded, unchanged, or kept (written over the API since)."""

    kind: str
    url: str
    version: str
    fate: str
    concepts: int


def silent(_: int) -> None:
    """Take no notice of progress."""


def load_table(
    session: Session,
    kind: Kind,
    raw: bytes,
    *,
    version: str = "",
    columns: Mapping[str, str] | None = None,
    progress: Progress = silent,
) -> Loaded:
    """Load a CSV table of a kind; the version loaded last is the current one, save that a choice of codes
    never takes the place of a whole table.

    Raises: NotLoaded.
    """
    version = version or kind.version
    if not version:
        raise NotLoaded("Say which version the table is, e.g. --version 2.0.")
    digest = _digest(raw, kind, columns or {})
    known = _known(session, kind.url, version)
    if known is not None and known.digest == digest:
        return Loaded(kind.name, kind.url, version, "unchanged", known.concepts)
    if known is not None and known.is_written:
        return Loaded(kind.name, kind.url, version, "kept", known.concepts)
    entries = read_entries(raw, kind, columns or {}, progress)
    system = CodeSystem(
        url=kind.url,
        version=version,
        resource_id=resource_id(kind, version),
        name=kind.title_en,
        title=kind.title,
        content=kind.content,
        value_set=kind.all_codes,
        source=kind.source,
        digest=digest,
    )
    put_code_system(session, system, entries)
    return Loaded(kind.name, kind.url, version, "loaded", len(entries))


def load_base(session: Session, progress: Progress = silent) -> list[Loaded]:
    """Load the tables that come with the exchange; those loaded already cost one query together."""
    known = select(CodeSystem.digest).where(CodeSystem.digest != "")
    digests = set(session.scalars(known))
    found = []
    for kind in BASE:
        raw = files("hie.terminology").joinpath(f"codes/{kind.file}").read_bytes()
        if _digest(raw, kind, {}) in digests:
            found.append(Loaded(kind.name, kind.url, kind.version, "unchanged", raw.count(b"\n") - 1))
        else:
            found.append(load_table(session, kind, raw, progress=progress))
    return found


def resource_id(kind: Kind | MapKind, version: str) -> str:
    """Return the id under which a loaded code system or map is asked for at instance level."""
    plain = f"{kind.name}-{version}".lower()
    return "".join(c if c.isascii() and (c.isalnum() or c in "-.") else "-" for c in plain)[:64]


def read_resources(raw: bytes) -> list[dict[str, Any]]:
    """Return the CodeSystem, ValueSet or ConceptMap in a file, checked, or those of a Bundle.

    Raises: NotValid, Malformed.
    """
    try:
        resource = json.loads(raw)
    except ValueError:
        raise Malformed("The file is not JSON.") from None
    if not isinstance(resource, dict):
        raise NotValid("The file holds no resource.")
    if resource.get("resourceType") == "Bundle":
        entries = [entry.get("resource") or {} for entry in resource.get("entry") or ()]
        found = [one for one in entries if one.get("resourceType") in TABLES]
    else:
        found = [resource] if resource.get("resourceType") in TABLES else []
    if not found:
        raise NotValid("The file holds no CodeSystem, ValueSet or ConceptMap.")
    for one in found:
        check_resource(one)
    return found


def _known(session: Session, url: str, version: str) -> CodeSystem | None:
    wanted = select(CodeSystem).where(CodeSystem.url == url, CodeSystem.version == version)
    return session.scalars(wanted).one_or_none()


def _digest(raw: bytes, kind: Kind, columns: Mapping[str, str]) -> str:
    head = repr((kind.url, kind.title, kind.content, kind.all_codes, sorted(columns.items())))
    return sha256(head.encode() + raw).hexdigest()
