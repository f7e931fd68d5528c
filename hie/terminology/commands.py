"""The commands `hie terminology load`, `unmapped` and `map`."""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from hie.errors import NotValid
from hie.terminology.feeding import feed
from hie.terminology.kinds import KINDS, Kind
from hie.terminology.loading import load_base, load_table, read_resources
from hie.terminology.local_codes import gather, map_answers, work_list
from hie.terminology.local_codes import unmapped as not_mapped
from hie.terminology.reading import Progress

MOST_AT_ONCE = 100 << 20


def load(session: Session, args: argparse.Namespace, progress: Progress) -> list[dict[str, Any]]:
    """Load what the command line names; return what became of each table. Raises: NotValid, NotLoaded."""
    if args.kind == "base":
        return [asdict(one) for one in load_base(session, progress)]
    raw = _read(args.file)
    if args.kind == "resource":
        taken: Counter[str] = Counter()
        for resource in read_resources(raw):
            type_, id_ = resource["resourceType"], resource.get("id") or Path(args.file).stem
            feed(session, type_, id_, resource, None)
            taken[type_] += 1
        return [{"kind": type_, "fate": "taken in", "resources": count} for type_, count in taken.items()]
    loaded = load_table(
        session, _kind(args), raw, version=args.version, columns=_columns(args.columns), progress=progress
    )
    return [asdict(loaded)]


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
        raise NotValid(f"There is no kind {args.kind}; known are: base, resource, codes, {', '.join(KINDS)}.")
    return KINDS[args.kind]


def _columns(given: list[str]) -> dict[str, str]:
    named = dict(one.partition("=")[::2] for one in given)
    if not all(named.values()):
        raise NotValid("--columns takes FIELD=NAME, e.g. code=编码 display=名称.")
    return named


def unmapped(session: Session, facility: str | None) -> str:
    """Return the work list as CSV, with what came since the last time."""
    gather(session)
    return work_list(not_mapped(session, facility))


def map_codes(session: Session, file: str) -> dict[str, int]:
    """Take a filled work list in; return how many codes of each facility were mapped."""
    return map_answers(session, _read(file))
