"""Patient/$match: who this is, graded; what a hospital sees of people it has no relation with."""

from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from esb.fhir.validation import check_resource
from hie.repository.search import search
from hie.schema.mpi import Identity
from hie.services import matching
from tests.hub_world import RESIDENT, Caller, Json
from tests.operations_world import entries, made, parameters, text_of

GRADE = "http://hl7.org/fhir/StructureDefinition/match-grade"
NUMBER = "110101198002030013"


@pytest.fixture(scope="module")
def people(app: Flask, h01: Caller, h02: Caller) -> None:
    """One person at two hospitals, somebody of the same name, somebody restricted, all known to H02."""
    wanted = who(number=NUMBER, gender="female", telecom=[{"system": "phone", "value": "13911112222"}])
    made(h01, wanted | {"id": "m-one"})
    made(h02, wanted | {"id": "m-two"})
    made(h02, who(born="1955-07-09") | {"id": "m-namesake"})
    made(h02, who("欧阳静怡", born="1991-04-05") | {"id": "m-hidden"})
    with Session(app.extensions["hie"].engine) as session, session.begin():
        session.execute(sa.update(Identity).where(Identity.id == "m-hidden").values(restricted=True))


def who(name: str = "诸葛晓伟", born: str = "1980-02-03", number: str | None = None, **more: object) -> Json:
    asked: Json = {"resourceType": "Patient", "name": [{"text": name}], "birthDate": born} | more
    if number:
        asked["identifier"] = [{"system": RESIDENT, "value": number}]
    return asked


def matched(call: Caller, asked: Json, *more: tuple[str, str, object]) -> dict[str, tuple[str, float]]:
    answer = call("POST", "/Patient/$match", parameters(("resource", "resource", asked), *more))
    check_resource(answer.get_json())
    found = {}
    for entry in entries(answer):
        grade = next(e["valueCode"] for e in entry["search"]["extension"] if e["url"] == GRADE)
        found[entry["resource"]["id"]] = (grade, entry["search"]["score"])
    return found


@pytest.mark.usefixtures("people")
def test_a_person_is_found_at_all_hospitals_by_number_and_name(call: Caller) -> None:
    found = matched(call, who(number=NUMBER))
    assert {id_: grade for id_, (grade, _) in found.items() if grade == "certain"} == {
        "m-one": "certain",
        "m-two": "certain",
    }
    assert found["m-one"][1] == found["m-two"][1] > 0.9


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(
    ("asked", "grade"),
    [
        (who(), "probable"),
        (who("诸葛小卫"), "probable"),
        (who("zhuge xiaowei"), "probable"),
        (who(born="1980-03-02"), "probable"),
        (who("诸葛小卫", born="1980-03-02"), "probable"),
        (who("诸葛小卫", born="1980-03-02", gender="male"), "possible"),
        (who("诸葛晓慧", telecom=[{"system": "phone", "value": "139-1111-2222"}]), "probable"),
        (who("李建国", number=NUMBER), "possible"),
    ],
)
def test_a_person_is_found_by_sound_by_swapped_dates_and_by_phone(
    call: Caller, asked: Json, grade: str
) -> None:
    assert matched(call, asked).get("m-one", ("absent", 0))[0] == grade


@pytest.mark.usefixtures("people")
def test_only_certain_matches_come_if_only_they_are_wanted(call: Caller) -> None:
    only = ("onlyCertainMatches", "valueBoolean", True)
    assert matched(call, who(number=NUMBER), only).keys() == {"m-one", "m-two"}
    assert matched(call, who(), only) == {}


@pytest.mark.usefixtures("people")
def test_the_best_come_first_and_no_more_than_wanted(call: Caller) -> None:
    every = matched(call, who(number=NUMBER))
    assert [score for _, score in every.values()] == sorted((s for _, s in every.values()), reverse=True)
    assert list(matched(call, who(number=NUMBER), ("count", "valueInteger", 1))) == list(every)[:1]


