"""A facility writes about its own patient records only."""

from collections.abc import Iterable

from sqlalchemy import text
from sqlalchemy.orm import Session

from hie.errors import Rejected

FOREIGN = text(
    "SELECT k.id FROM resource_key k"
    " JOIN unnest(CAST(:ids AS text[]), CAST(:facilities AS text[])) AS w (id, f) ON k.id = w.id"
    " WHERE k.type = 'Patient' AND k.facility IS DISTINCT FROM w.f LIMIT 1"
)


def check_own_patients(session: Session, pairs: Iterable[tuple[str, str | None]]) -> None:
    """Check what was just written, as (compartment, writing facility); the region's own clients may all.

    Raises: Rejected if a facility wrote into a patient record of another one; roll back.
    """
    wanted = sorted({(compartment, facility) for compartment, facility in pairs if compartment and facility})
    if not wanted:
        return
    values = {"ids": [one for one, _ in wanted], "facilities": [other for _, other in wanted]}
    if session.scalar(FOREIGN, values) is not None:
        raise Rejected("A resource refers to another facility's patient record; refer to your own.")
