"""The envelope, its seal and the topology: what travels, who can read it, who may write where."""

import contextlib
import re
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey

from esb import topology
from esb.envelope import MAX_BODY, Entry, deflate, inflate, pack, partition_of, unpack
from esb.errors import Malformed, Rejected, TooLarge
from esb.relay import group, stated_entries
from esb.seal import (
    SUITES,
    NotTrusted,
    generate_keys,
    load_keys,
    load_public,
    open_sealed,
    public_part,
    renew_keys,
    seal,
)
from esb.topology import HUB_USER, bindings, check_facility_code, definitions, topic_permissions
from hie.directory.facilities import check_public_keys

AT = datetime(2026, 3, 1, 4, 5, 6, 789000, UTC)
HOSPITAL, HUB, STRANGER = generate_keys("H01"), generate_keys("hub"), generate_keys("H02")

entries = st.lists(
    st.builds(
        Entry,
        epoch=st.integers(0, 2**31 - 1),
        seq=st.integers(0, 2**63 - 1),
        source_at=st.datetimes(timezones=st.just(UTC)),
        kind=st.text("ADT^01 收费", max_size=20),
        payload=st.binary(max_size=200).map(deflate),
    ),
    max_size=8,
)


@given(entries)
def test_what_is_packed_is_unpacked_the_same(packed):
    assert unpack(pack(packed)) == packed


@given(st.binary(max_size=300))
def test_a_hostile_body_is_malformed_and_nothing_worse(noise):
    for read in (unpack, inflate):
        with contextlib.suppress(Malformed):
            read(noise)


@pytest.mark.parametrize(
    "wrong",
    [{"epoch": 2**31}, {"epoch": -1}, {"seq": 2**63}, {"kind": "ADT\0"}, {"at": "yesterday"}, {"at": 5}],
    ids=str,
)
def test_an_entry_that_no_table_can_keep_is_malformed(wrong):
    head = {"epoch": 1, "seq": 1, "at": AT.isoformat(), "kind": "ADT^A01", "length": 0}
    assert unpack(orjson.dumps(head) + b"\n\n")
    with pytest.raises(Malformed):
        unpack(orjson.dumps(head | wrong) + b"\n\n")


def test_a_zip_bomb_is_refused():
    with pytest.raises(TooLarge):
        inflate(deflate(bytes(MAX_BODY + 1)))


def test_a_patient_stays_in_its_partition_for_ever():
    assert [partition_of(key) for key in ("H01|100", "H01|101", "张伟")] == [49, 55, 35]
    assert {partition_of(str(n)) for n in range(2000)} == set(range(64))


@pytest.mark.parametrize("suite", SUITES)
def test_the_receiver_opens_what_the_sender_sealed(suite):
    claims = {"iss": "H01", "route": "H01.7", "jti": "m1"}
    token, signature = seal(
        b"body", claims, own=load_keys(HOSPITAL), to=load_public(public_part(HUB)), suite=suite
    )
    sender = load_public(public_part(HOSPITAL))
    assert open_sealed(token, signature, claims, sender=sender, own=load_keys(HUB)) == b"body"
    assert b"body" not in token


def test_what_was_sealed_before_a_renewal_is_opened_after_it():
    claims = {"iss": "H01", "route": "H01.7", "jti": "m1"}
    token, signature = seal(b"body", claims, own=load_keys(HOSPITAL), to=load_public(public_part(HUB)))
    hospital, hub = renew_keys(HOSPITAL, "H01"), renew_keys(HUB, "hub")
    sender, own = load_public(public_part(hospital)), load_keys(hub)
    assert open_sealed(token, signature, claims, sender=sender, own=own) == b"body"
    anew = seal(b"body", claims, own=load_keys(hospital), to=own.public)
    with pytest.raises(NotTrusted):
        open_sealed(*anew, claims, sender=load_public(public_part(HOSPITAL)), own=own)
    with pytest.raises(NotTrusted):
        open_sealed(*anew, claims, sender=sender, own=load_keys(HUB))


EC = ECKey.generate_key("P-256", {"use": "sig"}).as_dict(private=False)
SIGN, ENCRYPT = public_part(HOSPITAL)["keys"]


