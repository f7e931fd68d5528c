"""What of each resource a search or read shows: _summary, _elements, _count; always marked as a part."""

from typing import Any

import pytest

from tests.hub_world import Caller, Json, created, ids, observation, patient

DATA = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'}


@pytest.fixture(scope="module")
def report(call: Caller) -> Json:
    """An Observation with everything, and its Patient."""
    contact = [{"name": {"text": "x"}}]
    subject = created(call, patient("parts", text=DATA, photo=[{"title": "x"}], contact=contact))
    more: dict[str, Any] = {
        "resourceType": "Observation",
        "status": "final",
        "text": DATA,
        "meta": {"tag": [{"system": "urn:hie:test:tag", "code": "parts"}]},
        "code": {"text": "pressure"},
        "subject": {"reference": f"Patient/{subject['id']}"},
        "note": [{"text": "as usual"}],
        "component": [
            {
                "code": {"text": "systolic"},
                "valueQuantity": {"value": 120, "unit": "mm[Hg]"},
                "referenceRange": [{"text": "90-140"}],
            }
        ],
    }
    return created(call, more)


def only(bundle: Json) -> Json:
    (entry,) = bundle["entry"]
    found: Json = entry["resource"]
    return found


def is_marked(resource: Json) -> bool:
    return "SUBSETTED" in [tag["code"] for tag in resource["meta"].get("tag", [])]


def test_a_summary_shows_the_elements_that_the_standard_marks(call: Caller, report: Json) -> None:
    found = only(call("GET", "/Observation?_tag=parts&_summary=true").get_json())
    assert {"id", "meta", "status", "code", "subject", "component"} <= found.keys()
    assert not {"text", "note"} & found.keys()
    assert found["component"] == [
        {"code": {"text": "systolic"}, "valueQuantity": {"value": 120, "unit": "mm[Hg]"}}
    ]
    assert is_marked(found)
    assert {tag["code"] for tag in found["meta"]["tag"]} == {"parts", "SUBSETTED"}


def test_a_summary_of_text_or_of_data_shows_the_one_or_the_other(call: Caller, report: Json) -> None:
    text = only(call("GET", "/Observation?_tag=parts&_summary=text").get_json())
    assert text.keys() == {"resourceType", "id", "meta", "text", "status", "code"}
    data = only(call("GET", "/Observation?_tag=parts&_summary=data").get_json())
    assert data.keys() == report.keys() - {"text"}
    assert is_marked(text)
    assert is_marked(data)
    whole = only(call("GET", "/Observation?_tag=parts&_summary=false").get_json())
    assert whole == report
    counted = call("GET", "/Observation?_tag=parts&_summary=count").get_json()
    assert (counted["total"], "entry" in counted) == (1, False)


@pytest.mark.parametrize(
    ("elements", "shown"),
    [
        ("note", {"note"}),
        ("subject,note", {"subject", "note"}),
        ("component", {"component"}),
        ("text", {"text"}),
        ("value", set()),
    ],
)
def test_elements_come_with_those_that_nothing_goes_without(
    call: Caller, report: Json, elements: str, shown: set[str]
) -> None:
    found = only(call("GET", f"/Observation?_tag=parts&_elements={elements}").get_json())
    assert found.keys() == {"resourceType", "id", "meta", "status", "code"} | shown
    assert is_marked(found)
    read = call("GET", f"/Observation/{report['id']}?_elements={elements}").get_json()
    assert read == found


def test_the_digits_of_a_decimal_stay_in_a_part(call: Caller) -> None:
    subject = created(call, patient("digits"))
    made = created(call, observation(f"Patient/{subject['id']}", "128.50"))
    for asked in ("_elements=value", "_elements=value[x]", "_elements=valueQuantity", "_summary=true"):
        assert b'"value":128.50' in call("GET", f"/Observation?_id={made['id']}&{asked}").data
        assert b'"value":128.50' in call("GET", f"/Observation/{made['id']}?{asked}").data


def test_what_is_included_is_shown_whole_unless_a_summary_is_asked_for(call: Caller, report: Json) -> None:
    def included(asked: str) -> Json:
        bundle = call("GET", f"/Observation?_tag=parts&_include=Observation:subject&{asked}").get_json()
        (found,) = [e["resource"] for e in bundle["entry"] if e["search"]["mode"] == "include"]
        return dict(found)

    assert {"text", "photo", "contact"} <= included("_elements=status").keys()
    assert not {"text", "photo", "contact"} & included("_summary=true").keys()


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("_elements=nmae", "did you mean name?"),
        ("_elements=", "separated by commas"),
        ("_summary=yes", "one of true, text, data, count, false"),
        ("_summary=true&_elements=name", "use one of them"),
        ("_elements=name&_summary=text", "use one of them"),
    ],
)
def test_parts_that_there_are_not_are_reported_or_refused(call: Caller, asked: str, told: str) -> None:
    refused = call("GET", f"/Patient?{asked}", Prefer="handling=strict")
    assert refused.status_code == 400
    assert told in refused.text
    lenient = call("GET", f"/Patient?identifier=never-there&{asked}")
    assert lenient.status_code == 200
    assert told in lenient.text


@pytest.mark.parametrize("asked", ["_elements=nmae", "_elements=", "_summary=count", "_summary=x"])
def test_a_read_of_parts_that_there_are_not_is_refused(call: Caller, report: Json, asked: str) -> None:
    assert call("GET", f"/Observation/{report['id']}?{asked}").status_code == 400


def test_a_count_of_nothing_asks_for_the_number_alone(call: Caller, report: Json) -> None:
    bundle = call("GET", "/Observation?_tag=parts&_count=0").get_json()
    assert (bundle["total"], "entry" in bundle) == (1, False)
    assert "total" not in call("GET", "/Observation?_tag=parts").get_json()
    assert call("GET", "/Observation?_tag=parts&_total=accurate").get_json()["total"] == 1
    assert len(ids(call("GET", "/Observation?_count=1"))) == 1
    for wrong in ("-1", "x", "1.5", "", "9" * 30):
        assert call("GET", f"/Observation?_count={wrong}").status_code == 400
