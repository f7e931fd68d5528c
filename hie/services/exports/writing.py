"""Writes an export file by file in constant memory; a checkpoint per chunk lets another worker go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from psycopg.errors import QueryCanceled
from sqlalchemy import Engine, and_, or_, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from esb.fhir.types import RESOURCE_TYPES
from hie.config import Config
from hie.errors import HieError, Rejected
from hie.repository import criteria
from hie.repository.contents import BINARY, filled, reader
from hie.schema.exports import Job, JobFile
from hie.security import audit
from hie.security.actor import Actor
from hie.security.policy import decide
from hie.security.standing import recall
from hie.services.exports import files, jobs, rows
from hie.services.exports.asked import Export

CHUNK = 4000  # resources per checkpoint: some megabytes
MOST_S = 300  # a statement takes; a chunk without filters takes a tenth of a second
PER_FILE = 100_000
PIECE = 16 << 20  # bytes of Binaries that are written at a time
# Made by the hub when read, or the trail itself: never part of an export.
LEFT_OUT = frozenset({"AuditEvent", "Person"})


class TooCostly(Rejected):
    """A _typeFilter takes too long; narrow it, or leave it out and filter the files."""


class Cancelled(Exception):
    """The job was deleted while it ran."""


@dataclass(slots=True)
class Position:
    """Where an export stands: the part (type) it is in, the place in it, the file it writes."""

    part: int = 0
    after: Sequence[str] | None = None
    file: int = 0
    count: int = 0
    bytes: int = 0
    total: int = 0

    def stored(self) -> dict[str, Any]:
        """Return what the job's row keeps."""
        return {name: getattr(self, name) for name in self.__slots__}


def run(engine: Engine, config: Config, id_: str, is_stopping: Callable[[], bool]) -> None:
    """Write an export to its end, from where the last worker left it, or until told to stop."""
    with Session(engine) as session, session.begin():
        job = jobs.begin(session, id_)
        if job.snapshot is None:
            job.snapshot, job.transaction_at = rows.watermark(session)
        asked = Export(**job.request)
        position = Position(**job.position)
        actor = recall(session, job.actor)
    parts = _parts(asked)
    step = _Step(engine, config, id_, asked, len(parts))
    while position.part < len(parts):
        if is_stopping():
            return
        kind, type_ = parts[position.part]
        step.run(kind, type_, position)
    with Session(engine) as session, session.begin():
        jobs.finish(session, id_, datetime.now(UTC))
        audit.record(
            session, actor=actor, action="E", operation="$export", detail={"resources": position.total}
        )


@contextmanager
def _bounded() -> Iterator[None]:
    """Say in plain words that a statement took too long. Raises: TooCostly."""
    try:
        yield
    except OperationalError as error:
        if isinstance(error.orig, QueryCanceled):
            raise TooCostly from None
        raise


def _parts(asked: Export) -> list[tuple[str, str]]:
    types = [type_ for type_ in asked.types or sorted(RESOURCE_TYPES) if type_ not in LEFT_OUT]
    parts = [("output", type_) for type_ in types]
    return parts + ([("deleted", type_) for type_ in types] if asked.since else [])


