"""What the years bring to the people of the province: families, several hospitals, slips, every care."""

from __future__ import annotations

from collections import Counter
from itertools import groupby

import pytest

from deploy.sample import ids
from deploy.sample.events.life import life
from deploy.sample.generate import HOSPITALS, TODAY, YEARS, people
from deploy.sample.model import Life
from deploy.sample.people import Person

SEED = 1
MILLION = 1_000_000


@pytest.fixture(scope="module")
def lives() -> list[Life]:
    return [life(person, SEED, HOSPITALS, TODAY, YEARS) for person in people(400, SEED)]


def families(number: int) -> list[list[Person]]:
    """Return those who live at one address, as they were made."""
    return [list(members) for _, members in groupby(people(number, SEED), lambda person: person.address)]


def test_families_share_an_address_and_children_their_fathers_name():
    found = families(800)
    sizes = Counter(len(members) for members in found)
    assert {1, 2, 3, 4} <= sizes.keys()
    with_children = [m for m in found if len(m) > 2 and min(p.age(TODAY) for p in m) < 18]
    assert len(with_children) > 20
    for members in with_children:
        child = min(members, key=lambda person: person.age(TODAY))
        # A foreigner has another name; who writes a dot has their father's name, no surname.
        if members[0].id_type == "resident_id" and not any("·" in each.name.text for each in members):
            assert child.name.family == members[0].name.family
        assert child.contact[0] in {person.name.text for person in members}


def test_many_are_known_at_several_hospitals_under_other_numbers(lives: list[Life]):
    known = [{c.known.facility: c.known.number for c in each.changes} for each in lives]
    travelled = [numbers for numbers in known if len(numbers) > 1]
    assert len(travelled) > len(lives) / 10
    assert all(len(set(numbers.values())) == len(numbers) for numbers in travelled)


def test_one_hospital_wrote_down_what_another_did_not(lives: list[Life]):
    differing: Counter[str] = Counter()
    for each in lives:
        registered = [change.known for change in each.changes if change.action == "register"]
        for field in ("name", "phone", "address", "id_no", "allergies"):
            differing[field] += len({str(getattr(known, field)) for known in registered}) > 1
    assert {"name", "phone", "address", "id_no"} <= {field for field, times in differing.items() if times}


def test_every_kind_of_care_occurs(lives: list[Life]):
    visits = [visit for each in lives for visit in each.visits]
    assert {visit.kind for visit in visits} >= {"outpatient", "inpatient", "emergency", "examination"}
    kinds = Counter(report.kind for visit in visits for report in visit.reports)
    assert kinds.keys() >= {"laboratory", "imaging", "physical", "vital_signs"}
    assert sum(len(visit.prescriptions) for visit in visits) > 200
    assert any(visit.summary for visit in visits), "no discharge summary"
    assert any(change.known.allergies for each in lives for change in each.changes)
    assert all(code[0].isalpha() and code[1:3].isdigit() for visit in visits for code, _ in visit.diagnoses)


def test_a_physical_examination_ends_with_a_conclusion(lives: list[Life]):
    physical = [r for each in lives for v in each.visits for r in v.reports if r.kind == "physical"]
    assert physical
    assert all(report.conclusion and report.results for report in physical)


def test_the_last_of_a_million_people_are_made_without_the_others():
    last = list(people(MILLION, SEED, TODAY, MILLION - ids.BLOCK))
    assert [person.number for person in last] == list(range(MILLION - ids.BLOCK, MILLION))
    assert len({ids.patient_no("H01", person.number) for person in last}) == ids.BLOCK
