"""Value sets by compose, and the hierarchy of codes, over real tables."""

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from hie.errors import NotValid
from hie.schema import CodeSystem
from hie.terminology import ancestors, codes_of, descendants, is_subsumed
from hie.terminology.concepts import subsumes
from hie.terminology.errors import NotKnown
from hie.terminology.feeding import feed
from hie.terminology.hierarchy import MOST_ABOVE, closure
from hie.terminology.translating import Question, translate

ANIMALS = "http://example.org/animals"
PLANTS = "http://example.org/plants"

Json = dict[str, Any]


def _concept(code: str, *below: Json, **properties: Any) -> Json:
    told = [{"code": name, "valueString": value} for name, value in properties.items()]
    return {"code": code, "display": code.title(), "concept": list(below)} | (
        {"property": told} if told else {}
    )


@pytest.fixture
def animals(session: Session) -> Session:
    """A session in which two small code systems are written."""
    tree = _concept(
        "animal",
        _concept("bird", _concept("duck", swims="yes"), _concept("sparrow", swims="no")),
        _concept("fish", _concept("carp", swims="yes")),
    )
    write(session, "CodeSystem", "animals", url=ANIMALS, version="1", content="complete", concept=[tree])
    oak = [_concept("oak"), _concept("pine")]
    write(session, "CodeSystem", "plants", url=PLANTS, content="complete", concept=oak)
    return session


def write(session: Session, type_: str, id_: str, **content: Any) -> None:
    feed(session, type_, id_, {"resourceType": type_, "status": "active", **content}, None)


def value_set(session: Session, compose: Json, name: str = "vs") -> str:
    url = f"http://example.org/{name}"
    write(session, "ValueSet", name, url=url, compose=compose)
    return url


def codes(session: Session, *include: Json, **rest: Any) -> set[str]:
    return {code for _, code in codes_of(session, value_set(session, {"include": list(include), **rest}))}


def filtered(property_: str, op: str, value: str) -> Json:
    return {"system": ANIMALS, "filter": [{"property": property_, "op": op, "value": value}]}


def test_a_code_stands_below_itself_and_all_its_ancestors(animals: Session):
    assert descendants(animals, ANIMALS, "bird") == {"bird", "duck", "sparrow"}
    assert ancestors(animals, ANIMALS, "duck") == {"duck", "bird", "animal"}
    assert is_subsumed(animals, ANIMALS, "animal", "carp")
    assert is_subsumed(animals, ANIMALS, "carp", "carp")
    assert not is_subsumed(animals, ANIMALS, "bird", "carp")


def test_an_unknown_code_stands_only_below_itself(animals: Session):
    assert descendants(animals, "http://example.org/none", "x") == {"x"}
    assert ancestors(animals, ANIMALS, "unicorn") == {"unicorn"}


def test_an_icd_code_that_no_table_lists_still_stands_below_its_category(session: Session):
    icd10 = "http://hl7.org/fhir/sid/icd-10"
    assert ancestors(session, icd10, "I10.x00x002") == {"I10.x00x002", "I10.x00", "I10.x", "I10"} | {
        "I00-I99"
    }
    assert is_subsumed(session, icd10, "A01", "A01.003")
    assert is_subsumed(session, "http://hl7.org/fhir/sid/icd-9-cm", "38.9", "38.9301")
    assert not is_subsumed(session, icd10, "I11", "I10.x00x002")


@pytest.mark.parametrize(
    ("include", "expected"),
    [
        ({"system": ANIMALS}, {"animal", "bird", "duck", "sparrow", "fish", "carp"}),
        (filtered("concept", "is-a", "bird"), {"bird", "duck", "sparrow"}),
        (filtered("concept", "descendent-of", "bird"), {"duck", "sparrow"}),
        (filtered("concept", "is-not-a", "bird"), {"animal", "fish", "carp"}),
        (filtered("concept", "generalizes", "carp"), {"animal", "fish", "carp"}),
        (filtered("swims", "=", "yes"), {"duck", "carp"}),
        (filtered("swims", "exists", "false"), {"animal", "bird", "fish"}),
        (filtered("swims", "in", "yes,no"), {"duck", "sparrow", "carp"}),
        (filtered("code", "regex", "[a-d].*"), {"animal", "bird", "duck", "carp"}),
        (filtered("code", "regex", "ar"), set()),
        (filtered("parent", "=", "fish"), {"carp"}),
        (filtered("child", "exists", "true"), {"animal", "bird", "fish"}),
        (filtered("display", "=", "Carp"), {"carp"}),
        ({"system": ANIMALS, "concept": [{"code": "duck"}, {"code": "unicorn"}]}, {"duck"}),
        ({"system": "http://example.org/none", "concept": [{"code": "unicorn"}]}, {"unicorn"}),
    ],
)
def test_a_filter_chooses_codes(animals: Session, include: Json, expected: set[str]):
    assert codes(animals, include) == expected


