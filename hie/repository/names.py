"""Chinese names as people type them: Han in one piece or two, pinyin, initials, polyphone surnames."""

from __future__ import annotations

import re
from functools import lru_cache

from pypinyin import Style, lazy_pinyin

MOST_READINGS = 4

# Surnames read otherwise than the same character in running text (GB/T 28039; Xinhua dictionary).
SURNAME_READINGS: dict[str, tuple[str, ...]] = {
    "单": ("shan",), "单于": ("chanyu",), "曾": ("zeng",), "解": ("xie",), "仇": ("qiu",), "查": ("zha",),
    "朴": ("piao", "pu"), "盖": ("ge", "gai"), "区": ("ou",), "任": ("ren",), "华": ("hua",),
    "尉迟": ("yuchi",), "万俟": ("moqi",), "乐": ("yue", "le"), "覃": ("qin", "tan"), "冼": ("xian",),
    "缪": ("miao",), "翟": ("zhai", "di"), "宓": ("mi", "fu"), "种": ("chong",), "繁": ("po",),
    "员": ("yun",), "折": ("she",), "黑": ("he", "hei"), "盛": ("sheng",), "召": ("shao",),
    "隗": ("wei", "kui"), "过": ("guo",), "能": ("nai",), "秘": ("bi", "mi"), "祭": ("zhai",),
    "句": ("gou",), "牟": ("mu", "mou"), "那": ("na",), "宁": ("ning",), "纪": ("ji",), "柏": ("bai", "bo"),
    "石": ("shi",), "长孙": ("zhangsun",), "澹台": ("tantai",), "谌": ("chen", "shen"), "晁": ("chao",),
    "郇": ("xun", "huan"), "应": ("ying",), "车": ("che",), "沈": ("shen",), "干": ("gan",),
}  # fmt: skip
COMPOUND_SURNAMES = frozenset(
    re.findall(
        "..",
        "欧阳司马上官诸葛东方皇甫尉迟公孙慕容令狐司徒司空夏侯长孙宇文端木南宫轩辕东郭南门呼延百里闻人公羊"
        "澹台赫连淳于单于太叔申屠公冶宗政濮阳钟离鲜于闾丘亓官司寇拓跋独孤万俟西门第五",
    )
)
HAN = re.compile(
    "[\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]"
    "[ \u3000·•・\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]*"
)


def is_han(text: str) -> bool:
    """Say whether a name is written in Han characters (extensions too); separators may be within."""
    return HAN.fullmatch(text) is not None


def split_han(name: str) -> tuple[str, str]:
    """Return surname and given name of a Han name written in one piece."""
    size = 2 if name[:2] in COMPOUND_SURNAMES and len(name) > 2 else 1
    return name[:size], name[size:]


def later_parts(name: str) -> list[str]:
    """Return what stands behind the dots of a name as 阿依古丽·买买提, which people are called by too."""
    return [part for part in re.split("[·•・‧]", name)[1:] if part.strip()]


@lru_cache(maxsize=20_000)
def readings(family: str, given: str) -> tuple[tuple[str, str, str], ...]:
    """Return (pinyin of the surname, pinyin of the given name, initials) per likely reading of a Han name."""
    usual = lazy_pinyin(family)
    families = [list(usual)] + [[reading] for reading in SURNAME_READINGS.get(family, ())]
    given_syllables = lazy_pinyin(given)
    found: dict[tuple[str, str, str], None] = {}
    for syllables in families[:MOST_READINGS]:
        surname = "".join(syllables)
        initials = _initials(family, syllables) + "".join(s[:1] for s in given_syllables)
        for spelt_family in _spellings(surname):
            for spelt_given in _spellings("".join(given_syllables)):
                found[spelt_family, spelt_given, initials] = None
    return tuple(found)


def _initials(family: str, syllables: list[str]) -> str:
    if len(family) == 1 or len(syllables) > 1:
        return "".join(s[:1] for s in syllables)
    return "".join(s[:1] for s in lazy_pinyin(family, style=Style.FIRST_LETTER))


def _spellings(pinyin: str) -> tuple[str, ...]:
    """Return the ways people type ü: nv, nu, nyu."""
    if "v" not in pinyin:
        return (pinyin,)
    return pinyin, pinyin.replace("v", "u"), pinyin.replace("v", "yu")
