"""The console in a real browser, as the hospital's engineer uses it: what came in, its fate, why."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect

from tests.journey.layout import wait_whole, width
from tests.journey.road import Fep, code_of
from tests.samples import hl7v2_messages as samples

GOOD, BAD = "CONSOLE1", "CONSOLE2"
PHONE: ViewportSize = {"width": 390, "height": 844}
PID = "PID|1||CONSOLE77^^^H01^MR||邰^若溪||19850406|F"


@pytest.fixture(scope="module")
def hospital(region: dict[str, Any]) -> dict[str, Any]:
    """A hospital that has just sent one message that is taken and one that is not."""
    hospital = region["hospitals"][0]
    visit = samples.PV1.replace("V2026001", "CONSOLEVISIT")
    with Fep(hospital).mllp() as sender:
        assert code_of(sender.send(samples.build("ADT^A01", PID, visit, control=GOOD))) == "AA"
        assert code_of(sender.send(samples.build("ADT^Z99", PID, control=BAD))) == "AR"
    return hospital


@pytest.fixture(scope="module")
def engineer(browser: Browser, hospital: dict[str, Any]) -> Iterator[BrowserContext]:
    """A browser whose user has signed in."""
    context = browser.new_context(locale="zh-CN", timezone_id="Asia/Shanghai")
    page = context.new_page()
    page.goto(hospital["console"])
    page.get_by_label("口令").fill(hospital["console_password"])
    page.get_by_role("button", name="登录").click()
    page.get_by_role("button", name="退出").wait_for()
    page.close()
    yield context
    context.close()


@pytest.fixture
def screen(engineer: BrowserContext, hospital: dict[str, Any]) -> Iterator[Page]:
    """The list of messages in Chinese; at the end the browser must have complained of nothing."""
    page = engineer.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.goto(f"{hospital['console']}?lang=zh")
    yield page
    page.close()
    assert complaints == []


def open_message(page: Page, hospital: dict[str, Any], control_id: str) -> None:
    """Open a message by way of the filter."""
    page.goto(f"{hospital['console']}?control_id={control_id}")
    page.get_by_role("link", name=re.compile("^消息 ")).first.click()
    wait_whole(page, ".road")


def test_an_engineer_signs_in_with_the_keyboard_and_learns_when_the_password_is_wrong(
    page: Page, hospital: dict[str, Any]
):
    page.goto(hospital["console"])
    expect(page.get_by_label("用户名")).to_have_attribute("autocomplete", "username")
    expect(page.get_by_label("口令")).to_be_focused()
    page.keyboard.type("not this one")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("口令不对")
    expect(page.get_by_label("口令")).to_be_focused()
    page.keyboard.type(hospital["console_password"])
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("消息")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="跳到正文")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.get_by_role("button", name="退出").press("Enter")
    expect(page.get_by_label("口令")).to_be_visible()
    page.go_back()
    expect(page.get_by_label("口令")).to_be_visible()


def test_what_was_just_sent_is_seen_to_reach_the_hub(screen: Page, hospital: dict[str, Any]):
    Fep(hospital).wait_settled(GOOD)
    screen.get_by_label("控制号").fill(GOOD)
    screen.get_by_label("控制号").press("Enter")
    row = screen.get_by_role("row").filter(has_text=GOOD)
    expect(row).to_contain_text("中心已入库")
    expect(screen.get_by_text("总线已连接")).to_be_visible()
    row.get_by_role("link").click()
    steps = screen.locator(".road .step")
    expect(steps).to_have_count(4)
    expect(screen.locator(".road .step.good")).to_have_count(4)
    expect(steps.last).to_contain_text("中心已入库")
    expect(steps.last.locator("time")).to_be_visible()


def test_a_refused_message_is_found_by_its_tile_with_the_reason(screen: Page):
    screen.get_by_role("link", name=re.compile("本机搁置")).click()
    row = screen.get_by_role("row").filter(has_text=BAD)
    expect(row).to_contain_text("本机不接收事件 ADT^Z99。")
    expect(screen.get_by_label("去向")).to_have_value("set_aside")
    expect(screen.get_by_role("row").filter(has_text=GOOD)).to_have_count(0)
    row.get_by_role("link").click()
    expect(screen.locator("#reason")).to_contain_text("本机不接收事件 ADT^Z99。")
    screen.get_by_role("link", name="返回列表").click()
    expect(screen.get_by_label("去向")).to_have_value("set_aside")


def test_the_content_is_shown_on_request_and_the_look_is_recorded(screen: Page, hospital: dict[str, Any]):
    open_message(screen, hospital, GOOD)
    assert "邰" not in screen.content()
    screen.get_by_role("link", name="查看内容").click()
    expect(screen.locator(".segment").nth(2)).to_have_text(re.compile(r"^PID\|1\|\|CONSOLE77"))
    expect(screen.get_by_text(re.compile("^PUT Patient/"))).to_be_visible()
    expect(screen.get_by_role("region", name="查看记录")).to_contain_text("engineer · 查看内容")
    assert "邰" not in screen.title()


def test_processing_again_asks_first_and_says_what_came_of_it(screen: Page, hospital: dict[str, Any]):
    open_message(screen, hospital, BAD)
    confirm = screen.get_by_role("button", name="确认重新处理")
    expect(confirm).not_to_be_visible()
    screen.get_by_text("重新处理…").press("Enter")
    confirm.press("Enter")
    expect(screen.get_by_role("status")).to_have_text("重新处理后仍被搁置，原因如下。")
    expect(screen.get_by_role("region", name="查看记录")).to_contain_text("engineer · 重新处理")


def test_the_language_changes_in_place_and_filters_stay(screen: Page, hospital: dict[str, Any]):
    screen.goto(f"{hospital['console']}?fate=set_aside&kind=Z99&refresh=10")
    screen.get_by_role("link", name="English").click()
    expect(screen.locator("html")).to_have_attribute("lang", "en")
    expect(screen.get_by_label("Kind")).to_have_value("Z99")
    row = screen.get_by_role("row").filter(has_text=BAD)
    expect(row).to_contain_text("The event ADT^Z99 is not taken.")
    expect(screen.get_by_text("Refreshing every 10 s")).to_be_visible()
    row.get_by_role("link", name=re.compile("^Message ")).click()
    screen.get_by_role("link", name="中文").click()
    expect(screen.locator("#reason")).to_contain_text("本机不接收事件")


def test_on_a_phone_nothing_scrolls_sideways(screen: Page, hospital: dict[str, Any]):
    screen.set_viewport_size(PHONE)
    pages = [hospital["console"], f"{hospital['console']}?fate=set_aside", f"{hospital['console']}?kind=none"]
    for address in pages:
        screen.goto(address)
        assert width(screen, "h1") == PHONE["width"], address
    expect(screen.get_by_text("没有符合条件的消息。")).to_be_visible()
    open_message(screen, hospital, GOOD)
    assert width(screen, ".road") == PHONE["width"]
    screen.get_by_role("link", name="查看内容").click()
    assert width(screen, ".segment") == PHONE["width"]
