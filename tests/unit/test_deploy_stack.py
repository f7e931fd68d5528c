"""Parts of the region that need no server."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from deploy.stack import certificates, demo, install, ports, processes, region_file
from deploy.stack.errors import Trouble
from deploy.stack.hospitals import hospitals
from deploy.stack.place import MOST_HOSPITALS, Place, Plan
from deploy.stack.region import make_region, open_region
from deploy.stack.servers import PORTS
from front_end_processor.console.app import ENGINEER
from hie.config import Config
from hie.security.allowed import is_allowed

SLEEPER = [sys.executable, "-c", "import signal; signal.pause()"]


def test_a_taken_port_is_named_in_one_sentence():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(Trouble, match=rf"^Port {port} \(for the hub's web\) is in use"):
            ports.check_free(port, "the hub's web")


def test_all_taken_ports_are_named_at_once():
    with socket.socket() as one, socket.socket() as two, socket.socket() as free:
        for each in (one, two, free):
            each.bind(("127.0.0.1", 0))
        one.listen()
        two.listen()
        wanted = {name: each.getsockname()[1] for name, each in (("A", one), ("B", two), ("C", free))}
        free.close()
        with pytest.raises(Trouble) as told:
            ports.check_all_free(wanted)
    assert str(told.value).startswith(f"Ports {wanted['A']} (for A), {wanted['B']} (for B) are in use")
    assert "--port-base" in str(told.value) and str(wanted["C"]) not in str(told.value)


def test_many_taken_ports_make_no_long_sentence():
    with contextlib.ExitStack() as open_ones:
        taken = [open_ones.enter_context(socket.socket()) for _ in range(16)]
        for each in taken:
            each.bind(("127.0.0.1", 0))
            each.listen()
        wanted = {f"server {number}": each.getsockname()[1] for number, each in enumerate(taken)}
        with pytest.raises(Trouble) as told:
            ports.check_all_free(wanted)
    first, second = wanted["server 0"], wanted["server 1"]
    said = str(told.value)
    assert said.startswith(f"Ports {first} (for server 0), {second} (for server 1) and 14 more are in use")
    assert len(said) < 160


def test_what_was_never_started_is_not_said_to_be_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    make_region(tmp_path / "r", 1, 21000).down()
    assert capsys.readouterr().err == ""


def test_the_demo_prints_a_first_message_a_reading_and_whom_to_look_for(tmp_path: Path):
    made = make_region(tmp_path / "r", 2, 21000)
    made.hub.configure("postgresql://nowhere/", "amqp://nowhere/", None)
    for member in made.members:
        member.configure("amqp://nowhere/", None, made.hub.url)
    content = region_file.compose(
        made.hub, made.members, database_url="", amqp_url="", management_url="", pids={}, ca=None
    )
    steps = demo.first_steps(content)
    message = demo.ROOT / "docs" / "examples" / "admission.hl7"
    assert f"send 127.0.0.1:21101 {message}" in steps
    sent = message.read_text(encoding="utf-8")
    assert demo.EXAMPLE_NUMBER in sent and demo.EXAMPLE_BORN.replace("-", "") in sent
    assert demo.EXAMPLE_NAME in sent.replace("^", "")
    assert f'doctor.h02 and look for "{demo.EXAMPLE_NAME} {demo.EXAMPLE_BORN}"' in steps
    assert "http://127.0.0.1:21080/fhir/Patient?identifier=urn:hie:H01:mrn%7C100001" in steps
    console = next(line for line in demo.pages(content).splitlines() if ":21102/" in line)
    assert console.split()[-2:] == [ENGINEER, content["hospitals"][0]["console_password"]]


def test_a_region_lets_subscriptions_and_imports_be_tried_on_its_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("HIE_NOTIFY_TO", "HIE_IMPORT_FROM"):
        monkeypatch.delenv(name, raising=False)
    hub = make_region(tmp_path / "r", 1, 21000).hub

    def configured() -> Config:
        hub.configure("postgresql://nowhere/", "amqp://nowhere/", None)
        return Config.from_env({"HIE_CONFIG": str(hub.settings_file)})

    config = configured()
    for host in ("127.0.0.1", "localhost"):
        assert is_allowed(f"http://{host}:21090/notices", config.notify_to)
        assert is_allowed(f"http://{host}:21099/", config.notify_to)
        assert not is_allowed(f"http://{host}:21080/fhir", config.notify_to)
    assert hub.imports.is_dir()
    assert is_allowed((hub.imports / "病人.ndjson").as_uri(), config.import_from)
    assert not is_allowed((hub.keys / "hub.jwks").as_uri(), config.import_from)
    assert is_allowed("file:///srv/a%20b/x.ndjson", ["file:///srv/a%20b/"])
    # Who says otherwise is heard, also by an `up` that says nothing.
    monkeypatch.setenv("HIE_NOTIFY_TO", "http://127.0.0.1:9/")
    assert configured().notify_to == ("http://127.0.0.1:9/",)
    monkeypatch.delenv("HIE_NOTIFY_TO")
    assert configured().notify_to == ("http://127.0.0.1:9/",)
    assert configured().import_from == config.import_from


def test_a_recycled_pid_is_not_taken_for_ours(tmp_path: Path):
    process = processes.detach(SLEEPER, log=tmp_path / "log")
    file = tmp_path / "pid.json"
    processes.remember(file, process)
    assert processes.recall(file) == process
    row = json.loads(file.read_text())
    file.write_text(json.dumps(row | {"started": row["started"] - 1}))
    assert processes.recall(file) is None
    file.write_text(json.dumps(row | {"boot": "an earlier one"}))
    assert processes.last(file) is None
    processes.stop(process)


def test_a_killed_process_counts_as_dead_at_once(tmp_path: Path):
    process = processes.detach(SLEEPER, log=tmp_path / "log")
    os.kill(process.pid, 9)
    assert not process.is_alive()
    processes.stop(process)


def test_stopping_ends_what_the_process_started(tmp_path: Path):
    family = "import subprocess, sys, signal; subprocess.Popen(sys.argv[1:]); signal.pause()"
    parent = processes.detach([sys.executable, "-c", family, *SLEEPER], log=tmp_path / "log")
    assert processes.wait_until(lambda: len(list(processes.session_members(parent.pid))) == 2, timeout_s=10)
    os.kill(parent.pid, 9)
    processes.stop(parent)
    assert processes.wait_until(lambda: not list(processes.session_members(parent.pid)), timeout_s=5)


def test_who_reads_the_output_of_a_starter_does_not_hang(tmp_path: Path):
    code = (
        "import sys; from pathlib import Path; from deploy.stack import processes;"
        f"print(processes.detach({SLEEPER!r}, log=Path(sys.argv[1])).pid)"
    )
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "log")],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert time.monotonic() - began < 20
    found = processes.find(int(done.stdout))
    assert found is not None
    processes.stop(found)


def test_a_region_of_the_most_hospitals_uses_at_most_100_ports_of_its_own(tmp_path: Path):
    plan = Plan(port_base=30000, hospitals=MOST_HOSPITALS)
    used = {plan.port(offset) for offset in (*PORTS.values(), 80)}
    for member in hospitals(Place(tmp_path), plan):
        used |= {member.mllp, member.http}
    assert len(used) == len(PORTS) + 1 + 2 * MOST_HOSPITALS <= 100
    assert min(used) > 30000
    assert max(used) < 30200


def test_the_first_hospital_has_the_ports_of_the_contract(tmp_path: Path):
    first, second = hospitals(Place(tmp_path), Plan(hospitals=2))
    assert (first.mllp, first.http, second.mllp, second.http) == (18101, 18102, 18103, 18104)


def test_a_region_keeps_ports_and_secrets_and_may_grow(tmp_path: Path):
    first = make_region(tmp_path / "r", 2, 21000)
    secret = first.place.secret("client.bench")
    assert make_region(tmp_path / "r", 2, 20000).plan.port_base == 20000
    assert make_region(tmp_path / "r", 2, 21000).plan.port_base == 21000
    first.place.region_file.write_text("{}")
    again = make_region(tmp_path / "r", 3, 22000)
    assert (again.plan.port_base, again.plan.hospitals) == (21000, 3)
    assert make_region(tmp_path / "r", 1, None).plan.hospitals == 3
    assert again.place.secret("client.bench") == secret
    assert again.place.secret_file("client.bench").stat().st_mode & 0o777 == 0o600
    assert again.place.directory.stat().st_mode & 0o777 == 0o711


def test_what_cannot_be_is_said_in_one_sentence(tmp_path: Path):
    with pytest.raises(Trouble, match="between 1 and 40"):
        make_region(tmp_path / "many", 41, None)
    with pytest.raises(Trouble, match="No region is in"):
        open_region(tmp_path / "none")
    for odd in ("数据", "a b", "it's"):
        with pytest.raises(Trouble, match="RabbitMQ cannot live in a path with"):
            make_region(tmp_path / odd, None, None)
        assert not (tmp_path / odd).exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(Trouble, match="choose another --dir"):
        make_region(tmp_path / "file", None, None)


def test_the_servers_certificate_is_renewed_before_it_ends(tmp_path: Path):
    now = datetime(2026, 3, 1, tzinfo=UTC)
    files = certificates.ensure(tmp_path, now)
    first = files.server.read_bytes()
    assert certificates.ensure(tmp_path, now + timedelta(days=300)).server.read_bytes() == first
    authority = files.ca.read_bytes()
    certificates.ensure(tmp_path, now + timedelta(days=340))
    assert files.server.read_bytes() != first
    assert files.ca.read_bytes() == authority
    trust = x509.load_pem_x509_certificate(authority)
    x509.load_pem_x509_certificate(files.server.read_bytes()).verify_directly_issued_by(trust)
    assert files.server_key.stat().st_mode & 0o777 == 0o600


def test_a_table_with_han_characters_stays_in_line():
    rows = [("页面", "a"), ("x", "b")]
    assert demo.table(rows) == "页面  a\n----  -\nx     b"


def test_the_installer_needs_nothing_but_the_standard_library():
    load = f"import runpy; print(runpy.run_path({install.__file__!r})['OLDEST_PYTHON'])"
    bare = [sys.executable, "-I", "-S", "-c", load]
    assert subprocess.run(bare, capture_output=True, text=True, check=True).stdout == "(3, 11)\n"


def test_who_asks_for_help_gets_it_without_an_installation(tmp_path: Path):
    bare = tmp_path / "bare"
    shutil.copytree(
        install.ROOT / "deploy", bare / "deploy", ignore=shutil.ignore_patterns("__pycache__", "sample")
    )
    for name in ("region", "demo"):
        done = subprocess.run(
            [str(bare / "deploy" / name), "--help"], capture_output=True, text=True, check=True
        )
        assert f"deploy/{name}" in done.stdout
    assert not (bare / ".venv").exists()


def test_what_pip_warns_of_is_not_shown_as_progress(capsys: pytest.CaptureFixture[str], monkeypatch):
    monkeypatch.setattr(install.time, "monotonic", iter(range(0, 1000, 10)).__next__)
    install.run(["sh", "-c", "echo WARNING: root; echo Collecting x"], "Installing")
    told = capsys.readouterr().err
    assert "Collecting x" in told and "WARNING" not in told


@pytest.mark.parametrize(
    ("is_terminal", "shown"),
    [(True, "\r  one\033[K\r  two\033[K\r  three\033[K\n"), (False, "  one\n  three\n")],
)
def test_progress_is_one_line_on_a_terminal_and_few_in_a_pipe(
    is_terminal: bool, shown: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    log = tmp_path / "sample.log"
    progress = demo.Progress(log, is_terminal=is_terminal)
    for at, line in enumerate(("one", "two", "three")):
        with log.open("a") as out:
            out.write(f"{line}\n")
        progress.show(float(at), is_last=line == "three")
    assert capsys.readouterr().err == shown
