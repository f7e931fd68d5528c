"""What an operator expects of `deploy/region`: up, status, down, whatever happened in between."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import requests

from deploy.stack import ports, processes
from deploy.stack.processes import Process

COMMAND = str(Path(__file__).resolve().parents[2] / "deploy" / "region")


def call(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run `deploy/region` as an operator would, reading its output through a pipe."""
    return subprocess.run(
        [COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=None if env is None else os.environ | env,
    )


def read(directory: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((directory / "region.json").read_text(encoding="utf-8"))
    return content


@pytest.fixture(scope="module")
def home(servers_dir: Path) -> Iterator[Path]:
    """A region of one hospital, of this file alone, because it is killed and stopped."""
    directory = servers_dir / "operated"
    base = str(ports.window(200))
    done = call("up", "--dir", str(directory), "--hospitals", "1", "--port-base", base)
    assert done.returncode == 0, done.stderr
    yield directory
    call("down", "--dir", str(directory))


def token(region: dict[str, Any]) -> dict[str, str]:
    client = region["clients"][0]
    answer = requests.post(
        region["hub"]["token_url"],
        data={"grant_type": "client_credentials", "scope": client["scope"]},
        auth=(client["client_id"], client["client_secret"]),
        timeout=20,
    )
    answer.raise_for_status()
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


# What tools outside the project rely on: more may stand in region.json, nothing may be missing or renamed.
CONTRACT = {
    "hub": {"fhir": r"http://127.0.0.1:\d+/fhir", "portal": r"http://127.0.0.1:\d+/"}
    | {"token_url": r"http://127.0.0.1:\d+/oauth/token", "database_url": r"postgresql://.+"},
    "broker": {"amqp_url": r"amqp://.+", "management_url": r"http://.+"},
    "hospitals": [
        {"code": r"H\d\d", "name": r".+", "mllp": r"127.0.0.1:\d+", "fhir": r"http://127.0.0.1:\d+/fhir"}
        | {"inbox_dir": r"/.+", "console": r"http://127.0.0.1:\d+/", "cache_url": r"sqlite:////.+"}
        | {"token_file": r"/.+"}
    ],
    "clients": [{"client_id": r".+", "client_secret": r".+", "scope": r"system/\*\.cruds"}],
    "users": [{"username": r".+", "password": r".+", "role": r"\w+", "facility": r"H\d\d|None"}],
    "pids": dict.fromkeys(("postgres", "rabbitmq", "hub.web", "hub.ingest.1", "fep.H01"), r"\d+"),
    "certificates": {"ca": r"/.+"},
}


def missing(contract: Any, found: Any, path: str = "region.json") -> Iterator[str]:
    """Yield each place where something found is not what the contract says."""
    if isinstance(contract, dict):
        for name, wanted in contract.items():
            inside = found.get(name) if isinstance(found, dict) else None
            yield from missing(wanted, inside, f"{path}.{name}")
    elif isinstance(contract, list):
        if not isinstance(found, list) or not found:
            yield f"{path} is no list with something in it"
            return
        for number, inside in enumerate(found):
            yield from missing(contract[0], inside, f"{path}[{number}]")
    elif not re.fullmatch(contract, str(found)):
        yield f"{path} is not {contract}"


def test_region_json_is_word_for_word_what_tools_rely_on(home: Path):
    region = read(home)
    assert list(missing(CONTRACT, region)) == []
    assert region["clients"][0].get("facility") is None
    assert next(user for user in region["users"] if user["username"] == "doctor.h01")["role"] == "doctor"
    assert all(isinstance(pid, int) for pid in region["pids"].values())


def test_every_address_in_region_json_answers_as_printed(home: Path):
    region = read(home)
    hospital = region["hospitals"][0]
    assert requests.get(f"{region['hub']['fhir']}/metadata", timeout=20).status_code == 200
    assert requests.get(region["hub"]["portal"], timeout=20).status_code == 200
    assert requests.get(hospital["console"], timeout=20).status_code in (200, 401)
    assert requests.get(f"{region['broker']['management_url']}/api/overview", timeout=20).status_code == 200
    host, port = hospital["mllp"].split(":")
    socket.create_connection((host, int(port)), timeout=5).close()
    with psycopg.connect(region["hub"]["database_url"]) as connection:
        assert connection.execute("SELECT count(*) FROM facility").fetchone() == (1,)
    assert Path(hospital["inbox_dir"]).is_dir()
    assert Path(hospital["token_file"]).read_text(encoding="utf-8")
    assert Path(region["certificates"]["ca"]).read_text(encoding="utf-8").startswith("-----BEGIN CERT")


def test_a_new_region_knows_the_codes_that_come_along(home: Path):
    region = read(home)
    asked = {"url": "urn:oid:2.16.156.10011.2.3.3.3", "code": "01", "display": "汉族"}
    address = region["hub"]["fhir"] + "/CodeSystem/$validate-code"
    answer = requests.get(address, params=asked, headers=token(region), timeout=20)
    assert {"name": "result", "valueBoolean": True} in answer.json()["parameter"]


def test_secrets_are_for_their_owner_only(home: Path):
    files = [home / "region.json", home / "plan.json", *(home / "secrets").iterdir()]
    files += [home / "hub" / "hub.env", home / "hospitals" / "H01" / "fep.env"]
    assert [file.name for file in files if file.stat().st_mode & 0o077] == []


def listening() -> Iterator[tuple[str, int]]:
    """Yield (address, port) of every TCP listener of this machine, addresses as the kernel writes them."""
    for name in ("tcp", "tcp6"):
        for row in Path(f"/proc/net/{name}").read_text(encoding="ascii").splitlines()[1:]:
            fields = row.split()
            if fields[3] == "0A":
                address, port = fields[1].split(":")
                yield address, int(port, 16)


def test_everything_listens_on_loopback_only(home: Path):
    base = json.loads((home / "plan.json").read_text())["port_base"]
    ours = {port: address for address, port in listening() if base <= port < base + 200}
    assert len(ours) == 9
    assert set(ours.values()) <= {"0100007F", "00000000000000000000000001000000"}


def test_up_again_is_harmless_and_quick(home: Path):
    before = read(home)
    began = time.monotonic()
    done = call("up", "--dir", str(home))
    assert done.returncode == 0
    assert time.monotonic() - began < 10
    assert read(home) == before
    assert done.stdout.splitlines()[-1] == str(home / "region.json")


def test_status_says_in_its_last_line_what_runs(home: Path):
    done = call("status", "--dir", str(home))
    assert done.returncode == 0
    last = json.loads(done.stdout.splitlines()[-1])
    assert last == {"up": True, "pids": read(home)["pids"]}
    hub = {"hub.web", "hub.ingest.1", "hub.ingest.2", "hub.work"}
    assert set(last["pids"]) == {"postgres", "rabbitmq", *hub, "fep.H01"}


def test_only_what_is_dead_is_started_again(home: Path):
    before = read(home)["pids"]
    os.kill(before["hub.ingest.1"], signal.SIGKILL)
    assert call("status", "--dir", str(home)).returncode == 1
    prepared = (home / "log" / "prepare.log").read_text()
    assert call("up", "--dir", str(home)).returncode == 0
    after = read(home)["pids"]
    assert {name for name in after if after[name] != before[name]} == {"hub.ingest.1"}
    assert (home / "log" / "prepare.log").read_text() == prepared


def test_kill_9_of_the_web_ends_its_workers_and_frees_its_port(home: Path):
    before = read(home)
    pid, port = before["pids"]["hub.web"], urlsplit(before["hub"]["portal"]).port
    assert port is not None
    workers = [each for each in processes.session_members(pid) if each.pid != pid]
    assert workers
    os.kill(pid, signal.SIGKILL)
    gone = processes.wait_until(lambda: not any(map(Process.is_alive, workers)), timeout_s=10)
    assert gone, "workers outlive the web process that was killed"
    assert processes.wait_until(lambda: not ports.answers(port), timeout_s=10), "somebody holds the port"
    assert call("up", "--dir", str(home)).returncode == 0
    assert requests.get(before["hub"]["portal"], timeout=20).status_code == 200


def test_a_process_that_lives_but_does_not_answer_is_not_ready(home: Path):
    pid = read(home)["pids"]["fep.H01"]
    os.kill(pid, signal.SIGSTOP)
    try:
        done = call("status", "--dir", str(home))
    finally:
        os.kill(pid, signal.SIGCONT)
    assert done.returncode == 1
    assert "fep.H01          NOT READY" in done.stdout
    last = json.loads(done.stdout.splitlines()[-1])
    assert (last["up"], last["pids"]) == (False, read(home)["pids"])


def test_after_kill_9_of_everything_up_recovers_with_all_data(home: Path):
    before = read(home)
    patient = {"resourceType": "Patient", "name": [{"text": "试验"}], "gender": "female"}
    made = requests.post(f"{before['hub']['fhir']}/Patient", json=patient, headers=token(before), timeout=20)
    assert made.status_code == 201
    for pid in before["pids"].values():
        os.kill(pid, signal.SIGKILL)

    done = call("up", "--dir", str(home))

    assert done.returncode == 0, done.stderr
    after = read(home)
    assert not set(after["pids"].values()) & set(before["pids"].values())
    assert {**after, "pids": None} == {**before, "pids": None}
    url = f"{after['hub']['fhir']}/Patient/{made.json()['id']}"
    assert requests.get(url, headers=token(after), timeout=20).json()["gender"] == "female"


def test_a_port_in_use_is_told_in_one_sentence(home: Path):
    pid = read(home)["pids"]["fep.H01"]
    port = int(read(home)["hospitals"][0]["mllp"].rpartition(":")[2])
    process = processes.find(pid)
    assert process is not None
    processes.stop(process)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        done = call("up", "--dir", str(home))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith(f"deploy/region down --dir {home}")
    assert done.stderr.splitlines()[-1].startswith(
        f"deploy/region: Port {port} (for HL7 v2 of H01) is in use"
    )
    assert "Traceback" not in done.stderr
    assert call("up", "--dir", str(home)).returncode == 0


def test_a_directory_that_postgresql_cannot_enter_is_told_in_one_sentence():
    closed = Path(tempfile.mkdtemp(prefix="hie-closed-"))
    is_root = os.geteuid() == 0
    told = "PostgreSQL (run as postgres) cannot enter" if is_root else "cannot be written"
    try:
        closed.chmod(0o700 if is_root else 0o500)
        done = call("up", "--dir", str(closed / "region"), "--port-base", str(ports.window(200)))
        assert done.returncode == 2
        assert told in done.stderr.splitlines()[-1]
    finally:
        call("down", "--dir", str(closed / "region"))
        closed.chmod(0o700)
        shutil.rmtree(closed)


def test_down_leaves_nothing_running(home: Path):
    region = read(home)
    base = json.loads((home / "plan.json").read_text())["port_base"]
    assert call("down", "--dir", str(home)).returncode == 0
    assert [name for name, pid in region["pids"].items() if processes.find(pid)] == []
    assert [port for port in range(base, base + 200) if ports.answers(port, 0.2)] == []
    left = [
        entry
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and str(home).encode() in _command_line(entry)
    ]
    assert left == []
    assert call("down", "--dir", str(home)).returncode == 0


def _command_line(entry: Path) -> bytes:
    try:
        return (entry / "cmdline").read_bytes() + b" " + os.readlink(entry / "cwd").encode()
    except OSError:
        return b""
