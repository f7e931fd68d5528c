"""Chinese names: surnames by frequency, given names, rare characters, minorities, foreigners, slips."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from random import Random

# surname, pinyin, weight: per mille of the population, rounded
_SURNAMES = """
王 wang 73 李 li 72 张 zhang 68 刘 liu 52 陈 chen 46 杨 yang 31 黄 huang 22 赵 zhao 22
吴 wu 20 周 zhou 20 徐 xu 16 孙 sun 15 马 ma 14 朱 zhu 13 胡 hu 13 郭 guo 12
何 he 12 高 gao 11 林 lin 11 罗 luo 10 郑 zheng 10 梁 liang 9 谢 xie 8 宋 song 8
唐 tang 7 许 xu 7 邓 deng 7 冯 feng 7 韩 han 6 曹 cao 6 曾 zeng 6 彭 peng 6
萧 xiao 2 肖 xiao 5 蔡 cai 5 潘 pan 5 田 tian 5 董 dong 5 袁 yuan 5 于 yu 5
余 yu 5 叶 ye 5 蒋 jiang 4 杜 du 4 苏 su 4 魏 wei 4 程 cheng 4 吕 lv 4
丁 ding 4 沈 shen 4 任 ren 4 姚 yao 3 卢 lu 3 傅 fu 3 钟 zhong 3 姜 jiang 3
崔 cui 3 谭 tan 3 廖 liao 3 范 fan 3 汪 wang 3 陆 lu 3 金 jin 3 石 shi 3
戴 dai 3 贾 jia 3 韦 wei 3 夏 xia 2 邱 qiu 2 方 fang 2 侯 hou 2 邹 zou 2
熊 xiong 2 孟 meng 2 秦 qin 2 白 bai 2 江 jiang 2 阎 yan 1 闫 yan 2 单 shan 1
解 xie 1 仇 qiu 1 查 zha 1 区 ou 1 朴 piao 1 盖 ge 1 乐 yue 1 翟 zhai 1
欧阳 ouyang 1 尉迟 yuchi 1 司马 sima 1 上官 shangguan 1 万俟 moqi 1 鄢 yan 1 亓 qi 1
"""

# given-name characters: character, pinyin, sex (m, f, b = both)
_GIVEN = """
伟wei m 强qiang m 磊lei m 军jun m 勇yong m 涛tao m 斌bin m 刚gang m 建jian m 国guo m
志zhi m 明ming m 浩hao m 宇yu m 轩xuan b 泽ze m 博bo m 杰jie m 鹏peng m 飞fei b
辉hui b 峰feng m 龙long m 健jian m 亮liang m 平ping b 华hua b 文wen b 庆qing b 海hai m
波bo m 东dong m 林lin b 子zi b 俊jun m 一yi b 昊hao m 天tian m 铭ming m 瑞rui b
芳fang f 娜na f 敏min f 静jing f 丽li f 艳yan f 娟juan f 霞xia f 秀xiu f 英ying f
玲ling f 桂gui f 兰lan f 梅mei f 婷ting f 雪xue f 洁jie f 慧hui f 琳lin f 倩qian f
颖ying f 莉li f 萍ping f 红hong f 玉yu f 珍zhen f 凤feng f 淑shu f 欣xin f 怡yi f
梓zi f 涵han b 诗shi f 雨yu b 佳jia f 璐lu f 晨chen b 思si b 悦yue f 宁ning b
安an b 乐le b 朝zhao b 炜wei m 玮wei b 伟wei m 璟jing b 菁jing f 晶jing f 婧jing f
莹ying f 瑛ying f 蕊rui f 睿rui b 锐rui m 翔xiang m 祥xiang m 彬bin m 宾bin m 滨bin m
宏hong m 弘hong m 鸿hong m 虹hong f 嘉jia b 家jia b 燕yan f 妍yan f 岩yan m 彦yan m
"""

# characters beyond GB 2312: in GBK (some with a delimiter as trail byte), in four bytes of GB 18030
_RARE = (
    "喆zhe 堃kun 珺jun 玥yue 煊xuan 昕xin 赟yun 玹xuan 昺bing 甡shen 玘qi 璡jin 琟wei "
    "䶮yan 㛃jie 㵘man 𠮷ji 𬱖di 𫖯fu 𬭎hong 𪩘yan 𣲗wei"
)

_MINORITY = (
    # given, father's name: written with the middle dot; ethnic group by GB/T 3304
    ("05", "阿依古丽", "艾买提", "f"),
    ("05", "买买提", "吐尔逊", "m"),
    ("05", "古丽娜尔", "阿不都", "f"),
    ("05", "艾力", "卡德尔", "m"),
    ("17", "叶尔兰", "巴合提", "m"),
    ("17", "阿依努尔", "赛力克", "f"),
    ("04", "扎西", "多吉", "m"),
    ("04", "卓玛", "央金", "f"),
    ("07", "阿木", "吉布", "m"),
    ("07", "阿嘎", "沙马", "f"),
)
_MINORITY_PINYIN = {
    "阿依古丽": "ayiguli", "艾买提": "aimaiti", "买买提": "maimaiti", "吐尔逊": "tuerxun",
    "古丽娜尔": "gulinaer",
    "阿不都": "abudu", "艾力": "aili", "卡德尔": "kadeer", "叶尔兰": "yeerlan", "巴合提": "baheti",
    "阿依努尔": "ayinuer", "赛力克": "sailike", "扎西": "zhaxi", "多吉": "duoji", "卓玛": "zhuoma",
    "央金": "yangjin", "阿木": "amu", "吉布": "jibu", "阿嘎": "aga", "沙马": "shama",
}  # fmt: skip
_FOREIGN = (
    ("Ivanova", "Anya", "f", "RUS"), ("Okoro", "Emeka", "m", "NGA"), ("Tanaka", "Haruto", "m", "JPN"),
    ("Nguyen", "Thi Lan", "f", "VNM"), ("Khan", "Bilal", "m", "PAK"), ("Meyer", "Jonas", "m", "DEU"),
    ("Silva", "Marina", "f", "BRA"), ("Somchai", "Ploy", "f", "THA"),
)  # fmt: skip

_TRADITIONAL = str.maketrans(
    "伟强军刚国铭杰飞龙华庆东丽艳兰红凤洁莹张陈刘杨黄赵吴孙马郑谢许邓冯韩萧叶蒋"
    "苏卢钟谭陆贾韦邹闫单乐区锐鸿炜玮",
    "偉強軍剛國銘傑飛龍華慶東麗豔蘭紅鳳潔瑩張陳劉楊黃趙吳孫馬鄭謝許鄧馮韓蕭葉蔣"
    "蘇盧鍾譚陸賈韋鄒閆單樂區銳鴻煒瑋",
)


@dataclass(frozen=True, slots=True)
class Name:
    """A name as written: full text, its parts, toneless pinyin, ethnic group (GB/T 3304)."""

    text: str
    family: str
    given: str
    pinyin: str  # "wang xiaoming"
    ethnic: str = "01"


def _pairs(text: str) -> list[tuple[str, str]]:
    return [(word[0], word[1:]) for word in text.split()]


_surnames = [tuple(_SURNAMES.split()[i : i + 3]) for i in range(0, len(_SURNAMES.split()), 3)]
_cumulated = list(accumulate(int(weight) for _, _, weight in _surnames))
_tokens = _GIVEN.split()
_given = [(c[0], c[1:], sex) for c, sex in zip(_tokens[::2], _tokens[1::2], strict=True)]
_BY_SEX = {
    "1": [(c, p) for c, p, s in _given if s in "mb"],
    "2": [(c, p) for c, p, s in _given if s in "fb"],
}
_rare = _pairs(_RARE)
_SOUNDS: dict[str, list[str]] = {}
for _char, _sound in dict.fromkeys((c, p) for c, p, _ in _given):
    _SOUNDS.setdefault(_sound, []).append(_char)
_SOUND_OF = {c: p for c, p, _ in _given}


def surname(rng: Random) -> tuple[str, str]:
    """Return a surname by its frequency, and its pinyin."""
    family, sound, _ = rng.choices(_surnames, cum_weights=_cumulated)[0]
    return family, sound


def han_name(rng: Random, family: tuple[str, str], sex: str) -> Name:
    """Return a Han name with this surname: one or two characters given, now and then a rare one."""
    pool = _BY_SEX[sex]
    parts = [rng.choice(pool) for _ in range(1 if rng.random() < 0.18 else 2)]
    if rng.random() < 0.02:
        parts[-1] = rng.choice(_rare)
    given = "".join(c for c, _ in parts)
    return Name(family[0] + given, family[0], given, f"{family[1]} {''.join(p for _, p in parts)}")


def minority_name(rng: Random, sex: str) -> Name:
    """Return a minority name written with the middle dot."""
    wanted = [m for m in _MINORITY if m[3] == ("m" if sex == "1" else "f")]
    ethnic, given, _, _ = rng.choice(wanted)
    father = rng.choice([m for m in _MINORITY if m[0] == ethnic])[2]
    pinyin = f"{_MINORITY_PINYIN[given]} {_MINORITY_PINYIN[father]}"
    return Name(f"{given}·{father}", father, given, pinyin, ethnic)


def foreign_name(rng: Random) -> tuple[Name, str, str]:
    """Return a foreigner's name, sex (1, 2) and nationality (three letters)."""
    family, given, sex, nation = rng.choice(_FOREIGN)
    return Name(f"{given} {family}", family, given, f"{family} {given}".lower(), ""), "12"[sex == "f"], nation


def homophone(rng: Random, name: Name) -> Name:
    """Return the name with its last character replaced by one that sounds alike, if there is one."""
    last = name.given[-1:]
    others = [c for c in _SOUNDS.get(_SOUND_OF.get(last, ""), []) if c != last]
    if not others:
        return name
    given = name.given[:-1] + rng.choice(others)
    return Name(name.family + given, name.family, given, name.pinyin, name.ethnic)


def traditional(name: Name) -> Name:
    """Return the name in traditional characters where the small table knows them."""
    family, given = name.family.translate(_TRADITIONAL), name.given.translate(_TRADITIONAL)
    return Name(name.text.translate(_TRADITIONAL), family, given, name.pinyin, name.ethnic)


def dot_variant(name: Name) -> Name:
    """Return a minority name with another character for the dot, as another system writes it."""
    return Name(name.text.replace("·", "•"), name.family, name.given, name.pinyin, name.ethnic)
