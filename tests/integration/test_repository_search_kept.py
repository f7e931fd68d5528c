"""Statements of first pages are kept by their shape, and only those that stay small."""

from dataclasses import replace

import pytest
from sqlalchemy.orm import Session

from hie.repository.search import Search, _first_page, search
from tests.integration.search_world import EVERYBODY, NOW, ZONE, keep, observation


@pytest.fixture
def how(session: Session) -> Search:
    keep(session, observation("a", "718-7"), observation("b", "4548-4"))
    return Search(session, EVERYBODY, ZONE, b"k", NOW, is_kept=True)


def test_a_search_for_other_values_takes_the_statement_that_is_kept(how: Search) -> None:
    assert [id_ for _, id_, _ in search(how, "Observation", [("code", "718-7")]).matches] == ["a"]
    before = _first_page.cache_info()
    assert [id_ for _, id_, _ in search(how, "Observation", [("code", "4548-4")]).matches] == ["b"]
    after = _first_page.cache_info()
    assert (after.hits, after.misses) == (before.hits + 1, before.misses)


def test_a_statement_of_very_many_alternatives_is_not_kept(how: Search) -> None:
    before = _first_page.cache_info()
    dates = ",".join(f"{prefix}{year}" for year in range(1990, 1998) for prefix in ("lt", "ge", "ne"))
    assert len(search(how, "Observation", [("date", dates)]).matches) == 0
    assert _first_page.cache_info() == before


def test_where_the_policy_makes_its_condition_anew_nothing_is_kept(how: Search) -> None:
    before = _first_page.cache_info()
    search(replace(how, is_kept=False), "Observation", [("code", "718-7")])
    assert _first_page.cache_info() == before
