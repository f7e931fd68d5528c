"""The table of long work: asked for, claimed by a worker, polled, cancelled, forgotten after a day."""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.orm import Session

from hie.errors import NotFound, TooManyTries
from hie.schema.exports import Job, JobFile
from hie.security.actor import Actor
from hie.security.standing import remember

MOST_OPEN = 8
KEPT = timedelta(days=1)
POLL_EVERY = timedelta(seconds=1)
OPEN = ("waiting", "running")
LOCKS = 0x4A4F4200
NAME = re.compile(r"[0-9a-f]{32}")


def ask(session: Session, kind: str, url: str, request: Mapping[str, Any], by: Actor) -> str:
    """Put work into the table and return its id.

    Raises: NotPermitted for anybody but a client; TooManyTries if the client waits for too much already.
    """
    waiting = select(func.count()).where(Job.client == by.id, Job.state.in_(OPEN))
    if (session.scalar(waiting) or 0) >= MOST_OPEN:
        raise TooManyTries(f"You wait for {MOST_OPEN} jobs already; fetch or delete one of them first.")
    job = Job(
        id=secrets.token_hex(16), kind=kind, client=by.id, actor=remember(by), url=url, request=dict(request)
    )
    session.add(job)
    session.flush()
    return job.id


def own(session: Session, id_: str, by: Actor) -> Job:
    """Return a job of the asker's own. Raises: NotFound if there is none, or none any more."""
    job = session.get(Job, id_)
    if job is None or job.client != by.id or by.kind != "client" or job.state == "cancelled":
        raise NotFound
    return job


def is_polled_too_soon(job: Job, now: datetime) -> bool:
    """Say whether its asker should have waited longer since the last answer; else remember this one."""
    if job.polled_at is not None and now - job.polled_at < POLL_EVERY:
        return True
    job.polled_at = now
    return False


def cancel(session: Session, id_: str, now: datetime) -> None:
    """Stop a job; its worker notices at its next checkpoint and lets its files go."""
    over = {"state": "cancelled", "progress": "deleted", "expires_at": now + KEPT}
    session.execute(update(Job).where(Job.id == id_).values(**over))


def clear(folder: Path, id_: str) -> None:
    """Delete what a job wrote."""
    shutil.rmtree(folder / id_, ignore_errors=True)


def files(session: Session, id_: str) -> Sequence[JobFile]:
    """Return the files of a job in order."""
    return session.scalars(select(JobFile).where(JobFile.job == id_).order_by(JobFile.number)).all()


def claim(connection: Connection, kinds: Sequence[str]) -> str | None:
    """Take the oldest open job that nobody works on; None if there is none.

    The claim is a lock of the connection: it ends with the worker, however that ended.
    """
    wanted = select(Job.id).where(Job.state.in_(OPEN), Job.kind.in_(kinds)).order_by(Job.asked_at)
    for id_ in connection.scalars(wanted).all():
        if connection.scalar(select(func.pg_try_advisory_lock(LOCKS, func.hashtext(id_)))):
            # Between the list and the lock another worker may have finished it.
            if connection.scalar(select(Job.state).where(Job.id == id_)) in OPEN:
                connection.commit()
                return str(id_)
            release(connection, id_)
    connection.commit()
    return None


def release(connection: Connection, id_: str) -> None:
    """Give a claim back."""
    connection.scalar(select(func.pg_advisory_unlock(LOCKS, func.hashtext(id_))))
    connection.commit()


def begin(session: Session, id_: str) -> Job:
    """Return a claimed job, now running."""
    job = session.get_one(Job, id_)
    job.state = "running"
    return job


def advance(session: Session, id_: str, position: Mapping[str, Any], progress: str) -> bool:
    """Move the checkpoint of a running job; False if it was cancelled meanwhile: then roll back."""
    moved = session.execute(
        update(Job)
        .where(Job.id == id_, Job.state == "running")
        .values(position=dict(position), progress=progress[:100])
        .returning(Job.id)
    )
    return moved.one_or_none() is not None


def finish(session: Session, id_: str, now: datetime, *, failure: str | None = None) -> None:
    """Say that a job is done, or why it failed; it is kept for a day."""
    session.execute(
        update(Job)
        .where(Job.id == id_, Job.state.in_(OPEN))
        .values(
            state="failed" if failure else "done",
            failure=failure,
            finished_at=now,
            expires_at=now + KEPT,
            progress="failed" if failure else "done",
        )
    )


def forget(session: Session, folder: Path, now: datetime) -> int:
    """Delete the jobs whose time is over, with their files; return how many. What no job knows goes too."""
    over = session.scalars(select(Job.id).where(Job.expires_at < now)).all()
    for id_ in over:
        clear(folder, id_)
    session.execute(delete(Job).where(Job.id.in_(over)))
    _sweep(session, folder, now)
    return len(over)


def _sweep(session: Session, folder: Path, now: datetime) -> None:
    """Delete old files without a job: it was never committed, or its worker outlived it."""
    if not folder.is_dir():
        return
    old = (now - KEPT).timestamp()
    found = (one for one in folder.iterdir() if NAME.fullmatch(one.name) and one.is_dir())
    left = {one.name for one in found if _is_older(one, old)}
    for id_ in left.difference(session.scalars(select(Job.id).where(Job.id.in_(left)))):
        clear(folder, id_)


def _is_older(path: Path, than: float) -> bool:
    """Say whether something was written before an instant; no, where another removed it meanwhile."""
    try:
        return path.stat().st_mtime < than
    except FileNotFoundError:
        return False
