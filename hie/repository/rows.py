"""Rows of the repository's tables in PostgreSQL's binary COPY format, packed without a detour."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from struct import Struct
from typing import Any

import psycopg

HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER = b"\xff\xff"
NULL = b"\xff\xff\xff\xff"
TRUE, FALSE = b"\x00\x00\x00\x01\x01", b"\x00\x00\x00\x01\x00"
EIGHT = b"\x00\x00\x00\x08"
EMPTY_ARRAY = b"\x00\x00\x00\x0c" + Struct(">iii").pack(0, 0, 20)

_size = Struct(">i").pack
_count = Struct(">h").pack
_int4 = Struct(">ii").pack
_int8 = Struct(">iq").pack
_float8 = Struct(">id").pack
_two_float8 = Struct(">idid").pack
_long = Struct(">q").pack
_array = Struct(">iiiiii").pack

POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def text(value: str | None) -> bytes:
    """Return a text field."""
    return NULL if value is None else blob(value.encode())


def blob(value: bytes) -> bytes:
    """Return a text field whose UTF-8 bytes are at hand."""
    return _size(len(value)) + value


def integer(value: int) -> bytes:
    """Return an int4 field."""
    return _int4(4, value)


def bigint(value: int) -> bytes:
    """Return an int8 field."""
    return _int8(8, value)


def number(value: int | None) -> bytes:
    """Return an int8 field that may be null."""
    return NULL if value is None else _int8(8, value)


def double(value: float | None) -> bytes:
    """Return a float8 field that may be null."""
    return NULL if value is None else _float8(8, value)


def doubles(first: float, second: float) -> bytes:
    """Return two float8 fields."""
    return _two_float8(8, first, 8, second)


def boolean(value: bool) -> bytes:
    """Return a bool field."""
    return TRUE if value else FALSE


def instant(at: datetime | None) -> bytes:
    """Return a timestamptz field."""
    return NULL if at is None else _int8(8, (at - POSTGRES_EPOCH) // MICROSECOND)


def bigints(values: Iterable[int]) -> bytes:
    """Return a bigint[] field."""
    packed = [*map(_long, values)]
    if not packed:
        return EMPTY_ARRAY
    return _array(20 + 12 * len(packed), 1, 0, 20, len(packed), 1) + EIGHT + EIGHT.join(packed)


def copy_in(
    cursor: psycopg.Cursor[Any], table: str, columns: Sequence[str], rows: Sequence[Sequence[bytes]]
) -> None:
    """Append rows, each a sequence of packed fields in the order of `columns`."""
    if not rows:
        return
    fields = _count(len(columns))
    data = b"".join([HEADER, *[fields + b"".join(row) for row in rows], TRAILER])
    with cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)") as copy:
        copy.write(data)
