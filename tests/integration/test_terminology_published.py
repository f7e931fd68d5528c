"""R4's own code systems and value sets are known out of the box, and give way to what a region brings."""

from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hie.schema import CodeSystem, Concept, ValueSet
from hie.terminology import codes_of, concepts
from hie.terminology.feeding import feed
from hie.terminology.loading import load_base
from hie.terminology.published import load_published
from hie.terminology.versions import named

GENDER = "http://hl7.org/fhir/administrative-gender"


@pytest.fixture
def loaded(session: Session) -> Session:
    load_published(session)
    return session


def test_what_r4_publishes_is_put_in_once(session: Session) -> None:
    load_base(session)
    first = load_published(session)
    assert (first.fate, first.version) == ("loaded", "4.0.1")
    assert first.concepts > 15_000
    counts = [
        session.scalar(select(func.count()).select_from(table)) or 0 for table in (CodeSystem, ValueSet)
    ]
    assert counts[0] > 1000 and counts[1] > 1200
    again = load_published(session)
    assert (again.fate, again.concepts) == ("unchanged", 0)
    assert session.scalar(select(func.count()).select_from(CodeSystem)) == counts[0]
    short = select(CodeSystem.url).where(
        CodeSystem.concepts
        != select(func.count()).where(Concept.system_id == CodeSystem.id).scalar_subquery()
    )
    assert list(session.scalars(short)) == []


def test_the_value_sets_that_the_validation_is_made_of_are_found(loaded: Session) -> None:
    system = named(loaded, CodeSystem, GENDER)
    assert system is not None and system.is_case_sensitive
    found = concepts.find(loaded, system, "male")
    assert found is not None and (found.display, found.display_en) == ("Male", "Male")
    for url, code in (
        ("http://hl7.org/fhir/ValueSet/administrative-gender", "unknown"),
        ("http://hl7.org/fhir/ValueSet/observation-status|4.0.1", "final"),
        ("http://terminology.hl7.org/ValueSet/v3-ActEncounterCode", "IMP"),
    ):
        assert code in {one for _, one in codes_of(loaded, url)}


def test_a_code_stands_below_another_as_published(loaded: Session) -> None:
    system = named(loaded, CodeSystem, "http://terminology.hl7.org/CodeSystem/v3-ActCode")
    assert system is not None
    assert concepts.subsumes(loaded, system, "_ActEncounterCode", "IMP") == concepts.SUBSUMES


def test_what_a_region_brought_is_not_replaced_and_may_replace(session: Session) -> None:
    own: dict[str, Any] = {"resourceType": "CodeSystem", "url": GENDER, "version": "own", "status": "active"}
    own |= {"content": "complete", "concept": [{"code": "male", "display": "男"}]}
    feed(session, "CodeSystem", "own", own, None)
    load_published(session)
    system = named(session, CodeSystem, GENDER)
    assert system is not None and (system.version, system.concepts) == ("own", 1)
    status = {"resourceType": "ValueSet", "url": "http://hl7.org/fhir/ValueSet/observation-status"}
    newer = status | {"version": "9", "status": "active", "compose": {"include": [{"system": GENDER}]}}
    feed(session, "ValueSet", "newer", newer, None)
    assert {code for _, code in codes_of(session, status["url"])} == {"male"}
    feed(session, "ValueSet", "newer", None, None)
    assert "final" in {code for _, code in codes_of(session, status["url"])}
