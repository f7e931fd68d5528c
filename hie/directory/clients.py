"""Systems that call the FHIR API with client credentials (RFC 6749 §4.4)."""

from datetime import datetime

from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from hie.errors import NotFound, Rejected
from hie.schema.directory import AccessToken, AppClient, Facility
from hie.security import audit
from hie.security.actor import OPERATOR, Actor
from hie.security.scopes import parse_scopes
from hie.security.secrets import hash_secret, is_secret


def put_client(
    session: Session, client_id: str, secret: str, scope: str, facility: str | None, by: Actor = OPERATOR
) -> None:
    """Register a client, or give it a new secret, scope or facility: then its tokens end.

    A client that was disabled stays so.

    Raises: Rejected if a scope cannot be honoured, the secret is short, or the facility is not registered.
    """
    if len(secret) < 16:
        raise Rejected("The client's secret must have at least 16 characters.")
    parse_scopes(scope)
    check_facility(session, facility)
    present = session.get(AppClient, client_id, populate_existing=True)
    is_known = present is not None and is_secret(secret, present.secret_hash)
    if present and is_known and (present.scope, present.facility) == (scope, facility):
        return
    hashed = present.secret_hash if present and is_known else hash_secret(secret)
    values = {"secret_hash": hashed, "scope": scope, "facility": facility}
    session.execute(
        insert(AppClient)
        .values(id=client_id, **values)
        .on_conflict_do_update(index_elements=[AppClient.id], set_=values)
    )
    _end_tokens(session, client_id)
    _record(session, "C" if present is None else "U", "directory.client", client_id, by)


def disable_client(session: Session, client_id: str, *, now: datetime, by: Actor) -> None:
    """Let a client ask for nothing any more; its tokens end. Raises: NotFound."""
    _client(session, client_id).disabled_at = now
    _end_tokens(session, client_id)
    _record(session, "U", "directory.client.disable", client_id, by)


def enable_client(session: Session, client_id: str, *, by: Actor) -> None:
    """Let a client ask again. Raises: NotFound."""
    _client(session, client_id).disabled_at = None
    _record(session, "U", "directory.client.enable", client_id, by)


def _client(session: Session, client_id: str) -> AppClient:
    found = session.get(AppClient, client_id, populate_existing=True)
    if found is None:
        raise NotFound(f"There is no client {client_id}; add it with `hie client add`.")
    return found


def _end_tokens(session: Session, client_id: str) -> None:
    session.execute(delete(AccessToken).where(AccessToken.client_id == client_id))


def _record(session: Session, action: str, operation: str, client_id: str, by: Actor) -> None:
    audit.record(
        session, actor=by, action=action, operation=operation, http=None, detail={"client": client_id}
    )


def check_facility(session: Session, facility: str | None) -> None:
    """Refuse a facility code that is not registered; None is the region itself."""
    if facility is not None and session.get(Facility, facility) is None:
        raise Rejected(f"Facility {facility} is not registered; add it first with `hie facility add`.")
