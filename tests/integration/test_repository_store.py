"""Versions: the newer snapshot wins, the late one is kept as superseded, nothing is doubled."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from esb.fhir.lexemes import loads
from hie.errors import Conflict, Gone, NotFound, NotValid, PreconditionFailed, Rejected
from hie.repository import read, store
from hie.repository.writes import Order, Outcome, Write
from hie.schema.repository import Resource, ResourceHistory

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
ALL = sa.true()


def order(minute: int, epoch: int = 1, seq: int = 1) -> Order:
    return (datetime(2026, 2, 1, 9, minute, tzinfo=UTC), epoch, seq)


def observation(value: str, id_: str = "o1", patient: str = "p1") -> dict[str, Any]:
    return loads(
        f"""{{"resourceType":"Observation","id":"{id_}","status":"final","code":{{"text":"K"}},
        "subject":{{"reference":"Patient/{patient}"}},"valueQuantity":{{"value":{value},"unit":"mmol/L"}}}}"""
    )


def put(value: str, at: Order | None, **more: Any) -> Write:
    resource = observation(value, more.pop("id", "o1"), more.pop("patient", "p1"))
    return Write("put", "Observation", resource["id"], resource, more.pop("facility", "H01"), at, **more)


def write(session: Session, *writes: Write, now: datetime = NOW) -> list[Outcome]:
    return store.write(session, writes, now)


def value_of(session: Session, id_: str = "o1") -> str:
    content = read.read(session, "Observation", id_, ALL).content
    return content.split(b'"value":')[1].split(b",")[0].decode()


def test_decimals_keep_their_digits(session: Session) -> None:
    write(session, put("128.50", order(1)))
    assert value_of(session) == "128.50"


def test_the_newer_snapshot_wins_and_the_old_one_is_kept(session: Session) -> None:
    write(session, put("4.1", order(1)))
    assert write(session, put("5.2", order(2)))[0].fate == "updated"
    versions = read.history(session, "Observation", "o1", ALL)
    assert [(v.version, v.superseded) for v in versions] == [(2, False), (1, False)]
    assert b"4.1" in read.vread(session, "Observation", "o1", 1, ALL).content


def test_a_version_filed_with_another_patient_is_that_patients(session: Session) -> None:
    write(session, put("1.0", order(1), id="kept", patient="stranger"))
    write(session, put("9.9", order(1), patient="stranger"))
    write(session, put("4.1", order(2)))
    write(session, put("5.2", order(3)))
    own = Resource.compartment == "p1"
    assert [v.version for v in read.history(session, "Observation", "o1", own)] == [3, 2]
    with pytest.raises(NotFound):
        read.vread(session, "Observation", "o1", 1, own)
    assert [v.version for v in read.history(session, "Observation", "o1", ALL)] == [3, 2, 1]


def test_what_arrives_late_is_kept_as_superseded(session: Session) -> None:
    write(session, put("5.2", order(2)))
    late = write(session, put("4.1", order(1)))[0]
    assert (late.fate, late.version) == ("superseded", 2)
    assert value_of(session) == "5.2"
    assert [(v.version, v.superseded) for v in read.history(session, "Observation", "o1", ALL)] == [
        (1, False),
        (2, True),
    ]
    assert write(session, put("6.3", order(3)))[0].version == 3


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        (order(2), order(1)),
        (order(1, epoch=2, seq=1), order(1, epoch=1, seq=9)),
        (order(1, 1, 2), order(1, 1, 1)),
    ],
)
def test_source_time_then_epoch_then_sequence_decide(session: Session, newer: Order, older: Order) -> None:
    write(session, put("2.0", newer), put("1.0", older))
    assert value_of(session) == "2.0"


def test_every_order_of_arrival_ends_the_same(session: Session) -> None:
    import itertools

    for number, arrival in enumerate(itertools.permutations([1, 2, 3])):
        for minute in arrival:
            write(session, put(f"{minute}.0", order(minute), id=f"x{number}"))
        assert value_of(session, f"x{number}") == "3.0"


def test_a_whole_history_in_one_batch_ends_as_one_by_one(session: Session) -> None:
    fates = [o.fate for o in write(session, *(put(f"{n}.0", order(n)) for n in (1, 3, 2, 4)))]
    assert fates == ["created", "updated", "superseded", "updated"]
    assert value_of(session) == "4.0"
    assert len(read.history(session, "Observation", "o1", ALL)) == 4


def test_the_same_snapshot_again_makes_no_version(session: Session) -> None:
    write(session, put("4.1", order(1)))
    assert write(session, put("4.1", order(3)))[0].fate == "unchanged"
    # It counts as sent at minute 3: what was true at minute 2 no longer wins.
    assert write(session, put("9.9", order(2)))[0].fate == "superseded"
    assert value_of(session) == "4.1"


def test_a_placeholder_yields_to_any_snapshot_and_never_overwrites(session: Session) -> None:
    assert write(session, put("0.0", order(9), if_none_match=True))[0].fate == "created"
    assert write(session, put("4.1", order(1)))[0].fate == "updated"
    assert write(session, put("0.0", order(10), if_none_match=True))[0].fate == "kept"
    assert value_of(session) == "4.1"


def test_a_deletion_is_a_version_and_a_late_snapshot_does_not_undo_it(session: Session) -> None:
    write(session, put("4.1", order(1)))
    assert (
        write(session, Write("delete", "Observation", "o1", facility="H01", order=order(3)))[0].fate
        == "deleted"
    )
    with pytest.raises(Gone):
        read.read(session, "Observation", "o1", ALL)
    assert write(session, put("5.2", order(2)))[0].fate == "superseded"
    assert write(session, put("6.3", order(4)))[0].fate == "created"
    assert value_of(session) == "6.3"


def test_a_deletion_that_overtakes_its_resource_still_counts(session: Session) -> None:
    assert (
        write(session, Write("delete", "Observation", "o1", facility="H01", order=order(3)))[0].fate
        == "deleted"
    )
    assert write(session, put("4.1", order(1)))[0].fate == "superseded"
    with pytest.raises(Gone):
        read.read(session, "Observation", "o1", ALL)


def test_a_facility_cannot_write_under_an_id_of_another(session: Session) -> None:
    write(session, put("4.1", order(1)))
    with pytest.raises(Rejected), session.begin_nested():
        write(session, put("5.2", order(2), facility="H02"))
    assert write(session, put("5.2", order(2), facility=None))[0].fate == "updated"


def test_a_resource_that_changes_its_patient_moves(session: Session) -> None:
    write(session, put("4.1", order(1)))
    write(session, put("4.1", order(2), patient="p2"))
    assert [c for _, _, c in read.everything(session, ["p1"], ALL)] == []
    assert len(list(read.everything(session, ["p2"], ALL))) == 1
    assert read.read(session, "Observation", "o1", ALL).compartment == "p2"
    assert write(session, put("7.0", order(3), patient="p2"))[0].version == 3


@pytest.mark.parametrize("seed", range(30))
def test_however_it_is_cut_into_batches_a_resource_that_moves_is_one(session: Session, seed: int) -> None:
    rng = Random(seed)
    writes = [
        put(f"{n}.5", order(rng.randint(1, 9), seq=n), patient=f"p{rng.randint(1, 3)}") for n in range(1, 9)
    ]
    while writes:
        size = rng.randint(1, 4)
        write(session, *writes[:size])
        writes = writes[size:]
    rows = session.execute(sa.select(Resource.compartment, Resource.content)).all()
    assert len(rows) == 1
    assert f'"Patient/{rows[0].compartment}"' in rows[0].content
    past = session.scalars(sa.select(ResourceHistory.version)).all()
    present = read.read(session, "Observation", "o1", ALL).version
    assert sorted([*past, present]) == list(range(1, 9))


def patched(session: Session, type_: str, id_: str, seq: int, patch: list[Any]) -> Outcome:
    return write(session, Write("patch", type_, id_, facility="H01", order=order(seq), patch=patch))[0]


def test_a_patch_keeps_digits_and_makes_no_version_twice(session: Session) -> None:
    write(session, put("128.50", order(5)))
    patch = [{"op": "replace", "path": "/status", "value": "amended"}]
    changed = patched(session, "Observation", "o1", 6, patch)
    assert changed.fate == "updated"
    assert b'"status":"amended"' in changed.content
    assert b"128.50" in changed.content
    assert patched(session, "Observation", "o1", 6, patch).fate == "unchanged"


def test_a_patch_that_arrives_late_changes_nothing_unless_it_is_a_merge(session: Session) -> None:
    one = {"resourceType": "Patient", "id": "p1", "telecom": [{"system": "phone", "value": "2"}]}
    write(session, Write("put", "Patient", "p1", one, facility="H01", order=order(5)))
    phone = [{"op": "add", "path": "/telecom", "value": [{"system": "phone", "value": "1"}]}]
    assert patched(session, "Patient", "p1", 4, phone).fate == "superseded"
    link = [{"other": {"reference": "Patient/p2"}, "type": "replaced-by"}]
    merge = [
        {"op": "add", "path": "/active", "value": False},
        {"op": "add", "path": "/link", "value": link},
    ]
    merged = patched(session, "Patient", "p1", 4, merge)
    assert merged.fate == "updated"
    assert b'"value":"2"' in merged.content
    assert patched(session, "Patient", "p1", 5, phone).fate == "updated"


@pytest.mark.parametrize(
    "patch",
    [
        [{"op": "replace", "path": "/nowhere/x", "value": 1}],
        [{"op": "fly", "path": "/status"}],
        [{"path": "/status"}],
        [{"op": "replace", "path": "/id", "value": "other"}],
        [{"op": "replace", "path": "/resourceType", "value": "Patient"}],
        [{"op": "replace", "path": "", "value": 7}],
        ["x"],
        [{"op": "add", "path": "/code/coding/9999", "value": {}}],
    ],
)
def test_a_bad_patch_is_refused(session: Session, patch: list[Any]) -> None:
    write(session, put("4.1", order(1)))
    with pytest.raises(Rejected), session.begin_nested():
        write(session, Write("patch", "Observation", "o1", facility="H01", order=order(2), patch=patch))


def test_a_patch_of_nothing_is_not_found(session: Session) -> None:
    with pytest.raises(NotFound):
        write(session, Write("patch", "Observation", "none", patch=[]))


def test_if_match_protects_from_writing_over_another(session: Session) -> None:
    write(session, put("4.1", None))
    write(session, put("5.2", None, if_match=1))
    with pytest.raises(PreconditionFailed), session.begin_nested():
        write(session, put("6.3", None, if_match=1))


def test_the_api_always_follows_what_is_stored_even_from_the_future(session: Session) -> None:
    future = (NOW + timedelta(days=400), 7, 7)
    write(session, put("4.1", future))
    assert write(session, put("5.2", None))[0].fate == "updated"
    assert value_of(session) == "5.2"


def test_create_under_a_known_id_is_a_conflict(session: Session) -> None:
    write(session, put("4.1", None))
    with pytest.raises(Conflict), session.begin_nested():
        write(session, Write("create", "Observation", "o1", observation("5.2"), "H01"))


@pytest.mark.parametrize("id_", ["", "a b", "x" * 65, "../x", "é", 'a"b'])
def test_an_id_outside_the_rules_is_refused(session: Session, id_: str) -> None:
    resource = observation("1.0") | {"id": id_}
    with pytest.raises(NotValid):
        write(session, Write("put", "Observation", id_, resource))


def test_the_text_stored_is_the_text_returned(session: Session) -> None:
    resource = observation("1.0") | {
        "meta": {"versionId": "99", "source": "urn:hie:H01#7", "lastUpdated": "x"}
    }
    content = write(session, Write("put", "Observation", "o1", resource, "H01"))[0].content
    assert content.startswith(
        b'{"resourceType":"Observation","id":"o1","meta":{"versionId":"1","lastUpdated":"2026-03-01T08:00:00.000Z",'
        b'"source":"urn:hie:H01#7"},"status":"final"'
    )
    assert read.read(session, "Observation", "o1", ALL).content == content
