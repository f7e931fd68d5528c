"""The portal for everybody: two languages, keyboard, telephone, strict policy, sessions, roles."""

from itertools import pairwise

import requests
from playwright.sync_api import Page, expect

from tests.journey.layout import width
from tests.journey.portal_site import Site, come_back, open_main, sign_in
from tests.journey.portal_world import BORN, NAME, PASSWORD

PHONE_PX = 390


def test_english_keeps_the_page(page: Page, site: Site) -> None:
    open_main(page, site)
    where = page.url
    page.get_by_role("button", name="English").click()
    expect(page.locator("#problems-title")).to_contain_text("Problems")
    expect(page.locator(".allergy-known")).to_contain_text("Allergies")
    expect(page.locator(".as-of")).to_contain_text("Jianglin Provincial Hospital")
    assert page.url.split("?")[0] == where.split("?")[0]
    assert page.locator("html").get_attribute("lang") == "en"
    page.get_by_role("button", name="中文").click()
    expect(page.locator("#problems-title")).to_contain_text("健康问题")


def test_english_keeps_the_results_of_a_search(page: Page, site: Site) -> None:
    come_back(page, site)
    page.locator("#q").fill(f"{NAME} {BORN}")
    page.locator("#q").press("Enter")
    page.get_by_role("button", name="English").click()
    expect(page.locator("#results-title")).to_have_text("1 found")
    page.get_by_role("button", name="中文").click()


def test_an_operator_sees_a_plan_by_keyboard_and_on_a_telephone(page: Page, site: Site) -> None:
    page.set_viewport_size({"width": PHONE_PX, "height": 844})
    come_back(page, site, "operator")
    page.get_by_role("link", name="检索分析").click()
    page.locator("#search").fill("Observation?patient=x&code=718-7")
    page.locator("#search").press("Enter")
    assert width(page, "#plan-title") == PHONE_PX
    plan = page.locator("pre.plan").first
    # The whole of it can be read: long lines are broken, nothing is cut off at the side.
    assert plan.evaluate("e => e.scrollWidth <= e.clientWidth")
    page.get_by_role("button", name="English").click()
    expect(page.locator("#plan-title")).to_have_text("Plan")
    expect(page.locator("#search")).to_have_value("Observation?patient=x&code=718-7")
    assert site.complaints == []


def test_everything_can_be_done_by_keyboard(page: Page, site: Site) -> None:
    page.goto(site.url)
    expect(page.locator("#username")).to_be_focused()
    page.keyboard.type("doctor.h02")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.type("zmc 1958-04-12")
    page.keyboard.press("Enter")
    expect(page.locator(".person")).to_have_count(1)
    if page.get_by_role("link", name="打开记录").count():
        press_until(page, ".person a.btn")
        page.keyboard.press("Enter")
    else:
        press_until(page, ".person button")
        page.keyboard.press("Enter")
        expect(page.get_by_label("姓名（全名）")).to_be_focused()
        page.keyboard.type(NAME)
        press_until(page, "input[name=purpose]")
        page.keyboard.press("Space")
        press_until(page, "button.btn-wide")
        page.keyboard.press("Enter")
    expect(page.locator(".patient-name")).to_have_text(NAME)
    press_until(page, ".sheet-test a")
    page.keyboard.press("Enter")
    expect(page.locator(".trend")).to_be_visible()


def press_until(page: Page, selector: str) -> None:
    """Press Tab until an element that fits is focused; what cannot be reached fails the test."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} cannot be reached by keyboard")


def test_a_telephone_shows_the_record_without_scrolling_sideways(page: Page, site: Site) -> None:
    page.set_viewport_size({"width": PHONE_PX, "height": 844})
    open_main(page, site)
    assert width(page, ".patient-name") <= PHONE_PX
    page.mouse.wheel(0, 1500)
    expect(page.locator(".patient-name")).to_be_in_viewport()
    expect(page.locator(".allergy-known")).to_be_in_viewport()


def test_the_policy_is_strict_and_no_page_violates_it(page: Page, site: Site) -> None:
    foreign: list[str] = []
    page.on("request", lambda r: foreign.append(r.url) if not r.url.startswith((site.url, "data:")) else None)
    open_main(page, site)
    page.get_by_role("link", name="葡萄糖 的趋势").click()
    expect(page.locator(".chart svg")).to_be_visible()
    answer = page.reload()
    assert answer is not None
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert site.complaints == []
    assert foreign == []


def test_every_control_has_a_name_and_headings_are_in_order(page: Page, site: Site) -> None:
    open_main(page, site)
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, summary')]
        .filter(e => !(e.getAttribute('aria-label') || e.innerText.trim() || (e.labels && e.labels.length)))
        .map(e => e.outerHTML.slice(0, 80))"""
    )
    assert nameless == []
    levels = page.evaluate(
        "() => [...document.querySelectorAll('h1,h2,h3,h4')].map(e => Number(e.tagName[1]))"
    )
    assert levels.count(1) == 1
    assert all(later - earlier <= 2 for earlier, later in pairwise(levels))
    doubles = page.evaluate(
        """() => { const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
        return ids.length - new Set(ids).size }"""
    )
    assert doubles == 0


