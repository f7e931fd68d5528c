"""The index can be made anew from what is stored, without a trace on the resources themselves."""

from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from hie.repository import store
from hie.repository.reindexing import reindex
from hie.repository.writes import Write
from hie.schema.repository import Resource, SearchDate, SearchNumber, SearchText
from tests.integration.search_world import NOW, ZONE, ids, keep, observation, quantity

UNTOUCHED = (Resource.id, Resource.version, Resource.xid, Resource.updated_at, Resource.content)


def texts(session: Session) -> set[str]:
    return set(session.scalars(sa.select(SearchText.c.text)))


def test_a_text_that_nobody_has_any_longer_is_dropped(fresh_database_url: str) -> None:
    engine = sa.create_engine(fresh_database_url, hide_parameters=True)
    with Session(engine) as session, session.begin():
        for id_, name in (("corrected", "Lonely"), ("deleted", "Forgotten"), ("kept", "Present")):
            keep(session, {"resourceType": "Practitioner", "id": id_, "name": [{"family": name}]})
        keep(session, {"resourceType": "Practitioner", "id": "corrected", "name": [{"family": "Present"}]})
        store.write(session, [Write("delete", "Practitioner", "deleted", facility="H01")], NOW)
        assert texts(session) == {"lonely", "forgotten", "present"}
    assert list(reindex(sessionmaker(engine), ZONE))[-1] == 2
    with Session(engine) as session:
        assert texts(session) == {"present"}
        assert ids(session, "Practitioner", ("family:contains", "resen")) == {"corrected", "kept"}
    engine.dispose()


def test_a_lost_index_is_made_anew_and_no_version_changes(fresh_database_url: str) -> None:
    engine = sa.create_engine(fresh_database_url, hide_parameters=True)
    condition = {
        "resourceType": "Condition",
        "id": "c",
        "subject": {"reference": "Patient/p1"},
        "code": {"text": "Essential hypertension"},
        "onsetDateTime": "2020-05-01",
        "recordedDate": "2020-05-02",
    }
    with Session(engine) as session, session.begin():
        keep(session, condition, observation("gone", "718-7"))
        keep(session, *(observation(f"o{n}", "718-7", valueQuantity=quantity(n, "g/L")) for n in range(1200)))
        store.write(session, [Write("delete", "Observation", "gone", facility="H01")], NOW)
    with Session(engine) as session, session.begin():
        before = session.execute(sa.select(*UNTOUCHED).order_by(Resource.id)).all()
        for table in (SearchDate, SearchNumber, SearchText):
            session.execute(sa.delete(table))
        session.execute(sa.update(Resource).values(tokens=[], date_low=None, date_high=None))
    assert list(reindex(sessionmaker(engine), ZoneInfo("UTC")))[-1] == 1201
    assert list(reindex(sessionmaker(engine), ZONE))[-1] == 1201  # the same again, in the right zone
    with Session(engine) as session:
        assert session.execute(sa.select(*UNTOUCHED).order_by(Resource.id)).all() == before
        assert ids(session, "Observation", ("code-value-quantity", "718-7$gt1198")) == {"o1199"}
        assert ids(session, "Condition", ("code:text", "essential")) == {"c"}
        assert ids(session, "Condition", ("onset-date", "2020-05-01"), ("recorded-date", "2020")) == {"c"}
        assert session.scalar(sa.select(sa.func.count()).select_from(SearchNumber)) == 1200
    engine.dispose()
