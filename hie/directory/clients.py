"""Systems that call the FHIR API with client credentials (RFC 6749 §4.4)."""

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from hie.errors import Rejected
from hie.schema.directory import AppClient, Facility
from hie.security.scopes import parse_scopes
from hie.security.secrets import hash_secret, is_secret


def put_client(session: Session, client_id: str, secret: str, scope: str, facility: str | None) -> None:
    """Register a client, or give it a new secret, scope or facility.

    Raises: Rejected if a scope cannot be honoured, the secret is short, or the facility is not registered.
    """
    if len(secret) < 16:
        raise Rejected("The client's secret must have at least 16 characters.")
    parse_scopes(scope)
    check_facility(session, facility)
    present = session.get(AppClient, client_id)
    if present and is_secret(secret, present.secret_hash):
        hashed = present.secret_hash
    else:
        hashed = hash_secret(secret)
    values = {"secret_hash": hashed, "scope": scope, "facility": facility, "disabled_at": None}
    session.execute(
        insert(AppClient)
        .values(id=client_id, **values)
        .on_conflict_do_update(index_elements=[AppClient.id], set_=values)
    )


def check_facility(session: Session, facility: str | None) -> None:
    """Refuse a facility code that is not registered; None is the region itself."""
    if facility is not None and session.get(Facility, facility) is None:
        raise Rejected(f"Facility {facility} is not registered; add it first with `hie facility add`.")
