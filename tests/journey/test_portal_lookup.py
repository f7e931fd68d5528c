"""A doctor finds a person, confirms who it is, and reads one record of all hospitals (issue 2, item 7)."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.journey.portal_site import Site, come_back, open_main, search
from tests.journey.portal_world import BORN, NAME, RESIDENT


@pytest.mark.parametrize(
    "words",
    [
        f"{NAME} {BORN}",
        f"{NAME}19580412",
        "zhumingchuan 1958-04-12",
        "zhu mingchuan 1958.4.12",
        "zmc 19580412",
        RESIDENT,
        "HC3301000045127788",
        "20240099",
    ],
)
def test_a_person_is_found_by_han_pinyin_initials_and_every_number(
    page: Page, site: Site, words: str
) -> None:
    come_back(page, site)
    search(page, words)
    expect(page.locator(".person")).to_have_count(1)
    expect(page.locator(".person")).to_contain_text("1958")


def test_before_a_relation_only_masked_facts_are_shown(page: Page, site: Site) -> None:
    come_back(page, site)
    search(page, f"{NAME} 1984-11-30")
    shown = page.locator(".results").inner_text()
    assert "祝**" in shown and "1984" in shown and "江临省立医院" in shown
    assert NAME not in page.locator(".person").inner_text()
    assert "1984-11-30" not in page.locator(".person").inner_text()
    assert re.search(r"3301\*{10}\w{4}", shown)


def test_each_search_leaves_one_row_in_the_trail(page: Page, site: Site) -> None:
    come_back(page, site)
    before = len(site.trail("portal.find"))
    search(page, f"{NAME} {BORN}")
    rows = site.trail("portal.find")
    assert len(rows) == before + 1
    assert (rows[0].actor, rows[0].outcome) == ("doctor.h02", 0)


def test_a_restricted_person_looks_like_nobody(page: Page, site: Site) -> None:
    come_back(page, site)
    texts = []
    for words in ("谢望舒 1949-10-01", "谢望野 1949-10-01"):
        search(page, words)
        expect(page.locator(".person")).to_have_count(0)
        texts.append(page.locator(".results").inner_text().replace("舒", "").replace("野", ""))
    assert texts[0] == texts[1]


def test_words_that_are_neither_a_number_nor_a_name_with_a_birth_date_are_explained(
    page: Page, site: Site
) -> None:
    come_back(page, site)
    search(page, NAME)
    expect(page.get_by_role("alert")).to_contain_text("姓名 出生日期")


def test_a_record_cannot_be_opened_by_its_address_without_a_relation(page: Page, site: Site) -> None:
    come_back(page, site, "doctor.h01")
    answers = []
    for person in (
        site.person_of("h03-empty"),
        site.person_of("h01-hidden"),
        "0" * 8 + "-0000-4000-8000-" + "0" * 12,
    ):
        answer = page.goto(f"{site.url}/people/{person}")
        assert answer is not None
        answers.append((answer.status, page.locator("main").inner_text()))
    assert answers[0][0] == 404
    assert answers[0] == answers[1] == answers[2]


def test_a_wrong_confirmation_is_refused_the_same_way_as_an_absent_person(page: Page, site: Site) -> None:
    come_back(page, site, "doctor.h01")
    texts = []
    for person in (site.person_of("h03-empty"), "0" * 8 + "-0000-4000-8000-" + "0" * 12):
        page.goto(f"{site.url}/people/{person}/confirm")
        page.get_by_label("姓名（全名）").fill("何听兰")
        page.get_by_label("出生日期").fill("2001-02-03")
        page.get_by_label("诊疗").check()
        page.get_by_role("button", name="确认并打开记录").click()
        texts.append(page.get_by_role("alert").inner_text())
    assert texts[0] == texts[1]
    rows = site.trail("portal.confirm")
    assert [(row.outcome, row.person_id) for row in rows[:2]] == [(4, None), (4, None)]


def test_one_identifier_is_not_enough(page: Page, site: Site) -> None:
    come_back(page, site, "doctor.h01")
    page.goto(f"{site.url}/people/{site.person_of('h03-empty')}/confirm")
    page.get_by_label("姓名（全名）").fill("何听澜")
    page.get_by_label("诊疗").check()
    page.get_by_role("button", name="确认并打开记录").click()
    expect(page.get_by_role("alert")).to_contain_text("至少填写两项")


def test_guessing_is_paused_after_five_refusals(page: Page, site: Site) -> None:
    come_back(page, site, "doctor.h03")
    person = site.person_of("h01-namesake")
    for _ in range(5):
        page.goto(f"{site.url}/people/{person}/confirm")
        page.get_by_label("姓名（全名）").fill("祝明传")
        page.get_by_label("出生日期").fill("1984-11-30")
        page.get_by_label("诊疗").check()
        page.get_by_role("button", name="确认并打开记录").click()
        expect(page.get_by_role("alert")).to_contain_text("不能确认")
    page.goto(f"{site.url}/people/{person}/confirm")
    page.get_by_label("姓名（全名）").fill(NAME)
    page.get_by_label("出生日期").fill("1984-11-30")
    page.get_by_label("诊疗").check()
    page.get_by_role("button", name="确认并打开记录").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("尝试次数过多")


def test_confirming_opens_the_record_for_a_day_and_for_this_doctor_only(page: Page, site: Site) -> None:
    open_main(page, site)
    expect(page.locator(".patient-name")).to_have_text(NAME)
    page.get_by_role("link", name="查找病人").click()
    expect(page.locator(".person")).to_contain_text("有效至")
    page.get_by_role("button", name="退出").click()
    come_back(page, site, "doctor.h03")
    answer = page.goto(f"{site.url}/people/{site.person_of('h03-empty')}")
    assert answer is not None and answer.status == 404


def test_the_audit_row_of_a_look_names_person_purpose_and_doctor(page: Page, site: Site) -> None:
    open_main(page, site)
    row = site.trail("portal.record")[0]
    assert (row.actor, row.facility, row.purpose, row.outcome) == ("doctor.h02", "H02", "TREAT", 0)
    assert str(row.person_id) == site.person_of("h02-main")
