"""The insurance edition of ICD-10 and ICD-9-CM-3 is loaded from its files as they are published."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import create_engine, func, select
from sqlalchemy.orm import Session

from deploy.sample.clinic.diseases import ACUTE, CHRONIC
from deploy.sample.clinic.imaging import STUDIES
from deploy.stack.errors import Trouble
from deploy.stack.region import make_region
from hie.__main__ import main
from hie.schema import CodeSystem, Concept, ConceptMapRow
from hie.terminology import ancestors, descendants, is_subsumed
from hie.terminology.chapters import chapters
from hie.terminology.concepts import find, subsumes
from hie.terminology.expanding import Wanted, expand
from hie.terminology.feeding import feed
from hie.terminology.kinds import KINDS, MAPS
from hie.terminology.loading import load_table
from hie.terminology.loading_maps import load_map
from hie.terminology.reading import NotLoaded
from hie.terminology.translating import Question, translate
from hie.terminology.versions import named

ICD10, ICD9 = KINDS["icd10"], KINDS["icd9cm3"]
# As published: a code, a space, a name; no heading, no line end after the last.
DIAGNOSES = """\
A00.000 霍乱，由于O1群霍乱弧菌，霍乱生物型所致
B46.000x001+J99.8* 肺毛霉菌病
I10.x00x002 高血压
I50.900 心力衰竭
J11.100 流行性感冒伴有其他呼吸道表现，病毒未标明
U07.100x001 新型冠状病毒感染  轻型""".encode()
PROCEDURES = "00.0100 头和颈部血管治疗性超声\n38.9301 静脉穿刺置管术\n99.9902 蜂针疗法".encode()
DIAGNOSIS_MAP = b"A00.000 A00.000\nA01.000x002 A00.000\nB06.801+J17.1* \nJ11.100x009 J11.100"


@pytest.fixture
def loaded(session: Session) -> Session:
    load_table(session, ICD10, DIAGNOSES, version="2.0")
    load_table(session, ICD9, PROCEDURES, version="2.0")
    return session


def test_lines_of_code_and_name_are_read_as_they_are_published(loaded: Session):
    system = named(loaded, CodeSystem, ICD10.url)
    assert system is not None and (system.concepts, system.content) == (6, "complete")
    found = find(loaded, system, "U07.100x001")
    assert found is not None and found.display == "新型冠状病毒感染 轻型"
    assert load_table(loaded, ICD10, DIAGNOSES, version="2.0").fate == "unchanged"


def test_a_windows_file_in_gb18030_is_the_same_table(session: Session):
    raw = DIAGNOSES.decode().replace("\n", "\r\n").encode("gb18030")
    assert load_table(session, ICD10, raw, version="2.0").concepts == 6
    assert descendants(session, ICD10.url, "I10") == {"I10", "I10.x00x002"}


def test_each_wrong_line_of_a_published_file_is_named(session: Session):
    with pytest.raises(NotLoaded) as error:
        load_table(session, ICD10, b"A00.000 one\nA00.100\n\nA00.000 two\nnocode three", version="1")
    assert [(issue.path, issue.text) for issue in error.value.issues] == [
        ("line 2", "the name is empty or too long"),
        ("line 4", "the code stands in line 1 already"),
        ("line 5", "the code does not look like one of icd10"),
    ]


def test_a_diagnosis_stands_below_its_chapter_category_and_subcategory(loaded: Session):
    assert ancestors(loaded, ICD10.url, "I10.x00x002") == {
        "I10.x00x002", "I10.x00", "I10.x", "I10", "I00-I99",
    }  # fmt: skip
    assert descendants(loaded, ICD10.url, "I00-I99") == {"I00-I99", "I10.x00x002", "I50.900"}
    assert is_subsumed(loaded, ICD10.url, "A00-B99", "B46.000x001+J99.8*")
    # Categories that the table does not list have their chapter too.
    assert ancestors(loaded, ICD10.url, "I11") == {"I11", "I00-I99"}
    system = named(loaded, CodeSystem, ICD10.url)
    assert system is not None
    assert subsumes(loaded, system, "I00-I99", "I50.900") == "subsumes"
    assert subsumes(loaded, system, "I50.900", "A00-B99") == "not-subsumed"


def test_a_procedure_stands_below_its_chapter(loaded: Session):
    assert descendants(loaded, ICD9.url, "35-39") == {"35-39", "38.9301"}
    # A chapter of one category is that category, once.
    assert ancestors(loaded, ICD9.url, "00.0100") == {"00.0100", "00.01", "00.0", "00"}


def test_a_chapter_is_known_by_name_and_not_to_be_chosen(loaded: Session):
    system = named(loaded, CodeSystem, ICD10.url)
    assert system is not None
    found = find(loaded, system, "I00-I99")
    assert found is not None and found.abstract
    assert (found.display_zh, found.display_en) == ("循环系统疾病", "Diseases of the circulatory system")
    assert find(loaded, system, "I00-I98") is None


@pytest.mark.parametrize("word", ["高血压", "gaoxueya", "gxy", "i10.x00"])
def test_a_name_is_found_by_han_pinyin_initials_and_code(loaded: Session, word: str):
    compose = {"include": [{"system": ICD10.url}]}
    found = expand(loaded, compose, Wanted(filter=word, count=10))
    assert [row["code"] for row in found.rows] == ["I10.x00x002"]


def test_every_chapter_begins_where_the_one_before_ends(loaded: Session):
    for system, number in ((ICD10.url, 22), (ICD9.url, 18)):
        known = chapters(system)
        assert len(known) == number
        assert all(one.first <= one.last for one in known)
        assert all(one.last < other.first for one, other in pairwise(known))


def test_a_code_of_the_clinical_edition_is_translated_into_the_insurance_edition(loaded: Session):
    kind = MAPS["icd10-map"]
    done = load_map(loaded, kind, DIAGNOSIS_MAP, version="2.0")
    assert (done.fate, done.concepts) == ("loaded", 4)
    asked = {code: translate(loaded, Question(kind.source_system, code), None) for code in
             ("A00.000", "A01.000x002", "B06.801+J17.1*")}  # fmt: skip
    told = {
        code: [(one.code, one.display, one.equivalence) for one in found] for code, found in asked.items()
    }
    cholera = "霍乱，由于O1群霍乱弧菌，霍乱生物型所致"
    assert told == {
        "A00.000": [("A00.000", cholera, "equivalent")],
        "A01.000x002": [("A00.000", cholera, "relatedto")],
        "B06.801+J17.1*": [("", None, "unmatched")],
    }
    # A code of the insurance edition may have another meaning there: it is not taken for a clinical one.
    assert translate(loaded, Question(ICD10.url, "A01.000x002"), None) == []
    assert load_map(loaded, kind, DIAGNOSIS_MAP, version="2.0").fate == "unchanged"
    rows = select(func.count()).select_from(ConceptMapRow)
    assert loaded.scalar(rows) == 4


def test_the_codes_on_the_left_of_a_map_can_be_named_otherwise(loaded: Session):
    kind = MAPS["icd10-map"]
    load_map(loaded, kind, DIAGNOSIS_MAP, version="2.0", source_system="urn:hie:region:old")
    (found,) = translate(loaded, Question("urn:hie:region:old", "J11.100x009"), None)
    assert found.code == "J11.100"


def test_a_map_may_be_a_table_with_columns(loaded: Session):
    raw = "国临编码,国临名称,医保编码\nI10.x00x009,老名,I10.x00x002\n".encode()
    load_map(loaded, MAPS["icd10-map"], raw, version="1")
    (found,) = translate(loaded, Question(MAPS["icd10-map"].source_system, "I10.x00x009"), None)
    assert (found.code, found.display) == ("I10.x00x002", "高血压")


def test_a_map_to_a_code_that_the_loaded_table_does_not_have_is_refused(loaded: Session):
    raw = b"A00.000 A00.000\nA00.001 A00.009\nA00.002 A00.000 A00.000\n"
    with pytest.raises(NotLoaded) as error:
        load_map(loaded, MAPS["icd10-map"], raw, version="2.0")
    assert [(issue.path, issue.text) for issue in error.value.issues] == [
        ("line 2", "the target is not in the table that is loaded here"),
        ("line 3", "the line does not hold two codes of icd10-map"),
    ]


def test_writing_back_the_head_of_a_large_map_leaves_its_rows(loaded: Session):
    kind = MAPS["icd10-map"]
    load_map(loaded, kind, DIAGNOSIS_MAP, version="2.0")
    head = {"resourceType": "ConceptMap", "url": kind.url, "version": "2.0", "status": "active"}
    feed(loaded, "ConceptMap", "icd10-map-2.0", head, None)
    assert translate(loaded, Question(kind.source_system, "A00.000"), None)


def test_the_diagnoses_of_the_sample_are_those_of_the_committed_table():
    lines = (Path(__file__).parents[2] / "hie/terminology/codes/icd10.csv").read_text("utf-8").splitlines()
    table = {line.split(",")[0]: line.split(",")[1] for line in lines}
    known = [*CHRONIC.values(), *(one[-1] for one in ACUTE)]
    assert {one.icd: one.name for one in known}.items() <= table.items()


def test_a_folder_with_the_published_files_is_loaded_in_one_go(
    fresh_database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setenv("HIE_DATABASE_URL", fresh_database_url)
    for name, raw in (("ZD_INFO.dat", DIAGNOSES), ("SS_INFO.dat", PROCEDURES), ("ZD_MAP.dat", DIAGNOSIS_MAP)):
        (tmp_path / name).write_bytes(raw)
    for fate in ("loaded", "unchanged"):
        main(["terminology", "load", "folder", str(tmp_path)])
        done = json.loads(capsys.readouterr().out)
        assert [(one["kind"], one["version"], one["fate"]) for one in done] == [
            ("icd10", "2.0", fate), ("icd9cm3", "2.0", fate), ("icd10-map", "2.0", fate),
        ]  # fmt: skip
    with pytest.raises(SystemExit):
        main(["terminology", "load", "folder", str(tmp_path / "nothing")])
    assert "ZD_INFO.dat" in capsys.readouterr().err


def test_a_table_counts_no_chapter_among_its_codes(loaded: Session):
    system = named(loaded, CodeSystem, ICD9.url)
    assert system is not None
    held = select(Concept.code).where(Concept.system_id == system.id).order_by(Concept.ordinal)
    assert loaded.scalars(held).all() == ["00.0100", "38.9301", "99.9902"]


def test_the_studies_of_the_sample_are_those_of_the_committed_table():
    lines = (Path(__file__).parents[2] / "hie/terminology/codes/loinc.csv").read_text("utf-8").splitlines()
    table = {line.split(",")[0] for line in lines}
    known = {study.loinc for study in STUDIES.values() if study.loinc}
    assert known and known <= table


def test_a_region_loads_the_published_files_of_a_directory(
    fresh_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("HIE_DATABASE_URL", raising=False)
    region = make_region(tmp_path / "region", 1, 21000)
    region.place.log.mkdir(parents=True, exist_ok=True)
    region.hub.configure(fresh_database_url, "amqp://nowhere/", None)
    tables = tmp_path / "tables"
    tables.mkdir()
    with pytest.raises(Trouble, match=r"tables\.log"):
        region.load_tables(tables)
    assert "ZD_INFO.dat" in (region.place.log / "tables.log").read_text("utf-8")
    (tables / "ZD_INFO.dat").write_bytes(DIAGNOSES)
    region.load_tables(tables)
    engine = create_engine(fresh_database_url, hide_parameters=True)
    with Session(engine) as session:
        assert "I50.900" in descendants(session, ICD10.url, "I00-I99")
    engine.dispose()
