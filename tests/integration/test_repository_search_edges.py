"""Search at the edges of what the standard allows: the first and last dates, case, what is empty."""

import pytest
from sqlalchemy.orm import Session

from tests.integration.search_world import ids, keep


@pytest.fixture
def births(session: Session) -> Session:
    """Patients of the first and the last year there are, and of the year beside each."""
    for id_, birth in {
        "first": "0001-01-01", "second": "0002-01-01", "now": "1990-05-01",
        "beside": "9998-12-31", "last": "9999-12-31",
    }.items():  # fmt: skip
        keep(session, {"resourceType": "Patient", "id": id_, "birthDate": birth})
    return session


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("9999-12-31", {"last"}),
        ("9999", {"last"}),
        ("9999-12-31T23:59:59.999-12:00", {"last"}),
        ("ge9999-12-31", {"last"}),
        ("gt9999-12-31", set()),
        ("gt9998-12-31", {"last"}),
        ("le9999-12-31", {"first", "second", "now", "beside", "last"}),
        ("lt9999-12-31", {"first", "second", "now", "beside"}),
        ("ne9999-12-31", {"first", "second", "now", "beside"}),
        ("sa9998-12-31", {"last"}),
        ("eb9999-12-31", {"first", "second", "now", "beside"}),
        ("9998-12-31", {"beside"}),
        ("0001-01-01", {"first"}),
        ("0001", {"first"}),
        ("le0001-01-01", {"first"}),
        ("lt0001-01-01", set()),
        ("0002", {"second"}),
        ("gt0001", {"second", "now", "beside", "last"}),
        ("ap9999-12-31", {"last"}),
    ],
)
def test_the_ends_of_time_are_dates_like_others(births: Session, value: str, expected: set[str]) -> None:
    assert ids(births, "Patient", ("birthdate", value)) == expected
