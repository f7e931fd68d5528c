"""The rules of the house that a machine can hold."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("esb", "hie", "front_end_processor", "analytics")
MOST_LINES = 400
# A table of cases reads well at a greater length.
MOST_TEST_LINES = 600
SPEAKS_HTTP = (
    "hie/app.py",
    "hie/api/",
    "hie/portal/",
    "front_end_processor/app.py",
    "front_end_processor/console/",
)
READS_ENVIRONMENT = ("__main__.py", "config.py")


def _files(*packages: str) -> Iterator[Path]:
    for package in packages:
        yield from sorted((ROOT / package).rglob("*.py"))


def _imported(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def _name(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def test_nobody_imports_what_is_not_below_it():
    command = [str(Path(sys.executable).parent / "lint-imports"), "--config", "setup.cfg", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("side", ["hub", "hospital"])
def test_the_architecture_page_gives_the_layers_that_are_held(side):
    rules = ConfigParser()
    rules.read(ROOT / "setup.cfg", "utf-8")
    layers = " > ".join(rules[f"importlinter:contract:{side}"]["layers"].split("\n")[1:])
    assert f"`{layers}`" in (ROOT / "docs" / "architecture.md").read_text("utf-8")


def test_every_place_the_architecture_page_names_is_there():
    table = (ROOT / "docs" / "architecture.md").read_text("utf-8").partition("## Where to change what")[2]
    named = re.findall(r"`([a-z_0-9/.]+/[a-z_0-9/.]*)`", table.partition("\n## ")[0])
    assert len(named) > 10
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_no_file_is_longer_than_a_reader_likes():
    long = {
        _name(file): lines
        for file in _files(*PACKAGES, "deploy", "tests")
        if "versions" not in file.parts
        and (lines := len(file.read_text(encoding="utf-8").splitlines()))
        > (MOST_TEST_LINES if file.is_relative_to(ROOT / "tests") else MOST_LINES)
    }
    assert long == {}


def test_an_errors_status_is_that_of_its_class():
    changed = [
        f"{_name(file)}:{node.lineno}"
        for file in _files(*PACKAGES)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Attribute) and target.attr == "http"
    ]
    assert changed == []


def test_every_module_says_what_it_is_for():
    silent = [
        _name(file)
        for file in _files(*PACKAGES, "deploy")
        if file.read_text(encoding="utf-8").strip()
        and not ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    ]
    assert silent == []


def test_flask_is_only_where_http_is_spoken():
    users = [_name(file) for file in _files(*PACKAGES) if "flask" in _imported(file)]
    assert [name for name in users if not name.startswith(SPEAKS_HTTP)] == []


def test_pika_is_only_in_esb():
    users = [_name(file) for file in _files(*PACKAGES) if "pika" in _imported(file)]
    assert [name for name in users if not name.startswith("esb/")] == []


def test_the_environment_is_read_once_at_the_door():
    def reads(file: Path) -> bool:
        return any(
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and (node.value.id, node.attr) in {("os", "environ"), ("os", "getenv")}
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        )

    assert [
        _name(file) for file in _files(*PACKAGES) if reads(file) and file.name not in READS_ENVIRONMENT
    ] == []


@pytest.mark.parametrize("side", ["hie", "front_end_processor"])
def test_a_module_without_a_place_in_the_layers_is_refused(side: str, tmp_path: Path):
    """The contract is exhaustive: without one of its lines, the module that stood there is refused."""
    hub, rest = (ROOT / "setup.cfg").read_text(encoding="utf-8").split("[importlinter:contract:hospital]")
    if side == "hie":
        hub = hub.replace("\n    config\n", "\n")
    else:
        rest = rest.replace("\n    config\n", "\n", 1)
    broken = hub + "[importlinter:contract:hospital]" + rest
    file = tmp_path / "rules.cfg"
    file.write_text(broken, encoding="utf-8")
    command = [str(Path(sys.executable).parent / "lint-imports"), "--config", str(file), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert f"{side}.config" in done.stdout
