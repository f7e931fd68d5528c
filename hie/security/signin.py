"""Sign-in of portal users by password, with a lock after repeated failures."""

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from hie.errors import NotAuthenticated
from hie.schema.directory import AppUser
from hie.security.actor import Actor
from hie.security.secrets import is_secret, nobody_hash

FAILURES = 5
LOCK = timedelta(minutes=10)


def authenticate_user(session: Session, username: str, password: str, now: datetime) -> Actor | None:
    """Return the actor of a user who gave the right password, None otherwise; the caller commits.

    After five failures the account is locked for ten minutes. Unknown, disabled, locked and wrong look alike.
    """
    asked = select(AppUser).where(AppUser.username == username).with_for_update()
    user = session.scalar(asked) if "\0" not in username else None
    if user is None:
        is_secret(password, nobody_hash())
        return None
    right = is_secret(password, user.password_hash)
    if user.disabled_at is not None or (user.locked_until is not None and user.locked_until > now):
        return None
    if not right:
        user.failures += 1
        if user.failures >= FAILURES:
            user.failures, user.locked_until = 0, now + LOCK
        return None
    user.failures, user.locked_until = 0, None
    return _actor(user)


def actor_of_user(session: Session, username: str) -> Actor:
    """Return the actor of a signed-in user. Raises: NotAuthenticated if the account is gone or disabled."""
    user = session.get(AppUser, username)
    if user is None or user.disabled_at is not None:
        raise NotAuthenticated()
    return _actor(user)


def _actor(user: AppUser) -> Actor:
    return Actor("user", user.username, user.facility, user.role, name=user.name)
