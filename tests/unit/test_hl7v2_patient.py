"""PID, NK1, PV1, DG1, AL1, IN1, MRG: what the doctor of another hospital will read about a patient."""

from __future__ import annotations

import base64

import orjson
import pytest

from esb.fhir import identifiers
from front_end_processor.normalise import profile
from tests.samples import hl7v2_messages as samples
from tests.samples.hl7v2_reading import IDS, Resource, entries, normalised, one, resources


def patient(pid: str, *more: str) -> Resource:
    return one("ADT^A28", "Patient", pid, *more)


def numbers(found: Resource) -> dict[str, str]:
    return {each["system"]: each["value"] for each in found["identifier"]}


def pid(numbers: str = "P1^^^H02^MR", name: str = "张三", **fields: str) -> str:
    values = {3: numbers, 5: name, 7: "19491231", 8: "F"}
    values |= {int(key[1:]): value for key, value in fields.items()}
    return "|".join(["PID", *(values.get(n, "") for n in range(1, 31))])


def test_every_number_keeps_its_system() -> None:
    assert numbers(one("ADT^A01", "Patient")) == {
        "urn:hie:H02:mrn": "P0001",
        identifiers.RESIDENT_ID: "11010519491231002X",
        identifiers.INSURANCE: "YB778899",
    }


@pytest.mark.parametrize(
    ("cx", "system", "value"),
    [
        ("81000019900101001X^^^^NI", identifiers.RESIDENT_ID, "81000019900101001X"),
        ("810000199001010017^^^^NI", None, "810000199001010017"),
        ("E1234567^^^^PPN", identifiers.PASSPORT, "E1234567"),
        ("JK99^^^^HC", identifiers.HEALTH_CARD, "JK99"),
        ("O530000001^^^^BCT", identifiers.BIRTH_CERT, "O530000001"),
        ("军字123^^^^MI", identifiers.OFFICER_CARD, "军字123"),
        ("M100^^^^门诊号", "urn:hie:H02:outpatient", "M100"),
        ("Z100^^^^住院号", "urn:hie:H02:inpatient", "Z100"),
        ("T100^^^^PE", "urn:hie:H02:exam", "T100"),
        ("X9^^^SOMEBODY^", "urn:hie:H02:somebody", "X9"),
        ("D9^^^^DL", "urn:hie:H02:driving-licence", "D9"),
    ],
)
def test_a_number_of_each_kind_gets_the_system_of_its_kind(cx: str, system: str | None, value: str) -> None:
    expected = system or identifiers.system_of_card(value) or identifiers.RESIDENT_ID
    assert numbers(patient(pid(f"P1^^^H02^MR~{cx}")))[expected] == value


def test_an_old_resident_id_is_given_in_both_forms() -> None:
    found = patient(pid("P1^^^H02^MR~110105491231002^^^^NI"))["identifier"]
    forms = {each["value"]: each.get("use") for each in found}
    assert forms == {"P1": None, "110105491231002": "old", "11010519491231002X": "official"}


def test_pid_19_is_a_resident_id_only_if_its_check_digit_says_so() -> None:
    assert identifiers.RESIDENT_ID in numbers(patient(pid(f19="11010519491231002x")))
    assert "urn:hie:H02:ssn" in numbers(patient(pid(f19="110105194912310021")))


def test_the_mothers_number_is_never_the_babys() -> None:
    assert "urn:hie:H02:mrn" in numbers(patient(pid(f21="MOTHER1")))
    assert "MOTHER1" not in numbers(patient(pid(f21="MOTHER1"))).values()


@pytest.mark.parametrize(
    ("pid_3", "key"),
    [
        ("A1^^^OTHER^MR~P1^^^H02^MR", "P1"),
        ("110105194912310021^^^^NI~P1^^^^PI", "P1"),
        ("P1", "P1"),
        ("YB1^^^^SN", "insurance:YB1"),
    ],
)
def test_the_hospitals_own_number_is_found_wherever_it_stands(pid_3: str, key: str) -> None:
    result = normalised(samples.build("ADT^A28", pid(pid_3)))
    assert result.patient_key == key
    assert entries(result)[0]["resource"]["id"] == IDS.of("Patient", key)


def test_the_han_name_comes_first_and_pinyin_second() -> None:
    assert one("ADT^A01", "Patient")["name"] == [
        {"text": "欧阳晓燕", "family": "欧阳", "given": ["晓燕"], "use": "official"},
        {"text": "OUYANG XIAOYAN", "family": "OUYANG", "given": ["XIAOYAN"]},
    ]


