"""A search reads its index: by a rare token all that carry it, whatever the page's size and order."""

from dataclasses import replace
from weakref import WeakKeyDictionary

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from hie.repository import chains, frequency, tokens
from hie.repository import search as search_module
from hie.repository.explaining import Explain, explained
from hie.repository.ordering import sort_keys
from hie.repository.query import Target
from hie.repository.search import Search, TooCostly, search, statement
from hie.schema.repository import Resource
from tests.integration.search_world import LOINC, NOW, ZONE, ids, keep, observation


@pytest.fixture
def many(session: Session, monkeypatch: pytest.MonkeyPatch) -> Session:
    """Three hundred results of one kind and one of another, counted by PostgreSQL."""
    keep(session, *(observation(f"o{n}", "718-7", encounter=at(n)) for n in range(300)))
    keep(session, observation("rare", "4548-4"))
    session.execute(sa.text("ANALYZE resource"))
    monkeypatch.setattr(frequency, "_known", WeakKeyDictionary())
    return session


def at(number: int) -> dict[str, str]:
    return {"reference": f"Encounter/e{number}"}


def told(session: Session, what: str, type_: str, *params: tuple[str, str]) -> str:
    how = Search(session, sa.true(), ZONE, b"k", NOW)
    parts = explained(how, Target(type_, (type_,)), params, strict=True)["parameter"]
    return next(str(one["valueString"]) for one in parts if one["name"] == what)


def statement_of(session: Session, *params: tuple[str, str]) -> str:
    return told(session, "statement", "Observation", *params)


def test_what_many_carry_is_known_from_the_statistics(many: Session) -> None:
    frequent = frequency.frequent_tokens(many)
    assert tokens.by_code("Observation.status", "final") in frequent
    assert tokens.by_system_and_code("Observation.code", LOINC, "718-7") in frequent
    assert tokens.by_code("Observation.code", "4548-4") not in frequent


@pytest.mark.parametrize("order", [(), (("_sort", "-date"),), (("_sort", "_lastUpdated"),)])
@pytest.mark.parametrize(
    ("params", "is_apart"),
    [
        ([("code", "4548-4")], True),
        ([("code", f"{LOINC}|4548-4"), ("status", "final")], True),
        ([("encounter", "e7")], True),
        ([("subject", "p1")], True),
        ([("status", "final")], False),
        ([("code", "718-7,4548-4")], False),
        ([("code:not", "4548-4")], False),
        ([("code", ",".join(f"x{n}" for n in range(100)))], False),
        ([], False),
    ],
)
def test_what_few_carry_is_read_whole_and_sorted_not_looked_for_in_the_order_of_the_type(
    many: Session, params: list[tuple[str, str]], is_apart: bool, order: tuple[tuple[str, str], ...]
) -> None:
    assert ("+ interval '0'" in statement_of(many, *params, ("_count", "1"), *order)) == is_apart


def test_without_statistics_the_database_decides(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frequency, "STATISTICS", sa.text("SELECT 1 WHERE :share > 1"))
    monkeypatch.setattr(frequency, "_known", WeakKeyDictionary())
    assert "interval" not in statement_of(session, ("code", "4548-4"))


@pytest.mark.parametrize("order", ["-date", "date", "_lastUpdated", "-_lastUpdated"])
def test_pages_of_what_few_carry_follow_each_other(many: Session, order: str) -> None:
    keep(many, *(observation(f"r{n}", "4548-4", effectiveDateTime=f"2026-01-0{n}") for n in range(1, 6)))
    seen = pages(many, ("code", "4548-4"), ("_sort", order), ("_count", "2"))
    assert sorted(seen) == ["r1", "r2", "r3", "r4", "r5", "rare"]
    if order == "-date":
        assert seen == ["r5", "r4", "r3", "r2", "r1", "rare"]


def pages(session: Session, *asked: tuple[str, str]) -> list[str]:
    """Return the ids of all pages in their order."""
    how = Search(session, sa.true(), ZONE, b"k", NOW)
    seen: list[str] = []
    page = search(how, "Observation", asked, strict=True)
    while page.cursor:
        seen += [id_ for _, id_, _ in page.matches]
        page = search(how, "Observation", [*asked, ("_cursor", page.cursor)], strict=True)
    return seen + [id_ for _, id_, _ in page.matches]


@pytest.mark.parametrize("count", ["1", "2", "3", "50"])
@pytest.mark.parametrize("asked", [(), (("status", "final"),)])
def test_the_oldest_come_first_and_what_has_no_date_last_on_any_size_of_page(
    session: Session, count: str, asked: tuple[tuple[str, str], ...]
) -> None:
    for n, day in enumerate(("2026-01-03", "2026-01-01", "2026-01-02", "2026-01-02", "9999-12-31")):
        keep(session, observation(f"d{n}", "718-7", effectiveDateTime=day))
    keep(session, observation("none1", "718-7"), observation("none0", "718-7"))
    expected = ["d1", "d2", "d3", "d0", "d4", "none0", "none1"]
    assert pages(session, *asked, ("_sort", "date"), ("_count", count)) == expected


def test_the_oldest_of_a_type_are_read_in_the_order_of_its_index(many: Session) -> None:
    """Read to the end and sorted it would be, were the order not that of the index read backwards."""
    many.execute(sa.text("SET LOCAL enable_seqscan = off"))
    many.execute(sa.text("SET LOCAL enable_bitmapscan = off"))
    key = replace(sort_keys(("Observation",), ())[0], column=Resource.date_low, descending=False)
    page = statement(
        [Resource.type == "Observation", ~Resource.deleted, Resource.date_low.isnot(None)],
        [replace(key, is_backwards=True)],
        3,
    )
    plan = "\n".join(many.execute(Explain(page)).scalars())
    assert "Backward using ix_resource_type_date" in plan
    assert "Sort" not in plan


@pytest.mark.parametrize("order", ["code", "-value-quantity", "subject", "value-date", "_lastUpdated,code"])
def test_what_would_be_read_to_be_sorted_is_limited(
    many: Session, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    assert len(pages(many, ("_sort", order), ("_count", "1000"))) == 301
    monkeypatch.setattr(search_module, "MOST_READ", 300)
    with pytest.raises(TooCostly, match="sorted only by _lastUpdated"):
        pages(many, ("_sort", order))
    assert pages(many, ("code", "4548-4"), ("_sort", order)) == ["rare"]
    assert len(pages(many, ("_sort", "_lastUpdated"), ("_count", "1000"))) == 301


@pytest.mark.parametrize(
    ("type_", "name", "value"),
    [
        ("Patient", "_has:Observation:patient:code", "718-7"),
        ("Patient", "_has:Observation:performer:code", "718-7"),
        ("Observation", "patient.gender", "male"),
        ("Observation", "performer:Patient.gender", "male"),
    ],
)
def test_very_many_that_a_hop_finds_are_hashed_once_not_looked_for_anew_for_each_resource(
    many: Session, monkeypatch: pytest.MonkeyPatch, type_: str, name: str, value: str
) -> None:
    keep(many, {"resourceType": "Patient", "id": "p1", "gender": "male"})
    monkeypatch.setattr(chains, "FEW", 0)
    assert "hashed SubPlan" in told(many, "plan", type_, (name, value), ("_count", "1"))
    expected = 0 if "performer" in name else 1 if type_ == "Patient" else 301
    assert len(ids(many, type_, (name, value), ("_count", "1000"))) == expected
