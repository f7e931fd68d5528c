"""Who looked at whom: AuditEvent?patient= finds every look at a patient, by whatever road it was given."""

from collections.abc import Callable

import pytest

from tests.hub_world import RESIDENT, Caller, Json, created, entry, observation, patient, transaction

Look = Callable[[Caller, str, str], object]


def looks(call: Caller, patient_: str, operation: str) -> list[Json]:
    """Return the events of an operation that name a patient."""
    found = call("GET", f"/AuditEvent?patient=Patient/{patient_}&subtype={operation}").get_json()
    return [one["resource"] for one in found.get("entry", [])]


def batch(call: Caller, *urls: str, kind: str = "batch") -> None:
    answer = call("POST", "/", transaction(*(entry(None, "GET", url) for url in urls), kind=kind))
    assert [one["response"]["status"][:3] for one in answer.get_json()["entry"]] == ["200"] * len(urls)


LOOKS: dict[str, tuple[str, Look]] = {
    "a search by what both have": (
        "search-type",
        lambda call, one, two: call("GET", "/Patient?name=闻人双&_count=50"),
    ),
    "a search by ids": ("search-type", lambda call, one, two: call("GET", f"/Patient?_id={one},{two}")),
    "what a search brings along": (
        "search-type",
        lambda call, one, two: call(
            "GET", "/Organization?name=looks&_revinclude=Patient:organization&_count=50"
        ),
    ),
    "reads in a batch": (
        "batch",
        lambda call, one, two: batch(call, f"Patient/{one}", f"Patient/{two}"),
    ),
    "a search in a batch": ("batch", lambda call, one, two: batch(call, "Patient?name=闻人双&_count=50")),
    "reads in a transaction": (
        "transaction",
        lambda call, one, two: batch(call, f"Patient/{one}", f"Patient/{two}", kind="transaction"),
    ),
    "a history": ("history-type", lambda call, one, two: call("GET", "/Patient/_history?_count=1000")),
    "newest results": (
        "$lastn",
        lambda call, one, two: call("GET", f"/Observation/$lastn?patient=Patient/{one},Patient/{two}"),
    ),
    "everybody": ("$everything", lambda call, one, two: call("GET", "/Patient/$everything?_count=1000")),
}


@pytest.fixture(scope="module")
def both(call: Caller) -> tuple[str, str]:
    """Two patients who have nothing to do with each other but the practice they go to."""
    practice = created(call, {"resourceType": "Organization", "name": "looks"})["id"]
    of = {"reference": f"Organization/{practice}"}
    one, two = (
        created(call, patient(f"looked-{n}", "闻人双", managingOrganization=of))["id"] for n in range(2)
    )
    for each in (one, two):
        created(call, observation(f"Patient/{each}"))
    return one, two


@pytest.mark.parametrize(("operation", "look"), LOOKS.values(), ids=LOOKS.keys())
def test_a_look_at_two_patients_is_found_by_each_of_them(
    call: Caller, both: tuple[str, str], operation: str, look: Look
) -> None:
    before = [len(looks(call, each, operation)) for each in both]
    look(call, *both)
    assert [len(looks(call, each, operation)) for each in both] == [number + 1 for number in before]


TOGETHER = {name: case for name, case in LOOKS.items() if name != "reads in a batch"}


@pytest.mark.parametrize(("operation", "look"), TOGETHER.values(), ids=TOGETHER.keys())
def test_a_request_about_two_patients_is_one_event(
    call: Caller, both: tuple[str, str], operation: str, look: Look
) -> None:
    before = {event["id"] for each in both for event in looks(call, each, operation)}
    look(call, *both)
    new = [event for each in both for event in looks(call, each, operation) if event["id"] not in before]
    assert len({event["id"] for event in new}) == 1
    assert {f"Patient/{one}" for one in both} <= {what["what"].get("reference") for what in new[0]["entity"]}


@pytest.mark.parametrize("operation", ["$everything", "$summary"])
def test_a_look_at_a_person_is_found_by_each_of_their_records(
    call: Caller, h01: Caller, h02: Caller, operation: str
) -> None:
    number = {"$everything": "110101198002030021", "$summary": "110101198002030048"}[operation]
    who = patient("person", "东方亮", birthDate="1980-02-03")
    who["identifier"] = [{"system": RESIDENT, "value": number}]
    ours, theirs = created(h01, who)["id"], created(h02, who)["id"]
    assert call("GET", f"/Patient/{ours}/{operation}").status_code == 200
    found = [looks(call, record, operation) for record in (ours, theirs)]
    assert [len(each) for each in found] == [1, 1]


def test_a_batch_entry_names_what_was_read(call: Caller, both: tuple[str, str]) -> None:
    made = created(call, observation(f"Patient/{both[0]}"))["id"]
    batch(call, f"Observation/{made}")
    named = [what["what"].get("reference") for what in looks(call, both[0], "batch")[0]["entity"]]
    assert {f"Patient/{both[0]}", f"Observation/{made}"} <= set(named)
