"""The commands `hie terminology load`, `unmapped` and `map`."""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session, sessionmaker

from hie.errors import NotValid
from hie.terminology.feeding import feed
from hie.terminology.kinds import FILES, KINDS, MAPS, Kind
from hie.terminology.loading import Loaded, load_base, load_table, read_resources
from hie.terminology.loading_maps import load_map
from hie.terminology.local_codes import READ_AT_ONCE, gather, map_answers, work_list
from hie.terminology.local_codes import unmapped as not_mapped
from hie.terminology.published import load_published
from hie.terminology.reading import Progress

MOST_AT_ONCE = 100 << 20
EDITION = "2.0"  # of the insurance edition's files, where none is named


def load(session: Session, args: argparse.Namespace, progress: Progress) -> list[dict[str, Any]]:
    """Load what the command line names; return what became of each table. Raises: NotValid, NotLoaded."""
    if args.kind == "base":
        return [asdict(one) for one in (*load_base(session, progress), load_published(session))]
    if args.kind == "folder":
        return [asdict(one) for one in _load_folder(session, args, progress)]
    raw = _read(args.file)
    if args.kind == "resource":
        taken: Counter[str] = Counter()
        for resource in read_resources(raw):
            type_, id_ = resource["resourceType"], resource.get("id") or Path(args.file).stem
            feed(session, type_, id_, resource, None)
            taken[type_] += 1
        return [{"kind": type_, "fate": "taken in", "resources": count} for type_, count in taken.items()]
    return [asdict(_load_one(session, args.kind, raw, args, progress))]


def _load_one(
    session: Session, kind: str, raw: bytes, args: argparse.Namespace, progress: Progress, version: str = ""
) -> Loaded:
    version = args.version or version
    if kind in MAPS:
        if args.columns:
            raise NotValid("A map's columns are called source_code and target_code; --columns is for tables.")
        system = args.system
        return load_map(session, MAPS[kind], raw, version=version, source_system=system, progress=progress)
    columns = _columns(args.columns)
    table = KINDS[kind] if args.kind == "folder" else _kind(args)
    return load_table(session, table, raw, version=version, columns=columns, progress=progress)


def _load_folder(session: Session, args: argparse.Namespace, progress: Progress) -> list[Loaded]:
    """Load the files of a folder that have the names under which the insurance edition is published."""
    folder = Path(args.file or "")
    found = [(kind, folder / name) for name, kind in FILES.items() if (folder / name).is_file()]
    if not args.file or not found:
        raise NotValid(f"Name a folder that holds one of: {', '.join(FILES)}.")
    return [_load_one(session, kind, _read(str(file)), args, progress, EDITION) for kind, file in found]


def _read(file: str | None) -> bytes:
    if file is None:
        raise NotValid("Name the file to load; only base needs none.")
    path = Path(file)
    if path.stat().st_size > MOST_AT_ONCE:
        raise NotValid("The file is larger than 100 MB; load it in parts.")
    return path.read_bytes()


def _kind(args: argparse.Namespace) -> Kind:
    if args.kind == "codes":
        if not args.system or not args.title:
            raise NotValid("codes needs --system URI and --title NAME.")
        name = args.system.rpartition(":")[2].rpartition("/")[2]
        return Kind(name, args.system, args.title, args.title, "", "loaded by the operator")
    if args.kind not in KINDS:
        known = ", ".join((*KINDS, *MAPS))
        raise NotValid(f"There is no kind {args.kind}; known are: base, folder, resource, codes, {known}.")
    return KINDS[args.kind]


def _columns(given: list[str]) -> dict[str, str]:
    named = dict(one.partition("=")[::2] for one in given)
    if not all(named.values()):
        raise NotValid("--columns takes FIELD=NAME, e.g. code=编码 display=名称.")
    return named


def unmapped(sessions: sessionmaker[Session], facility: str | None) -> str:
    """Return the work list as CSV, with what came since the last time.

    What is read is committed part by part: no reader of the list waits for a whole region.
    """
    is_complete = False
    while not is_complete:
        with sessions.begin() as session:
            is_complete = gather(session, READ_AT_ONCE) < READ_AT_ONCE
    with sessions() as session:
        return work_list(not_mapped(session, facility))


def map_codes(session: Session, file: str) -> dict[str, int]:
    """Take a filled work list in; return how many codes of each facility were mapped."""
    return map_answers(session, _read(file))
