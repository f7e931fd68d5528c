"""Format, lint, types, import rules and unit tests: `deploy/check`."""

import subprocess
import sys
import time
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


def main() -> int:
    """Run the checks, the slow ones side by side; exit status 1 if one of them fails."""
    began = time.monotonic()
    children = {
        name: subprocess.Popen(
            [str(SCRIPTS / command[0]), *command[1:]],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name, command in CHECKS.items()
    }
    failed = []
    for name, child in children.items():
        output, _ = child.communicate()
        took_s = time.monotonic() - began
        print(f"{name:<12}{'passed' if child.returncode == 0 else 'FAILED'}   {took_s:5.1f} s", flush=True)
        if child.returncode:
            failed.append(name)
            print(output)
    print(f"deploy/check: {'failed: ' + ', '.join(failed) if failed else 'all passed'}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
