"""Observation/$lastn: the newest results of each test of a patient."""

import pytest

from tests.hub_world import Caller, Json
from tests.operations_world import made, parameters, shown, text_of


def result(id_: str, day: str, *codes: str, patient: str = "l-one", **more: object) -> Json:
    coding = [{"system": system, "code": code} for system, _, code in (one.rpartition("|") for one in codes)]
    return {
        "resourceType": "Observation",
        "id": id_,
        "status": "final",
        "code": {"coding": coding} if codes else {"text": "血糖"},
        "subject": {"reference": f"Patient/{patient}"},
        "effectiveDateTime": day,
    } | more


K, LOCAL_K, NA = "http://loinc.org|2823-3", "urn:hie:H01:lab|K", "http://loinc.org|2951-2"
LAB = [{"coding": [{"code": "laboratory"}]}]


@pytest.fixture(scope="module", autouse=True)
def results(h01: Caller) -> None:
    """Potassium under two codings, sodium, and a test without a code, of a patient and of another one."""
    for patient in ("l-one", "l-two"):
        made(h01, {"resourceType": "Patient", "id": patient})
    for one in (
        result("k-2023", "2023-01-01", LOCAL_K),
        result("k-2024", "2024-01-01", K, LOCAL_K, category=LAB),
        result("k-2025", "2025-01-01", K, category=LAB),
        result("k-wrong", "2026-01-01", K, status="entered-in-error"),
        result("na-2024", "2024-01-01T08:00:00+08:00", NA, category=LAB),
        result("na-twin", "2024-01-01T00:00:00Z", NA),
        result("bare-1", "2024-05-01"),
        result("bare-2", "2024-05-02"),
        result("other", "2020-01-01", K, patient="l-two"),
    ):
        made(h01, one)


def newest(call: Caller, query: str) -> set[str]:
    return {name.removeprefix("Observation/") for name in shown(call("GET", f"/Observation/$lastn?{query}"))}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("patient=l-one", {"k-2025", "na-2024", "na-twin", "bare-2"}),
        ("patient=Patient/l-one&max=2", {"k-2025", "k-2024", "na-2024", "na-twin", "bare-1", "bare-2"}),
        ("subject=Patient/l-one&category=laboratory", {"k-2025", "na-2024"}),
        (f"patient=l-one&code={K}&max=5", {"k-2025", "k-2024"}),
        ("patient=l-one,l-two&code=2823-3", {"k-2025", "other"}),
        ("patient=nobody", set()),
    ],
)
def test_the_newest_of_each_test_come(call: Caller, query: str, found: set[str]) -> None:
    assert newest(call, query) == found


def test_codings_that_meet_in_one_result_are_one_test(call: Caller) -> None:
    assert newest(call, "patient=l-one&max=3") >= {"k-2025", "k-2024", "k-2023"}


def test_post_asks_the_same(call: Caller) -> None:
    body = parameters(("patient", "valueString", "l-one"), ("max", "valuePositiveInt", 2))
    answer = call("POST", "/Observation/$lastn", body)
    assert answer.get_json()["total"] == 6
    assert shown(answer) == shown(call("GET", "/Observation/$lastn?patient=l-one&max=2"))


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "needs the parameter patient"),
        ("patient=l-one&max=0", "max is no integer above 0"),
        ("patient=l-one&date=2024", "no such parameter"),
        ("code=x", "needs the parameter patient"),
    ],
)
def test_what_is_not_understood_is_refused(call: Caller, query: str, said: str) -> None:
    answer = call("GET", f"/Observation/$lastn?{query}")
    assert (answer.status_code, said in text_of(answer)) == (400, True)


def test_another_hospitals_results_are_absent(h01: Caller, h02: Caller) -> None:
    assert newest(h01, "patient=l-two") == {"other"}
    assert newest(h02, "patient=l-two") == set()
