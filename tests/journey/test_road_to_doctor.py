"""What one hospital records, a doctor at another one reads: a foreign client, the road, a browser."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from hl7.client import MLLPClient
from playwright.sync_api import Page, expect

from tests.journey.road import Fep, Hub, code_of, wait_for
from tests.samples import hl7v2_messages as samples

NUMBER, NAME, BORN = "ROAD7001", "司徒文静", "1964-08-09"
SOON_S = 2.0
PID = "PID|1||ROAD7001^^^H01^MR||司徒^文静||19640809|F"


def result(control: str, value: str, status: str = "F", at: str = "20260401103000+0800") -> bytes:
    """Return an ORU of one potassium result."""
    obr = samples.OBR.replace("ORD55", "ROADORD").replace("LIS900", "ROADLIS")
    obx = f"OBX|1|NM|K^血钾^L|1|{value}|mmol/L|3.5-5.3|N|||{status}|||20260401091500"
    return samples.build("ORU^R01", PID, obr, obx, control=control, at=at)


def send(hospital: dict[str, Any], message: bytes) -> None:
    """Send with a client that is not ours."""
    host, port = hospital["mllp"].split(":")
    with MLLPClient(host, int(port)) as client:
        assert code_of(client.send_message(message)) == "AA"


@pytest.fixture(scope="module")
def person(region: dict[str, Any]) -> str:
    """A person known at H01 only; their id in the index as the hub's API shows it."""
    h01 = region["hospitals"][0]
    visit = samples.PV1.replace("V2026001", "ROADVISIT")
    send(h01, samples.build("ADT^A01", PID, visit, samples.AL1, samples.DG1, control="ROADADT"))
    Fep(h01).wait_settled("ROADADT")
    hub = Hub(region)
    (patient,) = wait_for("the patient", lambda: hub.search("Patient", identifier=NUMBER))
    return str(patient["id"])


def sign_in(page: Page, region: dict[str, Any], username: str) -> None:
    user = next(user for user in region["users"] if user["username"] == username)
    page.goto(region["hub"]["portal"])
    page.get_by_label("用户名").fill(username)
    page.get_by_label("密码").fill(user["password"])
    page.get_by_role("button", name="登录").click()
    page.get_by_role("button", name="退出").wait_for()


def test_a_doctor_of_another_hospital_reads_what_was_sent_within_two_seconds(
    region: dict[str, Any], person: str, page: Page
):
    h01 = region["hospitals"][0]
    sign_in(page, region, "doctor.h02")
    page.locator("#q").fill(f"{NAME} {BORN}")
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).not_to_contain_text(NAME)
    page.get_by_role("button", name=re.compile("确认|打开")).or_(
        page.get_by_role("link", name=re.compile("确认|打开"))
    ).first.click()
    page.get_by_label("姓名").fill(NAME)
    page.get_by_label("出生日期").fill(BORN)
    page.locator("input[name=purpose][value=TREAT]").check()
    page.get_by_role("button", name="确认并打开记录").click()
    expect(page.locator("h1").first).to_contain_text(NAME)
    expect(page.get_by_role("main")).to_contain_text(h01["name"])

    def is_shown(text: str) -> bool:
        page.reload()
        return text in page.get_by_role("main").inner_text()

    # The page was looked at before, as a doctor's page is; what is timed is the road.
    assert not is_shown("6.81")
    began_s = time.monotonic()
    send(h01, result("ROADORU1", "6.81"))
    wait_for("the result on the doctor's page", lambda: is_shown("6.81"))
    assert time.monotonic() - began_s < SOON_S

    send(h01, result("ROADORU2", "4.18", "C", "20260401113000+0800"))
    wait_for("the corrected result", lambda: is_shown("4.18"))
    expect(page.get_by_role("main")).to_contain_text("已更正")
    expect(page.get_by_role("main")).to_contain_text("6.81")


def test_who_looked_is_in_the_trail(region: dict[str, Any], person: str):
    hub = Hub(region)
    looks = hub.search("AuditEvent", patient=person)
    assert any("doctor.h02" in str(event["agent"]) for event in looks)


def test_another_hospitals_client_sees_nothing_without_a_relation(region: dict[str, Any], person: str):
    number = next(
        index for index, client in enumerate(region["clients"]) if client.get("client_id") == "fep.h02"
    )
    other = Hub(region, number)
    denied, absent = other.get(f"Patient/{person}"), other.get("Patient/nobody-here")
    assert denied.status_code == absent.status_code in (403, 404)
    assert other.get("Patient", identifier=NUMBER, _summary="count").json().get("total", 0) == 0
