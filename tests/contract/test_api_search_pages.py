"""Pages while others write: what did not change comes exactly once, what changed at most once."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from hie.api import asking
from tests.hub_world import Caller, Json, created, ids, is_outcome, patient


@pytest.fixture
def ten(call: Caller, request: pytest.FixtureRequest) -> list[Json]:
    """Ten Patients with a tag of the test's own; every third without a birth date, two with each gender."""
    tag = {"tag": [{"system": "urn:hie:test:tag", "code": tag_of(request)}]}
    made = []
    for n in range(10):
        more: Json = {"gender": ("male", "female", "other")[n % 3], "meta": tag}
        if n % 3:
            more["birthDate"] = f"19{80 - n % 4}-01-01"
        made.append(created(call, patient(f"{tag_of(request)}-{n}", f"人{n}", **more)))
    return made


def tag_of(request: pytest.FixtureRequest) -> str:
    return f"t{abs(hash(request.node.name)) % 10**8}"


def pages(call: Caller, path: str, between: Callable[[int], object] = lambda _: None) -> Iterator[list[str]]:
    """Give the ids of each page; `between` is called with the number of each page that was shown."""
    number = 0
    while path:
        answer = call("GET", path)
        assert answer.status_code == 200, answer.text
        yield ids(answer)
        number += 1
        between(number)
        path = next(
            (k["url"].partition("/fhir")[2] for k in answer.get_json()["link"] if k["relation"] == "next"), ""
        )


@pytest.mark.parametrize(
    "sort",
    ["_lastUpdated", "-_lastUpdated", "birthdate", "-birthdate,name", "gender,-birthdate", "_id", "-_id"],
)
def test_what_is_written_between_pages_moves_and_repeats_nothing(
    call: Caller, ten: list[Json], request: pytest.FixtureRequest, sort: str
) -> None:
    shown: list[str] = []
    changed: list[str] = []

    def write(number: int) -> None:
        # One that was shown comes to the end of any order, one not shown yet to its beginning, one is new.
        for resource, birth, gender in (
            (next(r for r in ten if r["id"] in shown and r["id"] not in changed), "2020-01-01", "unknown"),
            (next((r for r in ten if r["id"] not in {*shown, *changed}), None), "1900-01-01", "female"),
        ):
            if resource is not None:
                changed.append(resource["id"])
                body = resource | {"birthDate": birth, "gender": gender}
                assert call("PUT", f"/Patient/{resource['id']}", body).status_code == 200
        created(call, patient(f"{tag_of(request)}-new-{number}", meta=ten[0]["meta"]))

    for page in pages(call, f"/Patient?_tag={tag_of(request)}&_sort={sort}&_count=3", write):
        shown += page
    assert len(shown) == len(set(shown))
    assert {r["id"] for r in ten} - set(changed) <= set(shown) <= {r["id"] for r in ten}


def test_what_was_deleted_between_pages_is_gone(
    call: Caller, ten: list[Json], request: pytest.FixtureRequest
) -> None:
    def delete(number: int) -> None:
        if number == 1:
            assert call("DELETE", f"/Patient/{ten[9]['id']}").status_code == 204

    path = f"/Patient?_tag={tag_of(request)}&_sort=name&_count=4"
    shown = [id_ for page in pages(call, path, delete) for id_ in page]
    assert shown == [r["id"] for r in ten[:9]]


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("name", range(10)),
        ("-name", range(9, -1, -1)),
        ("identifier", range(10)),
        ("gender,name", [1, 4, 7, 0, 3, 6, 9, 2, 5, 8]),
        ("-gender,name", [2, 5, 8, 0, 3, 6, 9, 1, 4, 7]),
        ("birthdate,name", [7, 2, 1, 5, 4, 8, 0, 3, 6, 9]),
        ("-birthdate,-name", [8, 4, 5, 1, 2, 7, 9, 6, 3, 0]),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 100])
def test_an_order_of_several_keys_is_the_same_on_any_size_of_page(
    call: Caller, ten: list[Json], request: pytest.FixtureRequest, sort: str, order: list[int], size: int
) -> None:
    path = f"/Patient?_tag={tag_of(request)}&_sort={sort}&_count={size}"
    shown = [id_ for page in pages(call, path) for id_ in page]
    assert shown == [ten[n]["id"] for n in order]


def test_the_policy_is_asked_again_on_every_page(call: Caller, h01: Caller, h02: Caller) -> None:
    for n in range(4):
        created(h01, patient(f"pol-{n}", meta={"tag": [{"system": "urn:t", "code": "policy"}]}))
    first = h01("GET", "/Patient?_tag=policy&_count=2").get_json()
    following = next(k["url"] for k in first["link"] if k["relation"] == "next").partition("/fhir")[2]
    assert len(ids(h01("GET", following))) == 2
    assert ids(h02("GET", following)) == []


def test_a_link_lives_a_quarter_of_an_hour(
    call: Caller, ten: list[Json], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = call("GET", f"/Patient?_tag={tag_of(request)}&_count=2").get_json()
    following = next(k["url"] for k in first["link"] if k["relation"] == "next").partition("/fhir")[2]
    began = datetime.now(UTC)
    monkeypatch.setattr(asking, "now", lambda: began + timedelta(minutes=14))
    assert call("GET", following).status_code == 200
    monkeypatch.setattr(asking, "now", lambda: began + timedelta(minutes=16))
    expired = call("GET", following)
    assert (expired.status_code, is_outcome(expired)) == (410, True)


@pytest.mark.parametrize(
    "cursor", ["", "x", "=", "!!!!", "AAAA" * 10, "%00", "é", "A" * 100_000, "../../etc"]
)
def test_a_broken_link_is_refused(call: Caller, cursor: str) -> None:
    refused = call("GET", f"/Patient?_count=2&_cursor={cursor}")
    assert (refused.status_code, is_outcome(refused)) == (400, True)


def test_a_link_belongs_to_its_search(call: Caller, ten: list[Json], request: pytest.FixtureRequest) -> None:
    first = call("GET", f"/Patient?_tag={tag_of(request)}&_count=2").get_json()
    cursor = next(k["url"] for k in first["link"] if k["relation"] == "next").partition("_cursor=")[2]
    for other in (
        f"/Patient?_tag=other&_count=2&_cursor={cursor}",
        f"/Observation?_count=2&_cursor={cursor}",
    ):
        assert call("GET", other).status_code == 400
