"""Pages of large resources: each ends where it grows large, and together they hold everything once."""

import pytest

from hie.repository.sizes import MOST_BYTES
from tests.hub_world import Caller, Json, created, patient

NOTES = [{"text": mark * 1_000_000} for mark in "abc"]


@pytest.fixture(scope="module")
def subject(call: Caller) -> str:
    """A Patient with seven Observations of 3 MB and one small one, by address."""
    made = f"Patient/{created(call, patient('large'))['id']}"
    for n in range(8):
        written = large(made, str(n)) if n else large(made, str(n)) | {"note": [{"text": "short"}]}
        assert call("POST", "/Observation", written, Prefer="return=minimal").status_code == 201
    return made


def large(subject: str, value: str) -> Json:
    code = {"coding": [{"system": "http://loinc.org", "code": "2823-3"}]}
    about = {"code": code, "subject": {"reference": subject}, "valueString": value}
    return {"resourceType": "Observation", "status": "final", "note": NOTES} | about


def paged(call: Caller, path: str) -> list[list[Json]]:
    """Return the entries of each page, following the links."""
    found = []
    while path:
        answer = call("GET", path)
        assert answer.status_code == 200, answer.text
        assert len(answer.data) < MOST_BYTES + 100_000
        found.append(answer.get_json()["entry"])
        links = {link["relation"]: link["url"] for link in answer.get_json()["link"]}
        path = links.get("next", "").partition("/fhir")[2]
    return found


@pytest.mark.parametrize("sort", ["", "&_sort=_id", "&_sort=-value-string"])
def test_a_search_ends_its_page_early_and_shows_everything_once(
    call: Caller, subject: str, sort: str
) -> None:
    pages = paged(call, f"/Observation?subject={subject}&_count=50{sort}")
    found = [entry["resource"] for page in pages for entry in page]
    assert 1 < len(pages) < len(found)
    assert sorted(one["valueString"] for one in found) == [str(n) for n in range(8)]
    assert all(one["note"] == NOTES for one in found if one["valueString"] != "0")
    if sort == "&_sort=-value-string":
        assert [one["valueString"] for one in found] == [str(n) for n in range(7, -1, -1)]


def test_everything_ends_its_page_early_and_shows_everything_once(call: Caller, subject: str) -> None:
    pages = paged(call, f"/{subject}/$everything?_count=50")
    found = [e["resource"] for page in pages for e in page if e["fullUrl"].partition("/fhir/")[2] != subject]
    assert len(pages) > 1
    assert sorted(one["valueString"] for one in found) == [str(n) for n in range(8)]
    assert all(e["fullUrl"].endswith(e["resource"]["id"]) for page in pages for e in page)


def test_histories_end_their_page_early_and_show_every_version_once(call: Caller, subject: str) -> None:
    of_type = [e["resource"]["valueString"] for page in paged(call, "/Observation/_history") for e in page]
    assert sorted(of_type) == [str(n) for n in range(8)]
    for n in range(7):
        body = large(subject, f"version {n}") | {"id": "often-written"}
        answer = call("PUT", "/Observation/often-written", body, Prefer="return=minimal")
        assert answer.status_code in (200, 201), answer.text
    pages = paged(call, "/Observation/often-written/_history?_count=50")
    versions = [entry["resource"]["valueString"] for page in pages for entry in page]
    assert len(pages) > 1
    assert versions == [f"version {n}" for n in range(6, -1, -1)]
    assert call("DELETE", "/Observation/often-written").status_code == 204


def test_what_a_page_brings_along_is_bounded_and_said_to_be_cut(call: Caller, subject: str) -> None:
    answer = call("GET", f"/Patient?_id={subject[8:]}&_revinclude=Observation:subject")
    assert len(answer.data) < MOST_BYTES + 100_000
    modes = [entry["search"]["mode"] for entry in answer.get_json()["entry"]]
    assert modes[0] == "match"
    assert 1 < modes.count("include") < 8
    assert answer.get_json()["entry"][-1]["resource"]["issue"][0]["code"] == "too-costly"


def test_a_resource_larger_than_a_page_is_shown_whole(call: Caller) -> None:
    huge = large("Patient/nobody", "huge") | {"note": [{"text": "x" * 1_000_000}] * 18}
    del huge["subject"]
    made = call("POST", "/Observation", huge, Prefer="return=minimal").headers["Location"].split("/")[-3]
    for _ in range(2):
        [entry] = call("GET", f"/Observation?_id={made}&value-string=huge").get_json()["entry"]
        assert len(entry["resource"]["note"]) == 18
