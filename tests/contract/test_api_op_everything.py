"""$everything: a person across hospitals, an encounter, everybody; limits, pages, what comes along."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask

from hie.api import asking
from tests.hub_world import RESIDENT, Caller, Json
from tests.operations_world import entries, link, made, parameters, shown, text_of

OUTSIDERS = {"Practitioner/dr-li", "Organization/ward-3", "Location/room-7"}


@pytest.fixture(scope="module")
def person(call: Caller, h01: Caller, h02: Caller) -> tuple[str, str]:
    """A person known to two hospitals, with care in two years, seen by a doctor in a room of a ward."""
    who = {
        "resourceType": "Patient",
        "name": [{"text": "诸葛宁"}],
        "birthDate": "1980-02-03",
        "identifier": [{"system": RESIDENT, "value": "110101198002030013"}],
    }
    one, two = made(h01, who | {"id": "ev-one"}), made(h02, who | {"id": "ev-two"})
    made(call, {"resourceType": "Practitioner", "id": "dr-li"})
    made(call, {"resourceType": "Practitioner", "id": "dr-nobody-meets"})
    made(call, {"resourceType": "Organization", "id": "ward-3", "name": "三病区"})
    made(call, {"resourceType": "Location", "id": "room-7"})
    encounter = {
        "resourceType": "Encounter",
        "id": "visit-1",
        "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
        "subject": {"reference": f"Patient/{one}"},
        "period": {"start": "2024-03-01", "end": "2024-03-05"},
        "location": [{"location": {"reference": "Location/room-7"}}],
        "serviceProvider": {"reference": "Organization/ward-3"},
    }
    made(h01, encounter)
    made(h01, result("in-2024", one, "2024-03-02", encounter="visit-1", performer="Practitioner/dr-li"))
    made(h01, result("in-2025", one, "2025-06-01T08:00:00+08:00"))
    made(h02, result("elsewhere-2025", two, "2025-06-02"))
    allergy = {"resourceType": "AllergyIntolerance", "id": "undated", "code": {"text": "青霉素"}}
    allergy["patient"] = {"reference": f"Patient/{two}"}
    allergy["clinicalStatus"] = coded("allergyintolerance-clinical", "active")
    made(h02, allergy)
    return one, two


def coded(system: str, code: str) -> Json:
    return {"coding": [{"system": f"http://terminology.hl7.org/CodeSystem/{system}", "code": code}]}


def result(id_: str, patient: str, day: str, *, encounter: str = "", performer: str = "") -> Json:
    found: Json = {
        "resourceType": "Observation",
        "id": id_,
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "2823-3"}]},
        "subject": {"reference": f"Patient/{patient}"},
        "effectiveDateTime": day,
    }
    if encounter:
        found["encounter"] = {"reference": f"Encounter/{encounter}"}
    if performer:
        found["performer"] = [{"reference": performer}]
    return found


RECORD = {
    "Patient/ev-one", "Patient/ev-two", "Encounter/visit-1", "Observation/in-2024", "Observation/in-2025",
    "Observation/elsewhere-2025", "AllergyIntolerance/undated",
}  # fmt: skip

# No limit of time leaves these out: they are of no date.
ALWAYS = {"Patient/ev-one", "Patient/ev-two", "AllergyIntolerance/undated"}


def test_without_limits_a_person_comes_whole_in_one_answer(call: Caller, person: tuple[str, str]) -> None:
    answer = call("GET", f"/Patient/{person[1]}/$everything")
    assert set(shown(answer)) == RECORD | OUTSIDERS
    assert answer.get_json()["total"] == len(RECORD)


@pytest.mark.parametrize("query", ["", "?start=2000"])
def test_a_person_comes_with_those_who_treated_them_and_where(
    call: Caller, person: tuple[str, str], query: str
) -> None:
    answer = call("GET", f"/Patient/{person[1]}/$everything{query}")
    modes = {
        f"{e['resource']['resourceType']}/{e['resource']['id']}": e["search"]["mode"] for e in entries(answer)
    }
    assert {name for name, mode in modes.items() if mode == "match"} == RECORD
    assert {name for name, mode in modes.items() if mode == "include"} == OUTSIDERS
    assert answer.get_json()["total"] == len(RECORD)


@pytest.mark.parametrize(
    ("query", "absent"),
    [
        ("start=2025-01-01", {"Encounter/visit-1", "Observation/in-2024"}),
        ("end=2024-12-31", {"Observation/in-2025", "Observation/elsewhere-2025"}),
        ("start=2024-03-05&end=2024", RECORD - ALWAYS - {"Encounter/visit-1"}),
        ("start=2025-06-02&end=2025-06-02", RECORD - ALWAYS - {"Observation/elsewhere-2025"}),
        ("_type=Observation,Encounter&_type=Patient", {"AllergyIntolerance/undated"}),
    ],
)
def test_care_is_limited_by_its_date_and_type(
    call: Caller, person: tuple[str, str], query: str, absent: set[str]
) -> None:
    found = {one for one in shown(call("GET", f"/Patient/{person[0]}/$everything?{query}")) if one in RECORD}
    assert found == RECORD - absent


def test_who_is_outside_the_record_comes_only_if_their_type_is_asked_for(
    call: Caller, person: tuple[str, str]
) -> None:
    answer = call("GET", f"/Patient/{person[0]}/$everything?_type=Observation,Practitioner")
    assert "Practitioner/dr-li" in shown(answer)
    assert "Organization/ward-3" not in shown(answer)
    assert "Practitioner/dr-li" not in shown(
        call("GET", f"/Patient/{person[0]}/$everything?_type=Observation")
    )


def test_post_asks_the_same_as_get(call: Caller, person: tuple[str, str]) -> None:
    body = parameters(
        ("start", "valueDate", "2025-01-01"),
        ("_type", "valueCode", "Observation"),
        ("_count", "valueInteger", 1),
    )
    posted = call("POST", f"/Patient/{person[0]}/$everything", body)
    gotten = call("GET", f"/Patient/{person[0]}/$everything?start=2025-01-01&_type=Observation&_count=1")
    assert shown(posted) == shown(gotten)
    follow = call("GET", link(posted) or "")
    assert {*shown(posted), *shown(follow)} == {"Observation/in-2025", "Observation/elsewhere-2025"}
    assert call("POST", f"/Patient/{person[0]}/$everything").status_code == 200


def test_pages_show_each_record_once_whatever_is_written_meanwhile(
    call: Caller, h01: Caller, person: tuple[str, str]
) -> None:
    seen: list[str] = []
    where: str | None = f"/Patient/{person[0]}/$everything?_count=2"
    number = 0
    while where:
        answer = call("GET", where)
        assert "total" not in answer.get_json()
        seen += [one for one in shown(answer) if one in RECORD]
        where = link(answer)
        number += 1
        touched = result(
            "in-2024", "ev-one", "2024-03-02", encounter="visit-1", performer="Practitioner/dr-li"
        )
        touched["issued"] = f"2024-03-0{number}T00:00:00Z"
        assert h01("PUT", "/Observation/in-2024", touched).status_code == 200
    assert sorted(seen) == sorted(RECORD)
    assert number == 4


def test_a_page_link_expires_and_cannot_be_altered(
    call: Caller, person: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    where = link(call("GET", f"/Patient/{person[0]}/$everything?_count=2")) or ""
    assert call("GET", where.replace("_count=2", "_count=3")).status_code == 400
    assert call("GET", where[:-3] + "AAA").status_code == 400
    assert call("GET", where.replace("ev-one", "ev-two")).status_code == 400
    later: Callable[[], datetime] = lambda: datetime.now(UTC) + timedelta(minutes=15, seconds=1)  # noqa: E731
    monkeypatch.setattr(asking, "now", later)
    assert call("GET", where).status_code == 410


def test_since_leaves_out_what_was_not_touched(call: Caller, h01: Caller, person: tuple[str, str]) -> None:
    moment = call("GET", "/Observation/in-2025").get_json()["meta"]["lastUpdated"]
    found = shown(call("GET", f"/Patient/{person[0]}/$everything?_since={moment}"))
    assert "Observation/in-2025" in found
    assert "Patient/ev-one" not in found
    assert "Practitioner/dr-li" not in found
    assert shown(call("GET", f"/Patient/{person[0]}/$everything?_since=2999-01-01")) == []


def test_an_encounter_comes_with_what_happened_in_it_and_its_patient(
    call: Caller, person: tuple[str, str]
) -> None:
    answer = call("GET", "/Encounter/visit-1/$everything")
    assert set(shown(answer)) == {"Encounter/visit-1", "Observation/in-2024", "Patient/ev-one"} | OUTSIDERS
    typed = call("GET", "/Encounter/visit-1/$everything?_type=Observation")
    assert shown(typed) == ["Observation/in-2024"]
    assert (
        "start" not in text_of(call("GET", "/Encounter/visit-1/$everything?start=2024")).partition("known")[2]
    )
    assert call("GET", "/Encounter/never-there/$everything").status_code == 404


def test_what_the_policy_does_not_reach_is_absent(h01: Caller, h02: Caller, person: tuple[str, str]) -> None:
    own = {"Patient/ev-one", "Encounter/visit-1", "Observation/in-2024", "Observation/in-2025"}
    assert set(shown(h01("GET", "/Patient/ev-one/$everything?_count=99"))) == own | OUTSIDERS
    hidden, absent = (
        h02("GET", "/Encounter/visit-1/$everything"),
        h02("GET", "/Encounter/visit-9/$everything"),
    )
    assert (hidden.status_code, hidden.data) == (404, absent.data)
    assert h02("GET", "/Patient/ev-one/$everything").status_code == 404


def test_everybody_comes_in_pages_to_a_system_of_the_region_only(
    app: Flask, call: Caller, h01: Caller, person: tuple[str, str]
) -> None:
    assert h01("GET", "/Patient/$everything").status_code == 403
    seen: list[str] = []
    where: str | None = "/Patient/$everything?_count=3&_type=Patient,Observation,Encounter,AllergyIntolerance"
    while where:
        answer = call("GET", where)
        seen += shown(answer)
        where = link(answer)
    assert len(seen) == len(set(seen))
    assert set(seen) >= RECORD
    assert set(shown(call("GET", "/Patient/$everything"))) >= RECORD
    assert shown(call("GET", "/Patient/$everything?_type=Coverage")) == []
