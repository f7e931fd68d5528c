"""Bad input on the whole road: a clear answer, a row with the reason, nothing lost, the next unaffected."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.journey.road import PATIENCE_S, Fep, Hub, code_of, text_of, wait_for
from tests.samples import hl7v2_messages as samples

COMMAND = str(Path(__file__).resolve().parents[2] / "deploy" / "region")
FRAME_START, FRAME_END = b"\x0b", b"\x1c\r"


@pytest.fixture(scope="module")
def fep(region: dict[str, Any]) -> Fep:
    """H01, whose profile says GB18030."""
    return Fep(region["hospitals"][0])


@pytest.fixture(scope="module")
def hub(region: dict[str, Any]) -> Hub:
    return Hub(region)


def admission(
    control: str, *, number: str = "", name: str = "赵^春生", person: str = "", **header: str
) -> bytes:
    """Return an A01 of a patient of this file."""
    pid = f"PID|1||{number or control}^^^H01^MR{person}||{name}||19700102|M"
    visit = samples.PV1.replace("V2026001", f"V{control}")
    return samples.build("ADT^A01", pid, visit, control=control, **header)


def check_next_is_unaffected(fep: Fep, control: str) -> None:
    """Send a good message and see it stored."""
    with fep.mllp() as sender:
        assert code_of(sender.send(admission(control))) == "AA"
    assert fep.wait_settled(control)["receipt"] == "stored"


# what is written -> (the bytes, MSA-2 of the answer, what the answer and the row say)
FRAMES = {
    "a frame that never ends": (FRAME_START + admission("BADFRAME1"), "BADFRAME1", "middle of a frame"),
    "no start byte": (admission("BADFRAME2") + FRAME_END, "BADFRAME2", "byte 0x0B"),
    "two messages in one frame": (
        FRAME_START + admission("BADFRAME3") + admission("BADFRAME4") + FRAME_END,
        "BADFRAME3",
        "two messages in one frame",
    ),
    "nothing that is HL7": (FRAME_START + b"hello there" + FRAME_END, "", "MSH"),
}


@pytest.mark.parametrize(("octets", "control", "said"), FRAMES.values(), ids=FRAMES)
def test_a_broken_frame_is_answered_once_with_its_reason_and_kept(
    octets: bytes, control: str, said: str, fep: Fep
):
    before = fep.highest()
    with fep.mllp() as sender:
        sender.put(octets)
        sender.end()
        answers = [sender.answer(), sender.answer()]
    assert answers[1] == b""
    assert f"MSA|AR|{control}|" in text_of(answers[0])
    assert said in text_of(answers[0])
    row = fep.set_aside_since(before)
    assert said in row["reason"]
    assert row["raw"]
    check_next_is_unaffected(fep, f"AFTERFRAME{before}")


def test_a_sender_gone_in_the_middle_of_a_frame_gets_no_answer_and_its_bytes_are_kept(fep: Fep):
    before = fep.highest()
    with fep.mllp() as sender:
        sender.put(FRAME_START + admission("GONE")[:120])
    row = fep.set_aside_since(before)
    assert "middle of a frame" in row["reason"]
    assert row["raw"]
    check_next_is_unaffected(fep, f"AFTERGONE{before}")


@pytest.mark.parametrize("wish", ["NE", "ER", "SU", "AL"])
def test_no_sender_of_the_enhanced_mode_is_left_without_an_answer(wish: str, fep: Fep):
    with fep.mllp() as sender:
        answer = sender.send(admission(f"WISH{wish}", accept=wish, answer="NE"))
    assert code_of(answer) == "CA"
    assert fep.wait_settled(f"WISH{wish}")["receipt"] == "stored"


def test_after_a_broken_frame_the_same_connection_goes_on(fep: Fep):
    with fep.mllp() as sender:
        sender.put(b"noise before the start" + FRAME_START + admission("AFTERNOISE") + FRAME_END)
        answers = [sender.answer()]
        if code_of(answers[0]) == "AR":
            answers.append(sender.answer())
        assert code_of(answers[-1]) == "AA"
    assert fep.wait_settled("AFTERNOISE")["receipt"] == "stored"


def test_a_message_over_the_limit_is_refused_and_says_which_limit(fep: Fep):
    huge = admission("TOOLARGE") + b"NTE|1||" + b"x" * (21 * 1024 * 1024) + b"\r"
    before = fep.highest()
    with fep.mllp() as sender:
        answer = sender.send(huge)
    assert code_of(answer) == "AR"
    assert "20971520" in text_of(answer)
    row = fep.set_aside_since(before)
    assert (row["inlet"], row["receipt"]) == ("mllp", None)
    assert "20971520" in row["reason"]
    check_next_is_unaffected(fep, "AFTERLARGE")


REFUSED = {
    "unknown trigger": (samples.build("ADT^Q99", samples.PID, control="BADQ99"), "AR", "Q99"),
    "unknown type": (samples.build("XYZ^A01", samples.PID, control="BADXYZ"), "AR", "XYZ"),
    "no PID": (samples.build("ADT^A01", samples.PV1, control="BADPID"), "AE", "PID"),
    "no patient number": (samples.build("ADT^A01", "PID|1||||张^三", control="BADNUM"), "AE", "PID-3"),
}


@pytest.mark.parametrize(("raw", "code", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_kept_is_set_aside_and_the_sender_told_why(raw: bytes, code: str, said: str, fep: Fep):
    with fep.mllp() as sender:
        answer = sender.send(raw)
        assert code_of(answer) == code
        assert said in text_of(answer)
        good = f"AFTER{said.replace('^', '')}"
        assert code_of(sender.send(admission(good))) == "AA"
    control = raw.split(b"|")[9].decode()
    row = fep.row(control)
    assert (row["fate"], row["receipt"]) == ("set_aside", None)
    assert said in row["reason"]
    assert fep.wait_settled(good)["receipt"] == "stored"


def test_bytes_that_are_not_what_msh18_says_are_read_by_the_hospitals_own_set(fep: Fep, hub: Hub):
    raw = admission("WRONGSET", name="钱^多多", codec="gb18030", charset="UNICODE UTF-8")
    with fep.mllp() as sender:
        assert code_of(sender.send(raw)) == "AA"
    row = fep.wait_settled("WRONGSET")
    assert "MSH-18" in row["warnings"]
    (patient,) = hub.search("Patient", identifier="WRONGSET")
    assert patient["name"][0]["text"] == "钱多多"


# hospital, its profile's set -> a message in the other one, as MSH-18 says; it is no UTF-8 by chance
OTHER_SETS = {
    "UTF-8 at the GB18030 hospital": (0, "utf-8", "UNICODE UTF-8"),
    "GB18030 at the UTF-8 hospital": (1, "gb18030", "GB 18030-2000"),
}


@pytest.mark.parametrize(("place", "codec", "named"), OTHER_SETS.values(), ids=OTHER_SETS)
def test_msh18_beats_the_set_of_the_profile(
    place: int, codec: str, named: str, region: dict[str, Any], hub: Hub
):
    fep = Fep(region["hospitals"][place])
    control = f"OTHERSET{place}"
    with fep.mllp() as sender:
        assert code_of(sender.send(admission(control, name="诸葛^锦绣", codec=codec, charset=named))) == "AA"
    row = fep.wait_settled(control)
    assert (row["charset"], row["receipt"]) == (codec, "stored")
    assert "MSH-18" not in row["warnings"]
    patient = hub.found(f"Patient?identifier={control}")
    name = patient["name"][0]
    assert (name["text"], name["family"], name["given"]) == ("诸葛锦绣", "诸葛", ["锦绣"])


def test_four_byte_characters_of_gb18030_arrive(fep: Fep, hub: Hub):
    raw = admission("FOURBYTE", name="𠮷^䶮㐂", codec="gb18030", charset="GB 18030-2000")
    with fep.mllp() as sender:
        assert code_of(sender.send(raw)) == "AA"
    fep.wait_settled("FOURBYTE")
    (patient,) = hub.search("Patient", identifier="FOURBYTE")
    assert patient["name"][0]["text"] == "𠮷䶮㐂"


def test_an_impossible_date_costs_the_date_and_nothing_else(fep: Fep, hub: Hub):
    raw = admission("BADDATE").replace(b"|19700102|", b"|19700231|")
    with fep.mllp() as sender:
        assert code_of(sender.send(raw)) == "AA"
    assert "PID-7" in fep.wait_settled("BADDATE")["warnings"]
    (patient,) = hub.search("Patient", identifier="BADDATE")
    assert "birthDate" not in patient


def test_an_unknown_code_is_kept_as_it_came(fep: Fep, hub: Hub):
    visit = samples.PV1.replace("V2026001", "VODDCODE")
    diagnosis = "DG1|1||ZZ9.999^本院自编诊断^L||20260401090000|F"
    pid = "PID|1||ODDCODE^^^H01^MR||孙^立||19700102|M"
    raw = samples.build("ADT^A01", pid, visit, diagnosis, control="ODDCODE")
    with fep.mllp() as sender:
        assert code_of(sender.send(raw)) == "AA"
    fep.wait_settled("ODDCODE")
    (patient,) = hub.search("Patient", identifier="ODDCODE")
    (condition,) = hub.search("Condition", patient=patient["id"])
    assert condition["code"]["coding"][0]["code"] == "ZZ9.999"
    assert condition["code"]["text"] == "本院自编诊断"


def test_an_identifier_of_somebody_else_is_asked_about_not_believed(
    region: dict[str, Any], fep: Fep, hub: Hub
):
    person = "~110105197001020017^^^&2.16.156.10011.1.3&ISO^NI"
    with fep.mllp() as sender:
        assert code_of(sender.send(admission("OWNER1", person=person))) == "AA"
        # Two patients travel by queues of their own: the later message may be the first at the hub.
        fep.wait_settled("OWNER1")
        other = admission("OWNER2", name="周^大海", person=person).replace(b"|19700102|", b"|19710305|")
        assert code_of(sender.send(other)) == "AA"
    assert fep.wait_settled("OWNER1")["receipt"] == fep.wait_settled("OWNER2")["receipt"] == "stored"
    assert fep.row("OWNER1")["receipt_reason"] is None
    assert "Another record has the same number" in fep.row("OWNER2")["receipt_reason"]
    (one,) = hub.search("Patient", identifier="OWNER1")
    (two,) = hub.search("Patient", identifier="OWNER2")
    found = {resource["id"] for resource in hub.search(f"Patient/{one['id']}/$everything")}
    assert two["id"] not in found
    with psycopg.connect(region["hub"]["database_url"].replace("+psycopg", "")) as connection:
        pair = sorted([one["id"], two["id"]])
        query = "SELECT state FROM review_item WHERE identity_a = %s AND identity_b = %s"
        assert connection.execute(query, pair).fetchall() == [("open",)]


def test_a_control_id_used_again_for_other_content_loses_nothing(fep: Fep, hub: Hub):
    first, second = admission("REUSED", number="RE1"), admission("REUSED", number="RE2")
    with fep.mllp() as sender:
        answers = [code_of(sender.send(raw)) for raw in (first, second, first, second)]
    assert answers == ["AA"] * 4
    rows = wait_for(
        "both receipts",
        lambda: [r for r in fep.rows("m.control_id = 'REUSED'") if r["receipt"] == "stored"][1:] and True,
    )
    assert rows
    rows = fep.rows("m.control_id = 'REUSED'")
    assert [row["repeats"] for row in rows] == [1, 1]
    assert "already used" in rows[1]["warnings"]
    for number in ("RE1", "RE2"):
        (patient,) = hub.search("Patient", identifier=number)
        assert patient["meta"]["versionId"] == "1"


def test_invalid_fhir_is_answered_with_the_element_and_never_the_value(fep: Fep):
    body = {"resourceType": "Patient", "id": "p1", "gender": "secretvalue", "birthDate": "2025-02-30"}
    before = fep.highest()
    answer = fep.post("/Patient", body)
    assert answer.status_code in (400, 422)
    outcome = answer.json()
    assert outcome["resourceType"] == "OperationOutcome"
    assert "Patient.gender" in answer.text
    assert "secretvalue" not in answer.text
    assert fep.set_aside_since(before)["inlet"] == "fhir"
    for octets in (b"{", b"[]", b'{"resourceType":"Nothing"}', b"\xff\xfe", b"[" * 5000):
        assert fep.post("", octets).status_code in (400, 422), octets[:20]
    before = fep.highest()
    answer = fep.post("/Patient", b'{"resourceType":"Patient","language":"' + b"x" * 21 * 1024 * 1024 + b'"}')
    assert answer.status_code == 413
    row = fep.set_aside_since(before)
    assert "20971520" in answer.text
    assert "20971520" in row["reason"]
    assert row["size"] > 21 * 1024 * 1024
    good = {"resourceType": "Patient", "id": "p2", "identifier": [{"value": "FHIRGOOD"}], "gender": "male"}
    assert fep.post("/Patient", good).status_code in (200, 201)


@pytest.mark.parametrize("address", ["", "/"], ids=["/fhir", "/fhir/"])
def test_the_base_address_of_the_fhir_inlet_is_one_with_and_without_its_slash(
    address: str, fep: Fep, hub: Hub
):
    number = f"BASE{len(address)}"
    patient = {"resourceType": "Patient", "identifier": [{"system": "urn:x", "value": number}]}
    entry = {"resource": patient, "request": {"method": "POST", "url": "Patient"}}
    body = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    answer = fep.post(address, body, **{"X-Request-Id": number})
    assert (answer.status_code, answer.history) == (200, [])
    assert fep.wait_settled(number)["receipt"] == "stored"
    assert (
        hub.found(f"Patient?identifier={number}")["id"] in answer.json()["entry"][0]["response"]["location"]
    )


def kill(region_dir: Path, *names: str) -> None:
    pids = json.loads((region_dir / "region.json").read_text(encoding="utf-8"))["pids"]
    for name in names:
        os.kill(pids[name], signal.SIGKILL)


def bring_back(region_dir: Path) -> None:
    done = subprocess.run(
        [COMMAND, "up", "--dir", str(region_dir)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr


def test_with_hub_broker_and_database_dead_messages_are_taken_and_arrive_later(
    region: dict[str, Any], servers_dir: Path, fep: Fep
):
    home = servers_dir / "region"
    names = [name for name in region["pids"] if not name.startswith("fep")]
    kill(home, *names)
    with fep.mllp() as sender:
        begin = time.monotonic()
        for number in range(20):
            assert code_of(sender.send(admission(f"AWAY{number}"))) == "AA"
        assert time.monotonic() - begin < PATIENCE_S
    assert fep.row("AWAY0")["receipt"] is None
    kill(home, f"fep.{fep.code}")
    bring_back(home)
    for number in range(20):
        assert fep.wait_settled(f"AWAY{number}")["receipt"] == "stored"
    hub = Hub(region)
    for number in range(20):
        (patient,) = hub.search("Patient", identifier=f"AWAY{number}")
        assert patient["meta"]["versionId"] == "1"
    check_next_is_unaffected(fep, "AFTERAWAY")
