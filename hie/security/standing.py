"""Who asked for long work or a subscription, and what is left of that actor's rights when it is done."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from hie.errors import NotPermitted
from hie.schema.directory import AppClient
from hie.security.actor import Actor, client_actor
from hie.security.scopes import narrow, parse_scopes


def remember(actor: Actor) -> dict[str, Any]:
    """Return what is to be stored of an actor. Raises: NotPermitted for anybody but a client."""
    if actor.kind != "client":
        raise NotPermitted("Only a registered client may ask for this.")
    words = " ".join(f"system/{scope.resource_type}.{scope.letters}" for scope in actor.scopes)
    return {"client": actor.id, "facility": actor.facility, "scope": words}


def recall(session: Session, remembered: dict[str, Any]) -> Actor:
    """Return the actor with the rights that are left of those remembered.

    Raises: NotPermitted if the client was disabled, moved to another facility, or lost all these scopes.
    """
    client = session.get(AppClient, remembered["client"])
    if client is None or client.disabled_at is not None or client.facility != remembered["facility"]:
        raise NotPermitted("The client that asked for this may not any more.")
    scope = narrow(client.scope, remembered["scope"])
    if scope is None:
        raise NotPermitted("The client that asked for this may not any more.")
    return client_actor(client.id, client.facility, parse_scopes(scope))
