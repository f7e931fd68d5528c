"""The routes of the hub as they are mounted: CapabilityStatement and OpenAPI document are made from these."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from flask import Flask

from esb.fhir.types import RESOURCE_TYPES
from hie.api import asking
from hie.api.operations import OPERATIONS, Level, Operation
from hie.security.access import access_of

PLACE = re.compile(r"<(?:[^:>]+:)?([^>]+?)_?>")
FHIR = "/fhir"
LEVELS: tuple[Level, ...] = ("system", "type", "instance")
# The mark of the addresses that only say what is not answered.
REFUSED = "operation"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
# The words of http.html#3.1.0.1 that a route of one type, or of the whole server, is marked with.
OF_A_TYPE = (
    "read",
    "vread",
    "update",
    "patch",
    "delete",
    "history-instance",
    "history-type",
    "create",
    "search-type",
)
OF_THE_SYSTEM = {
    "transaction": ("transaction", "batch"),
    "search-system": ("search-system",),
    "history-system": ("history-system",),
}


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one address.

    path: with its places named, as in `/fhir/{type}/{id}`.
    operation: the word of its mark (read, $everything).
    """

    method: str
    path: str
    operation: str
    public: bool
    summary: str

    @property
    def steps(self) -> list[str]:
        """The steps of the address behind `/fhir`; none for what is not FHIR."""
        if self.path != FHIR and not self.path.startswith(FHIR + "/"):
            return []
        return [step for step in self.path.split("/")[2:] if step]

    @property
    def asked(self) -> Operation | None:
        """The FHIR operation behind the route, or None."""
        last = self.steps[-1] if self.steps else ""
        if not last.startswith("$"):
            return None
        level: Level = LEVELS[min(len(self.steps), len(LEVELS)) - 1]
        rows = (row for row in OPERATIONS if row.name == last[1:] and level in row.levels)
        return next((row for row in rows if self.type in row.types or not row.types), None)

    @property
    def type(self) -> str | None:
        """The one resource type the route is for, or None."""
        first = self.steps[0] if self.steps else ""
        return first if first in RESOURCE_TYPES else None

    @property
    def is_of_any_type(self) -> bool:
        """Say whether the type is a place in the address."""
        return self.steps[:1] == ["{type}"]


@lru_cache(maxsize=4)
def routes_of(app: Flask) -> tuple[Route, ...]:
    """Return the routes that machines call, those of the portal left out, in the order of their addresses."""
    found = set()
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        mark = access_of(view)
        if mark is None or mark.operation == REFUSED or rule.endpoint.startswith("portal."):
            continue
        path = PLACE.sub(r"{\1}", rule.rule)
        summary = (inspect.getdoc(view) or "").partition("\n")[0]
        for method in METHODS:
            if method in (rule.methods or ()):
                found.add(Route(method, path, mark.operation, mark.public, summary))
    return tuple(sorted(found, key=lambda route: (route.path, METHODS.index(route.method))))


def of_type(routes: Iterable[Route], type_: str) -> list[Route]:
    """Return the routes that serve a resource type; what the hub makes has no others than its own."""
    return [
        route
        for route in routes
        if route.type == type_
        or (route.is_of_any_type and type_ not in asking.MADE_BY_THE_HUB | asking.NEVER_KEPT)
    ]
