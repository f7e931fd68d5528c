"""Search: names as people type them, days in Shanghai, identifiers with and without system, stable pages."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from hie.errors import HieError, NotSupported, NotValid
from hie.repository import store
from hie.repository.paging import Expired
from hie.repository.search import Page, Search, search
from hie.repository.writes import Write
from hie.schema.repository import Resource

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Shanghai")
RESIDENT = "urn:oid:2.16.156.10011.1.3"
MRN = "urn:hie:H01:mrn"
LOINC = "http://loinc.org"


def patient(id_: str, name: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": id_, "name": [name], **more}


def observation(id_: str, code: str, at: str, **more: Any) -> dict[str, Any]:
    coding = [{"system": LOINC, "code": code}]
    resource = {
        "resourceType": "Observation",
        "id": id_,
        "status": "final",
        "code": {"coding": coding},
        "subject": {"reference": "Patient/p1"},
        "effectiveDateTime": at,
    }
    return resource | more


PEOPLE = [
    patient(
        "p1",
        {"text": "张伟"},
        gender="male",
        birthDate="1980-02-03",
        identifier=[{"system": RESIDENT, "value": "11010119800203001X"}, {"system": MRN, "value": "0042"}],
        telecom=[{"system": "phone", "value": "13912345678"}],
    ),
    patient(
        "p2", {"text": "欧阳娜娜", "family": "欧阳", "given": ["娜娜"]}, gender="female", birthDate="1991"
    ),
    patient("p3", {"family": "Smith", "given": ["John", "Q"]}, gender="male", birthDate="1980-02-04"),
    patient("p4", {"text": "单小丽"}, deceasedDateTime="2025-01-01"),
    patient("p5", {"text": "阿依古丽·买买提"}, identifier=[{"system": "urn:hie:H02:mrn", "value": "0042"}]),
]


@pytest.fixture
def filled(session: Session) -> Session:
    resources = [
        *PEOPLE,
        observation("o1", "718-7", "2026-02-28T23:30:00+08:00", encounter={"reference": "Encounter/e1"}),
        observation("o2", "718-7", "2026-03-01T00:30:00+08:00"),
        observation("o3", "2160-0", "2026-03-01", status="amended"),
        observation("o4", "2160-0", "2026-02", subject={"reference": "Patient/p2"}),
        observation("o5", "718-7", "2026-01-01", subject={"reference": "Group/g"}),
        {
            "resourceType": "Condition",
            "id": "c1",
            "subject": {"reference": "Patient/p1"},
            "onsetDateTime": "2020-05-01",
            "recordedDate": "2020-05-02",
            "code": {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10", "code": "I10"}]},
        },
    ]
    store.write(session, [Write("put", r["resourceType"], r["id"], r, "H01") for r in resources], NOW)
    return session


def ask(session: Session, type_: str, *params: tuple[str, str], strict: bool = True, **how: Any) -> Page:
    now = how.get("now", NOW)
    return search(Search(session, how.get("where", sa.true()), ZONE, b"k", now), type_, params, strict=strict)


def ids(session: Session, type_: str, *params: tuple[str, str]) -> set[str]:
    return {id_ for _, id_, _ in ask(session, type_, *params).matches}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("name", "张伟", {"p1"}),
        ("name", "张 伟", {"p1"}),
        ("name", "张", {"p1"}),
        ("family", "张", {"p1"}),
        ("given", "伟", {"p1"}),
        ("name", "zhangwei", {"p1"}),
        ("name", "Zhang Wei", {"p1"}),
        ("name", "wei zhang", {"p1"}),
        ("name", "zw", {"p1"}),
        ("name", "欧阳", {"p2"}),
        ("name", "欧阳娜娜", {"p2"}),
        ("family", "ouyang", {"p2"}),
        ("name", "oynn", {"p2"}),
        ("name", "shanxl", {"p4"}),
        ("name", "sxl", {"p4"}),
        ("name", "阿依古丽买买提", {"p5"}),
        ("name", "smi", {"p3"}),
        ("family", "SMITH", {"p3"}),
        ("name", "john smith", {"p3"}),
        ("name:exact", "张伟", {"p1"}),
        ("name:exact", "张", set()),
        ("name", "张伟,欧阳", {"p1", "p2"}),
        ("gender", "female", {"p2"}),
        ("gender:not", "male", {"p2", "p4", "p5"}),
        ("phone", "13912345678", {"p1"}),
        ("telecom", "13912345678", {"p1"}),
        ("identifier", "0042", {"p1", "p5"}),
        ("identifier", f"{MRN}|0042", {"p1"}),
        ("identifier", "|0042", set()),
        ("identifier", f"{RESIDENT}|", {"p1"}),
        ("identifier", "11010119800203001X", {"p1"}),
        ("identifier", f"{MRN}|0042,urn:hie:H02:mrn|0042", {"p1", "p5"}),
        ("birthdate", "1980-02-03", {"p1"}),
        ("birthdate", "1980", {"p1", "p3"}),
        ("birthdate", "1991-05", set()),
        ("birthdate", "ge1991", {"p2"}),
        ("birthdate", "lt1980-02-04", {"p1"}),
        ("birthdate", "ap0001", set()),
        ("birthdate", "ap9998", set()),
        ("birthdate", "ap1980-02-03", {"p1", "p3"}),
        ("birthdate:missing", "true", {"p4", "p5"}),
        ("deceased", "true", {"p4"}),
        ("deceased", "false", {"p1", "p2", "p3", "p5"}),
        ("death-date", "2025", {"p4"}),
        ("_id", "p1,p2,nobody", {"p1", "p2"}),
        ("identifier:missing", "true", {"p2", "p3", "p4"}),
    ],
)
def test_a_patient_is_found_by(filled: Session, name: str, value: str, expected: set[str]) -> None:
    assert ids(filled, "Patient", (name, value)) == expected


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ([("patient", "p1")], {"o1", "o2", "o3"}),
        ([("subject", "Patient/p1")], {"o1", "o2", "o3"}),
        ([("subject", "p1")], {"o1", "o2", "o3"}),
        ([("patient", "http://elsewhere.example/fhir/Patient/p1")], {"o1", "o2", "o3"}),
        ([("patient", "p1,p2")], {"o1", "o2", "o3", "o4"}),
        ([("subject", "Group/g")], {"o5"}),
        ([("patient", "g")], set()),
        ([("patient", "p1"), ("code", "718-7")], {"o1", "o2"}),
        ([("code", f"{LOINC}|718-7")], {"o1", "o2", "o5"}),
        ([("code", "http://other.example|718-7")], set()),
        ([("code", "718-7,2160-0"), ("patient", "p1")], {"o1", "o2", "o3"}),
        ([("combo-code", "718-7")], {"o1", "o2", "o5"}),
        ([("status", "amended")], {"o3"}),
        ([("encounter", "e1")], {"o1"}),
        ([("encounter", "Encounter/e1")], {"o1"}),
        ([("date", "2026-03-01"), ("patient", "p1")], {"o2", "o3"}),
        ([("date", "2026-02-28")], {"o1"}),
        ([("date", "2026-02")], {"o1", "o4"}),
        ([("date", "ge2026-03-01")], {"o2", "o3"}),
        ([("date", "ge2026-02-28"), ("date", "lt2026-03-01")], {"o1"}),
        ([("date", "lt2026-02-01")], {"o5"}),
        ([("date", "sa2026-02-28")], {"o2", "o3"}),
        ([("date", "eb2026-02-01")], {"o5"}),
        ([("date", "2026-02-28T15:30:00Z")], {"o1"}),
        ([("patient.identifier", "11010119800203001X")], {"o1", "o2", "o3"}),
        ([("subject:Patient.name", "zhangwei")], {"o1", "o2", "o3"}),
        ([("subject:Patient.identifier", f"{MRN}|0042"), ("code", "2160-0")], {"o3"}),
        ([("patient.name", "nobody")], set()),
    ],
)
def test_an_observation_is_found_by(
    filled: Session, params: list[tuple[str, str]], expected: set[str]
) -> None:
    assert ids(filled, "Observation", *params) == expected


def test_dates_beside_the_main_one_are_found(filled: Session) -> None:
    assert ids(filled, "Condition", ("onset-date", "2020-05-01")) == {"c1"}
    assert ids(filled, "Condition", ("onset-date", "2020-05-02")) == set()
    assert ids(filled, "Condition", ("recorded-date", "2020-05-02")) == {"c1"}


def test_sorting_by_date_puts_the_newest_first(filled: Session) -> None:
    page = ask(filled, "Observation", ("patient", "p1"), ("_sort", "-date"))
    assert [id_ for _, id_, _ in page.matches] == ["o2", "o3", "o1"]
    assert [id_ for _, id_, _ in ask(filled, "Observation", ("_sort", "date"), ("_count", "2")).matches] == [
        "o5",
        "o4",
    ]


def test_there_is_a_total_only_when_asked_for(filled: Session) -> None:
    assert ask(filled, "Observation", ("patient", "p1")).total is None
    assert ask(filled, "Observation", ("patient", "p1"), ("_total", "accurate"), ("_count", "1")).total == 3
    counted = ask(filled, "Observation", ("patient", "p1"), ("_summary", "count"))
    assert (counted.total, counted.matches) == (3, [])


def test_what_the_policy_hides_is_not_counted_chained_or_shown(filled: Session) -> None:
    hidden = Resource.compartment != "p1"
    assert ask(filled, "Observation", ("_summary", "count"), where=hidden).total == 2
    assert ask(filled, "Observation", ("patient", "p1"), where=hidden).matches == []
    assert ask(filled, "Observation", ("patient.name", "张"), where=hidden).matches == []


def test_an_unknown_parameter_is_refused_or_remarked_on_never_ignored(filled: Session) -> None:
    with pytest.raises(NotSupported):
        ask(filled, "Patient", ("fmaily", "张"))
    page = ask(filled, "Patient", ("fmaily", "张"), ("family", "张"), strict=False)
    assert len(page.matches) == 1
    assert page.remarks
    assert page.used == [("family", "张")]


@pytest.mark.parametrize("sort", ["-_lastUpdated", "-date", "date", "_id", "-_id", "_lastUpdated"])
def test_every_resource_appears_exactly_once_while_others_are_written(session: Session, sort: str) -> None:
    first = [observation(f"a{n:03d}", "1", f"2026-01-{n % 28 + 1:02d}") for n in range(70)]
    first += [observation(f"b{n}", "1", "2026-01-05") | {"effectiveDateTime": None} for n in range(5)]
    for resource in first:
        if resource.get("effectiveDateTime") is None:
            resource.pop("effectiveDateTime", None)
    store.write(session, [Write("put", "Observation", r["id"], r) for r in first], NOW)
    seen: list[str] = []
    cursor: list[tuple[str, str]] = []
    for number in range(20):
        page = ask(session, "Observation", ("code", "1"), ("_sort", sort), ("_count", "10"), *cursor)
        seen += [id_ for _, id_, _ in page.matches]
        later = observation(f"later{number}", "1", "2026-01-09")
        now = NOW + timedelta(minutes=number + 1)
        store.write(session, [Write("put", "Observation", later["id"], later)], now)
        if page.cursor is None:
            break
        cursor = [("_cursor", page.cursor)]
    old = [id_ for id_ in seen if not id_.startswith("later")]
    assert sorted(old) == sorted(r["id"] for r in first)
    assert len(set(seen)) == len(seen)


def test_what_is_about_a_date_is_the_same_on_every_page(session: Session) -> None:
    about = "2026-01-30T08:05:00Z"  # thirty days before the second page, less before the first
    found = [observation(id_, "1", about) for id_ in ("a", "b")]
    found.append(observation("far", "1", "2026-02-02T07:00:00Z"))
    store.write(session, [Write("put", "Observation", r["id"], r) for r in found], NOW)
    asked = [("date", f"ap{about}"), ("_sort", "date"), ("_count", "1")]
    page = ask(session, "Observation", *asked)
    later = ask(
        session, "Observation", *asked, ("_cursor", page.cursor or ""), now=NOW + timedelta(minutes=10)
    )
    assert [id_ for _, id_, _ in (*page.matches, *later.matches)] == ["a", "b"]
    assert later.cursor is None, "what page one left out comes on no later page"


def test_a_page_link_expires_and_belongs_to_its_search(filled: Session) -> None:
    page = ask(filled, "Observation", ("patient", "p1"), ("_count", "1"))
    assert page.cursor is not None
    with pytest.raises(Expired):
        ask(
            filled,
            "Observation",
            ("patient", "p1"),
            ("_count", "1"),
            ("_cursor", page.cursor),
            now=NOW + timedelta(minutes=16),
        )
    with pytest.raises(NotValid):
        ask(filled, "Observation", ("patient", "p2"), ("_count", "1"), ("_cursor", page.cursor))


HOSTILE = [
    "'; DROP TABLE resource; --",
    "\\",
    "\\,\\,",
    "|",
    "||",
    ",",
    "",
    "\x00",
    "%",
    "_" * 40,
    "(((((",
    "9" * 400,
    "ge",
    "1e400",
    "2026-99-99",
    "x" * 5000,
    ",".join(map(str, range(3000))),
    "\ud800",
    "${jndi:ldap://x}",
]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda v: ascii(v)[:20])
@pytest.mark.parametrize(
    "name",
    [
        *("identifier", "name", "birthdate", "gender", "general-practitioner", "organization:identifier"),
        *("_id", "_lastUpdated", "_profile", "identifier:missing"),
        *("_count", "_sort", "_cursor", "_include", "_summary", "_total"),
    ],
)
def test_hostile_values_are_answered_or_refused_never_a_failure(
    session: Session, name: str, value: str
) -> None:
    try:
        ask(session, "Patient", (name, value), strict=False)
    except HieError as refused:
        assert refused.http < 500
        assert value not in refused.text or len(value) < 3
