"""Reads NDJSON into the repository by the write path of the API: resumable, refused line by line."""

from __future__ import annotations

import gzip
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import unquote, urlsplit

import orjson
import psycopg
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from esb.fhir import lexemes
from esb.fhir.bundles import operation_outcome
from esb.fhir.validation import check_resource
from hie.api import recording
from hie.config import Config
from hie.errors import Conflict, HieError, Issue, NotNow, NotPermitted, NotValid, Rejected, TooLarge
from hie.repository import contents
from hie.repository.writes import Write
from hie.schema.exports import Job, JobFile
from hie.security import audit
from hie.security.actor import Actor
from hie.security.allowed import is_allowed, trust
from hie.security.policy import decide
from hie.security.standing import recall
from hie.services.exports import files, jobs
from hie.services.exports.writing import Cancelled

AT_ONCE = 500
MOST_BYTES = 32 << 20  # of lines at once, unless one alone has more
PIECE = 1 << 20
TIMEOUT_S = 60
GZIP = b"\x1f\x8b"


class Unreadable(Rejected):
    """An input of the import cannot be read; check its address, and ask again."""


@dataclass(slots=True)
class Position:
    """Where an import stands: the input, the byte and line in it, its error file, its counts."""

    input: int = 0
    offset: int = 0
    line: int = 0
    errors: int = 0
    error_bytes: int = 0
    stored: int = 0

    def kept(self) -> dict[str, Any]:
        """Return what the job's row keeps."""
        return {name: getattr(self, name) for name in self.__slots__}


def run(engine: Engine, config: Config, id_: str, is_stopping: Callable[[], bool]) -> None:
    """Take in all inputs, from where the last worker left them, or until told to stop."""
    with Session(engine) as session, session.begin():
        job = jobs.begin(session, id_)
        inputs, position = job.request["input"], Position(**job.position)
    while position.input < len(inputs):
        source = inputs[position.input]
        with _open(config, id_, position.input, source["url"]) as file:
            for lines in _batches(file, config.max_body, position):
                if is_stopping():
                    return
                _take_in(engine, config, id_, source["type"], lines, file.tell(), position)
        _close(engine, config, id_, position)
    with Session(engine) as session, session.begin():
        jobs.finish(session, id_, datetime.now(UTC))


Line = tuple[int, bytes | None]  # its number and its text; None where it is too long


def _batches(file: BinaryIO, longest: int, position: Position) -> Iterator[list[Line]]:
    """Yield the lines of a file from a position on, some at a time; the file stands behind them.

    Raises: Unreadable.
    """
    line, size, batch = position.line, 0, list[Line]()
    with _readable():
        file.seek(position.offset)
    while raw := _line(file, longest + 1):
        line += 1
        if len(raw) > longest and not raw.endswith(b"\n"):
            while (rest := _line(file, PIECE)) and not rest.endswith(b"\n"):
                pass
            batch.append((line, None))
        elif raw.strip():
            batch.append((line, raw))
            size += len(raw)
        if len(batch) >= AT_ONCE or size >= MOST_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _line(file: BinaryIO, longest: int) -> bytes:
    with _readable():
        return file.readline(longest)


@contextmanager
def _readable() -> Iterator[None]:
    """Turn what a file, a packed one or a server can do to its reader into one error. Raises: Unreadable."""
    try:
        yield
    except (OSError, EOFError, zlib.error, ValueError, HTTPException):
        raise Unreadable from None


def _take_in(
    engine: Engine,
    config: Config,
    id_: str,
    type_: str,
    lines: Sequence[Line],
    offset: int,
    position: Position,
) -> None:
    """Write a batch, and with it where the import stands."""
    refused: list[bytes] = []
    with Session(engine) as session, session.begin():
        actor = recall(session, session.get_one(Job, id_).actor)
        check_rights(actor, type_)
        writes = [one for number, raw in lines if (one := _read(type_, number, raw, refused)) is not None]
        stored = _write(session, config, writes, refused)
        number = 2 * position.input + 2
        if refused:
            path = files.path_of(config.export_dir, id_, number)
            position.error_bytes = files.append(path, position.error_bytes, b"\n".join(refused) + b"\n")
            position.errors += len(refused)
            row = JobFile(
                job=id_, number=number, kind="error", type="OperationOutcome", count=position.errors,
                bytes=position.error_bytes,
            )  # fmt: skip
            session.merge(row)
        position.offset, position.line = offset, lines[-1][0]
        position.stored += stored
        detail = {"type": type_, "stored": stored, "refused": len(refused)}
        audit.record(session, actor=actor, action="U", operation="$import", http=None, detail=detail)
        progress = f"input {position.input + 1}: {position.stored} stored, {position.errors} refused"
        if not jobs.advance(session, id_, position.kept(), progress):
            raise Cancelled


