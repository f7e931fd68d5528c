"""A hospital's data and a steward's decision, or two hospitals' data, arrive at the same moment."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from esb.fhir.identifiers import HEALTH_CARD, RESIDENT_ID, check_digit
from hie.mpi import links, people
from hie.mpi.identify import Source, identify_many
from hie.schema.mpi import Identity
from hie.security.actor import Actor

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
STEWARD = Actor("user", "steward", None, "steward")
RESIDENT = "11010119580412101" + check_digit("11010119580412101")
Act = Callable[[Session], object]
WAITING = sa.text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


def patient(*cards: str, name: str = "欧阳建国", resident: str | None = None) -> dict[str, Any]:
    identifiers = [{"system": HEALTH_CARD, "value": card} for card in cards]
    if resident:
        identifiers.append({"system": RESIDENT_ID, "value": resident})
    return {
        "resourceType": "Patient",
        "identifier": identifiers,
        "name": [{"text": name}],
        "birthDate": "1958-04-12",
    }


@pytest.fixture
def index(fresh_database_url: str) -> Iterator[sa.Engine]:
    """H01a, H01b and H01m are one person by their cards, H02b is another by a resident id."""
    engine = sa.create_engine(fresh_database_url)
    with Session(engine) as session, session.begin():
        cards = {"H01a": ["HC0001"], "H01b": ["HC0001", "HC0002"], "H01m": ["HC0002"]}
        sources = [Source(id_, "H01", patient(*own)) for id_, own in cards.items()]
        identify_many(session, [*sources, Source("H02b", "H02", patient(resident=RESIDENT))], NOW)
    yield engine
    engine.dispose()


def meanwhile(index: sa.Engine, first: Act, then: Act) -> None:
    """Do one thing, and before it is committed begin the other; commit when the other waits."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            with Session(index) as session, session.begin():
                then(session)
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    other = threading.Thread(target=run)
    with Session(index) as session, session.begin():
        first(session)
        other.start()
        until = time.monotonic() + 30
        with index.connect() as watch:
            while not watch.scalar(WAITING) and other.is_alive() and time.monotonic() < until:
                watch.rollback()
    other.join(30)
    assert not other.is_alive()
    assert failures == []


def learn_the_resident_id(session: Session) -> None:
    """H01a turns out to be H02b: its whole person joins that one."""
    identify_many(session, [Source("H01a", "H01", patient("HC0001", resident=RESIDENT))], NOW)


def person(index: sa.Engine, identity: str) -> Any:
    with Session(index) as session:
        return people.person_of(session, identity)


def test_a_record_that_a_steward_unlinks_does_not_move_along(index: sa.Engine) -> None:
    def unlink(session: Session) -> None:
        links.unlink(session, "H01m", reason="not he", now=NOW, by=STEWARD)

    meanwhile(index, unlink, learn_the_resident_id)
    assert person(index, "H01a") == person(index, "H02b") != person(index, "H01m")
    with Session(index) as session:
        assert people.steps_of(session, ["H01m"])[0].reason == "unlinked"


def test_a_new_name_of_a_record_that_moves_along_is_kept(index: sa.Engine) -> None:
    def rename(session: Session) -> None:
        identify_many(session, [Source("H01m", "H01", patient("HC0002", name="欧阳建军"))], NOW)

    meanwhile(index, rename, learn_the_resident_id)
    with Session(index) as session:
        assert session.scalar(sa.select(Identity.name_norm).where(Identity.id == "H01m")) == "欧阳建军"


def test_a_newcomer_to_a_person_that_moves_is_not_left_behind(index: sa.Engine) -> None:
    def register(session: Session) -> None:
        identify_many(session, [Source("H03c", "H03", patient("HC0002"))], NOW)

    meanwhile(index, register, learn_the_resident_id)
    assert person(index, "H03c") == person(index, "H01a") == person(index, "H02b")
