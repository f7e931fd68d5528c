"""How long after a hospital sent it a doctor of another hospital can read it on the page."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import requests

from deploy.benchmarks import stand
from deploy.benchmarks.load import exchange
from deploy.benchmarks.portal import open_record

NUMBER = "READ0001"
HEAD = "MSH|^~\\&|LIS|H01|HIE|REGION|{at}+0800||{kind}|{control}|P|2.5|||||CHN|UNICODE UTF-8\r"
PID = "PID|1||" + NUMBER + "^^^H01^MR||司马^文渊||19610305|M\r"
ADMISSION = "EVN||{at}\r" + PID + "PV1|1|O|||||||||||||||||READV1\r"
RESULT = (
    PID + "OBR|1||READ{n}|K^血钾^L|||{at}|||||||||||||||{at}|||F\r"
    "OBX|1|NM|K^血钾^L||{value}|mmol/L|3.5-5.3|N|||F|||{at}\r"
)


def reading_ms(place: dict[str, Any], rounds: int) -> list[float]:
    """Return for each result the time from sending it at H01 until the page of a doctor of H02 shows it."""
    return asyncio.run(_measure(place, rounds))


async def _measure(place: dict[str, Any], rounds: int) -> list[float]:
    host, port = place["hospitals"][0]["mllp"].split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    at = "20260401080000"
    head = HEAD.format(at=at, kind="ADT^A04", control="READADT")
    await exchange(reader, writer, (head + ADMISSION.format(at=at)).encode())
    found: list[float] = []
    with requests.Session() as browser:
        stand.wait_for("the patient", lambda: _patient(place), 60)
        page = open_record(browser, place, _patient(place), facility="H02")
        for n in range(rounds):
            value = f"4.{1000 + n}"
            at = f"202604010{n // 60 % 10}{n % 60:02}00"
            head = HEAD.format(at=at, kind="ORU^R01", control=f"READ{n}")
            begin = time.monotonic()
            await exchange(reader, writer, (head + RESULT.format(at=at, n=n, value=value)).encode())
            while value not in browser.get(page, timeout=30).text:
                if time.monotonic() - begin > 60:
                    raise TimeoutError("A result did not reach the doctor's page within 60 s.")
            found.append((time.monotonic() - begin) * 1000)
    writer.close()
    return found


def _patient(place: dict[str, Any]) -> str:
    answer = requests.get(
        f"{place['hub']['fhir']}/Patient",
        params={"identifier": NUMBER},
        headers={"Authorization": f"Bearer {stand.token(place)}"},
        timeout=30,
    ).json()
    return next((entry["resource"]["id"] for entry in answer.get("entry", ())), "")
