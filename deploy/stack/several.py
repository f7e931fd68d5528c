"""Runs several commands of hub or hospital in one process: `python -m deploy.stack.several < commands.json`.

Each would take a second to start on its own, and a new region needs forty.
"""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from deploy.stack.errors import Trouble


@dataclass(frozen=True, slots=True)
class Command:
    """One command: the package whose `__main__` runs it, its arguments, its settings."""

    package: str
    arguments: Sequence[str]
    settings: dict[str, str] = field(default_factory=dict)


def run(commands: Sequence[Command], log: Path) -> None:
    """Run commands one after the other, output to a log.

    Raises: Trouble with the sentence of the first that fails.
    """
    if not commands:
        return
    given = json.dumps([asdict(command) for command in commands])
    done = subprocess.run(
        [sys.executable, "-P", "-m", "deploy.stack.several"],
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    with log.open("a", encoding="utf-8") as out:
        out.write(done.stdout + done.stderr)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise Trouble(f"{last} (more in {log})")


def main() -> None:
    """Run the commands given as JSON on stdin; stop at the first that fails."""
    for row in json.load(sys.stdin):
        command = Command(**row)
        os.environ.update(command.settings)
        program = importlib.import_module(f"{command.package}.__main__")
        try:
            program.main(list(command.arguments))
        except SystemExit as end:
            if end.code:
                print(f"`{command.package} {' '.join(command.arguments[:2])}` failed", file=sys.stderr)
                raise


if __name__ == "__main__":
    main()
