"""The one error family of hub and front-end processor: class -> HTTP status and FHIR issue code.

A class's first docstring line is the message a user reads when none is given. Texts name elements,
codes and our ids, never a patient's data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Issue:
    """One finding of a check: where (FHIRPath-like), what is wrong, and its FHIR issue code."""

    path: str
    text: str
    code: str = "invalid"


class HieError(Exception):
    """Something went wrong inside the exchange; the operator finds it by the request id."""

    http = 500
    code = "exception"

    def __init__(self, text: str | None = None, *, issues: Sequence[Issue] = ()) -> None:
        self.issues = tuple(issues)
        self.text = text or self.describe()
        super().__init__(self.text)

    @classmethod
    def describe(cls) -> str:
        """Return the class's own message: the first line of its docstring."""
        return (cls.__doc__ or cls.__name__).strip().splitlines()[0]


class Rejected(HieError):
    """The message cannot be accepted as it is; correct it and send it again."""

    http = 422
    code = "processing"


class NotValid(Rejected):
    """The content breaks the rules of FHIR R4; correct the elements named and send it again."""

    http = 400
    code = "invalid"


class Malformed(NotValid):
    """The content cannot be read; check its format and its character set."""

    code = "structure"


class NotSupported(Rejected):
    """This is not supported here; see the CapabilityStatement at /fhir/metadata."""

    http = 400
    code = "not-supported"


class TooLarge(Rejected):
    """The content is larger than the limit; send it in parts."""

    http = 413
    code = "too-long"


class NotAuthenticated(HieError):
    """Sign in, or send a valid bearer token."""

    http = 401
    code = "login"


class NotPermitted(HieError):
    """You may not do this; ask the operator of your facility."""

    http = 403
    code = "forbidden"


class NotFound(HieError):
    """There is nothing here that you may see."""

    http = 404
    code = "not-found"


class Gone(HieError):
    """It was here and has been deleted, or the link has expired; begin again."""

    http = 410
    code = "deleted"


class Conflict(HieError):
    """Somebody else changed it at the same time; read it again and repeat."""

    http = 409
    code = "conflict"


class PreconditionFailed(HieError):
    """The condition of the request does not hold; read the present version and repeat."""

    http = 412
    code = "conflict"


class NotNow(HieError):
    """A part that is needed is away at the moment; nothing was lost, try again shortly."""

    http = 503
    code = "transient"


def reason_of(error: HieError) -> str:
    """Return an error as the line an interface engineer reads: the first elements at fault, or its text."""
    parts = [f"{issue.path}: {issue.text}" if issue.path else issue.text for issue in error.issues[:5]]
    more = f" (and {len(error.issues) - 5} more)" if len(error.issues) > 5 else ""
    return "; ".join(parts) + more if parts else error.text
