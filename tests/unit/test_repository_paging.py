"""Page links are sealed, bound to their query, and expire."""

import base64
from datetime import UTC, datetime, timedelta

import pytest

from hie.errors import NotValid
from hie.repository import paging

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
SECRET = b"secret of the test"


def test_a_link_leads_on_for_a_quarter_of_an_hour_and_no_longer() -> None:
    cursor = paging.make_cursor(SECRET, "query", NOW, ["2026-01-01", "a"])
    assert paging.read_cursor(SECRET, "query", NOW + timedelta(minutes=14), cursor) == ["2026-01-01", "a"]
    with pytest.raises(paging.Expired) as refused:
        paging.read_cursor(SECRET, "query", NOW + timedelta(minutes=15), cursor)
    assert refused.value.http == 410


def test_a_link_shows_nothing_of_whom_it_leads_past() -> None:
    cursor = paging.make_cursor(SECRET, "query", NOW, ["ouyang", "a"])
    assert b"ouyang" not in base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))


@pytest.mark.parametrize("cursor", ["", "x", "????", "AAAA", "é", "A" * 5000])
def test_an_altered_link_is_refused(cursor: str) -> None:
    with pytest.raises(NotValid):
        paging.read_cursor(SECRET, "query", NOW, cursor)


@pytest.mark.parametrize("last", [[], [1], ["x"], ["20260101"], [None]])
def test_what_is_no_link_of_a_search_has_no_instant(last: list[object]) -> None:
    assert paging.began_at(SECRET, paging.make_cursor(SECRET, "query", NOW, last)) is None
    assert paging.began_at(SECRET, "x") is None
    assert paging.began_at(SECRET, paging.make_cursor(SECRET, "query", NOW, [NOW.isoformat()])) == NOW


def test_a_link_of_another_search_is_refused() -> None:
    cursor = paging.make_cursor(SECRET, "query", NOW, [1])
    with pytest.raises(NotValid):
        paging.read_cursor(SECRET, "other", NOW, cursor)