def test_small_text_has_enough_contrast(page: Page, site: Site) -> None:
    open_main(page, site)
    weak = page.evaluate(CONTRAST)
    assert weak == []


CONTRAST = """() => {
  const parse = c => (c.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const back = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length === 3 || c[3] > .5) return c; } return [255, 255, 255]; };
  const weak = new Set();
  for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) || !e.offsetParent) continue;
    const style = getComputedStyle(e), fore = parse(style.color);
    if (fore.length < 3 || style.color.startsWith('ok') || style.visibility === 'hidden') continue;
    const [a, b] = [light(fore), light(back(e))].sort((x, y) => y - x);
    const said = e.textContent.trim().slice(0, 12);
    if ((a + .05) / (b + .05) < 4.5) weak.add([e.className, style.color, said].join(' '));
  }
  return [...weak];
}"""


def test_a_wrong_password_says_nothing_about_the_account(page: Page, site: Site) -> None:
    texts = []
    for username in ("engineer.h01", "nobody.at.all"):
        page.goto(f"{site.url}/sign-in")
        page.get_by_label("用户名").fill(username)
        page.get_by_label("密码").fill("not the password")
        page.get_by_role("button", name="登录").click()
        texts.append(page.get_by_role("alert").inner_text())
    assert texts[0] == texts[1]
    assert site.trail("portal.sign-in")[0].outcome == 4


def test_after_signing_out_the_cookie_is_worth_nothing(page: Page, site: Site) -> None:
    sign_in(page, site)
    cookie = next(c for c in page.context.cookies() if c["name"] == "hie_session")
    assert cookie["httpOnly"] and cookie["sameSite"] == "Lax"
    page.get_by_role("button", name="退出").click()
    page.get_by_label("用户名").wait_for()
    answer = requests.get(
        site.url, cookies={"hie_session": cookie["value"]}, allow_redirects=False, timeout=10
    )
    assert answer.status_code == 303 and "/sign-in" in answer.headers["Location"]


def test_a_form_from_elsewhere_is_refused(page: Page, site: Site) -> None:
    come_back(page, site)
    cookie = next(c for c in page.context.cookies() if c["name"] == "hie_session")["value"]
    for data in ({"q": "x"}, {"q": "x", "csrf": "0" * 64}):
        answer = requests.post(f"{site.url}/find", data=data, cookies={"hie_session": cookie}, timeout=10)
        assert answer.status_code == 403


def test_an_idle_session_warns_before_it_ends(page: Page, site: Site) -> None:
    sign_in(page, site)
    page.clock.install()
    page.reload()
    page.clock.fast_forward(19 * 60 * 1000)
    expect(page.get_by_role("alertdialog")).to_be_visible()
    page.get_by_role("button", name="继续使用").click()
    expect(page.get_by_role("alertdialog")).to_be_hidden()


def test_a_role_without_patients_has_a_page_of_its_own_and_no_record(page: Page, site: Site) -> None:
    come_back(page, site, "engineer.h01")
    expect(page.get_by_role("heading", level=1)).to_have_text("本地编码")
    answer = page.goto(f"{site.url}/people/{site.person_of('h02-main')}")
    assert answer is not None and answer.status in (403, 404)


def test_a_page_that_is_not_there_is_explained_in_both_languages(page: Page, site: Site) -> None:
    come_back(page, site)
    answer = page.goto(f"{site.url}/nowhere")
    assert answer is not None and answer.status == 404
    expect(page.get_by_role("heading", level=1)).to_have_text("没有可以查阅的内容")
    page.goto(f"{site.url}/nowhere?lang=en")
    expect(page.get_by_role("heading", level=1)).to_have_text("Nothing here that you may see")
    page.goto(f"{site.url}/?lang=zh")
