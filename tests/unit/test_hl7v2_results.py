"""ORU and OBX: digits, comparators, ranges, corrections, texts, files."""

from __future__ import annotations

import base64
from dataclasses import replace
from decimal import Decimal

import orjson
import pytest

from esb.fhir import lexemes
from hie.repository.patching import patched
from tests.samples import hl7v2_messages as samples
from tests.samples.hl7v2_reading import IDS, PROFILE, Resource, entries, normalised, one, resources

REPORT = (samples.PID, samples.PV1, samples.OBR)


def obx(type_: str, value: str, unit: str = "", range_: str = "", flag: str = "", status: str = "F") -> str:
    return f"OBX|1|{type_}|K^钾^L||{value}|{unit}|{range_}|{flag}|||{status}|||20260401091500"


def observation(*args: str) -> Resource:
    return one("ORU^R01", "Observation", *REPORT, obx(*args))


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("12.50", "12.50"),
        ("0.0010", "0.0010"),
        ("100", "100"),
        ("-3.0", "-3.0"),
        ("1e3", "1e3"),
        (".5", "0.5"),
        ("+5", "5"),
        ("007", "7"),
        ("5.", "5"),
        ("1,234.50", "1234.50"),
        ("123456789012345678.123456789", "123456789012345678.123456789"),
    ],
)
def test_a_number_keeps_its_digits(sent: str, kept: str) -> None:
    raw = samples.build("ORU^R01", *REPORT, obx("NM", sent, "mmol/L"))
    assert f'"value":{kept},'.encode() in normalised(raw).bundle


@pytest.mark.parametrize("sent", ["60~120", "阴性", "1,23", "--5", "12a", "NaN", "Infinity", "1_000", "٣"])
def test_what_is_no_number_stays_text(sent: str) -> None:
    assert observation("NM", sent)["valueString"] == sent.replace("~", "\n")


@pytest.mark.parametrize(
    ("type_", "sent", "comparator", "value"),
    [
        ("NM", "<0.01", "<", "0.01"),
        ("NM", "≥100", ">=", "100"),
        ("NM", "＜5", "<", "5"),
        ("SN", "<^5", "<", "5"),
        ("SN", ">=^5.0", ">=", "5.0"),
        ("SN", "^182", None, "182"),
        ("SN", "=^3", None, "3"),
    ],
)
def test_a_compared_number_keeps_its_comparator(
    type_: str, sent: str, comparator: str | None, value: str
) -> None:
    quantity = observation(type_, sent)["valueQuantity"]
    assert str(quantity["value"]) == value
    assert quantity.get("comparator") == comparator


def test_ratios_and_ranges_are_read() -> None:
    ratio = observation("SN", "^1^:^128")["valueRatio"]
    assert (ratio["numerator"]["value"], ratio["denominator"]["value"]) == (1, 128)
    limits = observation("SN", "^3^-^5", "/HP")["valueRange"]
    assert (limits["low"]["value"], limits["high"]["value"]) == (3, 5)
    assert observation("SN", "^2^+")["valueString"] == "2+"


@pytest.mark.parametrize(
    ("type_", "sent", "element", "value"),
    [
        ("ST", "阴性", "valueString", "阴性"),
        ("CE", "10828004^阳性^SCT", "valueCodeableConcept", "阳性"),
        ("CWE", "POS^阳性^L", "valueCodeableConcept", "阳性"),
        ("IS", "Y", "valueCodeableConcept", "Y"),
        ("DT", "20260401", "valueDateTime", "2026-04-01"),
        ("TS", "20260401093000", "valueDateTime", "2026-04-01T09:30:00+08:00"),
        ("DTM", "2026040109", "valueDateTime", "2026-04-01T09:00:00+08:00"),
        ("TM", "0930", "valueTime", "09:30:00"),
        ("XCN", "D1^李^明", "valueString", "D1 李 明"),
        ("QQ", "奇怪", "valueString", "奇怪"),
        ("", "无类型", "valueString", "无类型"),
    ],
)
def test_each_value_type_has_its_element(type_: str, sent: str, element: str, value: str) -> None:
    found = observation(type_, sent)[element]
    assert (found["text"] if isinstance(found, dict) else found) == value


def test_no_value_is_said_to_be_absent() -> None:
    assert observation("NM", "", "mmol/L")["dataAbsentReason"]["coding"][0]["code"] == "unknown"