def test_includes_are_joined_and_excludes_taken_away(animals: Session):
    birds = filtered("concept", "is-a", "bird")
    assert codes(
        animals, birds, {"system": PLANTS}, exclude=[{"system": PLANTS, "concept": [{"code": "oak"}]}]
    ) == {
        "bird",
        "duck",
        "sparrow",
        "pine",
    }


def test_several_value_sets_of_one_include_must_all_hold_a_code(animals: Session):
    birds = value_set(animals, {"include": [filtered("concept", "is-a", "bird")]}, "birds")
    swimmers = value_set(animals, {"include": [filtered("swims", "=", "yes")]}, "swimmers")
    assert codes(animals, {"valueSet": [birds, swimmers]}) == {"duck"}
    assert codes(animals, {"valueSet": [birds]}, {"valueSet": [swimmers]}) == {
        "bird",
        "duck",
        "sparrow",
        "carp",
    }
    assert codes(animals, {"system": ANIMALS, "valueSet": [swimmers]}) == {"duck", "carp"}


def test_value_sets_that_import_each_other_are_refused(animals: Session):
    one = value_set(animals, {"include": [{"valueSet": ["http://example.org/two"]}]}, "one")
    value_set(animals, {"include": [{"valueSet": [one]}]}, "two")
    with pytest.raises(NotValid, match="circle"):
        codes_of(animals, one)


def test_what_is_not_here_is_said_to_be_unknown(animals: Session):
    with pytest.raises(NotKnown):
        codes_of(animals, "http://example.org/nothing")
    with pytest.raises(NotKnown):
        codes(animals, {"system": "http://example.org/nothing"})


@pytest.mark.parametrize("pattern", ["(a+)+", "(a*)*b", "(?=a)", r"(a)\1", "[", "a" * 300])
def test_a_pattern_without_bounds_is_refused(animals: Session, pattern: str):
    with pytest.raises(NotValid):
        codes(animals, filtered("code", "regex", pattern))


def test_a_new_version_is_the_current_one_and_the_old_can_be_named(animals: Session):
    write(
        animals,
        "CodeSystem",
        "animals",
        url=ANIMALS,
        version="2",
        content="complete",
        concept=[_concept("cat")],
    )
    assert codes(animals, {"system": ANIMALS}) == {"cat"}


def test_a_deleted_code_system_is_gone_and_the_version_before_is_current_again(animals: Session):
    newer = [_concept("cat")]
    write(animals, "CodeSystem", "animals-2", url=ANIMALS, version="2", content="complete", concept=newer)
    assert codes(animals, {"system": ANIMALS}) == {"cat"}
    assert "duck" in codes(animals, {"system": ANIMALS, "version": "1"})
    feed(animals, "CodeSystem", "animals-2", None, None)
    assert "duck" in codes(animals, {"system": ANIMALS})


def test_a_code_system_whose_codes_stand_above_themselves_is_refused(session: Session):
    def under(code: str, parent: str) -> Json:
        return {"code": code, "property": [{"code": "parent", "valueCode": parent}]}

    circle = [under("a", "b"), under("b", "a")]
    with pytest.raises(NotValid, match="above itself"):
        write(
            session,
            "CodeSystem",
            "circle",
            url="http://example.org/circle",
            content="complete",
            concept=circle,
        )


@pytest.mark.parametrize("content", ["not-present", "example", "fragment"])
def test_a_version_that_holds_less_does_not_take_the_place_of_a_whole_one(animals: Session, content: str):
    write(animals, "CodeSystem", "less", url=ANIMALS, version="3", content=content)
    assert "duck" in codes(animals, {"system": ANIMALS})


def test_a_description_written_back_takes_no_codes_away(animals: Session):
    write(
        animals, "CodeSystem", "described", url=ANIMALS, version="1", content="not-present", title="Animals"
    )
    assert "duck" in codes(animals, {"system": ANIMALS})


