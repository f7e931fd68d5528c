"""Real servers for the tests: each run has its own PostgreSQL and RabbitMQ on free ports, gone afterwards."""

import contextlib
import json
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
import structlog
from playwright.sync_api import Browser, Page, sync_playwright
from psycopg import sql
from sqlalchemy.orm import Session

from deploy.stack import ports, postgres, rabbitmq
from deploy.stack.postgres import Cluster
from deploy.stack.rabbitmq import Broker
from hie.schema import migrate

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = ("/usr/bin/chromium", "/usr/bin/chromium-browser")
TEMPLATE = "hie_template"


@pytest.fixture(autouse=True)
def log_of_a_command() -> Iterator[None]:
    """A command logs to the stream of its own test, which is closed in the next."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def servers_dir() -> Iterator[Path]:
    """A directory of this run that PostgreSQL's account can enter (pytest's own cannot be)."""
    directory = Path(tempfile.mkdtemp(prefix="hie-test-"))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def cluster(servers_dir: Path) -> Iterator[Cluster]:
    """A private PostgreSQL cluster with an empty, migrated template database."""
    running = postgres.throwaway(servers_dir)
    postgres.ensure_database(running, TEMPLATE, postgres.ACCOUNT)
    migrate.upgrade(_for_sqlalchemy(running.url(TEMPLATE)))
    yield running
    postgres.stop(running)


def _for_sqlalchemy(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


@contextlib.contextmanager
def _clone(cluster: Cluster) -> Iterator[str]:
    """Copy the template for one user, and drop the copy afterwards."""
    name = f"hie_{secrets.token_hex(6)}"
    with psycopg.connect(cluster.url(), autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(TEMPLATE))
        )
    yield _for_sqlalchemy(cluster.url(name))
    with psycopg.connect(cluster.url(), autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def broker(servers_dir: Path) -> Iterator[Broker]:
    """A private RabbitMQ node with TLS and management; its virtual host is empty."""
    running = rabbitmq.throwaway(servers_dir)
    yield running
    rabbitmq.kill(running)


@pytest.fixture(scope="session")
def amqp_url(broker: Broker) -> str:
    """The administrator's URL of the private RabbitMQ."""
    return broker.url()


@pytest.fixture(scope="session")
def database_url(cluster: Cluster) -> Iterator[str]:
    """An empty, migrated database shared by the run; who commits uses `fresh_database_url`."""
    with _clone(cluster) as url:
        yield url


@pytest.fixture(scope="module")
def module_database_url(cluster: Cluster) -> Iterator[str]:
    """An empty, migrated database of one module's tests."""
    with _clone(cluster) as url:
        yield url


@pytest.fixture(scope="package")
def package_database_url(cluster: Cluster) -> Iterator[str]:
    """An empty, migrated database of one folder's tests."""
    with _clone(cluster) as url:
        yield url


@pytest.fixture
def fresh_database_url(cluster: Cluster) -> Iterator[str]:
    """An empty, migrated database of one test alone."""
    with _clone(cluster) as url:
        yield url


@pytest.fixture(scope="session")
def engine(database_url: str) -> Iterator[sa.Engine]:
    """An engine on the shared database."""
    made = sa.create_engine(database_url, hide_parameters=True)
    yield made
    made.dispose()


@pytest.fixture
def session(engine: sa.Engine) -> Iterator[Session]:
    """A session whose work, commits included, is rolled back when the test ends."""
    with engine.connect() as connection:
        outer = connection.begin()
        with Session(bind=connection, join_transaction_mode="create_savepoint") as inner:
            yield inner
        outer.rollback()


@pytest.fixture(scope="session")
def region(servers_dir: Path) -> Iterator[dict[str, Any]]:
    """A running region of two hospitals without data, as region.json describes it."""
    directory = servers_dir / "region"
    deploy = [str(ROOT / "deploy" / "region")]
    place = ["--dir", str(directory)]
    base = str(ports.window(200))
    try:
        _deploy([*deploy, "up", *place, "--hospitals", "2", "--port-base", base, "--sample", "0"])
        yield json.loads((directory / "region.json").read_text(encoding="utf-8"))
    finally:
        _deploy([*deploy, "down", *place])


def _deploy(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        pytest.fail(f"{' '.join(command[:2])}: {done.stderr[-2000:]}", pytrace=False)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A real browser without a window: Debian's Chromium, or Playwright's own where there is none."""
    system = next((path for path in CHROMIUM if Path(path).exists()), None)
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=system, args=["--no-sandbox", "--disable-gpu"])
        yield made
        made.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page with cookies of its own, in Chinese, at the region's time."""
    context = browser.new_context(
        locale="zh-CN", timezone_id="Asia/Shanghai", viewport={"width": 1366, "height": 900}
    )
    yield context.new_page()
    context.close()
