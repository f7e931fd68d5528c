"""Whose cache this is, and the epoch of the present run.

Every start begins a new epoch, so that a restored or re-created cache, whose capture sequence runs again
through numbers already used, is never taken for the sender of the earlier messages. The epoch is kept in
the database and beside the keys, and follows the clock, so that restoring both from one backup does not
repeat it.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import insert, select, update

from esb.errors import HieError
from front_end_processor.cache.engine import Cache
from front_end_processor.cache.tables import station

_BEGIN = datetime(2020, 1, 1, tzinfo=UTC)


class ForeignCache(HieError):
    """This cache belongs to another hospital; name its own in FEP_CACHE_URL."""


def begin_epoch(cache: Cache, facility: str, key_dir: Path, now: datetime) -> int:
    """Return the epoch of this run, larger than every earlier one, after writing it to both places.

    Raises: ForeignCache if the database was begun by another facility.
    """
    file = key_dir / "epoch"
    last = _read(file)
    with cache.writing() as connection:
        row = connection.execute(select(station.c.facility, station.c.epoch)).first()
        if row is not None and row.facility != facility:
            raise ForeignCache(
                f"This cache belongs to {row.facility}, not to {facility}; check FEP_CACHE_URL."
            )
        epoch = max(last + 1, (row.epoch if row else 0) + 1, int((now - _BEGIN).total_seconds()))
        if row is None:
            connection.execute(insert(station).values(id=1, facility=facility, epoch=epoch, started_at=now))
        else:
            connection.execute(update(station).values(epoch=epoch, started_at=now))
        _write(file, epoch)
    return epoch


def _read(file: Path) -> int:
    try:
        return int(file.read_text("ascii").strip() or 0)
    except (FileNotFoundError, ValueError):
        return 0


def _write(file: Path, epoch: int) -> None:
    draft = file.with_name("epoch.new")
    with draft.open("w", encoding="ascii") as out:
        out.write(f"{epoch}\n")
        out.flush()
        os.fsync(out.fileno())
    draft.replace(file)
