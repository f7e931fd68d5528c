"""What a search wants: where it looks, its conditions, order, page and what it brings along."""

from __future__ import annotations

from dataclasses import dataclass, field

from hie.errors import Issue
from hie.repository.conditions import Condition
from hie.repository.shaped import Shaped
from hie.repository.sorting import SortColumn

COUNT, MOST = 50, 1000  # resources of a page: if nothing is said, and at most


@dataclass(frozen=True, slots=True)
class Target:
    """What is searched.

    path: of the search below the API's address. types: of what may be found. within: the condition of a
    compartment.
    """

    path: str
    types: tuple[str, ...]
    within: Condition | None = None

    @property
    def names_types(self) -> bool:
        """Say whether a search here names its types by `_type`, not by its path."""
        return not self.path or self.path.endswith("*")

    @property
    def label(self) -> str:
        """Return how a text names what is searched."""
        return self.types[0] if len(self.types) == 1 else "not every one of the types"


@dataclass(frozen=True, slots=True)
class Include:
    """One `_include` or `_revinclude`; `*` stands for all types or parameters, target '' for any."""

    source: str
    code: str
    target: str
    iterate: bool


@dataclass(frozen=True, slots=True)
class Sorting:
    """One key of an order: the search parameter's code and its column."""

    code: str
    column: SortColumn
    descending: bool

    @property
    def is_read(self) -> bool:
        """Whether its values are taken from the content of each resource."""
        return self.column.is_read


@dataclass(slots=True)
class Query:
    """A search as understood.

    sort: keys of the order. total: whether the number of all matches is asked for.
    only_count: no resources, just the number. summary, elements: what of each resource is shown.
    remarks: what was not understood and left aside (lenient handling).
    used: the (name, value) pairs that were understood, for the links.
    patients: ids of the patients that were named.
    """

    target: Target
    conditions: list[Condition] = field(default_factory=list)
    sort: list[Sorting] = field(default_factory=list)
    count: int = COUNT
    total: bool = False
    only_count: bool = False
    summary: str = "false"
    elements: list[str] = field(default_factory=list)
    includes: list[Include] = field(default_factory=list)
    revincludes: list[Include] = field(default_factory=list)
    remarks: list[Issue] = field(default_factory=list)
    used: list[tuple[str, str]] = field(default_factory=list)
    patients: list[str] = field(default_factory=list)

    @property
    def is_of_few(self) -> bool:
        """Whether a condition or the compartment leaves few resources; see `Shape`."""
        return self.target.within is not None or any(
            isinstance(each, Shaped) and each.shape.is_few for each in self.conditions
        )
