"""Processes that outlive the command that started them: detached, logged, known by pid and start time."""

import contextlib
import ctypes
import json
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.stack.errors import Trouble

PR_SET_PDEATHSIG = 1
PF_EXITING = 0x4


@dataclass(frozen=True, slots=True)
class Process:
    """One process, told apart from a later one of the same number by its start time."""

    pid: int
    started: int

    def is_alive(self) -> bool:
        """Say whether this very process still runs (a zombie does not)."""
        return started_at(self.pid) == self.started

    def signal(self, number: int) -> None:
        """Send a signal, unless the process has gone."""
        if self.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat after the command's name, None if there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text[text.rindex(")") + 2 :].split()


def started_at(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None if it has gone or is dying."""
    fields = _stat(pid)
    if fields is None or fields[0] in "ZX" or int(fields[6]) & PF_EXITING or _is_killed(pid):
        return None
    return int(fields[19])


def _is_killed(pid: int) -> bool:
    """Say whether SIGKILL is on its way to a process: it may stand in /proc for a while yet."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return True
    pending = [int(line.split()[1], 16) for line in lines if line.startswith(("SigPnd:", "ShdPnd:"))]
    return any(signals & (1 << (signal.SIGKILL - 1)) for signals in pending)


def find(pid: int) -> Process | None:
    """Return the process that has this number now."""
    started = started_at(pid)
    return None if started is None else Process(pid, started)


def session_members(sid: int) -> Iterator[Process]:
    """Yield the living processes of a session, that is a detached process and what it started."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            fields = _stat(int(entry))
            if fields is not None and fields[0] not in "ZX" and int(fields[3]) == sid:
                yield Process(int(entry), int(fields[19]))


def started_in(directory: Path) -> Iterator[Process]:
    """Yield the processes, dying ones too, that work in this directory (PostgreSQL's do, in its data)."""
    wanted = os.path.realpath(directory)
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{entry}/cwd") == wanted:
                    fields = _stat(int(entry))
                    if fields is not None:
                        yield Process(int(entry), int(fields[19]))


def detach(
    command: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: str | None = None,
    dies_with_parent: bool = False,
) -> Process:
    """Start a process in a session of its own, its output appended to a log.

    Args:
        user: the account to run as; only root may name one.
        dies_with_parent: for test servers, which nobody would stop if the test run were killed.
    """
    options: dict[str, object] = {}
    if user is not None:
        account = pwd.getpwnam(user)
        options = {"user": account.pw_uid, "group": account.pw_gid}
        options["extra_groups"] = os.getgrouplist(user, account.pw_gid)
    with log.open("ab") as output:
        child = subprocess.Popen(  # type: ignore[call-overload]
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if env is None else dict(env),
            cwd=cwd,
            start_new_session=True,
            preexec_fn=_die_with_parent if dies_with_parent else None,  # noqa: PLW1509  one system call
            **options,
        )
    # Nobody waits for a detached child: it is found again through its pid file.
    child.returncode = 0
    found = find(child.pid)
    if found is None:
        raise Trouble(f"{Path(command[0]).name} ended at once; {log} says why.")
    return found


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def remember(file: Path, process: Process) -> None:
    """Write a pid file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps({"pid": process.pid, "started": process.started, "boot": _boot()}))
    fresh.replace(file)


def recall(file: Path) -> Process | None:
    """Return the process of a pid file, None if it has gone or its number was given to another."""
    process = last(file)
    return process if process is not None and process.is_alive() else None


def last(file: Path) -> Process | None:
    """Return the process of a pid file, living or dead; None if it was started before the machine was."""
    try:
        row = json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return Process(int(row["pid"]), int(row["started"])) if row.get("boot") == _boot() else None


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def wait_until(is_so: Callable[[], bool], *, timeout_s: float, every_s: float = 0.05) -> bool:
    """Poll until something is so; return False when the time has run out."""
    deadline = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(every_s)
    return True


def stop(process: Process, *, number: int = signal.SIGTERM, timeout_s: float = 20) -> None:
    """End a process and everything in its session: asked first, forced after the time-out.

    A dead process may be given: what is left of its session is ended then, at once.
    """
    was_alive = process.is_alive()
    if not was_alive and started_at(process.pid) is not None:
        # Its number, and so perhaps its session, belongs to another now.
        return
    family = {process.pid: process, **{one.pid: one for one in session_members(process.pid)}}
    process.signal(number)
    reap(process.pid)

    def has_gone() -> bool:
        reap(process.pid)
        return not any(one.is_alive() for one in family.values())

    if was_alive and wait_until(lambda: not process.is_alive(), timeout_s=timeout_s):
        wait_until(has_gone, timeout_s=3)
    for one in [*family.values(), *session_members(process.pid)]:
        one.signal(signal.SIGKILL)
    wait_until(has_gone, timeout_s=5)


def reap(pid: int) -> None:
    """Collect the exit status of a child of this process, if it is one and has ended."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def tail(log: Path, lines: int = 5) -> str:
    """Return the last lines of a log, for a message about a process that did not come up."""
    try:
        return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""