@pytest.mark.parametrize(
    ("sent", "ucum"),
    [
        ("mmol/L", "mmol/L"),
        ("10^9/L", "10*9/L"),
        ("×10^9/L", "10*9/L"),
        ("10\\S\\9/L", "10*9/L"),
        ("μmol/L", "umol/L"),
        ("次/分", "/min"),
        ("℃", "Cel"),
        ("mm[Hg]^mmHg^UCUM", "mm[Hg]"),
        ("奇怪单位", None),
    ],
)
def test_a_unit_is_kept_as_printed_and_given_in_ucum_where_known(sent: str, ucum: str | None) -> None:
    quantity = observation("NM", "5.10", sent)["valueQuantity"]
    assert quantity.get("code") == ucum
    assert quantity["unit"]


@pytest.mark.parametrize(
    ("sent", "low", "high"),
    [
        ("3.50-5.50", "3.50", "5.50"),
        ("3.5～5.5", "3.5", "5.5"),
        ("3.5--5.5", "3.5", "5.5"),
        ("<5.0", None, "5.0"),
        ("≥60", "60", None),
        ("阴性", None, None),
        ("-2-2", "-2", "2"),
    ],
)
def test_a_reference_range_is_kept_as_printed_with_its_limits(
    sent: str, low: str | None, high: str | None
) -> None:
    (found,) = observation("NM", "4.1", "mmol/L", sent)["referenceRange"]
    assert found["text"] == sent
    assert {side: str(found[side]["value"]) for side in ("low", "high") if side in found} == {
        side: value for side, value in (("low", low), ("high", high)) if value
    }


@pytest.mark.parametrize(
    ("sent", "code"), [("H", "H"), ("↑", "H"), ("LL", "LL"), ("偏低", "L"), ("阳性", "POS")]
)
def test_an_abnormal_flag_is_read_as_printed(sent: str, code: str) -> None:
    assert observation("NM", "9", "", "", sent)["interpretation"][0]["coding"][0]["code"] == code


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("F", "final"),
        ("C", "corrected"),
        ("P", "preliminary"),
        ("W", "entered-in-error"),
        ("D", "entered-in-error"),
        ("X", "cancelled"),
        ("", "unknown"),
        ("?", "unknown"),
    ],
)
def test_the_status_of_a_result_is_the_senders(sent: str, status: str) -> None:
    assert observation("NM", "5", "", "", "", sent)["status"] == status


def test_a_correction_reaches_the_result_it_corrects_wherever_it_stands() -> None:
    first = samples.build(
        "ORU^R01",
        *REPORT,
        samples.OBX,
        samples.OBX.replace("WBC^白细胞", "RBC^红细胞").replace("OBX|1", "OBX|2"),
    )
    second = samples.build("ORU^R01", *REPORT, samples.OBX.replace("OBX|1", "OBX|9").replace("||F|", "||C|"))
    (corrected,) = resources(second, "Observation")
    assert corrected["id"] in {each["id"] for each in resources(first, "Observation")}
    assert corrected["id"] == IDS.of("Observation", "LIS900|WBC|1")


def test_the_same_item_twice_in_one_report_is_two_results() -> None:
    raw = samples.build("ORU^R01", *REPORT, obx("NM", "5"), obx("NM", "6"))
    assert len({each["id"] for each in resources(raw, "Observation")}) == 2


def test_a_report_holds_its_results_order_specimen_and_doctor() -> None:
    report = one("ORU^R01", "DiagnosticReport")
    (result,) = resources(samples.example("ORU^R01"), "Observation")
    (specimen,) = resources(samples.example("ORU^R01"), "Specimen")
    assert report["result"] == [{"reference": f"Observation/{result['id']}"}]
    assert report["specimen"] == [{"reference": f"Specimen/{specimen['id']}"}]
    assert report["basedOn"][0]["identifier"]["value"] == "ORD55"
    assert report["issued"] == "2026-04-01T10:15:00+08:00"
    assert result["valueQuantity"]["value"] == Decimal("12.50")
    assert [c["system"] for c in result["code"]["coding"]] == [
        "urn:hie:H02:code:laboratory",
        "http://loinc.org",
    ]


