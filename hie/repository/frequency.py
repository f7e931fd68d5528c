"""Which tokens many resources carry, by PostgreSQL's own statistics.

It takes every token that is not among its most common ones for carried by some 1 in 500. For a page of few
resources, or in a very large repository, it would then rather go through the whole type in the page's order
than read the one resource there is from the token index.
"""

from __future__ import annotations

import time
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

SHARE = 0.005  # of all resources, from which a token is frequent
KNOWN_FOR_S = 60.0
STATISTICS = text(
    "SELECT element FROM pg_stats, unnest(most_common_elems::text::bigint[], most_common_elem_freqs)"
    " AS common (element, share) WHERE schemaname = current_schema() AND tablename = 'resource'"
    " AND attname = 'tokens' AND element IS NOT NULL AND share >= :share"
)
_known: WeakKeyDictionary[Engine, tuple[float, frozenset[int]]] = WeakKeyDictionary()


def frequent_tokens(session: Session) -> frozenset[int]:
    """Return the tokens that are frequent; none where there are no statistics. A minute old at most."""
    engine = session.get_bind().engine
    until, found = _known.get(engine, (0.0, frozenset()))
    if until < time.monotonic():
        found = frozenset(session.execute(STATISTICS, {"share": SHARE}).scalars())
        _known[engine] = (time.monotonic() + KNOWN_FOR_S, found)
    return found
