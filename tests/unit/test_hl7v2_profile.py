"""Profiles: texts stay texts, a hospital states only what differs, faults are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from front_end_processor.normalise import profile
from front_end_processor.normalise.profile import BadProfile, Code
from tests.samples import hl7v2_messages as samples
from tests.samples.hl7v2_reading import entries, normalised


@pytest.mark.parametrize("name", ["h01", "h02", "h03", "h04", "h05"])
def test_every_shipped_profile_loads(name: str) -> None:
    found = profile.load(name)
    assert found.facility == name.upper()
    assert found.code("gender", "m") == Code("male")


def own(tmp_path: Path, text: str) -> profile.Profile:
    path = tmp_path / "own.yaml"
    path.write_text(text, encoding="utf-8")
    return profile.load(path)


def test_codes_are_never_turned_into_numbers_dates_or_truths(tmp_path: Path) -> None:
    text = "extends: base\nfacility: H09\ntables:\n  ward: {01: 007, NO: on, 12:30: 2026-01-01, .1: 1.0}\n"
    found = own(tmp_path, text).tables["ward"]
    assert {key: value.code for key, value in found.items()} == {
        "01": "007",
        "NO": "on",
        "12:30": "2026-01-01",
        ".1": "1.0",
    }


def test_a_hospital_adds_its_codes_beside_the_profile(tmp_path: Path) -> None:
    rows = "source,target,system,display\nK1,2823-3,http://loinc.org,Potassium\n"
    (tmp_path / "lab.csv").write_text(rows, encoding="utf-8")
    by = own(
        tmp_path,
        "extends: h02\ntables:\n  laboratory: {file: lab.csv, codes: {K2: {code: X, system: urn:x}}}\n",
    )
    assert by.code("laboratory", "k1") == Code("2823-3", "http://loinc.org", "Potassium")
    assert by.code("laboratory", "K2") == Code("X", "urn:x")
    result = normalised(
        samples.build("ORU^R01", samples.PID, samples.OBR, "OBX|1|NM|K1^钾^L||4.1||||||F"), by
    )
    (observation,) = [
        e["resource"] for e in entries(result) if e["resource"]["resourceType"] == "Observation"
    ]
    assert [coding["code"] for coding in observation["code"]["coding"]] == ["K1", "2823-3"]
    assert "laboratory code K1 is not mapped" not in result.warnings


def test_a_hospital_names_its_authorities_and_coding_systems(tmp_path: Path) -> None:
    text = "extends: h02\nauthorities: {MZ: outpatient}\nsystems: {JH: 'urn:hie:{facility}:jh'}\n"
    body = ("PID|1||P1^^^H02^MR~77^^^MZ||张三||19700101|F", samples.PV1, "DG1|1||A01^病^JH")
    found = entries(normalised(samples.build("ADT^A01", *body), own(tmp_path, text)))
    numbers = {each["system"] for each in found[0]["resource"]["identifier"]}
    assert "urn:hie:H02:outpatient" in numbers
    assert found[2]["resource"]["code"]["coding"][0]["system"] == "urn:hie:H02:jh"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("extends: base\n", "facility"),
        ("extends: base\nfacility: H09\nzone: Mars/Olympus\n", "zone"),
        ("extends: base\nfacility: H09\ntables: {gender: nowhere.csv}\n", "nowhere.csv"),
        ("extends: nothing\nfacility: H09\n", "nothing"),
        ("a: [", "line"),
        ("- a\n", "mapping"),
    ],
)
def test_a_fault_in_a_profile_is_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(BadProfile, match=says):
        own(tmp_path, text)


def test_a_fault_in_a_hospitals_own_field_is_named(tmp_path: Path) -> None:
    by = own(tmp_path, "extends: h02\nhl7v2: {fields: [{from: ZPI-2, to: Patient.x, as: magic}]}\n")
    with pytest.raises(BadProfile, match="magic"):
        normalised(samples.example("ADT^A01"), by)


def test_the_zone_of_the_hospital_is_that_of_its_times(tmp_path: Path) -> None:
    by = own(tmp_path, "extends: h02\nzone: Asia/Urumqi\n")
    visit = entries(normalised(samples.example("ADT^A01").replace(b"083000+0800", b"083000"), by))[1][
        "resource"
    ]
    assert visit["period"]["start"] == "2026-04-01T08:30:00+06:00"
