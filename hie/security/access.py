"""The mark that opens a route. A view without it is answered 403 by the app: default deny.

>>> @access("read")
... def read(resource_type, resource_id): ...
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

# Where the work process puts the actor of a request it does for somebody; no header of HTTP ends up there.
ACTOR = "hie.actor"
View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Access:
    """What a route is for.

    operation: the word in the audit row (read, search-type, token, portal.find ...).
    public: may be called without signing in (token endpoint, sign-in page, statement of capabilities).
    audited: whether the app insists on one audit row per request.
    """

    operation: str
    public: bool = False
    audited: bool = True


def access(operation: str, *, public: bool = False, audited: bool = True) -> Callable[[View], View]:
    """Mark a view as a route that may be called, and say what for."""

    def mark(view: View) -> View:
        view.__hie_access__ = Access(operation, public, audited)  # type: ignore[attr-defined]
        return view

    return mark


def access_of(view: Callable[..., Any] | None) -> Access | None:
    """Return the mark of a view, or None if it was given none."""
    return getattr(view, "__hie_access__", None)
