"""Han names are found as people type them."""

import pytest

from hie.repository import names


@pytest.mark.parametrize(
    ("name", "family", "given"),
    [("张伟", "张", "伟"), ("欧阳娜娜", "欧阳", "娜娜"), ("诸葛亮", "诸葛", "亮"), ("司马", "司", "马")],
)
def test_a_name_in_one_piece_has_a_surname(name: str, family: str, given: str) -> None:
    assert names.split_han(name) == (family, given)


@pytest.mark.parametrize(
    ("family", "given", "pinyin", "initials"),
    [
        ("张", "伟", "zhangwei", "zw"),
        ("单", "小丽", "shanxiaoli", "sxl"),
        ("曾", "国华", "zengguohua", "zgh"),
        ("解", "晓东", "xiexiaodong", "xxd"),
        ("吕", "芳", "lufang", "lf"),
        ("吕", "芳", "lvfang", "lf"),
        ("欧阳", "娜", "ouyangna", "oyn"),
        ("尉迟", "恭", "yuchigong", "ycg"),
    ],
)
def test_a_surname_is_found_by_how_it_is_read(family: str, given: str, pinyin: str, initials: str) -> None:
    found = names.readings(family, given)
    assert pinyin in {a + b for a, b, _ in found}
    assert initials in {short for _, _, short in found}


def test_minority_names_and_rare_characters_are_han() -> None:
    assert names.is_han("阿依古丽·买买提")
    assert names.is_han("𠮷田")
    assert not names.is_han("Zhang Wei")
    assert not names.is_han("")
