"""docs/architecture.md: who is to change something finds the place it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "architecture.md"


def changes() -> list[list[str]]:
    """Return the table `Where to change what`: what, where."""
    section = PAGE.read_text(encoding="utf-8").split("## Where to change what")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return rows[1:]


@pytest.mark.parametrize(("what", "where"), changes())
def test_every_place_named_exists(what: str, where: str):
    named = [name for name in re.findall(r"`([^`]+)`", where) if "/" in name]
    linked = re.findall(r"\]\(([^)#]+)", where)
    assert named or linked, f"no place to change {what}"
    for name in named:
        assert list(ROOT.glob(name.rstrip("/").replace("<hospital>", "*"))), name
    for name in linked:
        assert (PAGE.parent / name).is_file(), name
    # A file named alone lies beside the one named before it.
    for alone in re.findall(r"`(\w+\.py)`", where):
        assert [name for name in named if (ROOT / name).parent.joinpath(alone).is_file()], alone
