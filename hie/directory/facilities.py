"""Member facilities and their public keys (ITI-90 mCSD keeps the rest as Organization resources)."""

from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from hie.errors import Rejected
from hie.schema.directory import Facility


def put_facility(session: Session, code: str, name: str, name_en: str, jwks: dict[str, Any]) -> None:
    """Register a facility, or give it a new name or new keys.

    Raises: Rejected if the key set holds a private key or cannot be read.
    """
    check_public_keys(jwks)
    row = {"code": code, "name": name, "name_en": name_en, "jwks": jwks}
    statement = insert(Facility).values(row)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[Facility.code],
            set_={"name": name, "name_en": name_en, "jwks": jwks},
        )
    )


def check_public_keys(jwks: dict[str, Any]) -> None:
    """Refuse a key set that is not one, or that gives away a private key."""
    try:
        keys = KeySet.import_key_set(jwks)  # type: ignore[arg-type]
    except (JoseError, ValueError, KeyError, TypeError):
        raise Rejected("The key file is not a JSON Web Key Set; make it with `fep keys init`.") from None
    if any(key.is_private for key in keys.keys):
        raise Rejected("The key file holds a private key; give the public key set (own.public.jwks).")


def facility_keys(session: Session) -> dict[str, dict[str, Any]]:
    """Return the public key set of every facility by its code."""
    return {row.code: row.jwks for row in session.execute(select(Facility.code, Facility.jwks))}


def facility_names(session: Session, language: str = "zh") -> dict[str, str]:
    """Return the name of every facility by its code, in Chinese unless another language is asked for."""
    rows = session.execute(select(Facility.code, Facility.name, Facility.name_en).order_by(Facility.code))
    return {code: name if language.startswith("zh") else name_en or name for code, name, name_en in rows}
