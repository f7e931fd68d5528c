"""A really running hub, and Node with the packages of package-lock.json."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import sqlalchemy as sa
from sqlalchemy.orm import Session

from deploy.stack import install, ports, web
from esb.seal import generate_keys
from hie.directory.clients import put_client
from tests.hub_world import REGION, SECRET

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
STARTING_S = 60


class Hub:
    """The address of a hub, and its first process."""

    def __init__(self, root: str, pid: int) -> None:
        self.root = root
        self.pid = pid
        self.fhir = f"{root}/fhir"
        self.token_url = f"{root}/oauth/token"

    def token(self) -> str:
        """Return a token, had by client_credentials."""
        answer = requests.post(
            self.token_url, data={"grant_type": "client_credentials"}, auth=(REGION, SECRET), timeout=30
        )
        return str(answer.json()["access_token"])


@pytest.fixture(scope="package")
def hub(package_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """The hub's web processes with a database of this folder's tests and the region's client."""
    engine = sa.create_engine(package_database_url)
    with Session(engine) as session, session.begin():
        put_client(session, REGION, SECRET, "system/*.cruds", None)
    engine.dispose()
    directory = tmp_path_factory.mktemp("hub")
    (directory / "hub.jwks").write_text(json.dumps(generate_keys("hub")))
    address = f"127.0.0.1:{ports.pick()}"
    settings = {
        "HIE_DATABASE_URL": package_database_url,
        "HIE_HTTP": address,
        "HIE_BASE_URL": f"http://{address}",
        "HIE_KEY_DIR": str(directory),
        "HIE_BLOB_DIR": str(directory),
        "HIE_ZONE": "Asia/Shanghai",
    }
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "hie", "web"], env=os.environ | settings, cwd=ROOT, stderr=log, stdout=log
        )
    deadline = time.monotonic() + STARTING_S
    while web.status(f"http://{address}/healthz") != 200:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            pytest.fail((directory / "log").read_text()[-2000:], pytrace=False)
        time.sleep(0.1)
    yield Hub(f"http://{address}", process.pid)
    process.terminate()
    process.wait()


@pytest.fixture(scope="session")
def node() -> str:
    """The command that runs a script of this folder; what is missing is installed, as deploy/test does."""
    try:
        install.install_packages(["node"])
        stamp = HERE / "node_modules" / "installed.lock"
        lock = (HERE / "package-lock.json").read_bytes()
        if not stamp.exists() or stamp.read_bytes() != lock:
            command = ["npm", "ci", "--prefix", str(HERE), "--no-audit", "--no-fund", "--ignore-scripts"]
            install.run(command, "Installing npm packages into tests/foreign")
            stamp.write_bytes(lock)
    except install.Plain as plain:
        pytest.fail(str(plain), pytrace=False)
    return str(shutil.which("node"))
