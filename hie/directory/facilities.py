"""Member facilities and their public keys (ITI-90 mCSD keeps the rest as Organization resources)."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from esb.seal import load_public
from esb.topology import check_facility_code
from hie.errors import Malformed, Rejected
from hie.schema.directory import Facility
from hie.security import audit
from hie.security.actor import OPERATOR, Actor


def put_facility(
    session: Session, code: str, name: str, name_en: str, jwks: dict[str, Any], by: Actor = OPERATOR
) -> None:
    """Register a facility, or give it a new name or new keys.

    Raises: Rejected if the code cannot stand in a route, or the key set holds a private key or not the keys
    that are needed.
    """
    check_facility_code(code)
    check_public_keys(jwks)
    values = {"name": name, "name_en": name_en, "jwks": jwks}
    present = session.get(Facility, code, populate_existing=True)
    if present and all(getattr(present, column) == value for column, value in values.items()):
        return
    statement = insert(Facility).values(code=code, **values)
    session.execute(statement.on_conflict_do_update(index_elements=[Facility.code], set_=values))
    audit.record(
        session,
        actor=by,
        action="C" if present is None else "U",
        operation="directory.facility",
        http=None,
        detail={"facility": code, "new_keys": present is None or present.jwks != jwks},
    )


def check_public_keys(jwks: dict[str, Any]) -> None:
    """Refuse a key set that ingest could not use, or that gives away a private key."""
    keys = jwks.get("keys") if isinstance(jwks, dict) else None
    if isinstance(keys, list) and any(isinstance(key, dict) and "d" in key for key in keys):
        raise Rejected("The key file holds a private key; give the public key set (own.public.jwks).")
    try:
        load_public(jwks)
    except Malformed:
        raise Rejected(
            "The key file is not the public key set that `fep keys init` makes (own.public.jwks)."
        ) from None


def facility_keys(session: Session) -> dict[str, dict[str, Any]]:
    """Return the public key set of every facility by its code."""
    return {row.code: row.jwks for row in session.execute(select(Facility.code, Facility.jwks))}


def facility_names(session: Session, language: str = "zh") -> dict[str, str]:
    """Return the name of every facility by its code, in Chinese unless another language is asked for."""
    rows = session.execute(select(Facility.code, Facility.name, Facility.name_en).order_by(Facility.code))
    return {code: name if language.startswith("zh") else name_en or name for code, name, name_en in rows}
