"""Tables of codes are loaded from CSV: committed ones, large ones, wrong ones, again and by version."""

from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hie.errors import Malformed, NotValid
from hie.schema import CodeSystem, Concept
from hie.terminology import ancestors, codes_of, descendants, is_subsumed
from hie.terminology.feeding import feed
from hie.terminology.kinds import BASE, KINDS
from hie.terminology.loading import load_base, load_table, read_resources
from hie.terminology.reading import NotLoaded

ICD10 = KINDS["icd10"]
SIZE = 33_304


@pytest.fixture(scope="module")
def large() -> bytes:
    """A table as large as the insurance edition: 26 letters, categories, subcategories, extensions."""
    lines = ["诊断代码,诊断名称"]
    number = 0
    while len(lines) <= SIZE:
        letter, rest = divmod(number, 1300)
        category, extension = divmod(rest, 13)
        code = f"{chr(65 + letter)}{category:02}.{extension // 4}{extension % 4:02}x{extension:03}"
        lines.append(f"{code},第{number}种疾病")
        number += 1
    return "\n".join(lines).encode("gb18030")


def _count(session: Session, url: str) -> int:
    wanted = select(func.count()).select_from(Concept).join(CodeSystem).where(CodeSystem.url == url)
    return session.scalar(wanted.where(CodeSystem.is_current)) or 0


def test_the_committed_tables_load_once(session: Session):
    first = load_base(session)
    assert {one.kind for one in first} == {kind.name for kind in BASE}
    assert {one.fate for one in first} == {"loaded"}
    again = load_base(session)
    assert {one.fate for one in again} == {"unchanged"}
    assert [(one.kind, one.concepts) for one in again] == [(one.kind, one.concepts) for one in first]


