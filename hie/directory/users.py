"""People who sign in to the portal."""

from datetime import datetime

from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from hie.directory.clients import check_facility
from hie.errors import NotFound, Rejected
from hie.schema.directory import ROLES, AppUser, PortalSession
from hie.security import audit
from hie.security.actor import OPERATOR, Actor
from hie.security.secrets import hash_secret, is_secret


def put_user(
    session: Session,
    username: str,
    password: str,
    *,
    role: str,
    facility: str | None,
    name: str,
    by: Actor = OPERATOR,
) -> None:
    """Register a user, or change the password, role, facility or name: then the user's sessions end.

    A lock is lifted; a user who was disabled stays so.

    Raises: Rejected if the role is unknown, the password short, or the facility not registered.
    """
    if role not in ROLES:
        raise Rejected(f"Role {role} is unknown; choose one of {', '.join(ROLES)}.")
    if len(password) < 8:
        raise Rejected("The password must have at least 8 characters.")
    check_facility(session, facility)
    present = session.get(AppUser, username, populate_existing=True)
    is_known = present is not None and is_secret(password, present.password_hash)
    if present and is_known and (present.role, present.facility, present.name) == (role, facility, name):
        if present.failures or present.locked_until:
            present.failures, present.locked_until = 0, None
            _record(session, "U", "directory.user.unlock", username, by)
        return
    values = {
        "password_hash": present.password_hash if present and is_known else hash_secret(password),
        "role": role,
        "facility": facility,
        "name": name,
        "failures": 0,
        "locked_until": None,
    }
    session.execute(
        insert(AppUser)
        .values(username=username, **values)
        .on_conflict_do_update(index_elements=[AppUser.username], set_=values)
    )
    _end_sessions(session, username)
    _record(session, "C" if present is None else "U", "directory.user", username, by)


def disable_user(session: Session, username: str, *, now: datetime, by: Actor) -> None:
    """Let a user sign in no more; the user's sessions end. Raises: NotFound."""
    _user(session, username).disabled_at = now
    _end_sessions(session, username)
    _record(session, "U", "directory.user.disable", username, by)


def enable_user(session: Session, username: str, *, by: Actor) -> None:
    """Let a user sign in again. Raises: NotFound."""
    _user(session, username).disabled_at = None
    _record(session, "U", "directory.user.enable", username, by)


def _user(session: Session, username: str) -> AppUser:
    found = session.get(AppUser, username, populate_existing=True)
    if found is None:
        raise NotFound(f"There is no user {username}; add the user with `hie user add`.")
    return found


def _end_sessions(session: Session, username: str) -> None:
    session.execute(delete(PortalSession).where(PortalSession.username == username))


def _record(session: Session, action: str, operation: str, username: str, by: Actor) -> None:
    audit.record(
        session, actor=by, action=action, operation=operation, http=None, detail={"username": username}
    )