def test_a_report_in_words_has_its_text_and_its_conclusion() -> None:
    rows = [
        "OBX|1|TX|FIND^检查所见^L||右肺上叶见结节。||||||F",
        "OBX|2|TX|FIND^检查所见^L||边界清。||||||F",
        "OBX|3|TX|IMP^检查结论^L||右肺上叶结节，建议复查。||||||F",
    ]
    obr = samples.OBR.replace("|LAB|", "|CT|")
    report = one("ORU^R01", "DiagnosticReport", samples.PID, samples.PV1, obr, *rows)
    assert report["conclusion"] == "右肺上叶结节，建议复查。"
    text = base64.b64decode(report["presentedForm"][0]["data"]).decode()
    assert text == "检查所见\n右肺上叶见结节。\n边界清。\n\n检查结论\n右肺上叶结节，建议复查。"
    assert report["category"][0]["coding"][0]["code"] == "CT"
    assert "result" not in report


def test_an_examination_with_numbers_keeps_its_overall_conclusion() -> None:
    obr = samples.OBR.replace("|LAB|", "|PE|")
    summary = "OBX|2|TX|SUM^总检结论^L||血压偏高。||||||F"
    raw = samples.build("ORU^R01", samples.PID, samples.PV1, obr, obx("NM", "150"), summary)
    (report,) = resources(raw, "DiagnosticReport")
    assert report["conclusion"] == "血压偏高。"
    assert len(report["result"]) == 2


def test_a_withdrawn_report_is_entered_in_error() -> None:
    obr = samples.OBR[:-1] + "X"
    report = one(
        "ORU^R01", "DiagnosticReport", samples.PID, samples.PV1, obr, obx("NM", "5", "", "", "", "W")
    )
    assert report["status"] == "entered-in-error"


def test_files_are_attached_to_the_report() -> None:
    pdf = base64.b64encode(b"%PDF-1.4").decode()
    rows = [
        f"OBX|1|ED|PDF^报告^L||^application^PDF^Base64^{pdf}||||||F",
        "OBX|2|ED|HEX^波形^L||^application^octet-stream^Hex^00ff||||||F",
        "OBX|3|RP|IMG^影像^L||https://pacs.example/1^PACS^image^JPEG||||||F",
        "OBX|4|ED|BAD^坏^L||^application^PDF^Base64^not base64!||||||F",
    ]
    report = one("ORU^R01", "DiagnosticReport", *REPORT, *rows)
    forms = report["presentedForm"]
    assert forms[0] == {"data": pdf, "contentType": "application/pdf", "title": "报告"}
    assert base64.b64decode(forms[1]["data"]) == b"\x00\xff"
    assert forms[2]["url"] == "https://pacs.example/1" and forms[2]["contentType"] == "image/jpeg"
    assert base64.b64decode(forms[3]["data"]) == b"not base64!"


def test_notes_stay_with_what_they_are_about() -> None:
    body = (*REPORT, "NTE|1||空腹", obx("NM", "5"), "NTE|1||溶血")
    raw = samples.build("ORU^R01", *body)
    assert resources(raw, "DiagnosticReport")[0]["conclusion"] == "空腹"
    assert resources(raw, "Observation")[0]["note"] == [{"text": "溶血"}]


def test_an_unknown_code_is_kept_and_put_on_the_work_list() -> None:
    result = normalised(samples.build("ORU^R01", *REPORT, obx("NM", "5")))
    assert "laboratory code K is not mapped" in result.warnings


def test_an_old_sender_names_the_specimen_in_the_order() -> None:
    fields = samples.OBR.split("|")
    fields[15] = "BLD&全血&HL70070"
    found = one("ORU^R01", "Specimen", samples.PID, "|".join(fields), samples.OBX, version="2.3.1")
    assert found["type"]["text"] == "全血"


def known(type_: str, *messages: bytes) -> list[Resource]:
    """Return the resources of a type that the hub has after some messages."""
    found: dict[str, Resource] = {}
    for raw in messages:
        for entry in entries(normalised(raw)):
            request = entry["request"]
            if request["method"] == "PATCH":
                operations = orjson.loads(base64.b64decode(entry["resource"]["data"]))
                found[request["url"]] = patched(lexemes.dumps(found[request["url"]]), operations)
            elif "ifNoneMatch" not in request or request["url"] not in found:
                found[request["url"]] = entry["resource"]
    return [resource for resource in found.values() if resource["resourceType"] == type_]


