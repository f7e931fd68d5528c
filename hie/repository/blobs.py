"""Large contents: kept sealed by the hub for itself, given to whoever may read a resource that names them.

A hospital may have other keys tomorrow: its seal is checked once, when the content comes in.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from esb.blobs import NAME, URL, name_of, open_blob, seal_blob
from esb.seal import Keys, load_public
from hie.directory.facilities import facility_keys
from hie.errors import NotFound, NotPermitted
from hie.repository import pieces
from hie.schema.repository import Resource

OWN = "binaries"  # the folder of what came to the hub itself


def put_blob(
    session: Session, folder: Path, own: Keys, *, facility: str, name: str, sealed: bytes, suite: str = "intl"
) -> bool:
    """Keep a content that a facility sealed; return False if it was there already.

    Raises: NotTrusted, Malformed; NotPermitted if the facility is not registered.
    """
    keys = facility_keys(session).get(facility)
    if keys is None:
        raise NotPermitted("Only a member hospital's systems may bring large contents.")
    content = open_blob(name, sealed, facility=facility, sender=load_public(keys), own=own)
    place = path_of(folder, facility, name)
    if place.exists():
        return False
    write_durably(place, seal_blob(name, content, facility=facility, own=own, to=own.public, suite=suite))
    return True


def read_blob(
    session: Session,
    folder: Path,
    own: Keys,
    *,
    name: str,
    resource: tuple[str, str],
    where: ColumnElement[bool],
) -> tuple[bytes, str]:
    """Return a content that a resource (type, id) names, if the decision's `where` reaches that resource.

    Returns: the content, and the compartment it belongs to.
    Raises: NotFound if there is no such resource, it does not name the content, or may not be seen.
    """
    type_, id_ = resource
    row = session.execute(
        select(Resource.content, Resource.compartment, Resource.facility).where(
            Resource.type == type_, Resource.id == id_, ~Resource.deleted, where
        )
    ).one_or_none()
    if row is None or not NAME.fullmatch(name) or f'"{URL}{name}"' not in row.content or not row.facility:
        raise NotFound()
    place = path_of(folder, row.facility, name)
    if not place.exists():
        raise NotFound("The content has not arrived yet; try again later.")
    content = open_blob(name, place.read_bytes(), facility=row.facility, sender=own.public, own=own)
    return content, row.compartment


def keep_own(folder: Path, own: Keys, *, token: str, parts: Iterable[bytes], suite: str = "intl") -> str:
    """Keep a content that comes to the hub itself in parts, sealed by the hub for itself; return its name.

    Args:
        token: a word nobody can guess; only who has it and the name can have the content read again.
    """
    with durable_file(folder / OWN) as (file, settle):
        name = pieces.write(file, parts, owner=token, own=own, suite=suite)
        settle(_place_of_own(folder, token, name))
    return name


def find_own(folder: Path, own: Keys, *, token: str, name: str) -> pieces.Pieces:
    """Return a content that `keep_own` kept, to be read from any place. Raises: NotFound."""
    try:
        return pieces.find(_place_of_own(folder, token, name), name, owner=token, own=own)
    except FileNotFoundError:
        raise NotFound("The content is not there.") from None


def _place_of_own(folder: Path, token: str, name: str) -> Path:
    return path_of(folder, OWN, name_of(f"{token}/{name}".encode()))


def forget_own(folder: Path, *, token: str, name: str) -> None:
    """Let go of a content that `keep_own` kept and nothing names."""
    _place_of_own(folder, token, name).unlink(missing_ok=True)


def path_of(folder: Path, facility: str, name: str) -> Path:
    """Return where a facility's content of this name is kept."""
    return folder / facility / name[:2] / name


def write_durably(place: Path, content: bytes) -> None:
    """Write a file so that after a crash it is there whole or not at all."""
    with durable_file(place.parent) as (file, settle):
        file.write(content)
        settle(place)


@contextmanager
def durable_file(folder: Path) -> Iterator[tuple[BinaryIO, Callable[[Path], None]]]:
    """Give a file to write, and what to call when it is written to have it at its place, on disk.

    Otherwise, or after a crash, nothing is there.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = folder / f".{os.getpid()}.{os.urandom(8).hex()}"
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:

            def settle(place: Path) -> None:
                file.flush()
                os.fsync(file.fileno())
                _move(draft, place)

            yield file, settle
    finally:
        draft.unlink(missing_ok=True)


def _move(draft: Path, place: Path) -> None:
    """Give a file its place, so that a crash does not undo it."""
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft.replace(place)
    parent = os.open(place.parent, os.O_RDONLY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)
