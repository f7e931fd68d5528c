"""CSV extracts: what each kind of row becomes, and what a file that is not right comes to."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from esb.envelope import inflate
from front_end_processor.adapters.drop_folder.errors import Unfinished, WrongFile
from front_end_processor.app import Processor
from front_end_processor.cache.tables import outbox
from front_end_processor.normalise.csv import MAPPINGS
from front_end_processor.normalise.csv_rows import layouts, read
from front_end_processor.pipeline.capture import check_bundle
from front_end_processor.pipeline.inlet_csv import CsvInlet
from tests.fep_world import processor, rows, sent

NOW = datetime(2026, 5, 1, tzinfo=UTC)
BASE = {
    "patients": {"patient_no": "P1", "name": "张三", "sex": "1", "status": "normal"},
    "visits": {
        "visit_no": "V1",
        "visit_type": "inpatient",
        "visit_status": "finished",
        "started_at": "2026-04-01 08:00:00",
    },
    "laboratory": {
        "report_no": "R1",
        "item_code": "GLU",
        "item": "血糖",
        "item_no": "1",
        "value": "5.60",
        "unit": "mmol/L",
        "reference_range": "3.9-6.1",
        "result_status": "final",
        "reported_at": "2026-04-01 09:00:00",
    },
    "examinations": {
        "report_no": "E1",
        "exam_type": "imaging",
        "item_code": "CT1",
        "item": "胸部CT",
        "findings": "未见异常",
        "conclusion": "正常",
        "result_status": "final",
        "reported_at": "2026-04-01 09:00:00",
    },
    "charges": {
        "charge_no": "C1",
        "visit_no": "V1",
        "item_code": "X1",
        "item": "阿莫西林",
        "category_code": "01",
        "category": "西药费",
        "quantity": "2",
        "unit_price": "6.2500",
        "amount": "12.50",
        "charge_status": "normal",
        "charged_at": "2026-04-01 10:00:00",
        "accounting_date": "2026-04-01",
    },
    "settlements": {
        "settlement_no": "S1",
        "visit_no": "V1",
        "settlement_status": "normal",
        "settled_at": "2026-04-02 10:00:00",
        "accounting_date": "2026-04-02",
        "total_amount": "12.50",
        "pooling_fund": "10.00",
        "care_fund": "2.50",
        "personal_account": "0.00",
        "critical_illness": "0.00",
        "civil_servant": "0.00",
        "retired_cadre": "0.00",
        "medical_aid": "0.00",
        "self_funded": "0.00",
        "first_self_paid": "0.00",
        "self_paid": "0.00",
    },
    "control_totals": {
        "accounting_date": "2026-04-01",
        "total_kind": "charges",
        "item_count": "3",
        "amount": "37.50",
        "generated_at": "2026-04-02 01:00:00",
    },
}


@pytest.fixture
def fep(tmp_path) -> Iterator[Processor]:
    """A processor of H02, whose files have canonical headers and codes in UTF-8."""
    with processor(tmp_path, FEP_FACILITY="H02", FEP_PROFILE="h02") as made:
        yield made


def file_of(kind: str, *changes: dict[str, str], without: str = "") -> bytes:
    """A file of rows that are right but for the changes."""
    columns = [column.name for column in layouts()[kind] if column.name != without]
    always = {"patient_no": "P1", "updated_at": "2026-04-02 00:00:00"}
    lines = [",".join(columns)]
    for change in changes or ({},):
        row = {**always, **BASE[kind], **change}
        lines.append(",".join(row.get(column, "") for column in columns))
    return ("\n".join(lines) + "\n").encode()


def take(fep: Processor, kind: str, raw: bytes, name: str = ""):
    return CsvInlet(fep.capture, fep.profile).take(name or f"{kind}-20260401-01.csv", raw)


def became(fep: Processor, type_: str) -> list[dict]:
    """The resources of a type on their way to the hub, the last snapshot of each."""
    found = {e["request"]["url"]: e.get("resource", {}) for made in sent(fep) for e in made["entry"]}
    return [resource for url, resource in found.items() if url.startswith(f"{type_}/")]


@pytest.mark.parametrize(
    ("kind", "types"),
    [
        ("patients", {"Patient"}),
        ("visits", {"Patient", "Encounter"}),
        ("laboratory", {"Patient", "Observation", "DiagnosticReport"}),
        ("examinations", {"Patient", "DiagnosticReport"}),
        ("charges", {"Patient", "ChargeItem"}),
        ("settlements", {"Patient", "Invoice"}),
        ("control_totals", {"MeasureReport"}),
    ],
)
def test_each_kind_of_row_becomes_valid_resources(fep, kind, types):
    assert take(fep, kind, file_of(kind)).rows == 1
    (made,) = sent(fep)
    assert {entry["resource"]["resourceType"] for entry in made["entry"]} == types
    import orjson

    check_bundle(orjson.dumps(made))


def test_a_patient_is_known_under_the_number_that_hl7_uses(fep):
    change = {
        "id_type": "resident_id",
        "id_no": "11010519491231002X",
        "allergies": "青霉素;头孢",
        "phone": "13912345678",
    }
    take(fep, "patients", file_of("patients", change))
    (patient,) = became(fep, "Patient")
    assert patient["id"] == fep.ids.of("Patient", "P1")
    systems = {each["system"]: each["value"] for each in patient["identifier"]}
    assert systems == {"urn:hie:H02:mrn": "P1", "urn:oid:2.16.156.10011.1.3": "11010519491231002X"}
    assert (patient["gender"], patient["name"]) == ("male", [{"text": "张三"}])
    assert [each["code"]["text"] for each in became(fep, "AllergyIntolerance")] == ["青霉素", "头孢"]


def test_no_known_allergy_is_taken_back_when_one_is_found(fep):
    take(fep, "patients", file_of("patients", {"allergies": "无"}))
    take(
        fep,
        "patients",
        file_of("patients", {"allergies": "青霉素", "updated_at": "2026-04-03 00:00:00"}),
        "patients-2.csv",
    )
    last = sent(fep)[-1]
    assert "DELETE" in [entry["request"]["method"] for entry in last["entry"]]


def test_a_merged_patient_points_at_the_one_that_lives_on(fep):
    take(fep, "patients", file_of("patients", {"status": "merged", "merged_into": "P2"}))
    (patient,) = became(fep, "Patient")
    assert patient["active"] is False
    other = {"reference": f"Patient/{fep.ids.of('Patient', 'P2')}"}
    assert patient["link"] == [{"other": other, "type": "replaced-by"}]


def test_a_corrected_item_alone_keeps_the_other_results_of_its_report(fep):
    items = [{"item_code": "GLU"}, {"item_code": "CRE", "item_no": "2"}]
    take(fep, "laboratory", file_of("laboratory", *items))
    later = {"value": "7.10", "result_status": "corrected", "updated_at": "2026-04-03 00:00:00"}
    take(fep, "laboratory", file_of("laboratory", later), "laboratory-20260403-01.csv")
    (report,) = became(fep, "DiagnosticReport")
    observations = {each["code"]["text"] + each["id"]: each for each in became(fep, "Observation")}
    assert (report["status"], len(report["result"]), len(observations)) == ("corrected", 2, 2)
    assert sorted(each["status"] for each in observations.values()) == ["corrected", "final"]


def test_a_withdrawn_report_is_an_error_as_a_whole(fep):
    take(fep, "laboratory", file_of("laboratory", {"result_status": "withdrawn", "value": ""}))
    assert became(fep, "DiagnosticReport")[0]["status"] == "entered-in-error"
    assert became(fep, "Observation")[0]["status"] == "entered-in-error"


def test_digits_are_kept_to_the_fen(fep):
    from esb.envelope import inflate
    from front_end_processor.cache.tables import outbox

    take(fep, "charges", file_of("charges"))
    payload = inflate(rows(fep, outbox)[0].payload)
    assert b'"priceOverride":{"value":12.50,"currency":"CNY"}' in payload
    assert b'"valueMoney":{"value":6.2500,' in payload


def test_a_refund_names_what_it_takes_back(fep):
    refund = {
        "charge_no": "C2",
        "quantity": "-2",
        "amount": "-12.50",
        "charge_status": "refund",
        "refund_of": "C1",
    }
    take(fep, "charges", file_of("charges", refund))
    (item,) = became(fep, "ChargeItem")
    pointers = {each["url"]: each.get("valueReference") for each in item["extension"]}
    assert pointers["urn:hie:refund-of"] == {"reference": f"ChargeItem/{fep.ids.of('ChargeItem', 'C1')}"}
    assert item["priceOverride"]["value"] == -12.5


def test_a_physical_examination_has_items_and_an_overall_conclusion(fep):
    items = [
        {"exam_type": "physical", "item_code": "BMI", "item": "体质指数", "value": "23.5", "unit": "kg/m2"},
        {"exam_type": "physical", "item_code": "SUMMARY", "item": "总检", "conclusion": "建议复查血脂"},
    ]
    take(fep, "examinations", file_of("examinations", *items))
    (report,), (encounter,) = became(fep, "DiagnosticReport"), became(fep, "Encounter")
    assert (report["conclusion"], len(report["result"])) == ("建议复查血脂", 1)
    assert encounter["type"][0]["coding"][0]["code"] == "examination"


def test_bad_rows_are_given_back_with_their_reasons_and_the_good_ones_go_on(fep):
    raw = file_of(
        "charges",
        {},
        {"charge_no": "C2", "amount": "12.5x"},
        {"charge_no": "", "item": "张"},
        {"charge_no": "C4"},
    )
    taken = take(fep, "charges", raw)
    assert taken.rows == 2
    lines = taken.rejected.decode().splitlines()
    assert lines[0].endswith(",reason")
    assert [line.rpartition(",")[2] for line in lines[1:]] == [
        '"line 3: amount (金额) is no amount"',
        '"line 4: charge_no (费用流水号) is empty"',
    ]
    assert len(became(fep, "ChargeItem")) == 2
    assert [row.fate for row in rows(fep)] == ["captured", "set_aside"]
    assert "张" not in rows(fep)[1].reason


def test_every_fault_of_a_row_is_named_at_once(fep):
    wrong = {"charge_no": "", "amount": "12.5x", "accounting_date": "2026-02-30"}
    taken = take(fep, "charges", file_of("charges", {}, {"charge_no": "C2"}, wrong))
    head, line = taken.reasons.splitlines()
    assert head == "1 row was not taken, the other rows were. Correct it and send it again."
    assert line == (
        "line 4: charge_no (费用流水号) is empty; amount (金额) is no amount;"
        " accounting_date (记账日期) is no date that exists"
    )
    assert line in taken.rejected.decode()
    assert (taken.rows, len(became(fep, "ChargeItem"))) == (2, 2)


def test_the_reasons_count_rows_as_one_says_it(fep):
    bad, good = {"amount": "x"}, {"charge_no": "C2"}
    heads = [
        take(fep, "charges", file_of("charges", *lines), f"charges-{number}.csv").reasons.splitlines()[0]
        for number, lines in enumerate(([bad], [bad, good], [bad, bad, good]))
    ]
    assert heads == [
        "1 row was not taken. Correct it and send it again.",
        "1 row was not taken, the other row was. Correct it and send it again.",
        "2 rows were not taken, the other row was. Correct them and send them again.",
    ]


@pytest.mark.parametrize(
    ("column", "sent", "kept"),
    [
        ("started_at", "1900-01-01 00:00:00", "1900-01-01T00:00:00+08:05"),
        ("chief_complaint", "腹\x01痛", "腹 痛"),
        ("chief_complaint", "腹\x0c痛", "腹 痛"),
        ("diagnosis_code", "J10  1", "J10 1"),
        ("other_diagnoses", "J10  1", "J10 1"),
        ("visit_type", "night  ward", "night ward"),
        ("department_code", " 0\u30001 ", "0 1"),
    ],
)
def test_what_hospitals_write_every_day_is_taken(fep, column, sent, kept):
    taken = take(fep, "visits", file_of("visits", {}, {"visit_no": "V2", column: sent}))
    assert (taken.rows, taken.reasons) == (2, "")
    bundles = [row.payload for row in rows(fep, outbox)]
    assert any(f'"{kept}"'.encode() in inflate(payload) for payload in bundles)
    warned = "control characters" in rows(fep)[0].warnings
    assert warned == any(ord(character) < 32 for character in sent)


def test_a_row_that_cannot_become_fhir_holds_up_no_other_patient(fep, monkeypatch):
    visits = MAPPINGS["visits"]

    def mapping(draft, group):
        visits(draft, group)
        if draft.patient_no in ("P17", "P31"):
            draft.put({"resourceType": "Encounter", "id": "x", "status": "seen", "class": {"code": "AMB"}})

    monkeypatch.setitem(MAPPINGS, "visits", mapping)
    many = [{"visit_no": f"V{number}", "patient_no": f"P{number}"} for number in range(40)]
    taken = take(fep, "visits", file_of("visits", *many))
    assert taken.rows == 38
    assert [line.partition(":")[0] for line in taken.reasons.splitlines()[1:]] == ["line 19", "line 33"]
    assert "Encounter.status" in taken.reasons
    assert len(became(fep, "Encounter")) == 38
    assert [row.fate for row in rows(fep)].count("set_aside") == 1
    again = take(fep, "visits", file_of("visits", *many))
    assert again.rows == 38 and len(became(fep, "Encounter")) == len(rows(fep, outbox)) == 38


def test_rejected_rows_come_back_with_the_delimiter_and_in_the_character_set_of_the_hospital(fep):
    profile = replace(fep.profile, csv={**fep.profile.csv, "delimiter": "\t", "charset": "gb18030"})
    raw = file_of("patients", {"patient_no": "", "name": "Zhang"}).replace(b",", b"\t")
    taken = CsvInlet(fep.capture, profile).take("patients-20260401-01.csv", raw)
    header, row = (line.split("\t") for line in taken.rejected.decode("gb18030").splitlines())
    assert header == [*raw.decode().splitlines()[0].split("\t"), "reason"]
    assert len(row) == len(header)
    assert row[-1] == '"line 2: patient_no (患者编号) is empty"'


def test_a_header_without_a_needed_column_names_it(fep):
    with pytest.raises(WrongFile, match=r"lacks the columns amount \(金额\)"):
        take(fep, "charges", file_of("charges", without="amount"))


def test_a_half_written_file_is_not_taken_in_part(fep):
    raw = file_of("charges", {}, {"charge_no": "C2"})
    for cut in (len(raw) - 1, len(raw) - 30):
        with pytest.raises(Unfinished):
            take(fep, "charges", raw[:cut])
    assert rows(fep) == []


def test_a_name_of_no_kind_is_refused(fep):
    with pytest.raises(WrongFile, match="kind one of patients"):
        take(fep, "charges", file_of("charges"), "stuff.csv")


def test_the_same_file_twice_is_not_doubled(fep):
    for _ in range(2):
        assert take(fep, "charges", file_of("charges")).rows == 1
    assert [(row.fate, row.repeats) for row in rows(fep)] == [("captured", 1)]


def test_an_unknown_code_is_kept_and_shown(fep):
    take(fep, "visits", file_of("visits", {"visit_type": "X9"}))
    (encounter,) = became(fep, "Encounter")
    assert encounter["class"]["code"] == "X9"
    assert "visit_type: code is not in the set" in rows(fep)[0].warnings


def test_each_sample_hospital_is_read_by_its_own_column_map(tmp_path):
    for facility, charset in (("H04", "gb18030"), ("H05", "utf-8")):
        from deploy.sample.csv_files import encode

        row = {"patient_no": "P1", "updated_at": NOW, **BASE["control_totals"]}
        row |= {"accounting_date": NOW.date(), "generated_at": NOW, "total_kind": "charges"}
        raw = encode(facility, "control_totals", [row])
        directory = tmp_path / facility
        directory.mkdir()
        with processor(directory, FEP_FACILITY=facility, FEP_PROFILE=facility.lower()) as fep:
            extract = read(raw, "control_totals", fep.profile)
        assert (extract.charset, extract.bad, extract.rows[0]["total_kind"]) == (charset, [], "charges")
