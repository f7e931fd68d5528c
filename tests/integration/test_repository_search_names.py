"""Han names are found as people type them, whatever their surname; a day is a day of the region."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from hie.repository import store
from hie.repository.search import Search, search
from hie.repository.writes import Write

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Shanghai")


def found(session: Session, type_: str, name: str, value: str) -> list[str]:
    how = Search(session, sa.true(), ZONE, b"k", NOW)
    return [id_ for _, id_, _ in search(how, type_, [(name, value)], strict=True).matches]


def put(session: Session, *resources: dict[str, Any]) -> None:
    store.write(session, [Write("put", r["resourceType"], r["id"], r) for r in resources], NOW, ZONE)


def named(**name: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": "one", "name": [name]}


TYPED = {
    "欧阳娜娜": ["欧阳娜娜", "欧阳 娜娜", "欧阳", "欧阳娜", "ouyang nana", "oynn", "nanaouyang"],
    "诸葛亮": ["诸葛亮", "诸葛", "zhugeliang", "zgl", "liang zhuge"],
    "尉迟恭": ["尉迟恭", "yuchigong", "ycg", "yuchi"],
    "万俟卨": ["万俟", "moqi", "moqixie"],
    "长孙无忌": ["zhangsunwuji", "zswj", "zhangsun"],
    "澹台灭明": ["tantaimieming", "ttmm"],
    "单于夫罗": ["chanyu", "cyfl"],
    "司马光": ["simaguang", "smg", "sima"],
    "吕布": ["吕布", "lvbu", "lubu", "lyubu", "lǚ bù", "lü bu", "lb", "LÜBU"],
    "女媛": ["nvyuan", "nuyuan", "nyuyuan"],
    "李律": ["lilv", "lilu", "lilyu", "ll"],
    "张伟": ["zhāng wěi", "ZHANG WEI", "Ｚｈａｎｇ", "zhang-wei", "zhang'wei", "张　伟", "zw"],
    "单雄信": ["shanxiongxin", "sxx", "shan"],
    "曾国": ["zengguo", "zg"],
    "解缙": ["xiejin", "xj"],
    "仇英": ["qiuying", "qy"],
    "查良": ["zhaliang", "zl"],
    "朴成": ["piaocheng", "pucheng", "pc"],
    "区寄": ["ouji", "oj"],
    "任静": ["renjing", "rj"],
    "华佗": ["huatuo", "ht"],
    "盖叫": ["gejiao", "gaijiao"],
    "乐毅": ["yueyi", "leyi", "yy", "ly"],
    "翟让": ["zhairang", "dirang"],
    "万宁": ["wanning", "wn"],
    "阿依古丽·买买提": [
        "阿依古丽买买提", "阿依古丽·买买提", "阿依古丽•买买提", "阿依古丽・买买提", "阿依古丽 买买提",
        "阿依古丽", "买买提", "ayiguli", "ayigulimaimaiti", "maimaiti", "aygl", "mmt",
    ],
    "迪丽热巴": ["dilireba", "dlrb", "迪丽"],
}  # fmt: skip


@pytest.mark.parametrize("name", TYPED)
def test_a_name_in_one_piece_is_found_as_it_is_typed(session: Session, name: str) -> None:
    put(session, named(text=name))
    assert [typed for typed in TYPED[name] if found(session, "Patient", "name", typed) != ["one"]] == []
    assert found(session, "Patient", "name", "王小明") == []
    assert found(session, "Patient", "name", "wangxm") == []


@pytest.mark.parametrize(
    ("family", "given", "typed"),
    [
        ("欧阳", "娜娜", ["欧阳娜娜", "ouyangnana", "nana ouyang", "oynn", "欧阳 娜娜", "娜娜"]),
        ("单", "小丽", ["shanxiaoli", "sxl", "单小丽"]),
        ("吕", "律", ["lvlv", "lulu", "lyulyu", "ll"]),
        ("买买提", "艾力", ["买买提·艾力", "买买提艾力", "艾力买买提", "maimaitiaili", "aili", "艾力"]),
    ],
)
def test_a_name_in_two_pieces_is_found_as_it_is_typed(
    session: Session, family: str, given: str, typed: list[str]
) -> None:
    put(session, named(family=family, given=[given]))
    assert [each for each in typed if found(session, "Patient", "name", each) != ["one"]] == []


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("欧阳娜娜", ["欧阳", "ouyang"]),
        ("单小丽", ["单", "shan"]),
        ("尉迟恭", ["尉迟", "yuchi"]),
        ("吕布", ["吕", "lv", "lu", "lyu"]),
    ],
)
def test_a_surname_is_told_from_the_given_name(session: Session, name: str, family: list[str]) -> None:
    put(session, named(text=name))
    assert [each for each in family if found(session, "Patient", "family", each) != ["one"]] == []
    assert found(session, "Patient", "family", name[-1]) == []


def seen_at(at: str) -> dict[str, Any]:
    return {"resourceType": "Observation", "id": "o", "status": "final", "effectiveDateTime": at}


@pytest.mark.parametrize(
    ("at", "asked", "is_found"),
    [
        ("2026-03-01T23:30:00+08:00", "2026-03-01", True),
        ("2026-03-01T15:59:59Z", "2026-03-01", True),
        ("2026-03-01T16:00:00Z", "2026-03-01", False),
        ("2026-03-01T16:00:00Z", "2026-03-02", True),
        ("2026-02-28T16:00:00Z", "2026-03-01", True),
        ("2026-02-28T16:00:00Z", "2026-03", True),
        ("2025-12-31T16:00:00Z", "2026", True),
        ("2026-03-01T00:30:00+09:00", "2026-02-28", True),
        ("2026-03-01", "2026-03-01T00:00:00+08:00", False),
        ("2026-03-01", "ge2026-03-01T00:00:00+08:00", True),
        ("2026-03-01", "lt2026-03-01T00:00:00+08:00", False),
        ("2026-03-01", "lt2026-03-01T00:00:00Z", True),
        ("2026-03-01T08:00:00+08:00", "2026-03-01T00:00:00Z", True),
        ("2026-03-01T08:00:00+08:00", "2026-03-01T08:00", True),
        ("2026-03-01T08:00:00+08:00", "2026-03-01T08:00:00", True),
        ("2026-03-01T08:00:00Z", "2026-03-01T08:00", False),
        ("2026-03-01T08:00:00Z", "2026-03-01T16:00", True),
        ("2026-03-01T08:00:00Z", "2026-03-01T08:00:00Z", True),
    ],
)
def test_a_day_is_a_day_of_the_region_unless_an_offset_is_given(
    session: Session, at: str, asked: str, is_found: bool
) -> None:
    put(session, seen_at(at))
    assert (found(session, "Observation", "date", asked) == ["o"]) == is_found


def test_the_same_day_lies_elsewhere_in_another_region(session: Session) -> None:
    put(session, seen_at("2026-03-01T20:00:00Z"))
    for zone, day in (("Asia/Urumqi", "2026-03-02"), ("Asia/Shanghai", "2026-03-02"), ("UTC", "2026-03-01")):
        how = Search(session, sa.true(), ZoneInfo(zone), b"k", NOW)
        assert len(search(how, "Observation", [("date", day)], strict=True).matches) == 1