@pytest.mark.parametrize(
    ("xpn", "text"),
    [
        ("张三", "张三"),
        ("阿卜杜拉·买买提", "阿卜杜拉·买买提"),
        ("𠮷^野", "𠮷野"),
        ("SMITH^JOHN^A^JR^Dr", "JOHN A SMITH JR"),
        ("MADONNA", "MADONNA"),
    ],
)
def test_a_name_is_kept_as_it_is_written(xpn: str, text: str) -> None:
    assert patient(pid(name=xpn))["name"][0]["text"] == text


def test_demographics_are_read() -> None:
    found = one("ADT^A01", "Patient")
    assert (found["gender"], found["birthDate"]) == ("female", "1949-12-31")
    assert found["telecom"] == [{"system": "phone", "value": "13912345678", "use": "mobile"}]
    assert found["address"][0] == {
        "text": "云南省昆明市五华区文昌路1号",
        "line": ["文昌路1号"],
        "city": "昆明市",
        "district": "五华区",
        "state": "云南省",
        "postalCode": "650000",
        "country": "CHN",
        "use": "home",
    }
    assert found["maritalStatus"]["coding"][0]["code"] == "M"
    assert found["contact"][0]["name"]["text"] == "欧阳明"
    assert found["extension"][0]["valueCodeableConcept"]["text"] == "汉族"


@pytest.mark.parametrize(
    ("sent", "gender"), [("M", "male"), ("1", "male"), ("女", "female"), ("9", "unknown")]
)
def test_sex_is_read_by_hl7_and_by_national_code(sent: str, gender: str) -> None:
    assert patient(pid(f8=sent))["gender"] == gender


@pytest.mark.parametrize(
    ("sent", "date"), [("1949", "1949"), ("194912", "1949-12"), ("1949-12-31", "1949-12-31")]
)
def test_a_partial_birth_date_stays_partial(sent: str, date: str) -> None:
    assert patient(pid(f7=sent))["birthDate"] == date


@pytest.mark.parametrize("sent", ["19490231", "00000000", "unknown", "19491331", "20261301120000"])
def test_an_impossible_birth_date_is_left_out_with_a_warning(sent: str) -> None:
    result = normalised(samples.build("ADT^A28", pid(f7=sent)))
    assert "birthDate" not in entries(result)[0]["resource"]
    assert any(warning.startswith("PID-7") for warning in result.warnings)
    assert sent not in " ".join(result.warnings)


def test_the_time_of_birth_is_kept() -> None:
    found = patient(pid(f7="20260401083000"))
    assert found["birthDate"] == "2026-04-01"
    assert found["_birthDate"]["extension"][0]["valueDateTime"] == "2026-04-01T08:30:00+08:00"


def test_death_and_birth_order_are_one_choice_each() -> None:
    found = patient(pid(f24="Y", f25="2", f29="20260401", f30="Y"))
    assert found["multipleBirthInteger"] == 2 and "multipleBirthBoolean" not in found
    assert found["deceasedDateTime"] == "2026-04-01" and "deceasedBoolean" not in found


def test_a_merge_retires_the_old_number_and_keeps_the_survivor() -> None:
    survivor, known, patch = entries(normalised(samples.example("ADT^A40")))
    old = f"Patient/{IDS.of('Patient', 'P0000')}"
    assert survivor["request"] == {"method": "PUT", "url": f"Patient/{IDS.of('Patient', 'P0001')}"}
    assert known["request"] == {"method": "PUT", "url": old, "ifNoneMatch": "*"}
    assert known["resource"]["identifier"][0]["value"] == "P0000"
    assert patch["request"] == {"method": "PATCH", "url": old}
    operations = orjson.loads(base64.b64decode(patch["resource"]["data"]))
    reference = {"reference": f"Patient/{IDS.of('Patient', 'P0001')}"}
    assert operations == [
        {"op": "add", "path": "/active", "value": False},
        {"op": "add", "path": "/link", "value": [{"other": reference, "type": "replaced-by"}]},
    ]


def test_several_merges_in_one_message_are_all_followed() -> None:
    body = (pid("A1^^^H02^MR"), "MRG|A0^^^H02^MR", pid("B1^^^H02^MR"), "MRG|B0^^^H02^MR")
    urls = [entry["request"]["url"] for entry in entries(normalised(samples.build("ADT^A40", *body)))]
    expected = [f"Patient/{IDS.of('Patient', number)}" for number in ("A1", "A0", "A0", "B1", "B0", "B0")]
    assert urls == expected


def test_a_merge_with_a_sparse_survivor_does_not_erase_what_is_known() -> None:
    body = ("PID|1||P1^^^H02^MR||张三", samples.MRG)
    survivor = entries(normalised(samples.build("ADT^A40", *body)))[0]
    assert survivor["request"]["ifNoneMatch"] == "*"


