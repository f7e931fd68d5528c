"""Hospitals' own codes: gathered from what was stored, listed while no map has them, mapped from a CSV."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from hie.repository.store import write
from hie.repository.writes import Write
from hie.schema import ConceptMap
from hie.terminology.kinds import KINDS
from hie.terminology.loading import load_base
from hie.terminology.local_codes import gather, map_answers, unmapped, work_list
from hie.terminology.reading import NotLoaded
from hie.terminology.storing import Pair, put_map
from hie.terminology.translating import Question, translate

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
LATER = datetime(2026, 3, 2, 9, tzinfo=UTC)
ITEM, LOINC = "urn:hie:H01:item", "http://loinc.org"

Json = dict[str, Any]


@pytest.fixture
def engine_of_one(fresh_database_url: str) -> Iterator[sa.Engine]:
    """An engine on a database of this test alone."""
    made = sa.create_engine(fresh_database_url, hide_parameters=True)
    yield made
    made.dispose()


def observation(id_: str, *codings: Json, **more: Any) -> Write:
    content = {"resourceType": "Observation", "id": id_, "status": "final", "code": {"coding": list(codings)}}
    return Write("put", "Observation", id_, content | more, "H01")


def coding(code: str, system: str = ITEM, display: str = "钾") -> Json:
    return {"system": system, "code": code, "display": display}


def store(engine: sa.Engine, *writes: Write, now: datetime = NOW) -> None:
    with Session(engine) as session, session.begin():
        write(session, writes, now)


def listed(engine: sa.Engine, facility: str | None = None) -> list[tuple[str, int]]:
    with Session(engine) as session, session.begin():
        gather(session)
        return [(one.code, one.count) for one in unmapped(session, facility)]


def answers(*rows: str) -> bytes:
    return "\n".join(["facility,system,code,target_system,target_code,equivalence", *rows]).encode()


def test_local_codes_are_counted_once_each_and_the_most_frequent_comes_first(engine_of_one: sa.Engine):
    store(
        engine_of_one,
        observation("a", coding("K")),
        observation("b", coding("K")),
        observation("c", coding("NA")),
    )
    assert listed(engine_of_one) == [("K", 2), ("NA", 1)]
    assert listed(engine_of_one) == [("K", 2), ("NA", 1)]
    store(engine_of_one, observation("d", coding("NA")), observation("e", coding("NA")), now=LATER)
    assert listed(engine_of_one) == [("NA", 3), ("K", 2)]
    assert listed(engine_of_one, "H02") == []


def test_the_list_says_when_and_where_a_code_was_seen(engine_of_one: sa.Engine):
    store(engine_of_one, observation("a", coding("K")))
    store(engine_of_one, observation("b", coding("K", display="血钾")), now=LATER)
    with Session(engine_of_one) as session, session.begin():
        assert gather(session) == 2
        (row,) = csv.DictReader(io.StringIO(work_list(unmapped(session))))
    assert (row["facility"], row["system"], row["display"]) == ("H01", ITEM, "血钾")
    assert (row["first_seen"], row["last_seen"]) == (NOW.isoformat(), LATER.isoformat())
    assert (row["example_type"], row["count"]) == ("Observation", "2")


def test_what_commits_late_is_counted_the_next_time(engine_of_one: sa.Engine):
    with Session(engine_of_one) as slow:
        write(slow, [observation("slow", coding("SLOW"))], NOW)
        store(engine_of_one, observation("quick", coding("QUICK")), now=LATER)
        assert ("SLOW", 1) not in listed(engine_of_one)
        slow.commit()
    assert sorted(listed(engine_of_one)) == [("QUICK", 1), ("SLOW", 1)]


def test_a_code_that_the_hospital_translated_itself_is_not_on_the_list(engine_of_one: sa.Engine):
    store(
        engine_of_one, observation("a", coding("K"), coding("2823-3", LOINC)), observation("b", coding("X"))
    )
    assert listed(engine_of_one) == [("X", 1)]


def test_identifiers_units_and_the_regions_own_codes_are_not_on_the_list(engine_of_one: sa.Engine):
    other = observation(
        "a",
        coding("2823-3", LOINC),
        identifier=[{"system": "urn:hie:H01:order", "value": "1"}],
        valueQuantity={"value": 1, "system": "urn:hie:H01:unit", "code": "g"},
        category=[{"coding": [{"system": "urn:hie:charge-category", "code": "lab"}]}],
        method={"coding": [{"system": "urn:hie:region:method", "code": "m"}]},
    )
    store(engine_of_one, other)
    assert listed(engine_of_one) == []


def test_a_filled_list_maps_the_codes_in_both_directions(engine_of_one: sa.Engine):
    store(
        engine_of_one,
        observation("a", coding("K")),
        observation("b", coding("OLD")),
        observation("c", coding("Z")),
    )
    assert len(listed(engine_of_one)) == 3
    with Session(engine_of_one) as session, session.begin():
        filled = answers(f"H01,{ITEM},K,{LOINC},2823-3,", f"H01,{ITEM},OLD,,,unmatched", f"H01,{ITEM},Z,,,")
        assert map_answers(session, filled) == {"H01": 2}
    assert listed(engine_of_one) == [("Z", 1)]
    with Session(engine_of_one) as session:
        (there,) = translate(session, Question(ITEM, "K"), None)
        assert (there.system, there.code, there.equivalence) == (LOINC, "2823-3", "equivalent")
        (back,) = translate(session, Question(LOINC, "2823-3", is_reverse=True), None)
        assert (back.system, back.code) == (ITEM, "K")
        (nothing,) = translate(session, Question(ITEM, "OLD"), None)
        assert not nothing.is_match


def test_a_code_that_looks_like_a_formula_is_text_in_the_list_and_comes_back_as_it_was(
    engine_of_one: sa.Engine,
) -> None:
    for number, code in enumerate(("+", "=1+1", "'=x", "K")):
        store(engine_of_one, observation(str(number), coding(code, display="=HYPERLINK(1)")))
    with Session(engine_of_one) as session, session.begin():
        gather(session)
        rows = list(csv.DictReader(io.StringIO(work_list(unmapped(session)))))
        assert {row["code"] for row in rows} == {"'+", "'=1+1", "''=x", "K"}
        assert {row["display"] for row in rows} == {"'=HYPERLINK(1)"}
        lines = [f"H01,{ITEM},{row['code']},{LOINC},2823-3," for row in rows]
        assert map_answers(session, answers(*lines)) == {"H01": 4}
        assert unmapped(session) == []


def test_another_hospitals_map_takes_no_code_off_the_list(engine_of_one: sa.Engine) -> None:
    store(engine_of_one, observation("a", coding("K")))
    with Session(engine_of_one) as session, session.begin():
        pair = Pair(ITEM, "K", None, LOINC, "2823-3", None)
        put_map(session, ConceptMap(url="urn:hie:H02:x", version="", name="x", facility="H02"), [pair])
    assert listed(engine_of_one) == [("K", 1)]


def test_a_second_list_adds_to_the_map_and_corrects_it(engine_of_one: sa.Engine):
    with Session(engine_of_one) as session, session.begin():
        map_answers(session, answers(f"H01,{ITEM},K,{LOINC},1-1,", f"H01,{ITEM},NA,{LOINC},2951-2,"))
        map_answers(session, answers(f"H01,{ITEM},K,{LOINC},2823-3,wider"))
        found = {code: translate(session, Question(ITEM, code), None) for code in ("K", "NA")}
    assert [(one.code, one.equivalence) for one in found["K"]] == [("2823-3", "wider")]
    assert [one.code for one in found["NA"]] == ["2951-2"]


def test_each_wrong_answer_is_named_and_nothing_is_kept(engine_of_one: sa.Engine):
    raw = answers(
        f"H01,{ITEM},K,{LOINC},2823-3,",
        f"H02,{ITEM},K,{LOINC},2823-3,",
        f"H01,{ITEM},,{LOINC},2823-3,",
        f"H01,{ITEM},A,{LOINC},2823-3,same",
        f"H01,{ITEM},B,,2823-3,",
    )
    with Session(engine_of_one) as session, session.begin():
        with pytest.raises(NotLoaded) as error:
            map_answers(session, raw)
        assert [issue.path for issue in error.value.issues] == ["line 3", "line 4", "line 5", "line 6"]
        assert translate(session, Question(ITEM, "K"), None) == []


def test_a_target_that_its_table_does_not_hold_is_named(engine_of_one: sa.Engine):
    sex = KINDS["gb2261.1"].url
    with Session(engine_of_one) as session, session.begin():
        load_base(session)
        with pytest.raises(NotLoaded) as error:
            map_answers(
                session, answers(f"H01,urn:hie:H01:sex,M,{sex},1,", f"H01,urn:hie:H01:sex,X,{sex},7,")
            )
        assert [issue.path for issue in error.value.issues] == ["line 3"]


def test_a_list_may_name_more_targets_than_a_statement_takes_parameters(engine_of_one: sa.Engine):
    sex = KINDS["gb2261.1"].url
    lines = [f"H01,urn:hie:H01:a,{number},{sex},{number}," for number in range(40_000)]
    with Session(engine_of_one) as session, session.begin():
        load_base(session)
        with pytest.raises(NotLoaded) as error:
            map_answers(session, answers(*lines))
        # The table holds 0, 1, 2 and 9.
        assert [issue.path for issue in error.value.issues][:3] == ["line 5", "line 6", "line 7"]
        with pytest.raises(NotLoaded, match="50,000 lines"):
            map_answers(session, answers(*lines, *lines))


def test_reading_in_parts_counts_each_version_once(engine_of_one: sa.Engine):
    for number in range(5):
        store(engine_of_one, observation(f"o{number}", coding("K")), observation(f"p{number}", coding("K")))
    read = []
    for _ in range(6):
        with Session(engine_of_one) as session, session.begin():
            read.append(gather(session, 3))
    # A transaction is read whole: two at a time make four.
    assert read == [4, 4, 2, 0, 0, 0]
    assert listed(engine_of_one) == [("K", 10)]
