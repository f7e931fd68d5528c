"""Messages that were cut, or that say little: what a hospital has said before is not lost."""

import base64
from typing import Any

import orjson
import pytest

from hie.repository.patching import patched
from tests.samples import hl7v2_messages as samples
from tests.samples.hl7v2_reading import entries, normalised

FULL = (
    "PID|1||P1^^^H02^MR~11010519491231002X^^^&2.16.156.10011.1.3&ISO^NI||欧阳^晓燕||19491231|F|||文昌路1号^^昆明市"
    "||13912345678^PRN^CP|0871333^WPN^PH||M"
)


def known(after: bytes) -> dict[str, Any]:
    """Return the Patient the hub has after the full message and one more."""
    first, *_ = entries(normalised(samples.build("ADT^A01", FULL, samples.PV1)))
    found: dict[str, Any] = first["resource"]
    for entry in entries(normalised(after)):
        request = entry["request"]
        if request["url"] != first["request"]["url"]:
            continue
        if request["method"] == "PATCH":
            operations = orjson.loads(base64.b64decode(entry["resource"]["data"]))
            found = patched(orjson.dumps(found), operations)
        elif "ifNoneMatch" not in request:
            found = entry["resource"]
    return found


@pytest.mark.parametrize("event", ["A01", "A04", "A08"])
@pytest.mark.parametrize("length", [30, 60, 100, 120])
def test_a_message_cut_inside_pid_loses_nothing_that_is_known(event: str, length: int) -> None:
    whole = known(samples.build(f"ADT^{event}", FULL, samples.PV1))
    cut = samples.build(f"ADT^{event}", FULL[:length])
    found = known(cut)
    assert found.keys() == whole.keys()
    assert (found["birthDate"], found["gender"]) == ("1949-12-31", "female")
    assert (found["identifier"], found["telecom"]) == (whole["identifier"], whole["telecom"])
    assert any("may be cut" in warning for warning in normalised(cut).warnings)


def test_a_cut_message_still_makes_a_patient_nobody_knew() -> None:
    placeholder = entries(normalised(samples.build("ADT^A01", FULL[:60])))[0]
    assert placeholder["request"]["ifNoneMatch"] == "*"
    assert placeholder["resource"]["identifier"][0]["value"] == "P1"


def test_what_a_short_pid_says_is_taken_and_null_takes_away() -> None:
    short = 'PID|1||P1^^^H02^MR||王^晓燕||||||人民路2号||""|""||""'
    found = known(samples.build("ADT^A31", short))
    assert found["name"][0]["text"] == "王晓燕"
    assert "人民路" in found["address"][0]["text"]
    assert "maritalStatus" not in found and "telecom" not in found
    assert (found["birthDate"], found["gender"]) == ("1949-12-31", "female")


def test_a_telephone_number_alone_does_not_take_the_other_one_away() -> None:
    short = "PID|1||P1^^^H02^MR||欧阳^晓燕||||||||13500000000"
    assert len(known(samples.build("ADT^A31", short))["telecom"]) == 2


def test_a_death_told_by_a_short_pid_stays_one_statement() -> None:
    fields = {3: "P1^^^H02^MR", 30: "Y"}
    short = samples.segment("PID", fields)
    found = known(samples.build("ADT^A31", short))
    assert found["deceasedBoolean"] is True and "deceasedDateTime" not in found


def test_a_deleted_person_keeps_the_demographics_a_short_message_leaves_out() -> None:
    found = known(samples.build("ADT^A29", "PID|1||P1^^^H02^MR"))
    assert found["active"] is False
    assert found["birthDate"] == "1949-12-31"


def test_a_whole_message_is_a_snapshot_as_before() -> None:
    found = known(samples.build("ADT^A08", "PID|1||P1^^^H02^MR||欧阳^晓燕||19491231|F", samples.PV1))
    assert "telecom" not in found