def test_the_documentation_tells_how_many_codes_each_table_has(session: Session):
    page = (Path(__file__).parents[2] / "docs" / "terminology.md").read_text("utf-8")
    for one in load_base(session):
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{one.kind}` | `{one.url}` |")]
        told = row.split("|")[-2].replace(",", "").split("+")
        assert sum(map(int, told)) == one.concepts, one.kind


def test_regions_stand_below_their_province_and_old_ones_are_inactive(session: Session):
    load_base(session)
    regions = KINDS["gb2260"].url
    assert {"110101", "110105", "110103"} < descendants(session, regions, "110000")
    assert ancestors(session, regions, "320602") == {"320602", "320600", "320000"}
    active = dict(
        session.execute(
            select(Concept.code, Concept.active).join(CodeSystem).where(CodeSystem.url == regions)
        ).all()
    )
    assert active["110101"] and not active["110103"]
    assert sum(active.values()) == 3211


def test_regions_are_those_of_2023_and_old_ones_tell_until_when_they_were(session: Session):
    load_base(session)
    wanted = select(Concept).join(CodeSystem).where(CodeSystem.url == KINDS["gb2260"].url)
    known = {one.code: one for one in session.scalars(wanted)}
    active = [code for code, one in known.items() if one.active]
    provinces = [code for code in active if code.endswith("0000")]
    counties = [code for code in active if not code.endswith("00")]
    assert (len(provinces), len(counties)) == (34, 2844)
    assert len(active) - len(provinces) - len(counties) == 333
    # Nantong in 2020, Hangzhou in 2021: an ID number of today begins with these.
    assert [known[code].display for code in ("320613", "320614", "330113")] == ["崇川区", "海门区", "临平区"]
    assert not known["320684"].active
    assert known["320684"].properties == [{"code": "until", "valueString": "2020"}]
    assert all(known[parent].active for code in active for parent in known[code].parents)


def test_there_are_56_nationalities_and_two_more_codes(session: Session):
    load_base(session)
    assert _count(session, KINDS["gb3304"].url) == 58


def test_a_value_set_of_all_units_is_known_by_the_name_r4_gives_it(session: Session):
    load_base(session)
    units = codes_of(session, "http://hl7.org/fhir/ValueSet/ucum-common")
    assert ("http://unitsofmeasure.org", "mmol/L") in units


def test_a_table_as_large_as_the_insurance_edition_is_loaded_with_its_hierarchy(
    session: Session, large: bytes
):
    told: list[int] = []
    loaded = load_table(session, ICD10, large, version="2.0", progress=told.append)
    assert (loaded.fate, loaded.concepts) == ("loaded", SIZE)
    assert told[0] == 5000 and told[-1] == SIZE
    assert _count(session, ICD10.url) == SIZE
    assert is_subsumed(session, ICD10.url, "B07", "B07.203x011")
    below = descendants(session, ICD10.url, "B07")
    assert len(below) == 14
    assert load_table(session, ICD10, large, version="2.0").fate == "unchanged"


def test_a_choice_of_codes_never_takes_the_place_of_a_whole_table(session: Session):
    load_base(session)
    assert "I10.x00x002" in descendants(session, ICD10.url, "I10")
    load_table(session, ICD10, b"code,display\nI10.x00x003,one\n", version="2.0")
    assert descendants(session, ICD10.url, "I10") == {"I10", "I10.x00x003"}
    sample = KINDS["icd10-sample"]
    load_table(session, sample, b"code,display\nI10.x00x009,other\n", version="sample-2")
    assert descendants(session, ICD10.url, "I10") == {"I10", "I10.x00x003"}


def test_a_new_version_replaces_and_the_same_version_with_other_codes_too(session: Session):
    for version, code in (("1", "A01"), ("2", "A02"), ("2", "A03")):
        load_table(session, ICD10, f"code,display\n{code},one\n".encode(), version=version)
    found = session.execute(
        select(CodeSystem.version, CodeSystem.is_current, Concept.code)
        .join(Concept)
        .where(CodeSystem.url == ICD10.url)
    ).all()
    assert sorted(found) == [("1", False, "A01"), ("2", True, "A03")]


def test_each_wrong_line_is_named(session: Session):
    raw = "编码,名称,上级编码\nA01,伤寒,\n,空,\nA01,再次,\n伤寒,不是编码,\nA02,,\nA03,孤儿,Z99\n"
    with pytest.raises(NotLoaded) as error:
        load_table(session, ICD10, raw.encode(), version="1")
    assert [(issue.path, issue.text) for issue in error.value.issues] == [
        ("line 3", "the code is empty"),
        ("line 4", "the code stands in line 2 already"),
        ("line 5", "the code does not look like one of icd10"),
        ("line 6", "the name is empty or too long"),
        ("line 7", "its parent is not in the table"),
    ]
    assert _count(session, ICD10.url) == 0


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", "No column for code, display"),
        (b"a,b\n1,2\n", "the columns are: a, b"),
        (b"code,display\n", "no line but its heading"),
        (b"\xff\xff\xff", "neither UTF-8 nor GB18030"),
    ],
)
def test_a_file_that_is_no_such_table_is_refused_with_what_to_do(session: Session, raw: bytes, text: str):
    with pytest.raises(NotLoaded, match=text):
        load_table(session, ICD10, raw, version="1")


def test_columns_can_be_named(session: Session):
    raw = b"a;b\nA01;typhoid\n"
    loaded = load_table(session, ICD10, raw, version="1", columns={"code": "a", "display": "b"})
    assert loaded.concepts == 1
    with pytest.raises(NotLoaded, match="no column c"):
        load_table(session, ICD10, raw, version="2", columns={"code": "c"})


def test_a_column_that_is_named_wins_over_one_that_is_called_like_the_field(session: Session) -> None:
    raw = "编码,名称,code\nA01,伤寒,9999\n".encode()
    load_table(session, ICD10, raw, version="1", columns={"code": "编码", "display": "名称"})
    assert session.scalars(
        select(Concept.code).join(CodeSystem).where(CodeSystem.url == ICD10.url)
    ).all() == ["A01"]


def test_a_table_needs_a_version(session: Session):
    with pytest.raises(NotLoaded, match="--version"):
        load_table(session, ICD10, b"code,display\nA01,one\n")


def test_what_was_written_over_the_api_is_not_loaded_over(session: Session):
    kind = KINDS["gb2261.1"]
    written = {"url": kind.url, "version": "2003", "content": "complete", "concept": [{"code": "1"}]}
    feed(session, "CodeSystem", "own", written, None)
    assert {one.fate for one in load_base(session) if one.kind == kind.name} == {"kept"}
    assert _count(session, kind.url) == 1


@pytest.mark.parametrize(
    "raw", [b"{", b"[]", b'{"resourceType":"Patient"}', b'{"resourceType":"CodeSystem"}']
)
def test_a_file_that_holds_no_terminology_is_refused(raw: bytes):
    with pytest.raises((NotValid, Malformed)):
        read_resources(raw)