@pytest.mark.parametrize(
    "unfit",
    [
        None,
        [],
        {},
        {"keys": None},
        {"keys": ["key"]},
        {"keys": [SIGN]},
        {"keys": [EC, ENCRYPT]},
        {"keys": [SIGN | {"use": "enc"}, ENCRYPT | {"use": "sig"}]},
        {"keys": [SIGN | {"x": "short"}, ENCRYPT]},
        HOSPITAL,
    ],
    ids=["none", "list", "empty", "no keys", "text", "one", "other curve", "swapped", "cut", "private"],
)
def test_a_key_set_that_cannot_be_used_is_malformed_and_not_registered(unfit):
    with pytest.raises(Malformed):
        load_public(unfit)
    with pytest.raises(Rejected):
        check_public_keys(unfit)


@pytest.mark.parametrize("code", ["", "H.1", "H 1", "hub", "admin", "H" * 33, "省立", "H01\n"])
def test_a_code_that_cannot_stand_on_the_bus_is_refused(code):
    with pytest.raises(Rejected):
        check_facility_code(code)
    check_facility_code("H-01_a")


@pytest.mark.parametrize(
    "change",
    [
        {"claims": {"iss": "H01", "route": "H01.8", "jti": "m1"}},
        {"sender": load_public(public_part(STRANGER))},
        {"own": load_keys(STRANGER)},
        {"signature": "no.signature.atall"},
        {"flip": True},
    ],
    ids=["another route", "another sender", "another receiver", "no signature", "a bit of the body"],
)
def test_a_seal_that_does_not_hold_is_not_trusted(change):
    claims = {"iss": "H01", "route": "H01.7", "jti": "m1"}
    token, signature = seal(b"body", claims, own=load_keys(HOSPITAL), to=load_public(public_part(HUB)))
    if change.pop("flip", False):
        token = token[:-1] + (b"A" if token[-1:] != b"A" else b"B")
    given_ = {
        "claims": claims,
        "sender": load_public(public_part(HOSPITAL)),
        "own": load_keys(HUB),
        "signature": signature,
    } | change
    with pytest.raises(NotTrusted):
        open_sealed(token, given_["signature"], given_["claims"], sender=given_["sender"], own=given_["own"])


def test_every_partition_is_bound_to_exactly_one_queue():
    keys = [key for exchange, key, _ in bindings(["H01"], 4) if exchange == "records"]
    assert sorted(keys) == sorted(f"*.{n}" for n in range(64))


def test_a_hospital_may_write_its_own_keys_only():
    (rule,) = topic_permissions("H01")
    assert re.search(rule["write"], "H01.63")
    for key in ("H02.1", "H01.64", "H011.1", "xH01.1", "H01.1.1"):
        assert not re.search(rule["write"], key), key


def test_the_definitions_name_every_user_and_no_password():
    passwords = {"admin": "a-secret", HUB_USER: "b-secret", "H01": "c-secret"}
    made = definitions(passwords, admin="admin", ingest_queues=4)
    assert {user["name"] for user in made["users"]} == set(passwords)
    assert "secret" not in str(made)
    assert {queue["name"] for queue in made["queues"]} >= {
        "ingest.0",
        "ingest.3",
        "dead.ingest",
        "receipts.H01",
    }


class Row:
    exchange = "records"

    def __init__(self, route: str, size: int) -> None:
        self.route, self.payload = route, bytes(size)


def test_rows_share_an_envelope_by_route_and_keep_their_order():
    rows = [Row("H01.1", 10), Row("H01.2", 10), Row("H01.1", 10), Row("H01.1", 5_000_000), Row("H01.1", 10)]
    assert group(rows) == [[rows[0], rows[2]], [rows[1]], [rows[3]], [rows[4]]]


def test_only_the_entries_an_envelope_states_are_answered():
    assert stated_entries({"entries": ["7/3", "7/9", "8/1"]}) == [(7, 3), (7, 9), (8, 1)]


@pytest.mark.parametrize(
    "stated", [None, 3, "7/3", ["x"], [7], ["7/"], ["-1/2"], ["99999999999/1"], [["7/3"]]]
)
def test_hostile_statements_answer_nobody(stated):
    assert stated_entries({"entries": stated}) == []


def test_a_queues_name_is_changed_in_one_place(monkeypatch):
    monkeypatch.setattr(topology, "INGEST_PREFIX", "intake+")
    monkeypatch.setattr(topology, "RECEIPT_PREFIX", "answers+")
    assert re.search(topology.permissions(HUB_USER)["read"], topology.ingest_queue(3))
    assert re.search(topology.permissions("H01")["read"], topology.receipt_queue("H01"))
    assert not re.search(topology.permissions("H01")["read"], topology.receipt_queue("H02"))
