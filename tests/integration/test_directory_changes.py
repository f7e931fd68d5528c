"""What a change of a hospital, a system or a user ends at once, and what it leaves in the audit trail."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from esb.seal import generate_keys, public_part
from hie.__main__ import main
from hie.directory.clients import disable_client, enable_client, put_client
from hie.directory.facilities import put_facility
from hie.directory.users import disable_user, enable_user, put_user
from hie.errors import NotFound
from hie.portal.session import open_session
from hie.schema import AccessToken, AppClient, AuditEventRow, PortalSession
from hie.security.actor import Actor, system_actor
from hie.security.secrets import token_hash
from hie.security.signin import authenticate_user

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
SECRET, PASSWORD = "a secret of some length", "a long password"
KEYS = public_part(generate_keys("H02"))
BY = system_actor("operator")


@pytest.fixture
def directory(session: Session) -> Session:
    """H02 with a system that holds a token, and a doctor who is signed in."""
    put_facility(session, "H02", "人民医院", "", KEYS)
    put_client(session, "his.h02", SECRET, "system/*.cruds", "H02")
    put_user(session, "doctor", PASSWORD, role="doctor", facility="H02", name="医生")
    hour = timedelta(hours=1)
    given = {"token_hash": token_hash("x"), "client_id": "his.h02", "scope": "system/*.cruds"}
    session.execute(sa.insert(AccessToken).values(expires_at=NOW + hour, **given))
    open_session(session, "doctor", NOW)
    return session


def tokens(session: Session) -> int:
    return session.scalar(sa.select(sa.func.count()).select_from(AccessToken)) or 0


def sessions(session: Session) -> int:
    return session.scalar(sa.select(sa.func.count()).select_from(PortalSession)) or 0


def steps(session: Session) -> list[tuple[str, str]]:
    """Return (action, operation) of the audit rows after those of the fixture."""
    rows = session.execute(
        sa.select(AuditEventRow.action, AuditEventRow.operation).order_by(AuditEventRow.id)
    )
    return [(action, operation) for action, operation in rows][3:]


def a_doctor(session: Session, password: str = PASSWORD, role: str = "doctor") -> None:
    put_user(session, "doctor", password, role=role, facility="H02", name="医生", by=BY)


@pytest.mark.parametrize(
    "change",
    [
        lambda session: put_client(session, "his.h02", "another secret, also long", "system/*.cruds", "H02"),
        lambda session: put_client(session, "his.h02", SECRET, "system/Patient.r", "H02"),
        lambda session: put_client(session, "his.h02", SECRET, "system/*.cruds", None),
        lambda session: disable_client(session, "his.h02", now=NOW, by=BY),
    ],
)
def test_what_a_system_was_given_before_ends_with_its_change(
    directory: Session, change: Callable[[Session], None]
) -> None:
    change(directory)
    assert tokens(directory) == 0
    assert len(steps(directory)) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda session: a_doctor(session, password="another password"),
        lambda session: a_doctor(session, role="auditor"),
        lambda session: disable_user(session, "doctor", now=NOW, by=BY),
    ],
)
def test_a_users_sessions_end_with_a_change(directory: Session, change: Callable[[Session], None]) -> None:
    change(directory)
    assert sessions(directory) == 0
    assert len(steps(directory)) == 1


def test_to_register_the_same_again_changes_and_ends_nothing(directory: Session) -> None:
    put_facility(directory, "H02", "人民医院", "", KEYS)
    put_client(directory, "his.h02", SECRET, "system/*.cruds", "H02")
    a_doctor(directory)
    assert (tokens(directory), sessions(directory), steps(directory)) == (1, 1, [])


def test_whoever_was_disabled_stays_so_until_enabled(directory: Session) -> None:
    disable_client(directory, "his.h02", now=NOW, by=BY)
    put_client(directory, "his.h02", "another secret, also long", "system/*.cruds", "H02")
    assert directory.get_one(AppClient, "his.h02", populate_existing=True).disabled_at == NOW
    enable_client(directory, "his.h02", by=BY)
    assert directory.get_one(AppClient, "his.h02", populate_existing=True).disabled_at is None
    disable_user(directory, "doctor", now=NOW, by=BY)
    a_doctor(directory, password="another password")
    assert authenticate_user(directory, "doctor", "another password", NOW) is None
    enable_user(directory, "doctor", by=BY)
    assert isinstance(authenticate_user(directory, "doctor", "another password", NOW), Actor)


def test_every_change_is_in_the_trail_and_a_lifted_lock_too(directory: Session) -> None:
    for _ in range(5):
        authenticate_user(directory, "doctor", "wrong", NOW)
    a_doctor(directory)
    assert authenticate_user(directory, "doctor", PASSWORD, NOW) is not None
    put_facility(directory, "H02", "市人民医院", "", KEYS)
    assert steps(directory) == [("U", "directory.user.unlock"), ("U", "directory.facility")]


def test_nobody_unknown_can_be_disabled(directory: Session) -> None:
    with pytest.raises(NotFound, match="hie client add"):
        disable_client(directory, "nobody", now=NOW, by=BY)
    with pytest.raises(NotFound, match="hie user add"):
        disable_user(directory, "nobody", now=NOW, by=BY)


@pytest.fixture
def region(
    fresh_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[sa.Engine, str]]:
    """An empty hub, and a file with a secret."""
    monkeypatch.setenv("HIE_DATABASE_URL", fresh_database_url)
    monkeypatch.setenv("PGTZ", "")
    (tmp_path / "secret").write_text(SECRET)
    engine = sa.create_engine(fresh_database_url)
    yield engine, str(tmp_path / "secret")
    engine.dispose()


def test_the_operator_disables_and_enables_by_command(region: tuple[sa.Engine, str]) -> None:
    engine, secret = region
    main(["client", "add", "--id", "his", "--secret-file", secret, "--scope", "system/*.rs"])
    main(["user", "add", "--username", "li", "--password-file", secret, "--role", "steward", "--name", "李"])
    for what, key, name in (("client", "--id", "his"), ("user", "--username", "li")):
        main([what, "disable", key, name])
        main([what, "enable", key, name])
    with Session(engine) as session:
        found = session.scalars(sa.select(AuditEventRow.operation).order_by(AuditEventRow.id)).all()
    assert found == [
        "directory.client", "directory.user", "directory.client.disable", "directory.client.enable",
        "directory.user.disable", "directory.user.enable",
    ]  # fmt: skip
