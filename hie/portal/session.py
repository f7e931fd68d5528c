"""Who is signed in: a random cookie whose hash is stored, CSRF tokens derived from it, time-out when idle."""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from hie.errors import NotAuthenticated
from hie.schema.directory import PortalSession
from hie.security.actor import Actor
from hie.security.secrets import is_same, new_token, token_hash
from hie.security.signin import actor_of_user

COOKIE = "hie_session"
FORM_COOKIE = "hie_form"
IDLE = timedelta(minutes=20)
WARN = timedelta(minutes=2)
# The stored end moves at most once a minute: a page with many requests writes once.
STEP = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A user with an open session, and when it ends if nothing happens."""

    actor: Actor
    token: str
    expires_at: datetime


def open_session(session: Session, username: str, now: datetime) -> str:
    """Return the cookie of a new session; sessions that ended are cleared away."""
    session.execute(delete(PortalSession).where(PortalSession.expires_at < now))
    token = new_token()
    session.execute(
        insert(PortalSession).values(token_hash=token_hash(token), username=username, expires_at=now + IDLE)
    )
    return token


def signed_in(session: Session, token: str | None, now: datetime) -> SignedIn:
    """Return who is behind a cookie and move the end of the session.

    Raises: NotAuthenticated if the session is unknown or has ended, or the account was closed.
    """
    if not token:
        raise NotAuthenticated
    key = token_hash(token)
    row = session.execute(
        select(PortalSession.username, PortalSession.expires_at).where(
            PortalSession.token_hash == key, PortalSession.expires_at > now
        )
    ).one_or_none()
    if row is None:
        raise NotAuthenticated
    username, expires_at = row
    actor = actor_of_user(session, username)
    if expires_at < now + IDLE - STEP:
        expires_at = now + IDLE
        session.execute(
            update(PortalSession).where(PortalSession.token_hash == key).values(expires_at=expires_at)
        )
    return SignedIn(actor, token, expires_at)


def close_session(session: Session, token: str) -> None:
    """End a session."""
    session.execute(delete(PortalSession).where(PortalSession.token_hash == token_hash(token)))


def csrf_token(cookie: str) -> str:
    """Return the token that forms carry: it can be made only by who knows the cookie."""
    return hmac.new(cookie.encode(), b"csrf", hashlib.sha256).hexdigest()


def is_csrf_token(cookie: str, token: str) -> bool:
    """Say whether a form's token belongs to the cookie."""
    return bool(cookie) and is_same(csrf_token(cookie), token)
