"""What a foreign system sends at H01 is read by a doctor of H02 in the browser, within two seconds."""

from __future__ import annotations

import statistics
import time
from typing import Any

from hl7.client import MLLPClient
from playwright.sync_api import Page, expect

from tests.journey.road import wait_for
from tests.samples import hl7v2_messages as samples

PID = "PID|1||ROAD1^^^H01^MR||宁^致远||19660214|M"
WITHIN_S = 2.0


def send(region: dict[str, Any], kind: str, *segments: str, control: str) -> None:
    """Send a message in GB18030 with python-hl7's client, and see it acknowledged."""
    host, port = region["hospitals"][0]["mllp"].split(":")
    raw = samples.build(kind, PID, *segments, control=control, codec="gb18030", charset="GB 18030-2000")
    with MLLPClient(host, int(port)) as client:
        assert b"MSA|AA" in client.send_message(raw)


def result(number: int) -> tuple[str, str]:
    """Return the OBR and the OBX of one result, its value told by the number."""
    obr = samples.OBR.replace("ORD55", f"ROADORD{number}").replace("LIS900", f"ROADLIS{number}")
    return obr, samples.OBX.replace("12.50", f"12.5{number}")


def open_record(page: Page, region: dict[str, Any]) -> None:
    """Sign in as the doctor of H02, find the person, confirm two identifiers and a purpose."""
    doctor = next(user for user in region["users"] if user["username"] == "doctor.h02")
    page.goto(region["hub"]["portal"])
    page.get_by_label("用户名").fill(doctor["username"])
    page.get_by_label("密码").fill(doctor["password"])
    page.get_by_role("button", name="登录").click()
    page.locator("#q").fill("宁致远 1966-02-14")
    page.locator("#q").press("Enter")
    page.locator(".person").get_by_role("button", name="选择并确认").click()
    page.get_by_label("诊疗").check()
    page.get_by_role("button", name="确认并打开记录").click()
    page.locator(".patient-name").wait_for()


def wait_shown(page: Page, text: str) -> None:
    """Read the page anew until it shows a text."""

    def look() -> bool:
        page.reload()
        return text in page.locator("main").inner_text()

    wait_for(f"{text} on the page", look)


def test_what_is_sent_at_one_hospital_is_read_at_another_within_two_seconds(
    region: dict[str, Any], page: Page
):
    send(region, "ADT^A01", samples.PV1.replace("V2026001", "ROADV1"), control="ROADADT")
    open_record(page, region)
    expect(page.locator(".patient-name")).to_contain_text("宁致远")
    took_s = []
    for number in range(1, 4):
        began = time.monotonic()
        send(region, "ORU^R01", *result(number), control=f"ROADORU{number}")
        wait_shown(page, f"12.5{number}")
        took_s.append(time.monotonic() - began)
    assert statistics.median(took_s) < WITHIN_S, took_s
    expect(page.locator("main")).to_contain_text(region["hospitals"][0]["name"])
