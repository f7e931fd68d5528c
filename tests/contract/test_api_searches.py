"""Search as a foreign client sees it: pages, includes, what is not understood."""

import pytest

from tests.hub_world import Caller, created, ids, observation, patient


def test_search_works_by_get_and_by_post(call: Caller) -> None:
    made = created(call, patient("6", "诸葛孔明"))
    for answer in (
        call("GET", "/Patient?name=诸葛孔明"),
        call("GET", "/Patient?name=zhugekm"),
        call(
            "POST",
            "/Patient/_search",
            b"name=zhugekongming",
            Content_Type="application/x-www-form-urlencoded",
        ),
        call("GET", "/Patient?identifier=6"),
        call("GET", f"/Patient?_id={made['id']}"),
    ):
        assert ids(answer) == [made["id"]]


def test_pages_follow_their_links(call: Caller) -> None:
    subject = created(call, patient("7"))["id"]
    made = {created(call, observation(f"Patient/{subject}", f"{n}.0"))["id"] for n in range(7)}
    url = f"/Observation?patient={subject}&_sort=-date&_count=3"
    seen: list[str] = []
    while url:
        page = call("GET", url)
        seen += ids(page)
        links = {link["relation"]: link["url"] for link in page.get_json()["link"]}
        url = links.get("next", "").partition("/fhir")[2]
    assert sorted(seen) == sorted(made)


def test_includes_bring_what_is_pointed_at_and_what_points(call: Caller) -> None:
    subject = created(call, patient("8"))["id"]
    made = created(call, observation(f"Patient/{subject}"))["id"]
    bundle = call("GET", f"/Observation?_id={made}&_include=Observation:subject").get_json()
    assert [(e["resource"]["id"], e["search"]["mode"]) for e in bundle["entry"]] == [
        (made, "match"),
        (subject, "include"),
    ]
    bundle = call("GET", f"/Patient?_id={subject}&_revinclude=Observation:patient").get_json()
    assert [e["resource"]["id"] for e in bundle["entry"]] == [subject, made]


@pytest.mark.parametrize(
    "path", ["/Person?patient=x&_elements=link", "/AuditEvent?_elements=agent", "/metadata?_elements=rest"]
)
def test_who_asks_for_elements_where_only_whole_resources_are_given_is_told_so(
    call: Caller, path: str
) -> None:
    answer = call("GET", path)
    assert answer.status_code == 400
    assert answer.get_json()["issue"][0]["code"] == "not-supported"


def test_an_unknown_parameter_is_reported_or_under_strict_refused(call: Caller) -> None:
    created(call, patient("20"))
    bundle = call("GET", "/Patient?identifier=urn:hie:test|20&fmaily=x").get_json()
    assert [e["search"]["mode"] for e in bundle["entry"]] == ["match", "outcome"]
    assert "fmaily" not in bundle["link"][0]["url"]
    assert call("GET", "/Patient?fmaily=x", Prefer="handling=strict").status_code == 400
