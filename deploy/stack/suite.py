"""Runs the whole suite of tests, or what the arguments name: `deploy/test`; the last line is pytest's own.

Journeys and foreign clients wait more than they compute: of the whole suite they run beside all other tests.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PYTEST = (str(Path(sys.executable).parent / "pytest"), "--durations=10")
BESIDE = ("tests/foreign", "tests/journey")
# One cache each: both write it when they end.
OWN_CACHE = ("-o", "cache_dir=.pytest_cache/beside")
SAY_EVERY_S = 15
FAILED, STOPPED = 1, 130


def main() -> int:
    """Run pytest in the root of the project; return its exit status."""
    os.chdir(ROOT)
    if sys.argv[1:]:
        os.execv(PYTEST[0], [*PYTEST, *sys.argv[1:]])
    return run_whole()


def run_whole() -> int:
    """Run some tests beside the others, and show what they said when the others are through."""
    with tempfile.TemporaryFile("w+") as said:
        words = [*PYTEST, *OWN_CACHE, *BESIDE]
        with subprocess.Popen(words, stdout=said, stderr=subprocess.STDOUT) as beside:
            try:
                ignored = [f"--ignore={folder}" for folder in BESIDE]
                others = subprocess.run([*PYTEST, *ignored], check=False).returncode
                print(f"What ran meanwhile, {' and '.join(BESIDE)}:", flush=True)
                while not _has_ended(beside):
                    print(f"  still at {' and '.join(BESIDE)}", file=sys.stderr, flush=True)
            except KeyboardInterrupt:
                # The terminal told both of them.
                return STOPPED
        said.seek(0)
        print(said.read(), end="", flush=True)
    return FAILED if others or beside.returncode else 0


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Wait a while for a process to end, and say whether it has."""
    try:
        process.wait(timeout=SAY_EVERY_S)
    except subprocess.TimeoutExpired:
        return False
    return True


if __name__ == "__main__":
    raise SystemExit(main())
