"""The SQL of the write path: claim keys, lock and read, move to the history, COPY."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from functools import lru_cache
from typing import Any

import psycopg

from esb.fhir.lexemes import loads
from hie.repository import rows
from hie.repository.emitters import Index
from hie.repository.extract import index_of
from hie.repository.numbers import Unit
from hie.repository.state import Past, State, Version
from hie.repository.tokens import Text

Key = tuple[str, str]

CLAIM = """
INSERT INTO resource_key (type, id, compartment, facility)
SELECT * FROM unnest(%b::text[], %b::text[], %b::text[], %b::text[])
ON CONFLICT DO NOTHING RETURNING type, id
"""
LOCK = """
SELECT k.type, k.id, k.compartment, k.facility
FROM resource_key k JOIN unnest(%b::text[], %b::text[]) AS w (type, id) ON k.type = w.type AND k.id = w.id
ORDER BY k.type, k.id FOR NO KEY UPDATE OF k
"""
READ = """
SELECT r.compartment, r.type, r.id, r.version, r.source_at, r.epoch, r.seq, r.updated_at, r.deleted,
       r.content, (SELECT max(h.version) FROM resource_history h WHERE h.type = r.type AND h.id = r.id)
FROM unnest(%b::text[], %b::text[], %b::text[]) AS w (compartment, type, id)
JOIN resource r ON r.compartment = w.compartment AND r.type = w.type AND r.id = w.id
"""
MOVE = """
WITH gone AS (
    DELETE FROM resource r USING unnest(%b::text[], %b::text[], %b::text[]) AS w (compartment, type, id)
    WHERE r.compartment = w.compartment AND r.type = w.type AND r.id = w.id
    RETURNING r.*
)
INSERT INTO resource_history
    (type, id, version, compartment, facility, updated_at, source_at, epoch, seq, deleted, superseded,
     content)
SELECT type, id, version, compartment, facility, updated_at, source_at, epoch, seq, deleted, false, content
FROM gone
"""
FORGET_DATES = """
DELETE FROM search_date d USING unnest(%b::text[], %b::text[], %b::text[]) AS w (compartment, type, id)
WHERE d.compartment = w.compartment AND d.type = w.type AND d.id = w.id
"""
FORGET_NUMBERS = """
DELETE FROM search_number n USING unnest(%b::text[], %b::text[], %b::text[]) AS w (compartment, type, id)
WHERE n.compartment = w.compartment AND n.type = w.type AND n.id = w.id
"""
# Two that bring the same text at the same time both add it: nothing waits, and a search minds no doubles.
LIST_TEXTS = """
INSERT INTO search_text (token, path, text)
SELECT * FROM unnest(%b::bigint[], %b::bigint[], %b::text[]) AS w (token, path, text)
WHERE NOT EXISTS (SELECT FROM search_text t WHERE t.token = w.token AND t.path = w.path)
"""
REFRESH = """
UPDATE resource SET tokens = %b::bigint[], date_low = %b, date_high = %b
WHERE compartment = %b AND type = %b AND id = %b
"""
TOUCH = """
UPDATE resource r SET source_at = w.source_at, epoch = w.epoch, seq = w.seq
FROM unnest(%b::text[], %b::text[], %b::text[], %b::timestamptz[], %b::int[], %b::bigint[])
    AS w (compartment, type, id, source_at, epoch, seq)
WHERE r.compartment = w.compartment AND r.type = w.type AND r.id = w.id
"""
REKEY = """
UPDATE resource_key k SET compartment = w.compartment
FROM unnest(%b::text[], %b::text[], %b::text[]) AS w (compartment, type, id)
WHERE k.type = w.type AND k.id = w.id
"""
RESOURCE = (
    "compartment", "type", "id", "version", "facility", "updated_at", "source_at", "epoch", "seq", "deleted",
    "tokens", "date_low", "date_high", "content",
)  # fmt: skip
HISTORY = (*RESOURCE[:10], "superseded", "content")
DATES = ("compartment", "type", "id", "param", "low", "high")
NUMBERS = (
    "compartment", "type", "id", "name", "about", "about_system", "low", "high", "unit", "unit_system",
    "unit_text", "base", "base_low", "base_high",
)  # fmt: skip

_text = lru_cache(maxsize=10_000)(rows.text)


@lru_cache(maxsize=20_000)
def _name(name: int, about: int | None, about_system: int | None) -> bytes:
    return rows.bigint(name) + rows.number(about) + rows.number(about_system)


@lru_cache(maxsize=5_000)
def _unit(unit: Unit) -> bytes:
    return b"".join(map(rows.number, unit))


@dataclass(slots=True)
class IndexRows:
    """Rows of the index beside the resources' own, of one batch."""

    dates: list[tuple[bytes, ...]] = field(default_factory=list)
    numbers: list[tuple[bytes, ...]] = field(default_factory=list)
    texts: set[Text] = field(default_factory=set)

    def add(self, key: tuple[bytes, bytes, bytes], index: Index) -> None:
        """Take in what one resource is found by."""
        for param, span in index.dates:
            self.dates.append((*key, _text(param), rows.instant(span[0]), rows.instant(span[1])))
        for name, about, about_system, low, high, unit, base_low, base_high in index.numbers:
            base = rows.double(base_low) + rows.double(base_high)
            self.numbers.append(
                (*key, _name(name, about, about_system), rows.doubles(low, high), _unit(unit), base)
            )
        self.texts.update(index.texts)

    def write(self, cursor: psycopg.Cursor[Any]) -> None:
        """Append the rows to their tables."""
        rows.copy_in(cursor, "search_date", DATES, self.dates)
        rows.copy_in(cursor, "search_number", NUMBERS, self.numbers)
        if self.texts:
            cursor.execute(LIST_TEXTS, columns_of(sorted(self.texts)))


