"""Requests that were asked with Prefer: respond-async, done by the same application as all others."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from hie.app import answer_for
from hie.config import Config
from hie.errors import Conflict
from hie.schema.exports import JobFile
from hie.security.standing import recall
from hie.services.exports import files, jobs
from hie.services.exports.writing import Cancelled

BODY, ANSWER = 0, 1  # numbers of a job's files


def run(engine: Engine, config: Config, id_: str, is_stopping: Callable[[], bool]) -> None:
    """Do a request with the rights its asker has now, and keep the answer.

    Raises: Conflict if it writes and a worker died over it: nobody knows how far it came.
    """
    with Session(engine) as session, session.begin():
        job = jobs.begin(session, id_)
        asked, was_begun = job.request, "begun" in job.position
        actor = recall(session, job.actor)
        job.position = {"begun": True}
    if was_begun and asked["writes"]:
        raise Conflict(
            "The worker ended while the Bundle was being written; see what is there, send the rest again."
        )
    body = path.read_bytes() if (path := files.path_of(config.export_dir, id_, BODY)).exists() else b""
    content = b"".join(files.plain(path, len(body))) if body else b""
    status, answer = answer_for(config, actor, asked, content)
    with Session(engine) as session, session.begin():
        length = files.append(files.path_of(config.export_dir, id_, ANSWER), 0, answer)
        session.merge(JobFile(job=id_, number=ANSWER, kind="output", type="Bundle", count=1, bytes=length))
        if not jobs.advance(session, id_, {"http": status}, "answered"):
            raise Cancelled
        jobs.finish(session, id_, datetime.now(UTC))
