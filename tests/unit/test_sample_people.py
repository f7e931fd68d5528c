"""The people of the province: numbers that hold, names that are hard, the same for the same seed."""

from collections import Counter
from datetime import date
from random import Random

import pytest

from deploy.sample import ids, names
from deploy.sample.generate import TODAY, people
from esb.fhir import identifiers


@pytest.fixture(scope="module")
def thousand():
    return list(people(1000, 1))


def test_a_person_is_the_same_however_many_others_are_made(thousand):
    assert next(people(1000, 1, TODAY, 437)) == thousand[437]
    assert list(people(504, 1, TODAY, 500)) == thousand[500:504]


def test_another_seed_is_another_province(thousand):
    assert [p.name.text for p in people(50, 2)] != [p.name.text for p in thousand[:50]]


def test_every_resident_id_is_valid_and_agrees_with_birth_date_and_sex(thousand):
    residents = [p for p in thousand if p.id_type == "resident_id"]
    assert len(residents) > 900
    for p in residents:
        assert identifiers.is_resident_id(p.id_no)
        assert identifiers.birth_date_of(p.id_no) == p.born
        assert identifiers.sex_of(p.id_no) == {"1": "male", "2": "female"}[p.sex]


def test_no_two_people_have_one_number():
    many = list(people(8_000, 1))
    assert max(Counter(p.id_no for p in many).values()) == 1
    for facility in ("H01", "H02", "H03", "H04", "H05"):
        numbers = {ids.patient_no(facility, p.number) for p in many}
        assert len(numbers) == len(many)
        assert not numbers & {ids.patient_no(facility, p.number, second=True) for p in many}


def test_two_people_of_one_region_and_sequence_number_have_different_birthdays():
    day = date(1980, 5, 17)
    fitted = {ids.resident_id(k, ids.fit_birth_date(k, day), "1") for k in range(8, ids.LIMIT, ids.PERIOD)}
    assert len(fitted) == 10


def test_nobody_real_can_have_the_region_of_a_resident_id(thousand):
    assert {int(p.id_no[4:6]) for p in thousand if p.id_type == "resident_id"} <= set(range(91, 98))


def test_foreigners_and_newborns_have_other_documents():
    kinds = Counter(p.id_type for p in people(8000, 1))
    assert {"foreign_pr", "passport", "permit_hmt", "birth_certificate"} <= set(kinds)
    for p in people(8000, 1):
        if p.id_type == "foreign_pr":
            assert identifiers.is_foreign_resident_card(p.id_no)
        if p.id_type == "permit_hmt":
            assert identifiers.is_hmt_permit(p.id_no)
        if p.id_type == "birth_certificate":
            assert p.age(TODAY) < 1


def test_an_old_number_of_15_digits_is_upgraded_to_the_same_person(thousand):
    old = next(p for p in thousand if p.id_type == "resident_id" and p.born.year < 2000)
    assert identifiers.upgrade_15_to_18(ids.to_15(old.id_no)) == old.id_no


def test_names_need_four_bytes_of_gb18030_and_hold_delimiters_as_trail_bytes():
    texts = [p.name.text for p in people(12_000, 1)]
    assert any(len(c.encode("gb18030")) == 4 for t in texts for c in t)
    assert any(ord(c) > 0xFFFF for t in texts for c in t)
    trails = {c.encode("gb18030")[1] for t in texts for c in t if len(c.encode("gb18030")) == 2}
    assert trails & set(b"|^~\\&"), "no character with a delimiter as trail byte"
    assert any("·" in t for t in texts)


def test_a_homophone_sounds_the_same():
    rng = Random(1)
    name = names.Name("王伟", "王", "伟", "wang wei")
    other = names.homophone(rng, name)
    assert other.text != name.text and other.pinyin == name.pinyin and other.family == "王"


def test_a_province_too_large_for_its_numbers_is_refused():
    with pytest.raises(ValueError, match="numbers for"):
        next(people(ids.LIMIT + 1, 1))