@lru_cache(maxsize=1000)
def _instant(at: datetime | None) -> bytes:
    return rows.instant(at)


def claim(cursor: psycopg.Cursor[Any], claims: Mapping[Key, tuple[str, str | None]]) -> set[Key]:
    """Take new keys for a compartment and facility each; return those that nobody had."""
    if not claims:
        return set()
    keys = sorted(claims)
    cursor.execute(
        CLAIM,
        (
            [type_ for type_, _ in keys],
            [id_ for _, id_ in keys],
            [claims[key][0] for key in keys],
            [claims[key][1] for key in keys],
        ),
    )
    return set(cursor.fetchall())


def read_locked(cursor: psycopg.Cursor[Any], keys: Sequence[Key]) -> dict[Key, State]:
    """Return the states of known keys, locked until the transaction ends.

    Reading is a statement of its own: it must see what the batch it waited for has committed.
    """
    if not keys:
        return {}
    cursor.execute(LOCK, ([type_ for type_, _ in keys], [id_ for _, id_ in keys]))
    states = {}
    places = []
    for type_, id_, compartment, facility in cursor.fetchall():
        state = states[type_, id_] = State(type_, id_, facility)
        state.is_known = True
        state.keyed = compartment
        places.append((compartment, type_, id_))
    if places:
        cursor.execute(READ, columns_of(places))
        for row in cursor.fetchall():
            compartment, type_, id_, number, source_at, epoch, seq, updated_at, deleted, content, most = row
            order = (source_at, epoch, seq)
            present = Version(number, order, updated_at, compartment, content.encode(), deleted)
            states[type_, id_].load(present, most or 0)
    return states


def flush(cursor: psycopg.Cursor[Any], states: Collection[State], zone: tzinfo) -> None:
    """Write what has changed: history first, then the present versions and their index."""
    replaced = [s for s in states if s.replaced]
    moved = [(s.stored, s.type, s.id) for s in replaced if s.stored is not None]
    if moved:
        cursor.execute(MOVE, columns_of(moved))
        cursor.execute(FORGET_DATES, columns_of(moved))
        cursor.execute(FORGET_NUMBERS, columns_of(moved))
    rekeyed = [
        (s.present.compartment, s.type, s.id)
        for s in replaced
        if s.keyed is not None and s.keyed != s.present.compartment
    ]
    if rekeyed:
        cursor.execute(REKEY, columns_of(rekeyed))
    touched = [(s.stored, s.type, s.id, *s.present.order) for s in states if s.touched and not s.replaced]
    if touched:
        cursor.execute(TOUCH, columns_of(touched))
    index = IndexRows()
    present = [_present_row(state, zone, index) for state in replaced]
    past = [_past_row(state, item) for state in states for item in state.past]
    rows.copy_in(cursor, "resource_history", HISTORY, past)
    rows.copy_in(cursor, "resource", RESOURCE, present)
    index.write(cursor)


def refresh(cursor: psycopg.Cursor[Any], states: Collection[State], zone: tzinfo) -> None:
    """Make the index of present versions anew; the versions stay as they are."""
    places = [(s.present.compartment, s.type, s.id) for s in states]
    if not places:
        return
    cursor.execute(FORGET_DATES, columns_of(places))
    cursor.execute(FORGET_NUMBERS, columns_of(places))
    beside = IndexRows()
    changed = []
    for (compartment, type_, id_), state in zip(places, states, strict=True):
        found = index_of(loads(state.present.content), compartment, zone)
        beside.add((_text(compartment), _text(type_), rows.text(id_)), found)
        changed.append((sorted(found.tokens), *(found.primary or (None, None)), compartment, type_, id_))
    cursor.executemany(REFRESH, changed)
    beside.write(cursor)


def columns_of(items: Iterable[tuple[Any, ...]]) -> tuple[list[Any], ...]:
    """Return rows as the columns that `unnest` takes."""
    return tuple(list(column) for column in zip(*items, strict=True))


def _present_row(state: State, zone: tzinfo, beside: IndexRows) -> tuple[bytes, ...]:
    """Return the row of the present version; what else it is found by is added to `beside`."""
    present = state.present
    key = (_text(present.compartment), _text(state.type), rows.text(state.id))
    tokens, low, high = rows.EMPTY_ARRAY, rows.NULL, rows.NULL
    if present.resource is not None:
        index = index_of(present.resource, present.compartment, zone)
        tokens = rows.bigints(index.tokens)
        if index.primary:
            low, high = rows.instant(index.primary[0]), rows.instant(index.primary[1])
        beside.add(key, index)
    return (*key, *_common(state, present), tokens, low, high, rows.blob(present.content))


def _past_row(state: State, past: Past) -> tuple[bytes, ...]:
    version = past.version
    return (
        _text(version.compartment),
        _text(state.type),
        rows.text(state.id),
        *_common(state, version),
        rows.boolean(past.superseded),
        rows.blob(version.content),
    )


def _common(state: State, version: Version) -> tuple[bytes, ...]:
    """Return the fields `version` to `deleted`, which both tables have."""
    source_at, epoch, seq = version.order
    return (
        rows.integer(version.number),
        _text(state.facility),
        _instant(version.updated_at),
        _instant(source_at),
        rows.integer(epoch),
        rows.bigint(seq),
        rows.boolean(version.deleted),
    )