def test_a_visit_is_read_with_place_people_and_time() -> None:
    found = one("ADT^A01", "Encounter")
    assert found["id"] == IDS.of("Encounter", "V2026001")
    assert found["class"]["code"] == "IMP"
    assert found["period"] == {"start": "2026-04-01T08:30:00+08:00"}
    assert found["location"][0]["location"]["display"] == "内科 101 12"
    doctors = {
        each["type"][0]["coding"][0]["code"]: each["individual"]["display"] for each in found["participant"]
    }
    assert doctors == {"ATND": "李医生", "REF": "王医生"}
    assert found["diagnosis"][0]["condition"] == {
        "reference": f"Condition/{IDS.of('Condition', 'V2026001|I10.x00')}"
    }
    assert found["diagnosis"][0]["rank"] == 1


def test_a_discharge_without_its_time_ends_when_the_event_happened() -> None:
    found = one("ADT^A03", "Encounter", samples.PID, samples.PV1)
    assert found["period"]["end"] == "2026-04-01T10:30:00+08:00"


def test_an_end_before_the_begin_is_left_out() -> None:
    result = normalised(samples.build("ADT^A03", samples.PID, samples.PV1 + "|20250101"))
    assert "end" not in entries(result)[1]["resource"]["period"]
    assert any("PV1-45" in warning for warning in result.warnings)


def test_a_cancelled_discharge_opens_the_visit_again() -> None:
    found = one("ADT^A13", "Encounter", samples.PID, samples.PV1 + "|20260405")
    assert found["status"] == "in-progress" and "end" not in found["period"]


def test_a_visit_without_a_number_is_known_by_account_or_time() -> None:
    pv1 = samples.PV1.replace("V2026001^^^H02^VN", "")
    assert one("ADT^A01", "Encounter", samples.PID, pv1)["id"] == IDS.of("Encounter", "account:AC77")
    by_time = one("ADT^A01", "Encounter", pid(), pv1)["id"]
    assert by_time == IDS.of("Encounter", "P1|20260401083000+0800")


def test_a_message_about_no_visit_makes_none() -> None:
    assert resources(samples.build("ADT^A31", samples.PID, "PV1|1|N"), "Encounter") == []


def test_a_diagnosis_sent_twice_is_one_condition_with_the_stronger_status() -> None:
    admitted = samples.DG1.replace("||F|", "||A|")
    found = one("ADT^A01", "Condition", samples.PID, samples.PV1, samples.DG1, admitted)
    assert found["verificationStatus"]["coding"][0]["code"] == "confirmed"
    assert found["code"]["coding"][0] == {
        "system": "http://hl7.org/fhir/sid/icd-10",
        "code": "I10.x00",
        "display": "原发性高血压",
    }


def test_a_diagnosis_taken_back_is_entered_in_error() -> None:
    found = one("ADT^A08", "Condition", samples.PID, samples.PV1, samples.DG1 + "|||||D")
    assert found["verificationStatus"]["coding"][0]["code"] == "entered-in-error"
    assert "clinicalStatus" not in found


def test_an_allergy_keeps_substance_reaction_and_severity() -> None:
    found = one("ADT^A01", "AllergyIntolerance")
    assert found["code"]["text"] == "青霉素"
    assert found["criticality"] == "high"
    assert found["reaction"][0]["severity"] == "severe"
    assert found["reaction"][0]["manifestation"][0]["text"] == "皮疹"
    assert one("ADT^A60", "AllergyIntolerance")["id"] == found["id"]


def test_insurance_is_a_coverage() -> None:
    found = one("ADT^A01", "Coverage")
    assert found["payor"][0]["display"] == "省医疗保障局"
    assert found["period"] == {"start": "2026-01-01", "end": "2026-12-31"}
    assert found["subscriberId"] == "YB778899"


def test_an_insurance_that_ends_before_it_begins_keeps_its_begin_alone() -> None:
    raw = samples.example("ADT^A01").replace(b"|20260101|20261231|", b"|20260101|20251231|")
    result = normalised(raw)
    found = next(e["resource"] for e in entries(result) if e["resource"]["resourceType"] == "Coverage")
    assert found["period"] == {"start": "2026-01-01"}
    assert "IN1-13: earlier than IN1-12, left out" in result.warnings


def test_a_hospitals_own_fields_are_read_by_its_profile(tmp_path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(
        "extends: h02\nhl7v2: {fields: [{from: ZPI-2, to: Patient.maritalStatus, as: marital_status}]}\n",
        encoding="utf-8",
    )
    result = normalised(samples.build("ADT^A28", pid(), "ZPI|1|已婚"), profile.load(path))
    assert entries(result)[0]["resource"]["maritalStatus"]["coding"][0]["code"] == "M"
