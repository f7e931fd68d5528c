"""A date is the range of instants it covers, a day without an offset a day in Shanghai."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from hie.repository.dates import EARLIEST, LATEST, span, span_of

ZONE = ZoneInfo("Asia/Shanghai")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "begin", "end"),
    [
        ("2024", "2023-12-31T16:00", "2024-12-31T16:00"),
        ("2024-02", "2024-01-31T16:00", "2024-02-29T16:00"),
        ("2024-12", "2024-11-30T16:00", "2024-12-31T16:00"),
        ("2024-02-29", "2024-02-28T16:00", "2024-02-29T16:00"),
        ("2024-02-29T10:00", "2024-02-29T02:00", "2024-02-29T02:01"),
        ("2024-02-29T10:00:05+08:00", "2024-02-29T02:00:05", "2024-02-29T02:00:06"),
        ("2024-02-29T10:00:05Z", "2024-02-29T10:00:05", "2024-02-29T10:00:06"),
    ],
)
def test_a_partial_date_covers_all_of_it(text: str, begin: str, end: str) -> None:
    assert span(text, ZONE) == (at(begin), at(end))


@pytest.mark.parametrize(
    "text", ["9999", "9999-12", "9999-12-31", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999-08:00"]
)
def test_the_last_year_is_the_last_day_there_is_and_ends_as_what_is_open(text: str) -> None:
    assert span(text, ZONE) == (LATEST - timedelta(days=1), LATEST)


def test_the_year_before_the_last_ends_where_the_last_day_there_is_has_not_begun() -> None:
    assert span("9998-12-31", ZONE) == (at("9998-12-30T16:00"), at("9998-12-31T16:00"))


def test_the_first_date_there_is_has_no_date_before_it() -> None:
    for text in ("0001-01-01T00:00:00+08:00", "0001-01-01T00:00:00.000+08:00"):
        found = span(text, ZONE)
        assert found == (EARLIEST, EARLIEST + timedelta(days=1))


def test_a_fraction_of_a_second_has_any_number_of_digits() -> None:
    assert span("2024-02-29T10:00:05.5000000000001Z", ZONE) == span("2024-02-29T10:00:05.5Z", ZONE)


@pytest.mark.parametrize(
    "text", ["", "9999-13", "yesterday", "2024-13", "2024-02-30", "24-01-01", "2024-02-29T25:00", "٢٠٢٤"]
)
def test_what_is_no_date_is_none(text: str) -> None:
    assert span(text, ZONE) is None


def test_a_period_without_end_lasts() -> None:
    found = span_of({"start": "2024-01-01"}, ZONE)
    assert found is not None
    assert found[1].year == 9999


def test_a_timing_covers_its_outer_limits() -> None:
    timing = {"event": ["2024-01-05", "2024-01-01"]}
    assert span_of(timing, ZONE) == (at("2023-12-31T16:00"), at("2024-01-05T16:00"))
