"""The explicit right to a restricted person's record: for whom it can be given, and that it is on record."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from hie.directory.users import put_user
from hie.errors import Rejected
from hie.mpi.identify import Source, identify
from hie.mpi.restrict import grant, lift, restrict
from hie.schema import AuditEventRow, Facility, Identity, Relation
from hie.security.actor import system_actor

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
OPERATOR = system_actor("operator")
ASKED: dict[str, Any] = {"facility": "H02", "username": None, "days": 30, "reason": "beneficiary", "now": NOW}


@pytest.fixture
def somebody(session: Session) -> Session:
    """A restricted person of H01; a doctor of H02."""
    session.add_all([Facility(code=code, name=code, name_en=code, jwks={}) for code in ("H01", "H02")])
    session.flush()
    put_user(session, "doctor.h02", "a long password", role="doctor", facility="H02", name="医生")
    identify(session, Source("p1", "H01", {"resourceType": "Patient", "name": [{"text": "张三"}]}), NOW)
    restrict(session, "p1", reason="beneficiary", by=OPERATOR)
    return session


def test_a_right_is_given_from_now_for_so_many_days(somebody: Session) -> None:
    grant(somebody, "p1", **ASKED | {"username": "doctor.h02"}, by=OPERATOR)
    found = somebody.execute(sa.select(Relation.kind, Relation.username, Relation.until)).one()
    assert tuple(found) == ("granted", "doctor.h02", NOW + timedelta(days=30))


@pytest.mark.parametrize(
    "wrong",
    [
        {"facility": "H09"},
        {"username": "nobody"},
        {"facility": "H01", "username": "doctor.h02"},
        {"days": 0},
        {"days": -5},
        {"days": 99_999_999_999},
    ],
)
def test_a_right_that_would_be_nobodys_is_refused(somebody: Session, wrong: dict[str, Any]) -> None:
    with pytest.raises(Rejected):
        grant(somebody, "p1", **ASKED | wrong, by=OPERATOR)
    assert somebody.scalars(sa.select(Relation)).all() == []


def test_a_lifted_restriction_is_gone_and_both_steps_are_on_record(somebody: Session) -> None:
    lift(somebody, "p1", reason="left office", by=OPERATOR)
    assert not somebody.scalar(sa.select(Identity.restricted).where(Identity.id == "p1"))
    operations = somebody.scalars(sa.select(AuditEventRow.operation).order_by(AuditEventRow.id)).all()
    assert operations[-2:] == ["restrict", "restrict.lift"]