@pytest.mark.usefixtures("people")
def test_a_hospital_sees_others_people_masked_and_only_if_they_are_meant(h01: Caller) -> None:
    answer = h01("POST", "/Patient/$match", who(number=NUMBER))
    found = {entry["resource"]["id"]: entry for entry in entries(answer)}
    assert found.keys() == {"m-one", "m-two"}
    assert found["m-one"]["resource"]["birthDate"] == "1980-02-03"
    masked = found["m-two"]
    assert masked["resource"]["name"] == [{"text": "诸葛**"}]
    assert masked["resource"]["birthDate"] == "1980"
    assert masked["resource"]["meta"]["security"][0]["code"] == "MASKED"
    assert "identifier" not in masked["resource"]
    assert [e["url"] for e in masked["search"]["extension"]] == [GRADE]
    assert h01("GET", "/Patient/m-two").status_code == 404
    assert "m-namesake" not in {
        e["resource"]["id"] for e in entries(h01("POST", "/Patient/$match", who(born="1956")))
    }


@pytest.mark.usefixtures("people")
def test_the_score_of_somebody_masked_tells_no_more_than_the_grade(call: Caller, h01: Caller) -> None:
    phone = [{"system": "phone", "value": "13911112222"}]
    more: list[Json] = [{}, {"gender": "female"}, {"telecom": phone}, {"telecom": phone, "gender": "female"}]
    asked = [who(number=number, **one) for number in (NUMBER, None) for one in more]
    exact = [matched(call, one)["m-two"] for one in asked]
    told = [matched(h01, one)["m-two"] for one in asked]
    assert [grade for grade, _ in told] == [grade for grade, _ in exact]
    assert len(set(exact)) > len(set(told)) == len({grade for grade, _ in told})


@pytest.mark.usefixtures("people")
def test_restricted_people_are_absent_for_others(call: Caller, h01: Caller, h02: Caller) -> None:
    asked = who("欧阳静怡", born="1991-04-05")
    assert matched(call, asked).keys() == {"m-hidden"}
    assert matched(h02, asked).keys() == {"m-hidden"}
    assert matched(h01, asked) == {}


def test_a_match_of_nobody_is_an_empty_answer(call: Caller) -> None:
    answer = call("POST", "/Patient/$match", who("东郭先生甲", born="1911-01-02"))
    assert (answer.get_json()["type"], answer.get_json()["total"]) == ("searchset", 0)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"resourceType": "Parameters"}, "needs the parameter resource"),
        (parameters(("resource", "resource", {"resourceType": "Basic"})), "takes a Patient"),
        (who() | {"gender": "unsure"}, "must be one of"),
        (parameters(("resource", "resource", who()), ("size", "valueInteger", 3)), "no such parameter"),
        (
            parameters(("resource", "resource", who()), ("count", "valueString", "many")),
            "count is no integer",
        ),
    ],
)
def test_what_cannot_be_matched_is_refused_without_its_content(call: Caller, body: Json, said: str) -> None:
    answer = call("POST", "/Patient/$match", body)
    assert answer.status_code == 400
    assert said in text_of(answer)
    assert "诸葛" not in answer.text


def test_a_registration_of_many_numbers_is_searched_by_few(
    call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[object] = []

    def counted(*given: Any) -> Any:
        searched.append(given)
        return search(*given)

    monkeypatch.setattr(matching, "search", counted)
    asked = who("甲 " * 200) | {"identifier": [{"value": f"n{n}"} for n in range(2000)]}
    asked["telecom"] = [{"system": "phone", "value": f"13{n:09}"} for n in range(2000)]
    assert call("POST", "/Patient/$match", asked).status_code == 200
    assert len(searched) < 200


def test_hostile_values_find_nothing_and_break_nothing(call: Caller) -> None:
    hostile = "a,b|c$d\\'; DROP TABLE resource; --" + "王" * 3000
    asked = who(hostile) | {"identifier": [{"value": hostile}, {"system": "x|y", "value": ","}]}
    asked["telecom"] = [{"system": "phone", "value": "1" * 5000}]
    assert call("POST", "/Patient/$match", asked).status_code == 200
    assert call("GET", "/Patient/$match").status_code == 404
