"""What a hospital wrote about allergies: an allergy, a denial of all, a denial of some kinds, nothing."""

import pytest

from hie.services.lookup.banner import banner
from tests.samples.record_parts import TODAY, hold, of


def test_allergies_are_three_different_things_known_none_and_not_told() -> None:
    told = banner(hold(of("AllergyIntolerance", code={"text": "青霉素"}, criticality="high")), TODAY)
    none = banner(hold(of("AllergyIntolerance", code={"text": "否认药物过敏史"})), TODAY)
    silent = banner(hold(), TODAY)
    assert [a.name for a in told.allergies] == ["青霉素"] and told.allergies[0].severe and not told.none_known
    assert none.none_known and not none.allergies
    assert not silent.none_known and not silent.allergies


@pytest.mark.parametrize(
    "text",
    [
        "青霉素过敏，否认其他药物过敏",
        "否认青霉素过敏",
        "否认药物过敏史，海鲜过敏",
        "No known food allergy; penicillin anaphylaxis",
        "无菌手套过敏",
    ],
)
def test_a_text_that_denies_one_thing_and_names_another_is_shown_as_written(text: str) -> None:
    seen = banner(hold(of("AllergyIntolerance", code={"text": text}, criticality="high")), TODAY)
    assert [allergy.name for allergy in seen.allergies] == [text]
    assert seen.allergies[0].severe and not seen.none_known


@pytest.mark.parametrize(
    "text",
    ["无", "否认过敏史。", "无已知过敏", "未发现过敏", "No known allergies", "None known", "no allergies"],
)
def test_a_text_that_denies_everything_is_no_allergy(text: str) -> None:
    seen = banner(hold(of("AllergyIntolerance", code={"text": text})), TODAY)
    assert (seen.none_known, seen.denials, seen.allergies) == (True, (), ())


@pytest.mark.parametrize(
    "text",
    [
        "否认药物过敏史",
        "否认食物、药物过敏史",
        "否认药物过敏，否认食物过敏",
        "No known drug allergy",
        "无药物过敏",
    ],
)
def test_a_denial_of_some_kinds_is_told_in_its_own_words(text: str) -> None:
    seen = banner(hold(of("AllergyIntolerance", code={"text": text})), TODAY)
    assert (seen.none_known, seen.denials, seen.allergies) == (True, (text,), ())


def test_a_code_decides_only_where_nothing_was_written_beside_it() -> None:
    snomed = [{"system": "http://snomed.info/sct", "code": "716186003"}]
    bare = banner(hold(of("AllergyIntolerance", code={"coding": snomed})), TODAY)
    beside = banner(hold(of("AllergyIntolerance", code={"coding": snomed, "text": "头孢过敏"})), TODAY)
    assert bare.none_known and not bare.denials
    assert [allergy.name for allergy in beside.allergies] == ["头孢过敏"] and not beside.none_known


def test_an_allergy_without_a_name_is_shown_by_its_substance_or_as_one_without_a_name() -> None:
    told = [{"substance": {"text": "头孢曲松"}, "manifestation": [{"text": "皮疹"}]}]
    seen = banner(
        hold(of("AllergyIntolerance", id="1", reaction=told), of("AllergyIntolerance", "b", id="2")), TODAY
    )
    assert [(a.name, a.reaction, a.facilities) for a in seen.allergies] == [
        ("", "", ("H02",)),
        ("头孢曲松", "皮疹", ("H01",)),
    ]


def test_an_allergy_beats_another_hospitals_denial() -> None:
    seen = banner(
        hold(
            of("AllergyIntolerance", id="1", code={"text": "青霉素"}),
            of("AllergyIntolerance", "b", id="2", code={"text": "无已知过敏"}),
        ),
        TODAY,
    )
    assert len(seen.allergies) == 1 and not seen.none_known
