"""How well two registrations agree: levels, grades and what no sum can outweigh."""

from datetime import date
from typing import Any

import pytest

from esb.fhir.identifiers import check_digit
from hie.mpi.scoring import LEVELS, WEIGHTS, Verdict, compare, traits_of
from hie.services.matching import sounds_of

RESIDENT = "urn:oid:2.16.156.10011.1.3"
TODAY = date(2026, 11, 21)


def resident_id(born: str = "19800203", order: str = "001") -> str:
    body = f"110101{born}{order}"
    return body + check_digit(body)


def person(
    name: str = "张晓伟", born: str | None = "1980-02-03", number: str | None = None, **more: Any
) -> dict[str, Any]:
    made: dict[str, Any] = {"resourceType": "Patient", "name": [{"text": name}]} | more
    if born:
        made["birthDate"] = born
    if number:
        made["identifier"] = [{"system": RESIDENT, "value": number}]
    return made


def verdict(one: dict[str, Any], other: dict[str, Any]) -> Verdict:
    return compare(*(traits_of(patient, sounds_of, TODAY) for patient in (one, other)))


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("张晓伟", "same"),
        ("张 晓 伟", "same"),
        ("张小卫", "sound"),
        ("章晓维", "sound"),
        ("zhang xiaowei", "sound"),
        ("XIAOWEI ZHANG", "sound"),
        ("张晓东", "close"),
        ("李建国", "different"),
        ("无名氏", "unknown"),
    ],
)
def test_names_meet_by_character_sound_or_all_but_one_character(name: str, level: str) -> None:
    assert verdict(person(), person(name)).levels["name"] == level


@pytest.mark.parametrize(
    ("born", "level"),
    [
        ("1980-02-03", "same"),
        ("1980-03-02", "swapped"),
        ("1980-02-04", "near"),
        ("1981-02-03", "near"),
        ("1980-02-08", "near"),
        ("1980", "year"),
        ("1980-02", "year"),
        ("1980-01-01", "year"),
        ("1975-11-30", "different"),
        (None, "unknown"),
    ],
)
def test_birth_dates_meet_near_and_with_day_and_month_swapped(born: str | None, level: str) -> None:
    assert verdict(person(), person(born=born)).levels["birth date"] == level


def test_only_a_valid_number_of_their_own_makes_people_certain() -> None:
    number = resident_id()
    assert verdict(person(number=number), person(number=number)).grade == "certain"
    assert verdict(person(number=number), person("章晓维", number=number)).grade == "certain"
    assert verdict(person(), person()).grade == "probable"
    wrong = number[:-1] + ("0" if number[-1] != "0" else "1")
    assert verdict(person(number=wrong), person(number=wrong)).levels["identifier"] == "unknown"
    guardian = resident_id("19500101")
    assert verdict(person(number=guardian), person(number=guardian)).grade == "probable"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (person(number=resident_id()), person(number=resident_id(order="003"))),
        (person(number=resident_id()), person("李建国", number=resident_id())),
        (
            person(number=resident_id(), gender="male"),
            person(number=resident_id(), gender="female"),
        ),
        (
            person("王小明", "2020-05-05", telecom=[{"system": "phone", "value": "13911112222"}]),
            person("王小鸣", "2020-05-05", telecom=[{"system": "phone", "value": "+86 139 1111 2222"}]),
        ),
        (person("王芳之子", "2026-11-01"), person("王芳之子", "2026-11-01")),
    ],
)
def test_a_family_never_passes_for_one_person(one: dict[str, Any], other: dict[str, Any]) -> None:
    found = verdict(one, other)
    assert found.grade in ("possible", "certainly-not")
    assert found.vetoes


def test_a_pair_is_judged_alike_whoever_is_asked_about_first() -> None:
    phone: dict[str, Any] = {"telecom": [{"system": "phone", "value": "13912345678"}]}
    child, unborn = person("王小鸣", "2020-05-01", **phone), person("王小明", None, **phone)
    assert verdict(child, unborn).grade == verdict(unborn, child).grade == "possible"


def test_phone_and_address_raise_a_score() -> None:
    bare, rich = person(), person(
        telecom=[{"system": "phone", "value": "13911112222"}],
        address=[{"text": "某省某市某区和平路 12 号"}],
    )  # fmt: skip
    assert verdict(rich, rich).bits == verdict(bare, bare).bits + 13
    elsewhere = rich | {"address": [{"text": "某省某市某区和平路12号3栋2单元"}]}
    assert verdict(rich, elsewhere).levels["address"] == "part"


def test_a_verdict_explains_itself_without_a_value() -> None:
    said = verdict(person(number=resident_id()), person(number=resident_id())).explained()
    assert said.startswith("identifier same +18; name same +9; birth date same +11")
    assert "1980" not in said


def test_each_level_has_its_weight() -> None:
    assert WEIGHTS.keys() == LEVELS.keys()
    assert all(table["unknown"] == 0 for table in WEIGHTS.values())


def test_strangers_do_not_match() -> None:
    found = verdict(person(), person("李建国", "1975-11-30"))
    assert (found.grade, found.score) == ("certainly-not", 0.0)
