"""The operator's commands: load tables, get the work list of local codes, give the answers back."""

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from esb.fhir.validation import check_resource
from hie.__main__ import main
from hie.repository.store import write
from hie.repository.writes import Write
from hie.schema import Resource
from hie.terminology import codes_of
from hie.terminology.kinds import BASE
from hie.terminology.translating import Question, translate

Hie = Callable[..., str]


@pytest.fixture
def hie(fresh_database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Hie:
    """The command line of a hub with an empty database; returns what it prints."""
    monkeypatch.setenv("HIE_DATABASE_URL", fresh_database_url)

    def run(*arguments: str) -> str:
        main(arguments)
        return capsys.readouterr().out

    return run


@pytest.fixture
def stored(fresh_database_url: str) -> Callable[[str], list[dict[str, Any]]]:
    """The resources of a type that the hub holds."""

    def read(type_: str) -> list[dict[str, Any]]:
        engine = sa.create_engine(fresh_database_url, hide_parameters=True)
        with Session(engine) as session:
            found = session.scalars(sa.select(Resource.content).where(Resource.type == type_)).all()
        engine.dispose()
        return [json.loads(content) for content in found]

    return read


def test_the_tables_that_come_along_load_once_and_can_be_read_as_resources(hie: Hie, stored: Any):
    first = json.loads(hie("terminology", "load", "base"))
    assert {one["fate"] for one in first} == {"loaded"}
    assert {one["fate"] for one in json.loads(hie("terminology", "load", "base"))} == {"unchanged"}
    systems = {one["url"]: one for one in stored("CodeSystem")}
    assert set(systems) == {kind.url for kind in BASE}
    for one in systems.values():
        check_resource(one)
    sex = systems["urn:oid:2.16.156.10011.2.3.3.4"]
    assert [concept["code"] for concept in sex["concept"]] == ["0", "1", "2", "9"]
    regions = systems["urn:hie:region:gb-t-2260"]
    assert (regions["content"], regions["count"]) == ("not-present", 7105)
    assert all(one["meta"]["versionId"] == "1" for one in systems.values())


def test_a_province_loads_its_own_table(hie: Hie, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    table = tmp_path / "own.csv"
    table.write_text("项目编码,项目名称\nA1,甲\nA2,乙\n", encoding="gb18030")
    given = ("--system", "urn:hie:region:own", "--title", "自有项目", "--version", "1")
    named = ("--columns", "code=项目编码", "display=项目名称")
    (loaded,) = json.loads(hie("terminology", "load", "codes", str(table), *given, *named))
    assert (loaded["fate"], loaded["concepts"]) == ("loaded", 2)
    with pytest.raises(SystemExit):
        hie("terminology", "load", "icd10", str(table), "--version", "2.0")
    assert "No column for code, display" in capsys.readouterr().err


def test_wrong_lines_are_told_with_their_number(hie: Hie, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    table = tmp_path / "icd.csv"
    table.write_text("code,display\nA01,one\n高血压,two\n", encoding="utf-8")
    with pytest.raises(SystemExit):
        hie("terminology", "load", "icd10", str(table), "--version", "2.0")
    assert "line 3: the code does not look like one of icd10" in capsys.readouterr().err


def test_resources_of_a_file_are_taken_in(hie: Hie, tmp_path: Path, fresh_database_url: str):
    concepts = [{"code": "a", "display": "A"}]
    system = {"resourceType": "CodeSystem", "url": "urn:s", "status": "active", "content": "complete"}
    sets = {"resourceType": "ValueSet", "id": "v", "url": "urn:v", "status": "active"}
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [
            {"resource": system | {"id": "s", "concept": concepts}},
            {"resource": sets | {"compose": {"include": [{"system": "urn:s"}]}}},
        ],
    }
    file = tmp_path / "valuesets.json"
    file.write_text(json.dumps(bundle), encoding="utf-8")
    done = json.loads(hie("terminology", "load", "resource", str(file)))
    assert {one["kind"]: one["resources"] for one in done} == {"CodeSystem": 1, "ValueSet": 1}
    engine = sa.create_engine(fresh_database_url)
    with Session(engine) as session:
        assert codes_of(session, "urn:v") == {("urn:s", "a")}
    engine.dispose()


def test_the_work_list_goes_out_and_comes_back_filled(
    hie: Hie, stored: Any, tmp_path: Path, fresh_database_url: str
):
    engine = sa.create_engine(fresh_database_url)
    code = {"coding": [{"system": "urn:hie:H01:item", "code": "K", "display": "钾"}]}
    content = {"resourceType": "Observation", "id": "a", "status": "final", "code": code}
    with Session(engine) as session, session.begin():
        write(session, [Write("put", "Observation", "a", content, "H01")], datetime(2026, 3, 1, tzinfo=UTC))
    (row,) = csv.DictReader(io.StringIO(hie("terminology", "unmapped", "--facility", "H01")))
    filled = tmp_path / "filled.csv"
    with filled.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        writer.writeheader()
        writer.writerow(row | {"target_system": "http://loinc.org", "target_code": "2823-3"})
    assert json.loads(hie("terminology", "map", str(filled))) == {"H01": 1}
    assert hie("terminology", "unmapped").count("\n") == 1
    with Session(engine) as session:
        (match,) = translate(session, Question("urn:hie:H01:item", "K"), None)
        assert match.code == "2823-3"
    engine.dispose()
    (map_,) = stored("ConceptMap")
    check_resource(map_)
    assert map_["id"] == "map-h01"
    assert map_["group"][0]["element"] == [
        {"code": "K", "display": "钾", "target": [{"code": "2823-3", "equivalence": "equivalent"}]}
    ]
