"""A search reads its index: by a rare token all that carry it, whatever the page's size and order."""

from weakref import WeakKeyDictionary

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from hie.repository import frequency, tokens
from hie.repository.explaining import explained
from hie.repository.query import Target
from hie.repository.search import Search, search
from tests.integration.search_world import LOINC, NOW, ZONE, keep, observation


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


def statement_of(session: Session, *params: tuple[str, str]) -> str:
    how = Search(session, sa.true(), ZONE, b"k", NOW)
    told = explained(how, Target("Observation", ("Observation",)), params, strict=True)["parameter"]
    return next(str(one["valueString"]) for one in told if one["name"] == "statement")


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
    how = Search(many, sa.true(), ZONE, b"k", NOW)
    seen: list[str] = []
    asked = [("code", "4548-4"), ("_sort", order), ("_count", "2")]
    page = search(how, "Observation", asked)
    while page.cursor:
        seen += [id_ for _, id_, _ in page.matches]
        page = search(how, "Observation", [*asked, ("_cursor", page.cursor)])
    seen += [id_ for _, id_, _ in page.matches]
    assert sorted(seen) == ["r1", "r2", "r3", "r4", "r5", "rare"]
    if order == "-date":
        assert seen == ["r5", "r4", "r3", "r2", "r1", "rare"]
