"""Installs what is missing, then becomes the command asked for; needs nothing but the standard library.

Example: python3 deploy/stack/install.py --apt postgres,rabbitmq --dev -- deploy.stack.suite -k merge
"""

import configparser
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "installed.json"
OLDEST_PYTHON = (3, 11)
# What pip says beside its work.
REMARKS = ("WARNING", "DEPRECATION", "[notice]")


def has_file(*patterns: str) -> bool:
    """Say whether one of these paths, given as patterns, exists."""
    return any(next(Path("/").glob(pattern.lstrip("/")), None) for pattern in patterns)


# what: (packages of apt, whether it is there)
NEEDS = {
    "postgres": (["postgresql"], lambda: has_file("/usr/lib/postgresql/*/bin/initdb")),
    "rabbitmq": (
        ["rabbitmq-server"],
        lambda: has_file("/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server"),
    ),
    "browser": (["chromium"], lambda: has_file("/usr/bin/chromium", "/usr/bin/chromium-browser")),
    # Playwright's own Node.js needs it.
    "atomic": (["libatomic1"], lambda: has_file("/lib/*/libatomic.so.1", "/usr/lib/*/libatomic.so.1")),
    "fonts": (["fonts-noto-cjk"], lambda: has_file("/usr/share/fonts/opentype/noto/NotoSansCJK*")),
    "venv": (["python3-venv"], lambda: PYTHON.exists() or _can_make_venv()),
    "node": (["nodejs", "npm"], lambda: all(map(shutil.which, ("node", "npm")))),
    "curl": (["curl"], lambda: shutil.which("curl") is not None),
    "git": (["git"], lambda: shutil.which("git") is not None),
}


class Plain(Exception):
    """Something the caller can mend, in one sentence."""


def say(text: str) -> None:
    """Print one line of progress."""
    print(text, file=sys.stderr, flush=True)


def _can_make_venv() -> bool:
    probe = [sys.executable, "-c", "import ensurepip, venv"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def run(command: list[str], what: str, env: dict[str, str] | None = None) -> None:
    """Run a command that may take minutes, showing where it is every few seconds.

    Raises: Plain with its last lines if it fails.
    """
    say(f"  {what} ...")
    began = shown = time.monotonic()
    lines: list[str] = []
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=env,
        cwd=ROOT,
    )
    assert child.stdout is not None
    for line in child.stdout:
        lines = [*lines[-30:], line.rstrip()]
        if time.monotonic() - shown > 2 and not line.lstrip().startswith(REMARKS):
            shown = time.monotonic()
            say(f"    {shown - began:4.0f} s  {line.strip()[:100]}")
    child.stdout.close()
    if child.wait():
        told = "\n".join(line for line in lines[-8:] if line)
        raise Plain(f"{what} failed:\n{told}")
    say(f"  {what}: done in {time.monotonic() - began:.0f} s")


def as_root(packages: list[str]) -> list[str]:
    """Return the prefix that makes a command run as root.

    Raises: Plain if there is no way to become root.
    """
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") is not None:
        may = subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0
        if may or sys.stdin.isatty():
            return ["sudo"]
    raise Plain(
        f"Missing: {' '.join(packages)}; run `apt-get install {' '.join(packages)}` as root, then again."
    )


def install_packages(needs: list[str]) -> None:
    """Install the Debian packages that are missing, without starting the servers they bring."""
    packages = [package for need in needs for package in NEEDS[need][0] if not NEEDS[need][1]()]
    if not packages:
        return
    if shutil.which("apt-get") is None:
        raise Plain(
            f"Missing: {' '.join(packages)}; this system has no apt-get, install them by its own means."
        )
    root = as_root(packages)
    # Debian starts a server as soon as it is installed; the region brings up its own instead.
    policy = Path("/usr/sbin/policy-rc.d")
    is_ours = not policy.exists()
    if is_ours:
        subprocess.run(
            [*root, "sh", "-c", f"printf '#!/bin/sh\nexit 101\n' >{policy}; chmod 755 {policy}"], check=True
        )
    try:
        quiet = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "Dpkg::Use-Pty=0"]
        run([*quiet, "update"], "Reading the list of packages")
        options = ["install", "-y", "--no-install-recommends"]
        run([*quiet, *options, *packages], f"Installing {' '.join(packages)}")
    finally:
        if is_ours:
            subprocess.run([*root, "rm", "-f", str(policy)], check=True)


def fingerprint() -> str:
    """Return what the installed Python packages depend on."""
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    # Settings of mypy and the like change nothing about what is installed.
    wanted = {name: dict(setup[name]) for name in setup.sections() if name.split(".")[0] == "options"}
    return hashlib.sha256(json.dumps([str(ROOT), wanted], sort_keys=True).encode()).hexdigest()


def stamp() -> dict[str, object]:
    """Return what was installed last: the fingerprint, and whether the developers' tools were with it."""
    try:
        found: dict[str, object] = json.loads(STAMP.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found


def is_installed(dev: bool) -> bool:
    """Say whether .venv holds what setup.cfg asks for."""
    last = stamp()
    return PYTHON.exists() and last.get("hash") == fingerprint() and (not dev or bool(last.get("dev")))


def install_python(dev: bool) -> None:
    """Make .venv and install our dependencies and console scripts, unless they are there."""
    if is_installed(dev):
        return
    with (ROOT / "setup.cfg").open() as lock:
        # Two commands at once: the second waits and finds everything done.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_installed(dev):
            return
        if not PYTHON.exists():
            run([sys.executable, "-m", "venv", str(VENV)], "Making .venv")
        pip = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off"]
        # The plain form of an editable install finds packages that are added later.
        mode = ["--config-settings", "editable_mode=compat"]
        dev = dev or bool(stamp().get("dev"))
        target = f"{ROOT}[dev]" if dev else str(ROOT)
        run([*pip, *mode, "-e", target], "Installing Python packages into .venv")
        STAMP.write_text(json.dumps({"hash": fingerprint(), "dev": dev}))


def usage(module: str) -> str:
    """Return what the script of a module says of itself in its first comment."""
    for script in sorted((ROOT / "deploy").iterdir()):
        lines = script.read_text(encoding="utf-8").splitlines() if script.is_file() else []
        if any(f"-- {module} " in line for line in lines):
            return "\n".join(line.removeprefix("# ") for line in lines[1:] if line.startswith("# "))
    return module


def main(arguments: list[str]) -> None:
    """Install what is missing, then become the command after `--`; who only asks for help gets it at once."""
    split = arguments.index("--")
    given, command = arguments[:split], arguments[split + 1 :]
    if {"-h", "--help"} & set(command[1:]):
        if not stamp():
            print(usage(command[0]))
            return
        os.execv(PYTHON, [str(PYTHON), "-P", "-m", *command])
    needs = given[given.index("--apt") + 1].split(",") if "--apt" in given else []
    try:
        if sys.version_info < OLDEST_PYTHON:
            raise Plain(f"Python {sys.version.split()[0]} is too old; 3.11 or newer is needed.")
        install_packages([need for need in ["venv", *needs] if need])
        install_python("--dev" in given)
    except Plain as plain:
        print(plain, file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    # -P: the caller's directory is no place to import from.
    os.execv(PYTHON, [str(PYTHON), "-P", "-m", *command])


if __name__ == "__main__":
    main(sys.argv[1:])
