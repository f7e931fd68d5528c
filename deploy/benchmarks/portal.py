"""A doctor's way to a record page, with forms and cookies as a browser has them."""

from __future__ import annotations

import re
from typing import Any

import orjson
import psycopg
import requests

from deploy.benchmarks.floors import plain

CSRF = re.compile(r'name="csrf" value="([^"]+)"')


def open_record(browser: requests.Session, place: dict[str, Any], patient: str, facility: str = "H01") -> str:
    """Sign in as a doctor of a hospital, confirm the person and return the address of the record page.

    Raises: RuntimeError if the portal does not open the record.
    """
    portal = place["hub"]["portal"].rstrip("/")
    doctor = next(u for u in place["users"] if u["role"] == "doctor" and u["facility"] == facility)
    _post(
        browser,
        f"{portal}/sign-in",
        f"{portal}/sign-in",
        {"username": doctor["username"], "password": doctor["password"]},
    )
    person, name, birth_date = _who(place, patient)
    page = f"{portal}/people/{person}"
    given = {"name": name, "birth_date": birth_date, "number": "", "purpose": "TREAT"}
    answer = _post(browser, f"{page}/confirm", f"{page}/confirm", given)
    if not answer.url.startswith(page) or answer.url.endswith("/confirm"):
        raise RuntimeError(f"The portal did not open the record: {answer.status_code} at {answer.url}.")
    return page


def _post(
    browser: requests.Session, form_page: str, target: str, fields: dict[str, str]
) -> requests.Response:
    shown = browser.get(form_page, timeout=30)
    token = CSRF.search(shown.text)
    if token is None:
        raise RuntimeError(f"{form_page} shows no form: {shown.status_code}.")
    answer = browser.post(target, data=fields | {"csrf": token[1]}, timeout=60)
    answer.raise_for_status()
    return answer


def _who(place: dict[str, Any], patient: str) -> tuple[str, str, str]:
    with psycopg.connect(plain(place["hub"]["database_url"])) as connection:
        row = connection.execute(
            "SELECT i.person_id::text, r.content FROM identity i"
            " JOIN resource r ON r.compartment = i.id AND r.type = 'Patient' AND r.id = i.id WHERE i.id = %s",
            (patient,),
        ).fetchone()
    if row is None:
        raise RuntimeError("The person of the benchmark is not in the MPI.")
    content = orjson.loads(row[1])
    return row[0], content["name"][0]["text"], content["birthDate"]
