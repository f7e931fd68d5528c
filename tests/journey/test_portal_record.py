"""What a doctor reads: all hospitals in one record, corrections visible, nothing told by colour alone."""

from datetime import timedelta

from playwright.sync_api import Page, expect

from tests.journey.portal_site import Site, open_main
from tests.journey.portal_world import HOSPITALS, ZONE


def test_the_banner_shows_allergies_identifiers_masked_and_how_fresh_each_hospital_is(
    page: Page, site: Site
) -> None:
    open_main(page, site)
    banner = page.locator(".patient")
    expect(banner.locator(".allergy-known")).to_contain_text("青霉素")
    expect(banner.locator(".allergy-known")).to_contain_text("全身皮疹")
    expect(banner).to_contain_text("1958-04-12")
    expect(banner).to_contain_text("3301**********")
    # How long ago each hospital's newest data arrived (portal_world).
    newest = {"H01": timedelta(hours=5), "H02": timedelta(hours=1), "H03": timedelta(days=9)}
    for code, ago in newest.items():
        source = banner.locator(".as-of-item", has_text=HOSPITALS[code][0])
        expect(source.locator(".num")).to_have_text(f"{(site.now - ago).astimezone(ZONE):%Y-%m-%d %H:%M}")


def test_problems_of_all_hospitals_are_merged_by_code(page: Page, site: Site) -> None:
    open_main(page, site)
    pressure = page.locator("#problems .line", has_text="I10")
    expect(pressure).to_have_count(1)
    expect(pressure).to_contain_text("江临省立医院")
    expect(pressure).to_contain_text("江临市第一人民医院")
    expect(page.locator("#problems .line", has_text="肺结节")).to_contain_text("待确诊")


def test_the_same_drug_from_two_hospitals_is_one_line_with_a_mark(page: Page, site: Site) -> None:
    open_main(page, site)
    drug = page.locator("#medications .line", has_text="氨氯地平")
    expect(drug).to_have_count(1)
    expect(drug).to_contain_text("多院重复")


def test_results_keep_their_digits_and_flags_are_words(page: Page, site: Site) -> None:
    open_main(page, site)
    row = page.locator(".sheet tr", has=page.get_by_role("link", name="糖化血红蛋白 的趋势"))
    expect(row).to_contain_text("7.90")
    expect(row.locator(".flag").first).to_have_text("↑高")


def test_a_corrected_result_shows_the_old_value(page: Page, site: Site) -> None:
    open_main(page, site)
    cell = page.locator(".sheet-cell", has_text="6.30")
    expect(cell).to_contain_text("已更正")
    expect(cell.locator("del")).to_have_text("4.6")


def test_withdrawn_results_and_reports_stay_visible_as_withdrawn(page: Page, site: Site) -> None:
    open_main(page, site)
    cell = page.locator(".sheet-cell", has_text="52.0")
    expect(cell).to_contain_text("已撤回")
    expect(cell.locator("del")).to_have_text("52.0")
    report = page.locator("#reports .report", has_text="常规心电图")
    expect(report).to_contain_text("已撤回")


def test_a_trend_opens_under_its_test_with_a_chart_and_the_numbers(page: Page, site: Site) -> None:
    open_main(page, site)
    page.get_by_role("link", name="糖化血红蛋白 的趋势").click()
    expect(page.locator(".chart svg")).to_be_visible()
    expect(page.locator(".trend .grid-plain tbody tr")).to_have_count(5)
    page.locator("[data-close-trend]").click()
    expect(page.locator(".trend")).to_have_count(0)
    assert site.complaints == []


def test_a_trend_is_a_page_of_its_own_without_script(page: Page, site: Site) -> None:
    open_main(page, site)
    target = page.get_by_role("link", name="糖化血红蛋白 的趋势").get_attribute("href")
    page.goto(f"{site.url}{target}")
    expect(page.locator(".patient-name")).to_be_visible()
    expect(page.locator(".chart svg")).to_be_visible()


def test_the_timeline_names_the_hospital_of_every_item_and_can_be_filtered(page: Page, site: Site) -> None:
    open_main(page, site)
    events = page.locator(".event")
    total = events.count()
    assert total >= 8
    for number in range(total):
        expect(events.nth(number).locator(".hosp").first).to_be_visible()
    page.get_by_label("医院", exact=True).select_option("H03")
    expect(page.locator(".event")).to_have_count(1)
    expect(page.locator(".event")).to_contain_text("体检")
    page.get_by_label("医院", exact=True).select_option("")
    page.get_by_label("类型", exact=True).select_option("inpatient")
    expect(page.locator(".event")).to_have_count(1)
    expect(page.locator(".event")).to_contain_text("呼吸与危重症医学科")


def test_reports_and_letters_are_read_inline(page: Page, site: Site) -> None:
    open_main(page, site)
    ct = page.locator("#reports .report", has_text="胸部 CT 平扫")
    ct.locator("summary").click()
    expect(ct).to_contain_text("磨玻璃结节，直径约 6 mm")
    expect(ct).to_contain_text("沈既白")
    letter = page.locator("#reports .report", has_text="出院小结")
    letter.locator("summary").click()
    expect(letter).to_contain_text("莫西沙星")


def test_the_examination_shows_its_overall_conclusion(page: Page, site: Site) -> None:
    open_main(page, site)
    expect(page.locator("#examinations")).to_contain_text("右肺上叶小结节")


def test_charges_are_summed_by_hospital_to_the_fen(page: Page, site: Site) -> None:
    open_main(page, site)
    expect(page.locator("#charges")).to_contain_text("96.00")
    expect(page.locator("#charges")).to_contain_text("12,714.50")