@pytest.mark.parametrize(
    ("code", "status"), [("U", "final"), ("W", "entered-in-error"), ("D", "entered-in-error")]
)
def test_a_status_without_a_value_leaves_the_value_that_was_sent(code: str, status: str) -> None:
    first = samples.build("ORU^R01", *REPORT, obx("NM", "12.50", "mmol/L", "1-2", "H", "P"))
    (found,) = known("Observation", first, samples.build("ORU^R01", *REPORT, obx("NM", "", status=code)))
    assert (found["status"], str(found["valueQuantity"]["value"])) == (status, "12.50")
    assert "dataAbsentReason" not in found


def test_a_status_without_a_value_of_what_nobody_knew_says_so() -> None:
    (found,) = known("Observation", samples.build("ORU^R01", *REPORT, obx("NM", "", status="U")))
    assert (found["status"], "dataAbsentReason" in found) == ("final", True)


def test_a_status_changes_a_result_of_the_same_message() -> None:
    (found,) = known(
        "Observation",
        samples.build("ORU^R01", *REPORT, obx("NM", "12.50", status="P"), obx("NM", "", status="U")),
    )
    assert (found["status"], str(found["valueQuantity"]["value"])) == ("final", "12.50")


def test_a_report_that_becomes_final_keeps_its_text() -> None:
    first = samples.build("ORU^R01", *REPORT, obx("TX", "未见异常", status="P"))
    later = samples.OBR.replace("|P|", "|F|")
    (found,) = known(
        "DiagnosticReport", first, samples.build("ORU^R01", *REPORT[:2], later, obx("TX", "", status="U"))
    )
    assert found["conclusion"] == "未见异常" and found["presentedForm"]


def test_a_result_that_cannot_be_obtained_has_no_value() -> None:
    first = samples.build("ORU^R01", *REPORT, obx("NM", "12.50", status="P"))
    (found,) = known("Observation", first, samples.build("ORU^R01", *REPORT, obx("NM", "", status="X")))
    assert (found["status"], "valueQuantity" in found) == ("cancelled", False)


def test_a_hospital_may_say_what_a_result_without_a_status_is() -> None:
    own = replace(PROFILE, hl7v2={**PROFILE.hl7v2, "result_status": "F"})
    raw = samples.build("ORU^R01", *REPORT, obx("NM", "5", status=""))
    found = [entry["resource"] for entry in entries(normalised(raw, own))]
    assert [one["status"] for one in found if one["resourceType"] == "Observation"] == ["final"]
    assert any("OBX-11" in warning for warning in normalised(raw).warnings)


@pytest.mark.parametrize(
    ("type_", "sent", "element", "kept"),
    [
        ("TX", "未见\x0c异常", "valueString", "未见 异常"),
        ("ST", "a\\X1B\\b", "valueString", "a b"),
        ("DR", "20260402^20260401", "valueString", "20260402^20260401"),
        ("NR", "9^1", "valueString", "9^1"),
        ("SN", "^9^-^1", "valueString", "9-1"),
    ],
)
def test_a_value_that_says_nothing_possible_is_kept_as_text(
    type_: str, sent: str, element: str, kept: str
) -> None:
    raw = samples.build("ORU^R01", *REPORT, obx("NM", "5"), obx(type_, sent).replace("K^钾", "X^某"))
    found = {one["code"]["text"]: one for one in resources(raw, "Observation")}
    assert found["某"][element] == kept
    assert "valueQuantity" in found["钾"]
    assert normalised(raw).warnings or "\\X" in sent


def test_a_path_with_blanks_is_an_address() -> None:
    raw = samples.build("ORU^R01", *REPORT, obx("RP", "\\E\\\\E\\srv\\E\\a b.pdf^^AP^PDF"))
    (found,) = resources(raw, "DiagnosticReport")
    assert found["presentedForm"][0]["url"] == "\\\\srv\\a%20b.pdf"


def test_control_characters_that_a_message_declares_as_delimiters_stay_such() -> None:
    raw = samples.build("ORU^R01", *REPORT, obx("NM", "5")).replace(b"|", b"\x05")
    (found,) = resources(raw, "Observation")
    assert str(found["valueQuantity"]["value"]) == "5"
