"""Runs the whole suite of tests: `deploy/test`; the last line is pytest's own."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def main() -> None:
    """Become pytest, in the root of the project."""
    arguments = sys.argv[1:]
    pytest = Path(sys.executable).parent / "pytest"
    os.chdir(ROOT)
    os.execv(pytest, [str(pytest), "--durations=10", *arguments])


if __name__ == "__main__":
    main()
