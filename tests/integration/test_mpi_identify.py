"""The index as stewards and hospitals see it: who is linked, who is asked about, and what can be undone."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from esb.fhir.identifiers import HEALTH_CARD, RESIDENT_ID, check_digit
from hie.errors import Conflict
from hie.mpi import links, people
from hie.mpi.identify import Source, forget, identify, identify_many
from hie.mpi.relations import EncounterSeen, confirm, open_until, relate_by_encounters
from hie.schema.mpi import Identity, ReviewItem
from hie.schema.security import Relation
from hie.security.actor import Actor

ZONE = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
STEWARD = Actor("user", "steward", None, "steward")


def resident_id(born: str = "19580412", sequence: str = "101") -> str:
    seventeen = f"110101{born}{sequence}"
    return seventeen + check_digit(seventeen)


def patient(name: str = "欧阳建国", born: str | None = "1958-04-12", **numbers: str) -> dict[str, Any]:
    systems = {"resident": RESIDENT_ID, "card": HEALTH_CARD}
    made: dict[str, Any] = {
        "resourceType": "Patient",
        "identifier": [{"system": systems[kind], "value": value} for kind, value in numbers.items()],
        "name": [{"text": name}],
        "gender": "male",
    }
    return made | ({"birthDate": born} if born else {})


def replaced_by(successor: str) -> dict[str, Any]:
    return {"link": [{"other": {"reference": f"Patient/{successor}"}, "type": "replaced-by"}]}


Feed = Callable[..., Any]


@pytest.fixture
def feed(session: Session) -> Feed:
    def register(identity: str, content: dict[str, Any]) -> Any:
        return identify(session, Source(identity, identity[:3], content), NOW)

    return register


def reviews(session: Session) -> list[tuple[str, str, str]]:
    query = sa.select(ReviewItem.kind, ReviewItem.identity_a, ReviewItem.identity_b)
    rows = session.execute(query.where(ReviewItem.state == "open").order_by(ReviewItem.id))
    return [(kind, one, other) for kind, one, other in rows]


def test_the_same_resident_id_name_and_birth_date_are_one_person(session: Session, feed: Feed) -> None:
    first = feed("H01a", patient(resident=resident_id()))
    second = feed("H02b", patient("欧 阳·建国", resident=resident_id()))
    assert first == second
    assert people.compartments_of(session, first) == ["H01a", "H02b"]
    assert reviews(session) == []


def test_the_old_fifteen_digit_number_is_the_same_number(feed: Feed) -> None:
    new = resident_id()
    old = new[:6] + new[8:17]
    assert feed("H01a", patient(resident=new)) == feed("H02b", patient(resident=old))


def test_two_records_of_one_batch_find_each_other(session: Session) -> None:
    content = patient(resident=resident_id())
    found = identify_many(session, [Source("H01a", "H01", content), Source("H02b", "H02", content)], NOW)
    assert found.persons["H01a"] == found.persons["H02b"]


def test_another_name_under_the_same_number_is_asked_about_and_not_linked(
    session: Session, feed: Feed
) -> None:
    first = feed("H01a", patient(resident=resident_id()))
    second = feed("H02b", patient("欧阳建军", resident=resident_id()))
    assert first != second
    assert reviews(session) == [("disagreement", "H01a", "H02b")]


def test_the_sender_is_told_of_a_question_and_never_of_a_restricted_person(session: Session) -> None:
    number = resident_id()
    identify_many(session, [Source("H01a", "H01", patient(resident=number))], NOW)
    other = patient("欧阳建军", resident=number)
    told = identify_many(session, [Source("H02b", "H02", other)], NOW).doubts
    assert list(told) == ["H02b"]
    assert "identity desk" in told["H02b"] and "H01" not in told["H02b"] and number not in told["H02b"]
    session.execute(sa.update(Identity).where(Identity.id.in_(["H01a", "H02b"])).values(restricted=True))
    found = identify_many(session, [Source("H03c", "H03", other | {"birthDate": "1960-01-01"})], NOW)
    assert found.doubts == {}
    assert ("disagreement", "H01a", "H03c") in reviews(session)


def test_another_birth_date_under_the_same_number_is_asked_about(session: Session, feed: Feed) -> None:
    feed("H01a", patient(resident=resident_id()))
    feed("H02b", patient(born="1958-04-21", resident=resident_id()))
    assert reviews(session) == [("disagreement", "H01a", "H02b")]


@pytest.mark.parametrize("number", ["111111111111111111", "110101195804121019", "无", "123456789012345678"])
def test_placeholders_and_wrong_check_digits_link_nobody(session: Session, feed: Feed, number: str) -> None:
    assert feed("H01a", patient(resident=number)) != feed("H02b", patient(resident=number))
    assert reviews(session) == []


def test_unidentified_patients_are_never_linked(feed: Feed) -> None:
    card = {"card": "A00000012345"}
    assert feed("H01a", patient("无名氏", **card)) != feed("H02b", patient("无名氏", **card))


def test_a_parents_number_on_a_childs_record_is_not_the_childs(session: Session, feed: Feed) -> None:
    feed("H01a", patient("李芳", born="1990-05-05", resident=resident_id("19900505", "202")))
    feed("H01b", patient("李芳之子", born="2024-02-02", resident=resident_id("19900505", "202")))
    assert reviews(session) == []


def test_two_different_resident_ids_veto_a_link_by_another_card(session: Session, feed: Feed) -> None:
    first = feed("H01a", patient(resident=resident_id(), card="HC0001"))
    second = feed("H02b", patient(resident=resident_id(sequence="303"), card="HC0001"))
    assert first != second
    assert reviews(session) == [("suggestion", "H01a", "H02b")]


def test_a_number_that_comes_later_brings_two_persons_together(session: Session, feed: Feed) -> None:
    feed("H01a", patient())
    feed("H02b", patient(resident=resident_id()))
    person = feed("H01a", patient(resident=resident_id()))
    assert people.compartments_of(session, person) == ["H01a", "H02b"]


def test_a_changed_name_is_asked_about_but_unlinks_nothing(session: Session, feed: Feed) -> None:
    feed("H01a", patient(resident=resident_id()))
    person = feed("H02b", patient(resident=resident_id()))
    assert feed("H02b", patient("王五", resident=resident_id())) == person
    assert reviews(session) == [("changed", "H01a", "H02b")]


def test_the_same_registration_again_changes_nothing(session: Session, feed: Feed) -> None:
    feed("H01a", patient(resident=resident_id()))
    feed("H01a", patient(resident=resident_id()))
    assert len(people.steps_of(session, ["H01a"])) == 1


def test_a_merge_by_the_facility_is_followed(session: Session, feed: Feed) -> None:
    feed("H01a", patient())
    replaced = patient("欧阳") | {
        "active": False,
        "link": [{"other": {"reference": "Patient/H01a"}, "type": "replaced-by"}],
    }
    person = feed("H01b", replaced)
    assert people.compartments_of(session, person) == ["H01a", "H01b"]


def test_a_merge_into_a_record_that_comes_later_is_followed(session: Session, feed: Feed) -> None:
    link = [{"other": {"reference": "Patient/H01z"}, "type": "replaced-by"}]
    person = feed("H01b", patient() | {"link": link})
    assert feed("H01z", patient("欧阳", card="HC0077")) == person


def test_a_facility_cannot_merge_into_another_facilitys_record(session: Session, feed: Feed) -> None:
    feed("H02a", patient())
    link = [{"other": {"reference": "Patient/H02a"}, "type": "replaced-by"}]
    feed("H01b", patient("欧阳") | {"link": link})
    assert reviews(session) == [("merge", "H01b", "H02a")]


def test_a_merge_into_a_record_that_turns_out_anothers_is_taken_back(session: Session, feed: Feed) -> None:
    link = [{"other": {"reference": "Patient/H02z"}, "type": "replaced-by"}]
    person = feed("H01b", patient() | {"link": link})
    assert session.get_one(Identity, "H02z").facility is None
    assert feed("H02z", patient("乙某", card="HC0077")) != person == people.person_of(session, "H01b")
    session.expire_all()
    assert session.get_one(Identity, "H02z").facility == "H02"
    assert reviews(session) == [("merge", "H01b", "H02z")]


def test_a_merge_is_kept_when_another_facility_names_the_same_awaited_record(
    session: Session, feed: Feed
) -> None:
    person = feed("H01a", patient("甲某") | replaced_by("H01z"))
    other = feed("H02x", patient("乙某") | replaced_by("H01z"))
    assert reviews(session) == [("merge", "H01z", "H02x")]
    assert feed("H01z", patient("丙某", card="HC0077")) == person != other
    assert people.compartments_of(session, person) == ["H01a", "H01z"]
    assert people.compartments_of(session, other) == ["H02x"]


def test_a_merge_into_a_record_that_another_facility_awaits_is_asked_about(
    session: Session, feed: Feed
) -> None:
    stranger = feed("H02x", patient("乙某") | replaced_by("H01z"))
    first = feed("H01a", patient("甲某") | replaced_by("H01z"))
    assert len({stranger, first, feed("H01z", patient("丙某", card="HC0077"))}) == 3
    assert sorted(reviews(session)) == [("merge", "H01a", "H01z"), ("merge", "H01z", "H02x")]


def test_a_merge_that_two_facilities_share_already_is_kept_for_the_one_it_belongs_to(
    session: Session, feed: Feed
) -> None:
    feed("H01a", patient("甲某") | replaced_by("H01z"))
    stranger = feed("H01x", patient("乙某") | replaced_by("H01z"))
    session.execute(sa.update(Identity).where(Identity.id == "H01x").values(facility="H02"))
    person = feed("H01z", patient("甲某", card="HC0077"))
    assert people.compartments_of(session, person) == ["H01a", "H01z"]
    assert people.compartments_of(session, stranger) == ["H01x"]
    assert people.steps_of(session, ["H01a"])[0].reason == "merged by the facility"
    assert reviews(session) == [("merge", "H01x", "H01z")]


def test_a_record_that_comes_after_its_merge_parts_nobody_whom_the_data_links(
    session: Session, feed: Feed
) -> None:
    person = feed("H01a", patient(resident=resident_id()) | replaced_by("H01z"))
    assert feed("H02b", patient(resident=resident_id())) == person
    assert feed("H01z", patient(card="HC0077")) == person
    assert people.compartments_of(session, person) == ["H01a", "H01z", "H02b"]
    assert reviews(session) == []


def test_a_record_takes_nobody_along_that_its_facility_did_not_merge_into_it(
    session: Session, feed: Feed
) -> None:
    feed("H02x", patient(resident=resident_id()) | replaced_by("H01z"))
    person = feed("H01a", patient(resident=resident_id()))
    apart = feed("H01z", patient("丙某", card="HC0077"))
    assert people.compartments_of(session, person) == ["H01a", "H02x"]
    assert people.compartments_of(session, apart) == ["H01z"]
    assert reviews(session) == [("merge", "H01z", "H02x")]


def test_a_record_does_not_stay_with_whom_a_merge_taken_back_had_brought(
    session: Session, feed: Feed
) -> None:
    content = patient(resident=resident_id())
    feed("H02x", content | replaced_by("H01z"))
    person = feed("H03y", content)
    assert feed("H02x", content | replaced_by("H02w")) != person
    assert feed("H01z", patient("丙某", card="HC0077")) != people.person_of(session, "H03y") == person
    assert reviews(session) == [("merge", "H01z", "H03y")]


def test_a_deleted_patient_is_found_and_matched_no_more(session: Session, feed: Feed) -> None:
    first = feed("H01a", patient(resident=resident_id()))
    feed("H02b", patient("欧阳建军", resident=resident_id()))
    forget(session, ["H01a"], NOW)
    assert people.identities_by_identifier(session, resident_id()) == ["H02b"]
    assert feed("H03c", patient(resident=resident_id())) != first
    assert reviews(session) == [("disagreement", "H02b", "H03c")]
    assert feed("H01a", patient(resident=resident_id())) == people.person_of(session, "H03c")


def test_a_steward_links_and_unlinks_and_undoes(session: Session, feed: Feed) -> None:
    first, second = feed("H01a", patient("甲某")), feed("H02b", patient("乙某"))
    links.link(session, "H02b", "H01a", reason="same human", now=NOW, by=STEWARD)
    assert people.person_of(session, "H02b") == first
    step = people.steps_of(session, ["H02b"])[0]
    assert step.is_undoable
    links.undo(session, step.seq, now=NOW, by=STEWARD)
    assert people.person_of(session, "H02b") == second
    assert [s.reason for s in people.steps_of(session, ["H02b"])] == ["undone", "linked", "registered"]


def test_only_the_last_step_of_a_record_can_be_undone(session: Session, feed: Feed) -> None:
    feed("H01a", patient("甲某"))
    feed("H02b", patient("乙某"))
    links.link(session, "H02b", "H01a", reason="", now=NOW, by=STEWARD)
    links.unlink(session, "H02b", reason="", now=NOW, by=STEWARD)
    first = people.steps_of(session, ["H02b"])[1]
    with pytest.raises(Conflict):
        links.undo(session, first.seq, now=NOW, by=STEWARD)


def test_an_unlinked_record_is_not_brought_back_by_what_another_says(session: Session, feed: Feed) -> None:
    person = feed("H01a", patient(resident=resident_id()))
    feed("H02b", patient(resident=resident_id()))
    apart = links.unlink(session, "H02b", reason="", now=NOW, by=STEWARD)
    assert feed("H01a", patient(resident=resident_id(), card="HC0001")) == person
    assert people.person_of(session, "H02b") == apart
    assert feed("H03c", patient(resident=resident_id())) == person
    assert reviews(session) == [("suggestion", "H01a", "H02b"), ("suggestion", "H02b", "H03c")]


def test_not_the_same_outranks_what_the_data_says(session: Session, feed: Feed) -> None:
    feed("H01a", patient(resident=resident_id()))
    feed("H02b", patient(resident=resident_id()))
    links.not_same(session, "H01a", "H02b", reason="twins", now=NOW, by=STEWARD)
    assert people.person_of(session, "H01a") != people.person_of(session, "H02b")
    feed("H02b", patient(resident=resident_id(), card="HC0002"))
    assert people.person_of(session, "H01a") != people.person_of(session, "H02b")
    with pytest.raises(Conflict):
        links.link(session, "H02b", "H01a", reason="", now=NOW, by=STEWARD)


def test_not_the_same_can_be_taken_back(session: Session, feed: Feed) -> None:
    person = feed("H01a", patient(resident=resident_id()))
    feed("H02b", patient(resident=resident_id()))
    links.not_same(session, "H01a", "H02b", reason="", now=NOW, by=STEWARD)
    links.undo(session, people.steps_of(session, ["H02b"])[0].seq, now=NOW, by=STEWARD)
    assert people.person_of(session, "H02b") == person


def test_a_review_item_is_closed_by_the_decision(session: Session, feed: Feed) -> None:
    feed("H01a", patient(resident=resident_id()))
    feed("H02b", patient("欧阳建军", resident=resident_id()))
    links.link(session, "H01a", "H02b", reason="", now=NOW, by=STEWARD)
    assert reviews(session) == []


@pytest.mark.parametrize("decide", [links.link, links.not_same])
def test_a_question_is_open_again_when_its_answer_is_taken_back(
    session: Session, feed: Feed, decide: Callable[..., Any]
) -> None:
    feed("H01a", patient(resident=resident_id()))
    feed("H02b", patient("欧阳建军", resident=resident_id()))
    asked = reviews(session)
    decide(session, "H01a", "H02b", reason="", now=NOW, by=STEWARD)
    (last, *_) = people.steps_of(session, ["H01a", "H02b"])
    links.undo(session, last.seq, now=NOW + timedelta(minutes=1), by=STEWARD)
    assert reviews(session) == asked != []


def test_undoing_brings_no_record_back_to_one_that_was_declared_another(session: Session, feed: Feed) -> None:
    first = feed("H01a", patient(resident=resident_id()))
    feed("H02b", patient(resident=resident_id()))
    apart = links.unlink(session, "H01a", reason="", now=NOW, by=STEWARD)
    (unlinked, *_) = people.steps_of(session, ["H01a"])
    links.not_same(session, "H01a", "H02b", reason="", now=NOW, by=STEWARD)
    with pytest.raises(Conflict, match="not the same"):
        links.undo(session, unlinked.seq, now=NOW, by=STEWARD)
    assert people.person_of(session, "H01a") == apart != first


def test_an_encounters_relation_follows_its_record_when_that_is_unlinked(
    session: Session, feed: Feed
) -> None:
    feed("H01a", patient(resident=resident_id()))
    feed("H02b", patient(resident=resident_id()))
    encounter = {
        "status": "in-progress",
        "class": {"code": "IMP"},
        "period": {"start": "2026-03-01T08:00:00+08:00"},
    }
    relate_by_encounters(session, [EncounterSeen("e1", "H02", "H02b", encounter)], NOW, 30, ZONE)
    apart = links.unlink(session, "H02b", reason="", now=NOW, by=STEWARD)
    assert session.scalars(sa.select(Relation.person_id)).all() == [apart]


@pytest.mark.parametrize(
    ("encounter", "days"),
    [
        ({"status": "finished", "period": {"start": "2026-01-01", "end": "2026-02-28T08:00:00+00:00"}}, 29),
        (
            {"status": "in-progress", "class": {"code": "AMB"}, "period": {"start": "2026-02-28T08:00:00Z"}},
            29,
        ),
        ({"status": "finished", "period": {"end": "2025-01-01T08:00:00Z"}}, None),
        ({"status": "cancelled", "period": {"start": "2026-02-28T08:00:00Z"}}, None),
        # A date without a time begins at midnight in the region, eight hours before UTC's.
        (
            {"status": "finished", "period": {"start": "2026-02-27", "end": "2026-02-28"}},
            28 + 8 / 24,
        ),
        # A month begins with its first day, and midnight of 1 February in the region is eight hours before.
        ({"status": "arrived", "class": {"code": "AMB"}, "period": {"start": "2026-02"}}, 1 + 8 / 24),
        ({"status": "arrived", "class": {"code": "AMB"}, "period": {"start": "2025"}}, None),
        ({"status": "planned"}, None),
    ],
)
def test_how_long_an_encounter_lets_its_hospital_read(
    session: Session, feed: Feed, encounter: dict[str, Any], days: float | None
) -> None:
    feed("H02b", patient())
    relate_by_encounters(session, [EncounterSeen("e1", "H02", "H02b", encounter)], NOW, 30, ZONE)
    doctor = Actor("user", "dr", "H02", "doctor")
    until = open_until(session, "H02b", NOW, doctor)
    assert until == (None if days is None else NOW + timedelta(days=days))


def test_a_cancelled_admission_takes_its_relation_back(session: Session, feed: Feed) -> None:
    feed("H02b", patient())
    doctor = Actor("user", "dr", "H02", "doctor")
    for status in ("in-progress", "cancelled"):
        encounter = {"status": status, "class": {"code": "IMP"}}
        relate_by_encounters(session, [EncounterSeen("e1", "H02", "H02b", encounter)], NOW, 30, ZONE)
    assert open_until(session, "H02b", NOW, doctor) is None


def test_a_confirmed_relation_is_the_doctors_alone_and_ends(session: Session, feed: Feed) -> None:
    feed("H01a", patient())
    doctor, colleague = Actor("user", "dr", "H02", "doctor"), Actor("user", "other", "H02", "doctor")
    until = confirm(session, "H01a", purpose="TREAT", now=NOW, hours=24, by=doctor)
    assert until == NOW + timedelta(hours=24)
    assert open_until(session, "H01a", NOW, doctor) == until
    assert open_until(session, "H01a", NOW, colleague) is None
    assert open_until(session, "H01a", until, doctor) is None


def test_a_person_shows_the_linked_patients(session: Session, feed: Feed) -> None:
    feed("H01a", patient(resident=resident_id()))
    person = feed("H02b", patient(resident=resident_id()))
    resource = people.person_resource(session, person)
    assert resource is not None
    assert [link["target"]["reference"] for link in resource["link"]] == ["Patient/H01a", "Patient/H02b"]


def test_an_identifier_is_found_with_and_without_its_system(session: Session, feed: Feed) -> None:
    feed("H01a", patient(resident=resident_id()))
    assert people.identities_by_identifier(session, resident_id()) == ["H01a"]
    assert people.identities_by_identifier(session, resident_id(), RESIDENT_ID) == ["H01a"]
    assert people.identities_by_identifier(session, resident_id(), HEALTH_CARD) == []
