"""The record's view model: plain functions from resources to what a doctor reads."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from hie.services.lookup.banner import banner
from hie.services.lookup.charges import charges
from hie.services.lookup.codes import key, words
from hie.services.lookup.compare import DIFFERS, OWN, SAME, compare
from hie.services.lookup.laboratory import panels, trend
from hie.services.lookup.laboratory import tests as laboratory_tests
from hie.services.lookup.masking import mask_identifier, mask_name
from hie.services.lookup.medications import medications
from hie.services.lookup.problems import problems
from hie.services.lookup.query import NoSuchDay, Query, Unclear, parse_query
from hie.services.lookup.reports import plain_text, reports, without
from hie.services.lookup.sources import Past, parse
from hie.services.lookup.timeline import Filter, page, timeline
from hie.services.lookup.units import unit_key
from hie.services.lookup.when import age_years, instant, written
from tests.samples.record_parts import NOW, TODAY, ZONE, glucose, hold, of


@pytest.mark.parametrize(
    ("name", "masked"),
    [
        ("张三", "张*"),
        ("祝明川", "祝**"),
        ("欧阳晓月", "欧阳**"),
        ("阿依古丽·买买提", "阿*·**"),
        ("Zhang San", "Z*** S**"),
        ("", "*"),
    ],
)
def test_a_name_is_masked_to_its_surname(name: str, masked: str) -> None:
    assert mask_name(name) == masked


@pytest.mark.parametrize(
    ("number", "masked"),
    [("330102195804120014", "3301**********0014"), ("20240099", "20****99"), ("A12", "**2")],
)
def test_the_middle_of_a_number_is_hidden(number: str, masked: str) -> None:
    assert mask_identifier(number) == masked


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("张三 1965-03-02", Query(name="张三", birth_date=date(1965, 3, 2))),
        ("张三1965年3月2日", Query(name="张三", birth_date=date(1965, 3, 2))),
        ("19650302 zhang san", Query(name="zhang san", birth_date=date(1965, 3, 2))),
        ("张三 １９６５-03-02", Query(name="张三", birth_date=date(1965, 3, 2))),
        ("zs19650302", Query(number="zs19650302", name="zs", birth_date=date(1965, 3, 2))),
        ("33010219580412001x", Query(number="33010219580412001X")),
        ("330102 1958 0412 0014", Query(number="330102195804120014")),
        ("ZY0047182", Query(number="ZY0047182")),
    ],
)
def test_one_box_takes_numbers_and_names_with_a_birth_date(text: str, query: Query) -> None:
    assert parse_query(text, TODAY) == query


@pytest.mark.parametrize("text", ["张三", "", "   ", "张三 2099-01-01", "张三 1965-02-30", "abc", "%%%%"])
def test_what_is_neither_is_asked_again(text: str) -> None:
    with pytest.raises(Unclear):
        parse_query(text, TODAY)


@pytest.mark.parametrize(
    ("text", "is_about_the_day"),
    [
        ("张三 1965-02-30", True),
        ("zhang san 19651301", True),
        ("张三 2099-01-01", True),
        ("张三 1799-01-01", True),
        ("张三", False),
        ("张3 1965-02-30", False),
    ],
)
def test_a_birth_date_that_is_none_is_told_from_words_that_say_too_little(
    text: str, is_about_the_day: bool
) -> None:
    with pytest.raises(Unclear) as refused:
        parse_query(text, TODAY)
    assert isinstance(refused.value, NoSuchDay) == is_about_the_day


def test_a_day_is_a_day_in_the_region() -> None:
    assert written("2026-11-20T17:30:00Z", ZONE) == "2026-11-21 01:30"
    assert written("1965-03", ZONE) == "1965-03"
    assert instant("2026", ZONE) == datetime(2026, 1, 1, tzinfo=ZONE)
    assert age_years(date(1958, 11, 22), TODAY) == 67


def test_codes_of_two_hospitals_meet_by_loinc_or_icd_and_own_codes_by_their_words() -> None:
    icd = [
        {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10", "code": code}]}
        for code in ("I10", "I10.x00")
    ]
    assert key(icd[0]) == key(icd[1])
    own = [{"text": "血糖", "coding": [{"system": f"urn:hie:H0{n}:test", "code": "17"}]} for n in (1, 2)]
    assert key(own[0]) == key(own[1])
    assert words({"coding": [{"code": "17"}]}) == "17"


def test_spellings_and_birth_dates_that_differ_are_told() -> None:
    seen = banner(
        hold(
            {"resourceType": "Patient", "id": "a", "name": [{"text": "梁书宁"}], "birthDate": "1970-09-09"},
            {"resourceType": "Patient", "id": "b", "name": [{"text": "梁淑宁"}], "birthDate": "1970-09-08"},
        ),
        TODAY,
    )
    assert {seen.name, *seen.other_names} == {"梁书宁", "梁淑宁"}
    assert {seen.birth_date, *seen.other_birth_dates} == {"1970-09-09", "1970-09-08"}


def test_each_hospital_has_its_own_as_of_even_with_no_data() -> None:
    seen = banner(
        hold(glucose(5, "2026-01-01", meta={"lastUpdated": "2026-11-20T01:00:00Z", "versionId": "1"})), TODAY
    )
    assert [(s.facility, s.at, s.records) for s in seen.as_of] == [
        ("H01", datetime(2026, 11, 20, 1, tzinfo=UTC), 1),
        ("H02", None, 0),
    ]


def test_a_refuted_diagnosis_is_no_problem_and_a_resolved_one_is_past() -> None:
    made = problems(
        hold(
            of("Condition", id="1", code={"text": "肺炎"}, clinicalStatus={"coding": [{"code": "resolved"}]}),
            of(
                "Condition",
                id="2",
                code={"text": "肺癌"},
                verificationStatus={"coding": [{"code": "refuted"}]},
            ),
            of("Condition", id="3", code={"text": "高血压"}, recordedDate="2024-01-01"),
        )
    )
    assert [(p.name, p.active) for p in made] == [("高血压", True), ("肺炎", False)]


def test_a_prescription_that_ran_out_is_past_and_one_without_an_end_counts_ninety_days() -> None:
    def prescribed(name: str, days_ago: int, **more: Any) -> dict[str, Any]:
        at = (NOW - timedelta(days=days_ago)).isoformat()
        drug = {"text": name}
        return of(
            "MedicationRequest",
            id=name,
            status="active",
            medicationCodeableConcept=drug,
            authoredOn=at,
            **more,
        )

    ended = {"dispenseRequest": {"expectedSupplyDuration": {"value": 7, "code": "d"}}}
    made = medications(hold(prescribed("甲", 10, **ended), prescribed("乙", 30), prescribed("丙", 200)), NOW)
    assert {m.name: m.current for m in made} == {"乙": True, "甲": False, "丙": False}


def test_the_digits_of_a_result_are_kept() -> None:
    raw = b'{"resourceType":"Observation","id":"x","valueQuantity":{"value":128.50}}'
    assert str(parse(raw)["valueQuantity"]["value"]) == "128.50"


def test_results_of_two_hospitals_make_one_series_and_another_unit_another() -> None:
    found = laboratory_tests(
        hold(
            glucose(5.6, "2026-01-01"),
            glucose(7.1, "2026-02-01", "b"),
            glucose(110, "2026-03-01", "b", valueQuantity={"value": 110, "unit": "mg/dL"}),
        )
    )
    assert sorted((test.unit, len(test.points)) for test in found.values()) == [("mg/dL", 1), ("mmol/L", 2)]
    series = next(test for test in found.values() if test.unit == "mmol/L")
    assert [(p["value"], p["facility"]) for p in trend(series)["points"]] == [(5.6, "H01"), (7.1, "H02")]


def test_a_result_outside_the_range_is_flagged_where_the_hospital_gave_no_flag() -> None:
    ranged: dict[str, Any] = {"referenceRange": [{"low": {"value": 3.9}, "high": {"value": 6.1}}]}
    (test,) = laboratory_tests(
        hold(glucose(7.1, "2026-02-01", **ranged), glucose(3.0, "2026-01-01", **ranged))
    ).values()
    assert [point.flag for point in test.points] == ["high", "low"]
    assert test.points[0].low == Decimal("3.9")


def test_a_preliminary_value_that_became_final_is_no_correction() -> None:
    holdings = hold(glucose(7.1, "2026-02-01", meta={"versionId": "3"}))
    old = [glucose(7.9, "2026-02-01"), glucose(6.6, "2026-02-01", status="preliminary")]
    holdings.past = {("Observation", "g-a-2026-02-01"): [Past(o, NOW) for o in old]}
    (test,) = laboratory_tests(holdings).values()
    assert test.points[0].fate == "corrected"
    assert [value.text for value in test.points[0].old] == ["7.9"]


def test_a_deleted_result_stays_visible_as_withdrawn_and_out_of_the_trend() -> None:
    holdings = hold(glucose(7.1, "2026-02-01"))
    holdings.withdrawn = [Past(glucose(99.0, "2026-03-01"), NOW)]
    (test,) = laboratory_tests(holdings).values()
    assert [(p.text, p.fate) for p in test.points] == [("99.0", "withdrawn"), ("7.1", "")]
    assert [p["value"] for p in trend(test)["points"]] == [7.1]


def test_blood_pressure_becomes_two_series() -> None:
    parts = [
        {"code": {"text": name}, "valueQuantity": {"value": value, "unit": "mmHg"}}
        for name, value in (("收缩压", 138), ("舒张压", 86))
    ]
    found = laboratory_tests(
        hold(of("Observation", code={"text": "血压"}, effectiveDateTime="2026-01-01", component=parts))
    )
    assert sorted((test.name, test.points[0].text) for test in found.values()) == [
        ("收缩压", "138"),
        ("舒张压", "86"),
    ]


def test_the_grid_takes_its_columns_from_the_latest_times_of_a_panel() -> None:
    results = [glucose(5 + n, f"2026-0{n + 1}-01") for n in range(8)]
    report = of(
        "DiagnosticReport",
        code={"text": "生化"},
        effectiveDateTime="2026-08-01",
        result=[{"reference": f"Observation/{r['id']}"} for r in results],
    )
    holdings = hold(*results, report)
    (panel,) = panels(holdings, laboratory_tests(holdings))
    assert (panel.name, len(panel.columns), panel.total_columns) == ("生化", 6, 8)
    assert [point.text for point in panel.cells(panel.tests[0]) if point] == ["12", "11", "10", "9", "8", "7"]


def test_mark_up_becomes_text_and_scripts_go() -> None:
    assert plain_text("<p>所见</p><script>alert(1)</script><p>6&lt;8 mm</p>", "text/html") == "所见\n\n6<8 mm"


def test_scripts_styles_and_comments_are_not_read_and_what_follows_is() -> None:
    markup = "<style>p {}</style>甲<!-- <b>x</b> -->乙<SCRIPT>if (1 < 2) y()</SCRIPT >丙<br/>丁"
    assert plain_text(markup, "text/html") == "甲乙丙\n丁"


def test_a_result_that_is_less_than_something_is_no_mark_up() -> None:
    assert plain_text("<p>PLT <100，WBC > 3.5</p>PaO2<60", "text/html") == "PLT <100，WBC > 3.5\nPaO2<60"


def test_a_report_that_was_rewritten_keeps_its_old_words() -> None:
    holdings = hold(
        of("DiagnosticReport", code={"text": "胸部 CT"}, conclusion="结节", meta={"versionId": "2"})
    )
    before = of("DiagnosticReport", code={"text": "胸部 CT"}, conclusion="未见异常", status="final")
    holdings.past = {("DiagnosticReport", "x"): [Past(before, NOW)]}
    (report,) = reports(holdings)
    assert (report.kind, report.fate, report.old[0].text) == ("imaging", "corrected", "未见异常")


def test_the_timeline_puts_what_was_done_into_its_visit_and_keeps_the_rest() -> None:
    holdings = hold(
        of(
            "Encounter",
            "b",
            id="v",
            period={"start": "2026-05-01T08:00:00+08:00"},
            **{"class": {"code": "AMB"}},
        ),
        of("Condition", "b", id="c", code={"text": "高血压"}, encounter={"reference": "Encounter/v"}),
        of("DiagnosticReport", "b", id="r", code={"text": "心电图"}, encounter={"reference": "Encounter/v"}),
        of("Immunization", id="i", vaccineCode={"text": "流感疫苗"}, occurrenceDateTime="2026-06-01"),
    )
    items = timeline(holdings, reports(holdings), [])
    assert [(i.kind, i.facility) for i in items] == [("immunization", "H01"), ("outpatient", "H02")]
    assert items[1].diagnoses == ["高血压"] and items[1].reports[0].name == "心电图"
    shown = page(items, Filter(facility="H02"), ZONE)
    assert (shown.total, shown.next) == (1, None)
    assert page(items, Filter(since=date(2026, 5, 15)), ZONE).total == 1


@pytest.mark.parametrize(
    ("type_", "title"),
    [
        ({"text": "R", "coding": [{"system": "urn:hie:H01:code:admission_type", "code": "R"}]}, ""),
        ({"coding": [{"code": "R"}]}, ""),
        ({"text": "R", "coding": [{"code": "R"}, {"code": "R", "display": "Routine"}]}, "Routine"),
        ({"text": "急诊", "coding": [{"code": "急诊"}]}, "急诊"),
        ({"text": "普通", "coding": [{"code": "R"}]}, "普通"),
        ({"text": "Walk-in"}, "Walk-in"),
        ({}, ""),
    ],
)
def test_a_visit_shows_its_type_in_words_and_never_as_a_bare_code(type_: dict[str, Any], title: str) -> None:
    visit = of("Encounter", "b", id="v", type=[type_], **{"class": {"code": "IMP"}})
    (item,) = timeline(hold(visit), [], [])
    assert item.title == title


def test_a_long_timeline_comes_in_pages_without_a_gap() -> None:
    items = timeline(
        hold(*[of("Encounter", id=str(n), period={"start": f"20{n:02d}-01-01"}) for n in range(60)]), [], []
    )
    first = page(items, Filter(), ZONE)
    second = page(items, Filter(), ZONE, first.next or 0)
    assert len({i.id for i in [*first.items, *second.items]}) == 50
    assert second.next == 50


def test_refunds_count_as_negative_charges() -> None:
    lines = [of("ChargeItem", id=str(n), priceOverride={"value": v}) for n, v in enumerate((86.5, 12.5, -3))]
    (line,) = charges(hold(*lines)).by_facility
    assert (line.facility, line.lines, line.amount_fen) == ("H01", 3, 9600)


@pytest.mark.parametrize("facility", ["H01", "N01"])
def test_a_hospitals_own_number_is_never_a_difference(facility: str) -> None:
    def known(name: str, mrn: str) -> dict[str, Any]:
        number = {"system": f"urn:hie:{facility}:mrn", "value": mrn}
        return {"name": [{"text": name}], "identifier": [number]}

    rows = {row.field: row.state for row in compare(known("梁书宁", "1"), known("梁淑宁", "2"))}
    assert rows == {"name": DIFFERS, f"identifier:urn:hie:{facility}:mrn": OWN}
    assert compare(known("梁书宁", "1"), known("梁书宁", "1"))[0].state == SAME


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("检查所见\n右肺结节 6 mm。\n\n诊断意见\n建议复查。", "右肺结节 6 mm。"),
        ("右肺结节 6 mm。\n建议复查。", "右肺结节 6 mm。"),
        ("建议复查。", ""),
        ("右肺结节 6 mm。", "右肺结节 6 mm。"),
    ],
)
def test_a_conclusion_is_not_read_twice(text: str, rest: str) -> None:
    assert without(text, "建议复查。") == rest


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("×10⁹/L", "10*9/L"),
        ("10^9/L", "10*9/L"),
        ("x10^12/L", "10*12/L"),
        ("μmol/L", "umol/L"),
        ("g/L", "g/l"),
    ],
)
def test_a_unit_is_the_same_however_it_is_written(one: str, other: str) -> None:
    assert unit_key({"unit": one}) == unit_key({"unit": other})


def test_units_of_different_size_stay_apart() -> None:
    assert len({unit_key({"unit": unit}) for unit in ("10*9/L", "10*12/L", "g/L", "mg/L", "mmol/L")}) == 5


def test_a_hospital_without_loinc_meets_the_others_by_name_and_unit() -> None:
    own = {"text": "葡萄糖", "coding": [{"system": "urn:hie:H02:item", "code": "GLU"}]}
    found = laboratory_tests(hold(glucose(5.6, "2026-01-01"), glucose(7.1, "2026-02-01", "b", code=own)))
    assert [[point.text for point in test.points] for test in found.values()] == [["7.1", "5.6"]]
