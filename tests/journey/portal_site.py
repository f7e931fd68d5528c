"""The portal of a small world, served on a free port, and what a person does at its pages."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from playwright.sync_api import Page
from sqlalchemy.orm import Session
from werkzeug.serving import make_server

from hie.app import create_app
from hie.config import Config
from hie.portal.session import COOKIE, open_session
from hie.schema.mpi import Identity
from hie.schema.security import AuditEventRow
from tests.journey.layout import wait_whole
from tests.journey.portal_world import BORN, NAME, PASSWORD, make_world


@dataclass
class Site:
    """A running portal, its database, and what its pages complained of in the browser."""

    url: str
    engine: sa.Engine
    now: datetime
    complaints: list[str] = field(default_factory=list)

    def person_of(self, identity: str) -> str:
        """Return the person of a source record."""
        with Session(self.engine) as session:
            return str(session.scalars(sa.select(Identity.person_id).where(Identity.id == identity)).one())

    def trail(self, operation: str) -> list[AuditEventRow]:
        """Return the audit rows of an operation, the newest first."""
        with Session(self.engine, expire_on_commit=False) as session:
            return list(
                session.scalars(
                    sa.select(AuditEventRow)
                    .where(AuditEventRow.operation == operation)
                    .order_by(AuditEventRow.id.desc())
                )
            )


@pytest.fixture(scope="module")
def site(module_database_url: str) -> Iterator[Site]:
    """A portal with a small world behind it."""
    engine = sa.create_engine(module_database_url, hide_parameters=True)
    now = datetime.now(UTC)
    with Session(engine) as session, session.begin():
        make_world(session, now)
    app = create_app(Config.from_env({"HIE_DATABASE_URL": module_database_url}))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Site(f"http://127.0.0.1:{server.server_port}", engine, now)
    server.shutdown()
    thread.join(10)
    server.server_close()
    app.extensions["hie"].engine.dispose()
    engine.dispose()


def watch(page: Page, site: Site) -> None:
    """Collect what the browser complains of: violations of the content security policy and script errors."""
    page.on("pageerror", lambda error: site.complaints.append(str(error)))
    page.on(
        "console",
        lambda message: (
            site.complaints.append(message.text)
            if message.type == "error" and "Failed to load resource" not in message.text
            else None
        ),
    )


def sign_in(page: Page, site: Site, username: str = "doctor.h02") -> None:
    """Sign in at the sign-in page."""
    watch(page, site)
    page.goto(site.url)
    page.get_by_label("用户名").fill(username)
    page.get_by_label("密码").fill(PASSWORD)
    page.get_by_role("button", name="登录").click()
    page.get_by_role("button", name="退出").wait_for()


def come_back(page: Page, site: Site, username: str = "doctor.h02") -> None:
    """Open the first page with a session that is already there."""
    watch(page, site)
    with Session(site.engine) as session, session.begin():
        cookie = open_session(session, username, datetime.now(UTC))
    page.context.add_cookies([{"name": COOKIE, "value": cookie, "url": site.url, "httpOnly": True}])
    page.goto(site.url)


def search(page: Page, words: str) -> None:
    """Type into the search box and press Enter."""
    page.get_by_role("link", name="查找病人").click()
    page.locator("#q").fill(words)
    page.locator("#q").press("Enter")
    page.locator("#results-title, #q-error").first.wait_for()


def open_main(page: Page, site: Site, username: str = "doctor.h02") -> None:
    """Come back, find the person most tests are about, confirm two identifiers, and open the record."""
    come_back(page, site, username)
    search(page, f"{NAME} {BORN}")
    person = page.locator(".person")
    if person.get_by_role("link", name="打开记录").count():
        person.get_by_role("link", name="打开记录").click()
    else:
        person.get_by_role("button", name="选择并确认").click()
        page.get_by_label("姓名（全名）").fill(NAME)
        page.get_by_label("出生日期").fill(BORN)
        page.get_by_label("诊疗").check()
        page.get_by_role("button", name="确认并打开记录").click()
    wait_whole(page, ".patient-name")
