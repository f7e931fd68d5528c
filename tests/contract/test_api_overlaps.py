"""Conditions of one transaction that mean the same resource, in the same words or in others."""

from zlib import crc32

import pytest

from tests.hub_world import Caller, Json, created, entry, ids, patient, transaction


def sent(call: Caller, *entries: Json) -> list[Json]:
    answer = call("POST", "/", transaction(*entries))
    assert answer.status_code == 200, answer.text
    done: list[Json] = answer.get_json()["entry"]
    return done


def place(done: Json) -> str:
    return str(done["response"]["location"].partition("/_history")[0])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("POST identifier=urn:hie:test|{n}", "POST identifier={n}"),
        ("POST identifier=urn:hie:test|{n}", "POST identifier={N}&active:not=false"),
        ("PUT identifier={n}", "PUT identifier=urn:hie:test|{n}"),
        ("PUT identifier={n}", "POST identifier=urn:hie:test|{n},nobodys"),
        ("POST", "POST identifier=urn:hie:test|{n}"),
        ("POST", "PUT name={n}w"),
        ("POST", "POST _tag=o13-{n}&birthdate=gt1990"),
    ],
)
def test_two_entries_that_mean_one_resource_in_other_words_are_refused(
    call: Caller, first: str, second: str
) -> None:
    number = f"o13{crc32((first + second).encode())}a"
    content = patient(number, f"{number}W", birthDate="1991-01-01") | {
        "meta": {"tag": [{"system": "urn:t", "code": f"o13-{number}"}]}
    }
    entries = []
    for words in (first, second):
        method, _, criteria = words.format(n=number, N=number.upper()).partition(" ")
        condition = {"ifNoneExist": criteria} if criteria and method == "POST" else {}
        entries.append(
            entry(content, method, "Patient?" + criteria if method == "PUT" else "Patient", **condition)
        )
    for both in (entries, entries[::-1]):
        refused = call("POST", "/", transaction(*both))
        assert refused.status_code == 400, refused.text
        assert "Bundle.entry[" in refused.get_json()["issue"][0]["expression"][0]
        assert ids(call("GET", f"/Patient?identifier={number}")) == []
    assert call("POST", "/", transaction(entries[0])).status_code == 200


def test_conditions_that_mean_different_resources_stand_beside_each_other(call: Caller) -> None:
    entries = [
        entry(patient(number, "o14"), "POST", "Patient", ifNoneExist=f"identifier={number}&name=o14")
        for number in ("o14a", "o14b")
    ]
    there = entry(patient("o14c"), "PUT", "Patient?identifier=o14c")
    known = [place(one) for one in sent(call, *entries, there)]
    assert len({*known}) == 3
    assert [place(one) for one in sent(call, *entries, there)] == known


def test_what_a_condition_deletes_the_same_condition_creates_anew(call: Caller) -> None:
    old = created(call, patient("o15"))["id"]
    condition = "identifier=urn:hie:test|o15"
    made = entry(patient("o15", gender="male"), "POST", "Patient", ifNoneExist=condition)
    done = sent(call, made, entry(None, "DELETE", f"Patient?{condition}"))
    assert done[0]["response"]["status"].startswith("201")
    assert ids(call("GET", f"/Patient?{condition}")) == [place(done[0]).partition("/")[2]] != [old]
