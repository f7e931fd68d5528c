"""What a POST _search brings is read or refused: a body that is no form, text that is none."""

import gzip

import pytest

from hie.api import forms
from hie.repository import query
from tests.hub_world import Caller, created, ids, is_outcome, patient

FORM = "application/x-www-form-urlencoded"
NO_TEXT = b"identifier=f1&name=\xff\xfe"


@pytest.mark.parametrize("path", ["/Patient/_search", "/_search", "/Patient/x/Observation/_search"])
@pytest.mark.parametrize(
    "kind", ["application/fhir+json", "text/plain", "multipart/form-data; boundary=x", ""]
)
def test_a_search_whose_body_is_no_form_is_refused(call: Caller, path: str, kind: str) -> None:
    refused = call("POST", path, b'{"identifier":"f1"}', Content_Type=kind)
    assert (refused.status_code, is_outcome(refused)) == (415, True)
    assert FORM in refused.text


@pytest.mark.parametrize("path", ["/Patient/_search", "/Person/_search", "/AuditEvent/_search"])
@pytest.mark.parametrize("body", [NO_TEXT, b"identifier=f1&name=%ff", b"name%fe=x"])
def test_parameters_that_are_no_text_are_refused_and_not_left_out(
    call: Caller, path: str, body: bytes
) -> None:
    refused = call("POST", path, body, Content_Type=FORM)
    assert (refused.status_code, is_outcome(refused)) == (400, True)


@pytest.mark.parametrize(
    "path", ["/Patient?name=%ff", "?_tag=%c3%28", "/Person?_id=%ff", "/Patient/_history?x=%ff"]
)
def test_an_address_that_is_no_text_is_refused(call: Caller, path: str) -> None:
    refused = call("GET", path)
    assert (refused.status_code, is_outcome(refused)) == (400, True)
    assert "UTF-8" in refused.text


def test_a_form_is_read_as_it_was_meant(call: Caller) -> None:
    made = created(call, patient("f1", "胡\ufffd"))["id"]
    for body in (b"identifier=f1", "name=胡\ufffd".encode(), b"name=%E8%83%A1%EF%BF%BD"):
        assert ids(call("POST", "/Patient/_search", body, Content_Type=f"{FORM}; charset=utf-8")) == [made]
    packed = call(
        "POST",
        "/Patient/_search",
        gzip.compress(b"identifier=f1"),
        Content_Type=FORM,
        Content_Encoding="gzip",
    )
    assert ids(packed) == [made]
    assert ids(call("GET", "/Patient?name=%E8%83%A1%EF%BF%BD")) == [made]
    assert ids(call("GET", "/Patient?identifier=f1&name:contains=%25")) == []
    for kind in (FORM, "", "application/fhir+json"):
        assert ids(call("POST", "/Patient/_search?identifier=f1", Content_Type=kind)) == [made]


@pytest.mark.parametrize("body", [b"a&" * 1000, b"a=1&" * 1000, b"&" * 1_000_000])
def test_a_form_of_more_parameters_than_a_search_has_is_refused_before_it_is_read(
    call: Caller, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(query, "parse_qsl")
    refused = call(
        "POST", "/Patient/_search", gzip.compress(body), Content_Type=FORM, Content_Encoding="gzip"
    )
    assert (refused.status_code, is_outcome(refused)) == (400, True)


def test_a_form_of_more_than_a_search_may_hold_is_refused(call: Caller) -> None:
    body = b"name=" + b"a" * forms.MOST_BYTES
    refused = call("POST", "/Patient/_search", body, Content_Type=FORM)
    assert (refused.status_code, is_outcome(refused)) == (413, True)
