"""A data steward decides who is who, and can take everything back; an auditor sees what was done."""

import pytest
from playwright.sync_api import Page, expect

from tests.journey.layout import width
from tests.journey.portal_site import Site, come_back


def open_review(page: Page, site: Site) -> None:
    """Sign in as the steward and open the two records that share a number."""
    come_back(page, site, "steward")
    page.goto(f"{site.url}/identities/pair?a=h01-twin&b=h03-twin")
    page.on("dialog", lambda dialog: dialog.accept())


def act(page: Page, button: str) -> None:
    """Give a reason and press a button."""
    page.get_by_label("理由（必填，将留痕）").fill("与本人核对身份证")
    page.get_by_role("button", name=button).click()
    expect(page.get_by_role("status").first).to_contain_text("已完成")


def test_two_records_that_disagree_wait_for_the_steward(page: Page, site: Site) -> None:
    come_back(page, site, "steward")
    expect(page.locator("tbody tr", has_text="梁书宁")).to_contain_text("号码相同")
    page.get_by_role("link", name="核对第 1 项").click()
    row = page.locator(".compare tr", has_text="姓名")
    expect(row).to_contain_text("梁书宁")
    expect(row).to_contain_text("梁淑宁")
    expect(row.locator(".state")).to_have_text("≠ 不同")
    expect(page.locator(".compare tr", has_text="身份证").locator(".state")).to_have_text("= 相同")


def test_linking_joins_them_and_undoing_parts_them_again(page: Page, site: Site) -> None:
    open_review(page, site)
    expect(page.locator(".verdict")).to_contain_text("现为两人")
    act(page, "是同一人，关联")
    expect(page.locator(".verdict")).to_contain_text("现为同一人")
    assert site.person_of("h01-twin") == site.person_of("h03-twin")
    page.get_by_role("button", name="撤销").first.click()
    expect(page.locator(".verdict")).to_contain_text("现为两人")
    assert site.person_of("h01-twin") != site.person_of("h03-twin")
    assert [(row.compartment, row.others) for row in site.trail("mpi.link")] == [("h01-twin", ["h03-twin"])]
    assert site.trail("mpi.undo")[0].actor == "steward"


def test_not_the_same_is_remembered_and_can_be_taken_back(page: Page, site: Site) -> None:
    open_review(page, site)
    act(page, "不是同一人")
    expect(page.locator(".verdict")).to_contain_text("已声明不是同一人")
    expect(page.get_by_role("button", name="是同一人，关联")).to_have_count(0)
    page.get_by_role("button", name="撤销").first.click()
    expect(page.locator(".verdict")).not_to_contain_text("已声明不是同一人")


def test_a_steward_finds_two_records_to_compare(page: Page, site: Site) -> None:
    come_back(page, site, "steward")
    page.locator("#q").fill("祝明川 1958-04-12")
    page.locator("#q").press("Enter")
    expect(page.locator("tbody tr")).to_have_count(3)
    page.get_by_role("button", name="并排比较甲和乙").click()
    expect(page.locator(".verdict")).to_contain_text("现为同一人")


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_list_and_the_pair_fit_a_telephone(page: Page, site: Site, language: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    come_back(page, site, "steward")
    page.goto(f"{site.url}/identities?lang={language}")
    assert width(page, ".queue") <= 390
    expect(page.locator(".queue .btn").first).to_be_in_viewport(ratio=1)
    page.goto(f"{site.url}/identities/pair?a=h01-twin&b=h03-twin")
    assert width(page, ".compare") <= 390
    page.goto(f"{site.url}/?lang=zh")


def test_a_steward_reads_no_clinical_record(page: Page, site: Site) -> None:
    come_back(page, site, "steward")
    answer = page.goto(f"{site.url}/people/{site.person_of('h02-main')}")
    assert answer is not None and answer.status in (403, 404)


def test_a_doctor_cannot_open_the_index(page: Page, site: Site) -> None:
    come_back(page, site)
    answer = page.goto(f"{site.url}/identities")
    assert answer is not None and answer.status == 403


def test_an_auditor_sees_who_did_what(page: Page, site: Site) -> None:
    come_back(page, site, "auditor")
    page.get_by_label("操作人").fill("steward")
    page.get_by_role("button", name="筛选").click()
    rows = page.locator(".trail tbody tr")
    assert rows.count() > 0
    for number in range(min(rows.count(), 5)):
        expect(rows.nth(number)).to_contain_text("steward")