def test_a_hospital_defines_its_own_codes_only(animals: Session):
    stolen = {"url": ANIMALS, "version": "9", "content": "complete", "concept": [_concept("fake")]}
    feed(animals, "CodeSystem", "h01-stolen", stolen, "H01")
    assert "duck" in codes(animals, {"system": ANIMALS})
    own = {"url": "urn:hie:H01:item", "content": "complete", "concept": [_concept("K")]}
    feed(animals, "CodeSystem", "h01-own", own, "H01")
    assert codes(animals, {"system": "urn:hie:H01:item"}) == {"K"}


def test_a_hospital_takes_no_name_of_the_regions_for_its_codes(animals: Session) -> None:
    own = {"url": "urn:hie:H01:item", "content": "complete", "concept": [_concept("K")]}
    feed(animals, "CodeSystem", "h01-own", own | {"valueSet": "http://example.org/all"}, "H01")
    with pytest.raises(NotKnown):
        codes_of(animals, "http://example.org/all")
    feed(animals, "CodeSystem", "h01-own", own | {"valueSet": "urn:hie:H01:all"}, "H01")
    assert {code for _, code in codes_of(animals, "urn:hie:H01:all")} == {"K"}


def test_a_hospital_translates_its_own_codes_only(animals: Session) -> None:
    def group(source: str) -> Json:
        target = [{"code": "duck", "equivalence": "equivalent"}]
        return {"source": source, "target": ANIMALS, "element": [{"code": "x", "target": target}]}

    groups = [group(source) for source in (PLANTS, "urn:hie:H02:item", "urn:hie:H01:item")]
    feed(animals, "ConceptMap", "h01-map", {"url": "urn:hie:H01:x", "group": groups}, "H01")
    known = {one["source"]: translate(animals, Question(one["source"], "x"), None) for one in groups}
    assert {source for source, found in known.items() if found} == {"urn:hie:H01:item"}


@pytest.mark.parametrize("way", ["deleted", "replaced"])
def test_a_part_of_a_table_is_never_what_is_left(animals: Session, way: str) -> None:
    write(
        animals, "CodeSystem", "part", url=ANIMALS, version="2", content="fragment", concept=[_concept("cat")]
    )
    write(
        animals, "CodeSystem", "new", url=ANIMALS, version="3", content="complete", concept=[_concept("dog")]
    )
    assert codes(animals, {"system": ANIMALS}) == {"dog"}
    if way == "deleted":
        feed(animals, "CodeSystem", "new", None, None)
    else:
        write(animals, "CodeSystem", "other", url=ANIMALS, version="3", content="fragment", concept=[])
    assert "duck" in codes(animals, {"system": ANIMALS})


def test_maps_for_a_value_set_are_asked_for_by_its_whole_name(animals: Session) -> None:
    element = {"code": "oak", "target": [{"code": "duck", "equivalence": "equivalent"}]}
    groups = [{"source": PLANTS, "target": ANIMALS, "element": [element]}]
    write(
        animals,
        "ConceptMap",
        "m",
        url="http://example.org/m",
        sourceUri="http://example.org/vs|1",
        group=groups,
    )
    for asked, count in (("http://example.org/vs", 1), ("http://example.org/v_", 0), ("%", 0)):
        assert len(translate(animals, Question(PLANTS, "oak", source=asked), None)) == count


def test_codes_whose_case_does_not_matter_stand_where_they_stand(session: Session) -> None:
    tree = [_concept("Bird", _concept("Duck"))]
    url = "http://example.org/loud"
    write(session, "CodeSystem", "loud", url=url, content="complete", caseSensitive=False, concept=tree)
    system = session.scalars(sa.select(CodeSystem).where(CodeSystem.url == url)).one()
    assert subsumes(session, system, "BIRD", "duck") == "subsumes"
    assert subsumes(session, system, "duck", "DUCK") == "equivalent"


def test_a_row_of_parents_that_is_too_long_is_refused_before_it_is_walked() -> None:
    parents = {str(n): [str(n + 1)] for n in range(100_000)}
    walked = _Counted(parents)
    with pytest.raises(NotValid, match="too deep"):
        closure(walked)
    assert walked.asked < 5 * MOST_ABOVE


class _Counted(dict[str, list[str]]):
    """A table of parents that counts how often it is asked."""

    asked = 0

    def get(self, *given: Any) -> Any:
        self.asked += 1
        return super().get(*given)
