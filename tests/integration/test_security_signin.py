"""Signing in to the portal: the right password, and what happens to guessing."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from esb.seal import generate_keys, public_part
from hie.directory.facilities import put_facility
from hie.directory.users import put_user
from hie.errors import Rejected
from hie.schema import AppUser
from hie.security.signin import FAILURES, LOCK, authenticate_user

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
PASSWORD = "a long password"


@pytest.fixture
def directory(session: Session) -> Session:
    """A doctor of H02."""
    put_facility(session, "H02", "人民医院", "", public_part(generate_keys("H02")))
    put_user(session, "doctor", PASSWORD, role="doctor", facility="H02", name="医生")
    return session


def test_the_right_password_gives_the_actor_with_role_and_facility(directory: Session) -> None:
    actor = authenticate_user(directory, "doctor", PASSWORD, NOW)
    assert actor is not None
    assert (actor.kind, actor.role, actor.facility) == ("user", "doctor", "H02")


@pytest.mark.parametrize(
    ("username", "password"), [("doctor", "wrong"), ("nobody", PASSWORD), ("", ""), ("a\0b", "")]
)
def test_anything_else_gives_nobody(directory: Session, username: str, password: str) -> None:
    assert authenticate_user(directory, username, password, NOW) is None


def test_guessing_locks_the_account_for_a_while(directory: Session) -> None:
    for _ in range(FAILURES):
        authenticate_user(directory, "doctor", "wrong", NOW)
    assert authenticate_user(directory, "doctor", PASSWORD, NOW + LOCK - timedelta(seconds=1)) is None
    assert authenticate_user(directory, "doctor", PASSWORD, NOW + LOCK) is not None


def test_a_success_between_failures_begins_the_count_anew(directory: Session) -> None:
    for _ in range(2):
        for _ in range(FAILURES - 1):
            authenticate_user(directory, "doctor", "wrong", NOW)
        assert authenticate_user(directory, "doctor", PASSWORD, NOW) is not None


def test_a_disabled_account_is_nobody(directory: Session) -> None:
    user = directory.get(AppUser, "doctor")
    assert user is not None
    user.disabled_at = NOW
    assert authenticate_user(directory, "doctor", PASSWORD, NOW) is None


def test_an_unknown_role_or_facility_is_refused(directory: Session) -> None:
    with pytest.raises(Rejected, match="Role"):
        put_user(directory, "x", PASSWORD, role="king", facility=None, name="x")
    with pytest.raises(Rejected, match="H09"):
        put_user(directory, "x", PASSWORD, role="doctor", facility="H09", name="x")


def test_private_keys_are_not_taken_into_the_directory(session: Session) -> None:
    with pytest.raises(Rejected, match="private"):
        put_facility(session, "H03", "x", "", generate_keys("H03"))