@dataclass(frozen=True, slots=True)
class _Step:
    """Writes one chunk and its checkpoint."""

    engine: Engine
    config: Config
    job: str
    asked: Export
    parts: int

    def run(self, kind: str, type_: str, position: Position) -> None:
        with Session(self.engine) as session, session.begin():
            job = session.get_one(Job, self.job)
            session.execute(text(f"SET LOCAL statement_timeout = '{MOST_S}s'"))
            actor = recall(session, job.actor)
            with _bounded():
                reach = self._reach(session, job, actor, kind, type_)
                contents, after = ([], None) if reach is None else READ[kind](session, type_, reach, position)
            if contents:
                self._write(session, kind, type_, contents, position)
            if after is None:
                position.part, position.after, position.count = position.part + 1, None, 0
            else:
                position.after = after
            progress = f"{position.part} of {self.parts} parts, {position.total} resources"
            if not jobs.advance(session, self.job, position.stored(), progress):
                raise Cancelled

    def _write(
        self, session: Session, kind: str, type_: str, contents: Sequence[bytes], position: Position
    ) -> None:
        if position.count == 0 or position.count >= PER_FILE:
            position.file, position.count, position.bytes = position.file + 1, 0, 0
        path = files.path_of(self.config.export_dir, self.job, position.file)
        for piece in self._pieces(type_, contents):
            position.bytes = files.append(path, position.bytes, piece)
        position.count += len(contents)
        position.total += len(contents)
        row = {"count": position.count, "bytes": position.bytes}
        named = {"job": self.job, "number": position.file, "kind": kind, "type": type_}
        session.execute(
            insert(JobFile)
            .values(**named, **row)
            .on_conflict_do_update(index_elements=["job", "number"], set_=row)
        )

    def _pieces(self, type_: str, stored: Sequence[bytes]) -> Iterator[bytes]:
        """Yield the lines to be written; Binaries with their data and few at a time: they may be large."""
        if type_ != BINARY:
            yield b"\n".join(stored) + b"\n"
            return
        read = reader(self.config.blob_dir, self.config.key_dir)
        piece = bytearray()
        for content in stored:
            piece += filled(content, read) + b"\n"
            if len(piece) >= PIECE:
                yield bytes(piece)
                piece.clear()
        if piece:
            yield bytes(piece)

    def _reach(self, session: Session, job: Job, actor: Actor, kind: str, type_: str) -> rows.Reach | None:
        """Return what the asker may have of a type by now; None for nothing.

        What was deleted has no content left to filter by: all of it is told.
        """
        decision = decide(actor, "search", type_)
        if not decision.allowed or not decide(actor, "read", type_).allowed:
            return None
        assert job.snapshot is not None and job.transaction_at is not None
        where, zone, at = decision.where, self.config.zone, job.transaction_at
        filters = self.asked.filters.get(type_, []) if kind == "output" else []
        if filters:
            found = [criteria.condition(session, decision.where, asked, zone, at) for asked in filters]
            where = and_(where, or_(*found))
        since = datetime.fromisoformat(self.asked.since) if self.asked.since else None
        return rows.Reach(
            where,
            decision.past,
            job.snapshot,
            job.transaction_at,
            since,
            rows.mark_at(session, since) if since else None,
            datetime.fromisoformat(self.asked.until) if self.asked.until else None,
            self.asked.patients,
            self.asked.level != "system",
            bool(filters),
        )


def _output(
    session: Session, type_: str, reach: rows.Reach, position: Position
) -> tuple[list[bytes], Sequence[str] | None]:
    after = (position.after[0], position.after[1]) if position.after else None
    return rows.chunk(session, type_, reach, after, CHUNK)


def _deleted(
    session: Session, type_: str, reach: rows.Reach, position: Position
) -> tuple[list[bytes], Sequence[str] | None]:
    """Bundles of deletions, as the IG lists them: one resource each."""
    after = position.after[0] if position.after else ""
    names = rows.deleted(session, [type_], reach, after, CHUNK)
    contents = [
        orjson.dumps(
            {
                "resourceType": "Bundle",
                "type": "transaction",
                "entry": [{"request": {"method": "DELETE", "url": name}}],
            }
        )
        for name in names
    ]
    return contents, [names[-1]] if len(names) == CHUNK else None


READ = {"output": _output, "deleted": _deleted}


def fail(engine: Engine, id_: str, error: HieError) -> None:
    """Say why a job failed; the text is one of ours and holds nothing of a patient."""
    with Session(engine) as session, session.begin():
        jobs.finish(session, id_, datetime.now(UTC), failure=error.text)


__all__ = ["Cancelled", "fail", "run"]
