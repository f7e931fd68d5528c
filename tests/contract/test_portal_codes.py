"""The page of hospitals' own codes without a map: who sees whose, the list, the filled list back."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from hie.app import create_app
from hie.config import Config
from hie.directory.users import put_user
from hie.portal import codes
from hie.portal.session import COOKIE, csrf_token, open_session
from hie.repository.store import write
from hie.repository.writes import Write
from hie.schema import AuditEventRow
from hie.schema.directory import Facility
from hie.terminology.loading import load_base
from hie.terminology.translating import Question, translate

USERS = {"operator": None, "auditor": None, "steward": None, "doctor": "H01", "engineer": "H01"}
NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
LOINC = "http://loinc.org"


def observation(facility: str, number: int, code: str, display: str) -> Write:
    coding = {"system": f"urn:hie:{facility}:item", "code": code, "display": display}
    concept = {"coding": [coding]}
    content = {
        "resourceType": "Observation",
        "id": f"{facility}-{number}",
        "status": "final",
        "code": concept,
    }
    return Write("put", "Observation", f"{facility}-{number}", content, facility)


@pytest.fixture
def app(fresh_database_url: str) -> Iterator[Flask]:
    """The hub with a user of each role, and codes of two hospitals."""
    made = create_app(Config.from_env({"HIE_DATABASE_URL": fresh_database_url}))
    with Session(made.extensions["hie"].engine) as session, session.begin():
        session.add_all(
            Facility(code=code, name=name, name_en=code, jwks={})
            for code, name in (("H01", "甲院"), ("H02", "乙院"))
        )
        session.flush()
        for role, facility in USERS.items():
            put_user(session, role, "a long enough password", role=role, facility=facility, name=role)
        load_base(session)
        named = [("H01", "K", "钾"), ("H01", "K", "钾"), ("H01", "NA", "<b>钠</b>"), ("H02", "CL", "氯")]
        write(session, [observation(f, n, c, d) for n, (f, c, d) in enumerate(named)], NOW)
    yield made
    made.extensions["hie"].engine.dispose()


@pytest.fixture
def usual_csv_limit() -> Iterator[None]:
    """A field may be as long as csv has it; the front-end processor lets it be longer in the same process."""
    before = csv.field_size_limit(131_072)
    yield
    csv.field_size_limit(before)


class Visitor:
    """A browser of a signed-in user."""

    def __init__(self, app: Flask, role: str) -> None:
        self._client: FlaskClient = app.test_client()
        with Session(app.extensions["hie"].engine) as session, session.begin():
            self._cookie = open_session(session, role, datetime.now(UTC))
        self._client.set_cookie(COOKIE, self._cookie)

    def get(self, path: str = "/codes", **asked: str) -> TestResponse:
        return self._client.get(path, query_string=asked)

    def send(self, content: bytes | str | None, **form: str) -> TestResponse:
        data: dict[str, object] = {"csrf": csrf_token(self._cookie), **form}
        if content is not None:
            raw = content.encode() if isinstance(content, str) else content
            data["list"] = (io.BytesIO(raw), "codes.csv")
        return self._client.post("/codes", data=data, content_type="multipart/form-data")


def test_an_engineer_sees_the_own_hospitals_codes_in_both_languages(app: Flask) -> None:
    engineer = Visitor(app, "engineer")
    for language, title in (("zh", "本地编码"), ("en", "Own codes")):
        answer = engineer.get(lang=language)
        assert answer.status_code == 200
        assert title in answer.text and "钾" in answer.text and "氯" not in answer.text
        assert "&lt;b&gt;钠" in answer.text
    assert answer.text.index(">K<") < answer.text.index(">NA<"), "the most frequent first"


def test_an_engineer_comes_to_this_page_after_signing_in(app: Flask) -> None:
    answer = Visitor(app, "engineer").get("/")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/codes")


def test_an_operator_sees_those_of_all(app: Flask) -> None:
    answer = Visitor(app, "operator").get()
    assert all(word in answer.text for word in ("钾", "氯", "甲院", "乙院"))


@pytest.mark.parametrize("role", ["doctor", "auditor", "steward"])
def test_nobody_else_sees_the_page(app: Flask, role: str) -> None:
    visitor = Visitor(app, role)
    assert [visitor.get(path).status_code for path in ("/codes", "/codes/list.csv")] == [403, 403]
    assert visitor.send("facility,system,code,target_system,target_code\n").status_code == 403


def test_the_file_is_filled_and_sent_back(app: Flask) -> None:
    engineer = Visitor(app, "engineer")
    engineer.get()
    file = engineer.get("/codes/list.csv")
    assert file.mimetype == "text/csv" and "attachment" in file.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(file.text.removeprefix("\ufeff"))))
    assert [row["code"] for row in rows] == ["K", "NA"]
    rows[0] |= {"target_system": LOINC, "target_code": "2823-3"}
    filled = io.StringIO()
    writer = csv.DictWriter(filled, rows[0].keys())
    writer.writeheader()
    writer.writerows(rows)
    answer = engineer.send("\ufeff" + filled.getvalue())
    assert answer.status_code == 303
    after = engineer.get("/codes", done="1", lang="en")
    assert "mapping of 1 code was noted" in after.text
    assert ">K<" not in after.text and ">NA<" in after.text
    with Session(app.extensions["hie"].engine) as session:
        (found,) = translate(session, Question("urn:hie:H01:item", "K"), None)
        assert found.code == "2823-3"
        said = sa.select(AuditEventRow.operation).where(AuditEventRow.operation.like("portal.codes%"))
        kinds = ["portal.codes", "portal.codes", "portal.codes.list", "portal.codes.map"]
        assert sorted(session.scalars(said)) == kinds


def test_a_wrong_line_is_named_and_nothing_kept(app: Flask) -> None:
    engineer = Visitor(app, "engineer")
    head = "facility,system,code,target_system,target_code\n"
    mine = f"H01,urn:hie:H01:item,K,{LOINC},2823-3\n"
    answer = engineer.send(f"{head}{mine}H02,urn:hie:H02:item,CL,{LOINC},2075-0\n")
    assert answer.status_code == 422
    assert "第 3 行：医院代码不是本院的" in answer.text
    assert ">K<" in answer.text
    english = engineer.send(f"{head}{mine}H02,urn:hie:H02:item,CL,{LOINC},2075-0\n", lang="en")
    assert "line 3: the facility is another one than yours" in english.text


HEAD = b"facility,system,code,target_system,target_code,equivalence\n"
MARRIED = b"urn:oid:2.16.156.10011.2.3.3.5"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a,b\n1,2\n", "缺少列 facility, system, code, target_system, target_code；文件里的列是：a, b。"),
        (b"\xff\xff", "不是 UTF-8 也不是 GB18030"),
        (HEAD + b"x\n" * 50_001, "清单最多 50,000 行"),
        (HEAD + b"H01,urn:hie:H01:item,K,,,\n", "没有一行填了 target_code"),
        (HEAD + b"H01,urn:hie:H02:item,K,x,y,\n", "第 2 行：编码系统不是该医院自己的"),
        (HEAD + b"H01,urn:hie:H01:item,,x,y,\n", "第 2 行：编码为空"),
        (HEAD + b"H01,urn:hie:H01:item,K,,y,\n", "第 2 行：target_system 和 target_code 要一起填"),
        (HEAD + b"H01,urn:hie:H01:item,K,x,y,same\n", "第 2 行：equivalence 只能是：equal, equivalent"),
        (HEAD + b"H01,urn:hie:H01:item,K," + MARRIED + b",99,\n", "里没有这个 target_code"),
        (HEAD + b'"' + b"x" * 200_000, "第 2 行不是 CSV"),
    ],
)
def test_a_chinese_page_says_in_chinese_what_is_wrong_with_the_file(
    app: Flask, usual_csv_limit: None, content: bytes, said: str
) -> None:
    told = Visitor(app, "engineer").send(content).text.partition('id="file-fault"')[2].partition("</div>")[0]
    assert said in told
    assert "--columns" not in told


def test_the_page_names_what_own_codes_are_mapped_to(app: Flask) -> None:
    engineer = Visitor(app, "engineer")
    for language, title in (("zh", "婚姻状况代码"), ("en", "Marital status")):
        told = engineer.get(lang=language).text
        assert told.count(f">{MARRIED.decode()}<") == 1
        assert title in told


def test_an_empty_list_says_how_a_map_is_corrected(app: Flask) -> None:
    engineer = Visitor(app, "engineer")
    engineer.get()
    codes = b"".join(b"H01,urn:hie:H01:item,%s,,,unmatched\n" % code for code in (b"K", b"NA"))
    assert engineer.send(HEAD + codes).status_code == 303
    told = engineer.get().text
    assert "没有未对照的编码" in told and "要更正已有的对照" in told and "下载清单" not in told


def test_hospitals_are_named_where_there_may_be_several(app: Flask) -> None:
    titles = [Visitor(app, role).get().text.count(">医院<") for role in ("engineer", "operator")]
    assert titles == [0, 1]


@pytest.mark.parametrize("content", [None, b"", b"\xff\xff", "a,b\n1,2\n", "x" * 99])
def test_what_is_no_list_is_refused_in_words(
    app: Flask, content: bytes | str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codes, "LONGEST_LIST", 20)
    answer = Visitor(app, "engineer").send(content)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text


def test_a_form_that_is_not_ours_is_refused(app: Flask) -> None:
    assert Visitor(app, "engineer").send("a,b\n", csrf="other").status_code == 403
