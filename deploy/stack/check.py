"""Format, lint, types, import rules and unit tests: `deploy/check`."""

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPTS = Path(sys.executable).parent
CHECKS = {
    "format": ("ruff", "format", "--check", "--quiet", "."),
    "lint": ("ruff", "check", "--quiet", "."),
    "imports": ("lint-imports", "--config", "setup.cfg", "--no-cache"),
    "types": ("mypy", "."),
    "unit tests": ("pytest", "-q", "-x", "tests/unit", "tests/architecture"),
}
SAY_EVERY_S = 2.0
LOOK_EVERY_S = 0.1


def run_all(checks: Mapping[str, Sequence[str]]) -> list[str]:
    """Run commands side by side, saying how each ended and which still run; return what failed."""
    began = said = time.monotonic()
    failed = []
    with contextlib.ExitStack() as stack:
        outputs = {name: stack.enter_context(tempfile.TemporaryFile("w+")) for name in checks}
        children = {
            name: subprocess.Popen(command, cwd=ROOT, stdout=outputs[name], stderr=subprocess.STDOUT)
            for name, command in checks.items()
        }
        while children:
            time.sleep(LOOK_EVERY_S)
            took_s = time.monotonic() - began
            for name in [name for name, child in children.items() if child.poll() is not None]:
                status = children.pop(name).returncode
                print(f"{name:<12}{'FAILED' if status else 'passed'}   {took_s:5.1f} s", flush=True)
                if status:
                    failed.append(name)
                    outputs[name].seek(0)
                    print(outputs[name].read(), flush=True)
                said = time.monotonic()
            if children and time.monotonic() - said >= SAY_EVERY_S:
                said = time.monotonic()
                print(f"  {took_s:3.0f} s, still at {', '.join(children)}", file=sys.stderr, flush=True)
    return failed


def main() -> int:
    """Run the checks; exit status 1 if one of them fails."""
    checks = {name: (str(SCRIPTS / command[0]), *command[1:]) for name, command in CHECKS.items()}
    failed = run_all(checks)
    print(f"deploy/check: {'failed: ' + ', '.join(failed) if failed else 'all passed'}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
