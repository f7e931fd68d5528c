"""What runs in production and in `deploy/demo` needs no package that only `deploy/test` installs."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, requires

from packaging.requirements import Requirement

ROOTS = ("esb", "front_end_processor", "hie", "deploy.stack", "deploy.sample")
# Migrations run inside Alembic; the suite itself may need the developers' packages.
LEFT_OUT = re.compile(r"\.migrations\b|deploy\.stack\.suite")

IMPORT_ALL = """
import importlib, pkgutil, re, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"{name} is not installed without --dev", name=name)

absent, roots = (sys.argv[place].split(",") for place in (1, 2))
left_out = re.compile(sys.argv[3])
sys.meta_path.insert(0, Absent())
for root in roots:
    package = importlib.import_module(root)
    for found in pkgutil.walk_packages(package.__path__, root + "."):
        if not left_out.search(found.name):
            importlib.import_module(found.name)
"""


def named(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def closure(distribution: str, extras: frozenset[str], found: set[str]) -> set[str]:
    """Return what is installed with a distribution and these extras of it."""
    try:
        lines = requires(distribution) or []
    except PackageNotFoundError:
        return found
    for line in lines:
        wanted = Requirement(line)
        marker = wanted.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            name = named(wanted.name)
            if name not in found:
                found.add(name)
                closure(name, frozenset(wanted.extras), found)
    return found


def test_nothing_outside_the_tests_imports_a_developers_package():
    for_developers = closure("hie", frozenset({"dev"}), set()) - closure("hie", frozenset(), set())
    assert {"hl7", "requests", "pytest", "playwright"} <= for_developers
    absent = {
        module
        for module, sources in packages_distributions().items()
        if {named(source) for source in sources} <= for_developers
    }
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, ",".join(absent), ",".join(ROOTS), LEFT_OUT.pattern],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-1500:]
