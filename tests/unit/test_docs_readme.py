"""The commands README gives to a newcomer can be run as they stand after `deploy/demo`."""

from __future__ import annotations

import configparser
import re
import shlex

import pytest

from tests.readme import READMES, ROOT, commands

# What every Debian has, whatever else is installed.
ALWAYS_THERE = {"cp", "mv", "cat", "cut"}


SETS = re.compile(r"[A-Z]+=")


def installed() -> set[str]:
    """Return the programs `deploy/demo` sees to: what it asks of apt, and our own console scripts."""
    asked = re.search(r"--apt (\S+)", (ROOT / "deploy" / "demo").read_text(encoding="utf-8"))
    assert asked
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    scripts = setup["options.entry_points"]["console_scripts"].split("\n")
    return set(asked[1].split(",")) | {f".venv/bin/{line.split('=')[0].strip()}" for line in scripts if line}


@pytest.mark.parametrize("readme", READMES.values(), ids=READMES)
def test_every_program_a_newcomer_needs_is_there_after_the_demo_installed_what_was_missing(readme: str):
    inner = [text for command in commands(readme) for text in re.findall(r"\$\((.*?)\)", command)]
    steps = [step for text in inner for step in text.split(" | ")]
    steps += [step for text in commands(readme) if not SETS.match(text) for step in text.split(" && ")]
    programs = {shlex.split(step)[0] for step in steps}
    assert programs
    assert programs <= installed() | ALWAYS_THERE


@pytest.mark.parametrize("readme", READMES.values(), ids=READMES)
def test_every_file_a_newcomer_sends_is_in_the_repository(readme: str):
    named = re.findall(r"docs/[\w./-]+", "\n".join(commands(readme)))
    assert len(named) >= 3
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_both_languages_give_the_same_commands():
    english, chinese = (commands(readme) for readme in READMES.values())
    assert english == chinese
