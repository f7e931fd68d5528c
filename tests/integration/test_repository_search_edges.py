"""Search at the edges of what the standard allows: the first and last dates, case, what is empty."""

import pytest
from sqlalchemy.orm import Session

from tests.integration.search_world import ids, keep, observation, quantity

ANA = {"family": "Carreno Quiñones", "given": ["Ana Maria"]}
PP = "http://terminology.hl7.org/CodeSystem/v2-0203"


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
        ("ap9999-12-31", {"beside", "last"}),
    ],
)
def test_the_ends_of_time_are_dates_like_others(births: Session, value: str, expected: set[str]) -> None:
    assert ids(births, "Patient", ("birthdate", value)) == expected


@pytest.fixture
def written(session: Session) -> Session:
    """What is written in one case and asked for in another."""
    passport = {
        "system": "urn:passport",
        "value": "eA1234567",
        "type": {"coding": [{"system": PP, "code": "PPN"}]},
    }
    keep(
        session,
        {
            "resourceType": "Patient",
            "id": "p",
            "identifier": [passport, {"system": "urn:id", "value": "11010519491231002X"}],
            "telecom": [
                {"system": "phone", "value": "+86 138-0013-8000"},
                {"system": "email", "value": "Wang.Wei@Example.org"},
            ],
            "generalPractitioner": [{"identifier": {"system": "urn:d", "value": "Dr7"}}],
        },
        observation("o", "718-7", valueQuantity=quantity(5, "mg"), category=[{"text": "x"}]),
        observation("k", "HGB-k", valueQuantity=quantity(5, "mg")),
        {"resourceType": "ValueSet", "id": "v", "status": "active", "url": "urn:V", "version": "2026-A"},
        {
            "resourceType": "DocumentReference",
            "id": "d",
            "status": "current",
            "content": [{"attachment": {"contentType": "text/XML; charset=UTF-8", "url": "urn:x"}}],
        },
    )
    return session


@pytest.mark.parametrize(
    ("type_", "name", "value", "expected"),
    [
        ("Patient", "identifier", "EA1234567", {"p"}),
        ("Patient", "identifier", "urn:passport|ea1234567", {"p"}),
        ("Patient", "identifier", "urn:Passport|ea1234567", set()),
        ("Patient", "identifier", "11010519491231002x", {"p"}),
        ("Patient", "identifier:of-type", f"{PP}|ppn|EA1234567", {"p"}),
        ("Patient", "general-practitioner:identifier", "urn:d|DR7", {"p"}),
        ("Patient", "email", "wang.wei@example.ORG", {"p"}),
        ("Patient", "phone", "+8613800138000", {"p"}),
        ("Patient", "phone", "+86 (138) 0013 8000", {"p"}),
        ("Patient", "telecom", " 86-138-00138000", {"p"}),
        ("Patient", "email", "wangwei@example.org", set()),
        ("Patient", "_id", "P", set()),
        ("Observation", "code", "hgb-K", {"k"}),
        ("Observation", "code:not", "hgb-K", {"o"}),
        ("Observation", "status", "FINAL", {"o", "k"}),
        ("Observation", "code-value-quantity", "HGB-K$5", {"k"}),
        ("Observation", "value-quantity", "5||MG", set()),
        ("ValueSet", "url", "urn:v", set()),
        ("ValueSet", "version", "2026-a", {"v"}),
        ("DocumentReference", "contenttype", "text/xml", set()),
        ("DocumentReference", "contenttype", "text/xml; charset=utf-8", {"d"}),
        ("DocumentReference", "contenttype:below", "text/xml", {"d"}),
        ("DocumentReference", "contenttype:below", "text/plain", set()),
    ],
)
def test_tokens_are_found_whatever_their_case_and_ids_and_addresses_as_written(
    written: Session, type_: str, name: str, value: str, expected: set[str]
) -> None:
    assert ids(written, type_, (name, value)) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        # Sixteen years back from March 2026: 1.6 years to each side.
        ("ap2010-03-01", {"2009", "2010", "2011"}),
        ("ap2010", {"2009", "2010", "2011", "2012"}),
        ("ap2026-03-01", {"2026"}),
        # Ten years ahead: one year to each side.
        ("ap2036-03-01", {"2035", "2036", "2037"}),
        ("ap0001", {"0001"}),
    ],
)
def test_a_date_is_approximate_by_a_tenth_of_the_time_that_lies_between_it_and_now(
    session: Session, value: str, expected: set[str]
) -> None:
    for year in (2008, 2009, 2010, 2011, 2012, 2025, 2026, 2034, 2035, 2036, 2037):
        keep(session, {"resourceType": "Patient", "id": str(year), "birthDate": f"{year}-03-01"})
    keep(session, {"resourceType": "Patient", "id": "0001", "birthDate": "0001-01-01"})
    assert ids(session, "Patient", ("birthdate", value)) == expected


@pytest.mark.parametrize(
    ("type_", "name", "value", "expected"),
    [
        ("Patient", "family", "quinones", {"ana"}),
        ("Patient", "family", "carreno q", {"ana"}),
        ("Patient", "given", "MARIA", {"ana"}),
        ("Patient", "name", "Maria", {"ana"}),
        ("Patient", "name", "Quiñon", {"ana"}),
        ("Patient", "family", "maria", set()),
        ("Patient", "family:exact", "Quiñones", set()),
        ("ValueSet", "url", "http://x.example/vs", {"v1", "v2"}),
        ("ValueSet", "url", "http://x.example/vs|1.0", {"v1"}),
        ("ValueSet", "url", "http://x.example/vs|3.0", set()),
        ("ValueSet", "url", "http://x.example/vs|1.0,http://x.example/vs|2.0", {"v1", "v2"}),
    ],
)
def test_the_words_of_a_name_and_the_version_of_a_canonical_address_are_found(
    session: Session, type_: str, name: str, value: str, expected: set[str]
) -> None:
    keep(session, {"resourceType": "Patient", "id": "ana", "name": [ANA]})
    for id_, version in (("v1", "1.0"), ("v2", "2.0")):
        value_set = {"resourceType": "ValueSet", "id": id_, "status": "active", "version": version}
        keep(session, value_set | {"url": "http://x.example/vs"})
    assert ids(session, type_, (name, value)) == expected
