"""A hospital's profile: zone, character set, code tables and field maps, read from YAML and CSV.

A profile names another one by `extends` and states only what differs; mappings are merged key by key, lists
replace. Every scalar stays the text it was written as (`01` is a code, not the number one).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import yaml

_HERE = resources.files("front_end_processor.normalise")


class Code(NamedTuple):
    """What a local code means: target code, its system (may be empty) and display (may be empty)."""

    code: str
    system: str = ""
    display: str = ""


Table = Mapping[str, Code]


class BadProfile(ValueError):
    """A profile cannot be used; the text names the file and what to correct."""


@dataclass(frozen=True, eq=False)
class Profile:
    """How one hospital writes what it sends.

    tables: name -> code as sent (upper case) -> Code. systems: coding system as named in messages (upper
    case) -> URI. authorities: assigning authority or identifier type (upper case) -> kind of number.
    hl7v2, csv: the sections of those names as read.
    """

    facility: str
    name: str
    zone: ZoneInfo
    default_charset: str
    tables: Mapping[str, Table]
    systems: Mapping[str, str]
    authorities: Mapping[str, str]
    hl7v2: Mapping[str, Any] = field(default_factory=dict)
    csv: Mapping[str, Any] = field(default_factory=dict)

    def code(self, table: str, sent: str) -> Code | None:
        """Return what a code means by a table; None where nobody mapped it."""
        return self.tables[table].get(sent.upper())


def load(source: str | Path, facility: str = "", zone: str = "", name: str = "") -> Profile:
    """Return a profile: a YAML file, or the name of one that comes with the software (`base`, `h01`).

    Args: facility, zone, name: win over what the file says, where given.
    Raises: BadProfile.
    """
    content, folder = _read(source)
    facility = facility or content.get("facility", "")
    if not facility:
        raise BadProfile(f"profile {source}: `facility` is missing; name the hospital's code, e.g. H01")
    try:
        tz = ZoneInfo(zone or content.get("zone", "Asia/Shanghai"))
    except (KeyError, ValueError, OSError):
        raise BadProfile(f"profile {source}: `zone` is not a time zone, e.g. Asia/Shanghai") from None
    tables = {key: _table(key, value, folder) for key, value in (content.get("tables") or {}).items()}
    return Profile(
        facility=facility,
        name=name or content.get("name") or facility,
        zone=tz,
        default_charset=content.get("charset", "UTF-8"),
        tables=MappingProxyType(tables),
        systems=_upper(content.get("systems") or {}),
        authorities=_upper(content.get("authorities") or {}),
        hl7v2=content.get("hl7v2") or {},
        csv=content.get("csv") or {},
    )


def _upper(mapping: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType({key.upper(): value for key, value in mapping.items()})


def _read(source: str | Path) -> tuple[dict[str, Any], Path | None]:
    """Return the content of a profile with what it extends merged in, and the folder of its own tables."""
    path = Path(source)
    shipped = path.suffix != ".yaml"
    if shipped:
        place = _HERE / "profiles" / f"{source}.yaml"
        if not place.is_file():
            raise BadProfile(f"profile {source}: not found; give a .yaml file or one of base, h01 … h05")
        text = place.read_text(encoding="utf-8")
    else:
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise BadProfile(f"profile {source}: cannot be read ({error.strerror})") from None
    try:
        content = yaml.load(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        raise BadProfile(f"profile {source}: not YAML{line}") from None
    if not isinstance(content, dict):
        raise BadProfile(f"profile {source}: expected a mapping of settings")
    parent = content.pop("extends", "")
    folder = None if shipped else path.parent
    if not parent:
        return content, folder
    base, _ = _read(parent if shipped or not (path.parent / parent).is_file() else path.parent / parent)
    return _merge(base, content), folder


def _merge(base: Any, own: Any) -> Any:
    """Return `own` on top of `base`: mappings key by key, everything else replaced."""
    if not isinstance(base, dict) or not isinstance(own, dict):
        return own
    return {**base, **{key: _merge(base.get(key), value) for key, value in own.items()}}


def _table(name: str, value: Any, folder: Path | None) -> Table:
    """Return a code table: a CSV file's rows, a mapping written in place, or a file with rows on top."""
    rows: dict[str, Code] = {}
    if isinstance(value, str):
        value = {"file": value}
    if not isinstance(value, dict):
        raise BadProfile(f"table {name}: expected a file name or a mapping of codes")
    if value.get("file"):
        rows.update(_csv_table(value["file"], folder))
    codes = value.get("codes", {}) if "file" in value else value
    for sent, target in codes.items():
        if isinstance(target, str):
            rows[sent.upper()] = Code(target)
        else:
            rows[sent.upper()] = Code(target["code"], target.get("system", ""), target.get("display", ""))
    return MappingProxyType(rows)


def _csv_table(file: str, folder: Path | None) -> Table:
    own = folder / file if folder else None
    if own is not None and own.is_file():
        return read_codes(own.read_text(encoding="utf-8-sig"), file)
    return _shipped_table(file)


@lru_cache(maxsize=64)
def _shipped_table(file: str) -> Table:
    place = _HERE / "codes" / file
    if not place.is_file():
        raise BadProfile(f"code table {file}: not found beside the profile nor among the shipped ones")
    return read_codes(place.read_text(encoding="utf-8-sig"), file)


def read_codes(text: str, file: str) -> Table:
    """Return a code table from CSV with columns source, target, system, display. Raises: BadProfile."""
    rows: dict[str, Code] = {}
    reader = csv.DictReader(line for line in text.splitlines() if line.strip() and not line.startswith("#"))
    if not {"source", "target"} <= set(reader.fieldnames or ()):
        raise BadProfile(f"code table {file}: needs the columns source, target, system, display")
    for row in reader:
        rows[row["source"].upper()] = Code(row["target"], row.get("system") or "", row.get("display") or "")
    return MappingProxyType(rows)
