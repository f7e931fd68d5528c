"""The drop folder: complete files in, `done/` and `failed/` out; what is half written waits for its end.

A file is looked at once its size and time of change have stood still over two looks. It is moved only after
its content is on disk here, so a crash in between means that it is read again and found known.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from esb.errors import NotNow, Rejected
from front_end_processor.adapters.drop_folder.errors import Unfinished

POLL_S = 0.5
UNFINISHED_S = 10.0
AWAY_S = 2.0
DONE, FAILED = "done", "failed"
_IGNORED = (".part", ".tmp", ".filepart", ".swp", "~", ".reason.txt", ".rejected.csv")

UNREADABLE = "The file cannot be read or moved ({reason}); give this processor's user the right to do both."

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a file: rows taken, and the rows that were not, as a file and in words."""

    rows: int
    rejected: bytes = b""
    reasons: str = ""


Take = Callable[[str, bytes], Taken]
SetAside = Callable[[str, bytes, str, int], None]


@dataclass(slots=True)
class _Seen:
    size: int
    changed_ns: int
    since: float
    again_at: float = 0.0
    is_noted: bool = False


class DropFolder:
    """Watches one folder on a thread of its own."""

    def __init__(
        self,
        folder: Path,
        take: Take,
        set_aside: SetAside,
        *,
        max_bytes: int,
        poll_s: float = POLL_S,
        unfinished_s: float = UNFINISHED_S,
        away_s: float = AWAY_S,
    ) -> None:
        """Prepare it.

        Args:
            take: captures a file by name and content. set_aside: keeps one that cannot be taken, with the
                reason and its size, for the console.
            unfinished_s: how long a file that ends in the middle of a row or cannot be read may stand.
            away_s: how long after a fault of the disk a file is tried again.
        """
        self._folder = folder
        self._take = take
        self._set_aside = set_aside
        self._max_bytes = max_bytes
        self._poll_s = poll_s
        self._unfinished_s = unfinished_s
        self._away_s = away_s
        self._seen: dict[str, _Seen] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="drop folder", daemon=True)

    def start(self) -> None:
        """Make the folders and begin to watch."""
        for folder in (self._folder, self._folder / DONE, self._folder / FAILED):
            folder.mkdir(parents=True, exist_ok=True)
        self._thread.start()

    def is_alive(self) -> bool:
        """Return whether the folder is watched."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Finish the file under way and end."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=3)

    def look(self) -> None:
        """Look once at every file and take those that are complete."""
        names = set()
        for file in sorted(self._folder.iterdir()):
            if self._stopping.is_set():
                return
            if file.is_file() and not file.name.startswith(".") and not file.name.lower().endswith(_IGNORED):
                names.add(file.name)
                if self._stands_still(file):
                    self._try(file)
        self._seen = {name: seen for name, seen in self._seen.items() if name in names}

    def _run(self) -> None:
        while not self._stopping.is_set():
            pause_s = self._poll_s
            try:
                self.look()
            except NotNow as fault:
                log.warning("drop_folder.waiting", reason=fault.text)
                pause_s = self._away_s
            except OSError as fault:
                log.error("drop_folder.unreadable", reason=fault.strerror)
                pause_s = self._away_s
            self._stopping.wait(pause_s)

    def _stands_still(self, file: Path) -> bool:
        try:
            state = file.stat()
        except FileNotFoundError:
            return False
        seen = self._seen.get(file.name)
        if seen is None or (seen.size, seen.changed_ns) != (state.st_size, state.st_mtime_ns):
            self._seen[file.name] = _Seen(state.st_size, state.st_mtime_ns, time.monotonic())
            return False
        return time.monotonic() >= seen.again_at

    def _try(self, file: Path) -> None:
        """Take a file; one that cannot be read or moved is told of, tried again, and holds up no other."""
        seen = self._seen[file.name]
        try:
            self._handle(file)
        except OSError as fault:
            if not file.exists():  # somebody took it away
                return
            now = time.monotonic()
            seen.again_at = now + self._away_s
            if seen.is_noted or now - seen.since < self._unfinished_s:
                return
            log.error("drop_folder.unreadable", file=file.name, reason=fault.strerror)
            self._note(file, b"", UNREADABLE.format(reason=fault.strerror), seen.size)
            seen.is_noted = True

    def _handle(self, file: Path) -> None:
        if file.stat().st_size > self._max_bytes:
            reason = f"The file is over {self._max_bytes} bytes; write it in parts."
            self._fail(file, b"", reason, file.stat().st_size)
            return
        raw = file.read_bytes()
        try:
            taken = self._take(file.name, raw)
        except Unfinished as fault:
            if time.monotonic() - self._seen[file.name].since >= self._unfinished_s:
                self._fail(file, raw, fault.text)
            return
        except (NotNow, OSError):
            raise
        except Rejected as fault:
            self._fail(file, raw, fault.text)
            return
        except Exception as fault:  # noqa: BLE001 - it would end this start and each one after it
            kind = type(fault).__name__
            log.error("drop_folder.broke", kind=kind)
            self._fail(
                file, raw, f"This processor could not read the file ({kind}); report it, with the file."
            )
            return
        place = DONE if taken.rows or not taken.reasons else FAILED
        name = self._free_name(file, place)
        if taken.reasons:
            self._write_rejected(name, taken)
        self._move(file, place, name, "")

    def _fail(self, file: Path, raw: bytes, reason: str, size: int | None = None) -> None:
        self._note(file, raw, reason, len(raw) if size is None else size)
        self._move(file, FAILED, self._free_name(file, FAILED), reason)

    def _note(self, file: Path, raw: bytes, reason: str, size: int) -> None:
        try:
            self._set_aside(file.name, raw, reason, size)
        except (NotNow, OSError):
            raise
        except Exception as fault:  # noqa: BLE001 - the file itself and its reason are kept in failed/
            log.error("drop_folder.not_set_aside", kind=type(fault).__name__)

    def _free_name(self, file: Path, place: str) -> str:
        """Return the name under which a file, its reasons and its rejected rows replace nothing."""
        failed = self._folder / FAILED
        beside = [failed / _reason_of(file.name), failed / _rejected_of(file.name)]
        if not any(one.exists() for one in (self._folder / place / file.name, *beside)):
            return file.name
        return f"{file.stem}.{datetime.now(UTC):%Y%m%dT%H%M%S%f}{file.suffix}"

    def _write_rejected(self, name: str, taken: Taken) -> None:
        failed = self._folder / FAILED
        (failed / _rejected_of(name)).write_bytes(taken.rejected)
        (failed / _reason_of(name)).write_text(taken.reasons + "\n", "utf-8")
        log.warning("drop_folder.rows_rejected", file=name, rows=taken.rows)

    def _move(self, file: Path, place: str, name: str, reason: str) -> None:
        target = self._folder / place / name
        file.replace(target)
        if reason:
            target.with_name(_reason_of(name)).write_text(reason + "\n", "utf-8")
        log.info("drop_folder.moved", file=file.name, to=place)
        self._seen.pop(file.name, None)


def _reason_of(name: str) -> str:
    return f"{name}.reason.txt"


def _rejected_of(name: str) -> str:
    return f"{name.removesuffix('.csv')}.rejected.csv"
