"""Composition/$document: the Composition first, then all it names that its asker may see."""

import pytest

from esb.fhir.validation import check_resource
from tests.hub_world import Caller, observation
from tests.operations_world import made, shown, text_of


@pytest.fixture(scope="module")
def composition(call: Caller, h01: Caller) -> str:
    """A Composition of a result, by a doctor of a hospital."""
    made(h01, {"resourceType": "Patient", "id": "doc-patient"})
    made(call, {"resourceType": "Organization", "id": "doc-hospital", "name": "x"})
    author = {"resourceType": "PractitionerRole", "id": "doc-author"}
    made(call, author | {"organization": {"reference": "Organization/doc-hospital"}})
    named = observation("Patient/doc-patient").replace(b"{", b'{"id":"doc-result",', 1)
    assert h01("PUT", "/Observation/doc-result", named).status_code == 201
    return made(
        h01,
        {
            "resourceType": "Composition",
            "id": "doc-1",
            "status": "final",
            "type": {"text": "出院小结"},
            "date": "2026-01-01",
            "title": "出院小结",
            "subject": {"reference": "Patient/doc-patient"},
            "author": [{"reference": "PractitionerRole/doc-author"}],
            "section": [{"title": "检验", "entry": [{"reference": "Observation/doc-result"}]}],
        },
    )


def test_a_document_holds_what_its_composition_names(h01: Caller, composition: str) -> None:
    answer = h01("GET", f"/Composition/{composition}/$document")
    document = answer.get_json()
    check_resource(document)
    assert document["type"] == "document"
    names = shown(answer)
    assert names[0] == "Composition/doc-1"
    assert set(names[1:]) == {
        "Patient/doc-patient",
        "PractitionerRole/doc-author",
        "Organization/doc-hospital",
        "Observation/doc-result",
    }
    assert b'"value":5.10' in answer.data
    again = h01("POST", f"/Composition/{composition}/$document").get_json()
    assert again["identifier"] == document["identifier"]


def test_another_hospitals_document_is_absent(h02: Caller, composition: str) -> None:
    assert h02("GET", f"/Composition/{composition}/$document").status_code == 404


def test_a_document_is_not_kept(h01: Caller, composition: str) -> None:
    answer = h01("GET", f"/Composition/{composition}/$document?persist=true")
    assert (answer.status_code, "anew" in text_of(answer)) == (400, True)
    assert h01("GET", f"/Composition/{composition}/$document?persist=false").status_code == 200
