"""The hub's errors: the shared family of `esb.errors` and what only the hub can say."""

from types import TracebackType

from esb.errors import (
    Conflict,
    Gone,
    HieError,
    Issue,
    Malformed,
    NotAuthenticated,
    NotFound,
    NotNow,
    NotPermitted,
    NotSupported,
    NotValid,
    PreconditionFailed,
    Rejected,
    TooLarge,
)

__all__ = [
    "Conflict",
    "Gone",
    "HieError",
    "Issue",
    "Malformed",
    "NotAuthenticated",
    "NotFound",
    "NotNow",
    "NotPermitted",
    "NotSupported",
    "NotValid",
    "PreconditionFailed",
    "Rejected",
    "TooLarge",
    "TooManyTries",
    "without_text",
]


class TooManyTries(HieError):
    """Too many failed tries; wait a minute and try again."""

    http = 429
    code = "throttled"


def without_text(error: Exception) -> tuple[type[Exception], Exception, TracebackType | None]:
    """Return an exception's place without its text, which may quote a value."""
    return RuntimeError, RuntimeError(type(error).__name__), error.__traceback__
