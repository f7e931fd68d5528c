"""What can be loaded, as a table: whose codes, how their files name the columns, what a code looks like."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from hie.terminology import ucum
from hie.terminology.chapters import ICD9_CM3, ICD10

NATIONAL = "urn:oid:2.16.156.10011.2.3.3"
REGION = "urn:hie:region"
ICD10_FORM = re.compile(r"[A-Z][0-9][0-9A-Z](\.[0-9A-Za-z+*†/_.-]+)?")
ICD9_CM3_FORM = re.compile(r"[0-9]{2}(\.[0-9A-Za-z]+)?")

# Field -> names of its column, as the tables in use have them.
COLUMNS: dict[str, tuple[str, ...]] = {
    "code": (
        "code", "编码", "代码", "诊断代码", "手术操作代码", "手术代码", "icd编码", "医保编码", "loinc_num",
    ),
    "display": (
        "display", "名称", "中文名称", "诊断名称", "手术操作名称", "手术名称", "医保名称", "name",
        "display_zh",
    ),
    "display_en": ("display_en", "英文名称", "name_en", "long_common_name"),
    "parent": ("parent", "上级编码", "上级代码", "父编码"),
    "active": ("active", "有效", "有效标志", "是否有效"),
    "definition": ("definition", "说明", "备注"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kind:
    """A code system that files are loaded into.

    form: what every code must look like. file: the committed table, of those that are. content: `fragment`
    where the table holds only some codes of the system. source: the standard that the codes are of.
    is_plain: its tables come as lines of code, space and name too (ZD_INFO.dat).
    """

    name: str
    url: str
    title: str
    title_en: str
    version: str
    source: str
    form: re.Pattern[str] = re.compile(r"\S+(?: \S+)*")
    file: str = ""
    content: str = "complete"
    value_set: str | None = None
    is_plain: bool = False
    columns: dict[str, tuple[str, ...]] = field(default_factory=lambda: COLUMNS)

    @property
    def all_codes(self) -> str:
        """The value set of all codes: as FHIR names it (http://loinc.org/vs), else by the system's url."""
        return self.value_set or f"{self.url}?fhir_vs"


def _national(number: int) -> str:
    return f"{NATIONAL}.{number}"


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "icd10", ICD10, "疾病诊断编码 ICD-10", "ICD-10, insurance edition", "",
            "National Healthcare Security Administration, ICD-10 insurance edition; WHO ICD-10",
            ICD10_FORM, is_plain=True,
        ),
        Kind(
            "icd9cm3", ICD9_CM3, "手术操作编码 ICD-9-CM-3", "ICD-9-CM-3, insurance edition", "",
            "National Healthcare Security Administration, ICD-9-CM-3 insurance edition",
            ICD9_CM3_FORM, is_plain=True,
        ),
        Kind(
            "gb2260", f"{REGION}:gb-t-2260", "行政区划代码", "Administrative divisions of China", "2023-06",
            "GB/T 2260, with the changes the Ministry of Civil Affairs published up to June 2023",
            re.compile(r"[0-9]{6}"), "gb2260.csv",
        ),
        Kind(
            "gb2261.1", _national(4), "人的性别代码", "Sex", "2003", "GB/T 2261.1-2003",
            re.compile(r"[0-9]"), "gb2261_1.csv",
        ),
        Kind(
            "gb2261.2", _national(5), "婚姻状况代码", "Marital status", "2003", "GB/T 2261.2-2003",
            re.compile(r"[0-9]{2}"), "gb2261_2.csv",
        ),
        Kind(
            "gb2261.3", f"{REGION}:gb-t-2261.3", "健康状况代码", "State of health", "2003",
            "GB/T 2261.3-2003", re.compile(r"[0-9]{1,2}"), "gb2261_3.csv",
        ),
        Kind(
            "gb2261.4", _national(13), "从业状况（个人身份）代码", "Employment", "2003", "GB/T 2261.4-2003",
            re.compile(r"[0-9]{2}"), "gb2261_4.csv",
        ),
        Kind(
            "gb3304", _national(3), "中国各民族名称代码", "Nationalities of China", "1991", "GB/T 3304-1991",
            re.compile(r"[0-9]{2}"), "gb3304.csv",
        ),
        Kind(
            "ucum", ucum.SYSTEM, "常用计量单位", "Common units of measure", "2.1",
            "UCUM, Regenstrief Institute; a choice of common units", re.compile(r"[\x21-\x7e]+"),
            "ucum_units.csv", "fragment", "http://hl7.org/fhir/ValueSet/ucum-common",
        ),
        Kind(
            "loinc", "http://loinc.org", "检验项目 LOINC（节选）", "LOINC, a choice of codes", "sample",
            "LOINC, Regenstrief Institute and LOINC Committee; the codes the sample's laboratories use",
            re.compile(r"[0-9]{1,7}-[0-9]"), "loinc.csv", "fragment", "http://loinc.org/vs",
        ),
        Kind(
            "icd10-sample", ICD10, "疾病诊断编码 ICD-10（节选）", "ICD-10, a choice of codes", "sample",
            "ICD-10 (WHO; GB/T 14396), the codes the sample's doctors use",
            re.compile(r"[A-Z][0-9][0-9A-Z](\.[0-9A-Za-z]+)?"), "icd10.csv", "fragment",
        ),
    )
}  # fmt: skip
BASE = tuple(kind for kind in KINDS.values() if kind.file)


# Field of a map -> names of its column.
MAP_COLUMNS: dict[str, tuple[str, ...]] = {
    "source_code": ("source_code", "source", "临床版编码", "国临编码", "原编码", "旧编码"),
    "target_code": ("target_code", "target", "医保编码", "医保版编码", "目标编码", "新编码"),
    "source_display": ("source_display", "临床版名称", "国临名称", "原名称", "旧名称"),
    "target_display": ("target_display", "医保名称", "医保版名称", "目标名称", "新名称"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class MapKind:
    """A map between two code systems that files are loaded into. form: what codes of both look like."""

    name: str
    url: str
    title_en: str
    source_system: str
    target_system: str
    form: re.Pattern[str]


MAPS: dict[str, MapKind] = {
    kind.name: kind
    for kind in (
        MapKind(
            "icd10-map", f"{REGION}:map:icd-10-clinical", "ICD-10, clinical to insurance edition",
            f"{REGION}:icd-10-clinical", ICD10, ICD10_FORM,
        ),
        MapKind(
            "icd9cm3-map", f"{REGION}:map:icd-9-cm-3-clinical",
            "ICD-9-CM-3, clinical to insurance edition", f"{REGION}:icd-9-cm-3-clinical", ICD9_CM3,
            ICD9_CM3_FORM,
        ),
    )
}  # fmt: skip
# Files as they are published -> kind; a map after the table that its targets are looked up in.
FILES = {
    "ZD_INFO.dat": "icd10", "SS_INFO.dat": "icd9cm3", "ZD_MAP.dat": "icd10-map", "SS_MAP.dat": "icd9cm3-map",
}  # fmt: skip