def check_rights(actor: Actor, type_: str) -> None:
    """Check that an actor may bring this type. Raises: NotPermitted."""
    if actor.facility or not all(decide(actor, action, type_).allowed for action in ("create", "update")):
        raise NotPermitted("Only a system of the region with the scope to write these types may import them.")


Item = tuple[int, Write]


def _read(type_: str, number: int, raw: bytes | None, refused: list[bytes]) -> Item | None:
    try:
        if raw is None:
            raise TooLarge
        resource = lexemes.loads(raw)
        check_resource(resource)
        contents.check(resource)
        if resource["resourceType"] != type_:
            raise NotValid(f"this input was announced as {type_}")
        if not isinstance(resource.get("id"), str):
            raise NotValid("id: a resource that is imported has one, so that it can be imported again")
        return number, Write("put", type_, resource["id"], resource)
    except HieError as error:
        refused.append(_refusal(number, error))
        return None


def _refusal(number: int, error: HieError) -> bytes:
    issues = error.issues or (Issue("", error.text, error.code),)
    return orjson.dumps(
        operation_outcome([Issue(i.path, f"line {number}: {i.text}", i.code) for i in issues])
    )


def _write(session: Session, config: Config, items: Sequence[Item], refused: list[bytes]) -> int:
    """Write all in one go; if one is refused, one by one. Each id at most once in one go."""
    stored, group = 0, dict[str, Item]()
    for item in items:
        if item[1].id in group:
            stored += _write_group(session, config, list(group.values()), refused)
            group = {}
        group[item[1].id] = item
    return stored + _write_group(session, config, list(group.values()), refused)


def _write_group(session: Session, config: Config, group: Sequence[Item], refused: list[bytes]) -> int:
    if not group:
        return 0
    try:
        with session.begin_nested():
            # Files come in any order: what a resource refers to may be in the next one.
            written = [write for _, write in group]
            recording.record(session, written, datetime.now(UTC), config, are_definite=True)
        return len(group)
    except (NotNow, Conflict):
        # Two writers waited for each other: nothing is wrong with a line, the batch is tried again.
        raise NotNow from None
    except (HieError, psycopg.DataError) as error:
        if len(group) == 1:
            known = error if isinstance(error, HieError) else NotValid("it holds what no database can keep")
            refused.append(_refusal(group[0][0], known))
            return 0
    return sum(_write_group(session, config, [item], refused) for item in group)


def _close(engine: Engine, config: Config, id_: str, position: Position) -> None:
    """Say of an input what became of it, and go to the next."""
    text = f"{position.stored} stored, {position.errors} refused"
    said = orjson.dumps(operation_outcome([Issue("", text, "informational")], "information")) + b"\n"
    number = 2 * position.input + 1
    with Session(engine) as session, session.begin():
        length = files.append(files.path_of(config.export_dir, id_, number), 0, said)
        session.merge(
            JobFile(job=id_, number=number, kind="output", type="OperationOutcome", count=1, bytes=length)
        )
        following = Position(input=position.input + 1)
        if not jobs.advance(session, id_, following.kept(), f"input {position.input + 1} done: {text}"):
            raise Cancelled
    _spool(config, id_, position.input).unlink(missing_ok=True)
    for name in Position.__slots__:
        setattr(position, name, getattr(following, name))


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Go nowhere else: only the listed address was allowed."""


def _spool(config: Config, id_: str, number: int) -> Path:
    return config.export_dir / id_ / f"input-{number}"


def _open(config: Config, id_: str, number: int, url: str) -> BinaryIO:
    """Open an input, fetched before if it is elsewhere. Raises: Unreadable, NotPermitted."""
    if not is_allowed(url, config.import_from):
        raise NotPermitted("An input is not under an address that the operator has listed.")
    parts = urlsplit(url)
    path = Path(unquote(parts.path)) if parts.scheme == "file" else _spool(config, id_, number)
    with _readable():
        if parts.scheme != "file" and not path.exists():
            _fetch(url, path, config)
        with path.open("rb") as begun:
            is_packed = begun.read(2) == GZIP
        return cast(BinaryIO, gzip.open(path, "rb")) if is_packed else path.open("rb")


def _fetch(url: str, path: Path, config: Config) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_suffix(".part")
    opener = urllib.request.build_opener(
        _NoRedirects(),
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPSHandler(context=trust(config.ca_file)),
    )
    with opener.open(url, timeout=TIMEOUT_S) as answer, draft.open("wb") as file:
        while piece := answer.read(PIECE):
            file.write(piece)
        expected = answer.headers.get("Content-Length")
        if expected is not None and file.tell() != int(expected):
            raise ValueError("cut off")
    draft.replace(path)
