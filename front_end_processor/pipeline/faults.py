"""Why a message could not be written: the database is away, or the content itself breaks the writing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from esb.errors import Rejected
from front_end_processor.pipeline.submission import Submission

# How often one message alone is tried before it is set aside.
TRIES = 2
_OF_CONTENT = (DataError, IntegrityError, InterfaceError, ProgrammingError)


class NotKept(Rejected):
    """The local database cannot keep what this message became; it is set aside, ask your engineer."""


def is_of_content(fault: Exception) -> bool:
    """Say whether a failure to write lies in what was written: then to wait and try again helps nobody."""
    if isinstance(fault, DBAPIError):
        return isinstance(fault, _OF_CONTENT) and not fault.connection_invalidated
    return not isinstance(fault, OSError | MemoryError | PoolTimeoutError)


def set_aside(submission: Submission, *, with_raw: bool) -> Submission:
    """Return a message as one that is refused because it cannot be written: no entries, plain text only."""
    row: dict[str, Any] = {key: _plain(value) for key, value in submission.row.items()}
    if not with_raw:
        row["raw"] = b""
    # With a future of its own: the sender hears from whoever tries this.
    return replace(
        Submission(row, NotKept.describe()), may_reuse=submission.may_reuse, replaces=submission.replaces
    )


def _plain(value: Any) -> Any:
    return value.encode("utf-8", "replace").decode().replace("\0", "") if isinstance(value, str) else value
