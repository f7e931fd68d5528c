"""Resident IDs are checked by their own digits, and placeholders identify nobody."""

from __future__ import annotations

import re
from datetime import date

import pytest

from esb.fhir import identifiers

# The example printed in GB 11643, and numbers made up for these tests.
VALID = "11010519491231002X"


def test_the_standards_own_example_is_valid():
    assert identifiers.is_resident_id(VALID)
    assert identifiers.birth_date_of(VALID) == date(1949, 12, 31)
    assert identifiers.sex_of(VALID) == "female"


@pytest.mark.parametrize(
    "text",
    [
        "110105194912310021",  # wrong check digit
        "11010519491331002X",  # month 13
        "11010519490230002X",  # 30 February
        "1101051949123100",
        "11010519491231002x",
        "１１０１０５１９４９１２３１００２X",
        "111111111111111111",
        "",
    ],
)
def test_a_wrong_resident_id_is_refused(text):
    assert not identifiers.is_resident_id(text)


def test_the_old_form_becomes_the_new_one():
    assert identifiers.upgrade_15_to_18("110105491231002") == VALID
    assert identifiers.upgrade_15_to_18("110105491331002") is None
    assert identifiers.normalise_resident_id(" 110105-19491231-002x ") == VALID
    assert identifiers.normalise_resident_id("１１０１０５４９１２３１００２") == VALID


def test_cards_of_foreigners_and_permits_are_other_documents():
    seventeen = {"91115619900101001": identifiers.FOREIGN_PR, "81000019900101001": identifiers.PERMIT_HMT}
    for digits, system in seventeen.items():
        card = digits + identifiers.check_digit(digits)
        assert not identifiers.is_resident_id(card)
        assert identifiers.system_of_card(card) == system


@pytest.mark.parametrize(
    "text", ["1900-01-01", "无名氏", "111111111111111111", "13800000000", " ", "0000000"]
)
def test_placeholders_identify_nobody(text):
    assert identifiers.is_placeholder(text)


def test_a_resource_id_is_stable_opaque_and_belongs_to_one_facility_and_type():
    key = b"k" * 32
    first = identifiers.resource_id(key, "H01", "Patient", "00012345")
    assert first == identifiers.resource_id(key, "H01", "Patient", "00012345")
    assert re.fullmatch(r"[0-9a-v]{26}", first)
    others = {
        identifiers.resource_id(key, "H02", "Patient", "00012345"),
        identifiers.resource_id(key, "H01", "Encounter", "00012345"),
        identifiers.resource_id(b"x" * 32, "H01", "Patient", "00012345"),
    }
    assert first not in others and len(others) == 3
