"""People who sign in to the portal."""

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from hie.directory.clients import check_facility
from hie.errors import Rejected
from hie.schema.directory import ROLES, AppUser
from hie.security.secrets import hash_secret, is_secret


def put_user(
    session: Session, username: str, password: str, *, role: str, facility: str | None, name: str
) -> None:
    """Register a user, or change the password, role, facility or name; a lock is lifted.

    Raises: Rejected if the role is unknown, the password short, or the facility not registered.
    """
    if role not in ROLES:
        raise Rejected(f"Role {role} is unknown; choose one of {', '.join(ROLES)}.")
    if len(password) < 8:
        raise Rejected("The password must have at least 8 characters.")
    check_facility(session, facility)
    present = session.get(AppUser, username)
    if present and is_secret(password, present.password_hash):
        hashed = present.password_hash
    else:
        hashed = hash_secret(password)
    values = {
        "password_hash": hashed,
        "role": role,
        "facility": facility,
        "name": name,
        "failures": 0,
        "locked_until": None,
        "disabled_at": None,
    }
    session.execute(
        insert(AppUser)
        .values(username=username, **values)
        .on_conflict_do_update(index_elements=[AppUser.username], set_=values)
    )
