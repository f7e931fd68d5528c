"""What a benchmark measured: figures beside what they must reach, the floor, and the machine."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number.

    better: `higher` or `lower`. must: the number it has to reach, None for one that only informs. floor: what
    the bare machine does for the same rows or bytes in the same run; ratio: how far we are from it (>= 1).
    runs: the single measurements whose median value is.
    """

    name: str
    value: float
    unit: str
    better: str
    must: float | None = None
    floor: float | None = None
    runs: tuple[float, ...] = ()

    @property
    def ratio(self) -> float | None:
        """Return how many times the floor's effort ours is."""
        if not self.floor or not self.value:
            return None
        return round(self.floor / self.value if self.better == "higher" else self.value / self.floor, 3)

    @property
    def is_missed(self) -> bool:
        """Say whether a figure that must be reached was not."""
        if self.must is None:
            return False
        return self.value < self.must if self.better == "higher" else self.value > self.must

    def as_dict(self) -> dict[str, Any]:
        """Return the figure in the form of the `--json` contract."""
        row: dict[str, Any] = {
            "name": self.name,
            "value": _short(self.value),
            "unit": self.unit,
            "better": self.better,
            "must": self.must,
            "floor": None if self.floor is None else _short(self.floor),
            "ratio": self.ratio,
        }
        if self.runs:
            row["runs"] = [_short(run) for run in self.runs]
        return row


@dataclass(slots=True)
class Report:
    """All figures of one benchmark."""

    bench: str
    figures: list[Figure] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return the one object that `--json` prints last."""
        return {
            "bench": self.bench,
            "commit": commit(),
            "machine": machine(),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "figures": [figure.as_dict() for figure in self.figures],
        }


def median_figure(
    name: str,
    runs: Sequence[float],
    unit: str,
    better: str,
    *,
    must: float | None = None,
    floor: float | None = None,
) -> Figure:
    """Return the figure whose value is the median of the runs."""
    return Figure(name, statistics.median(runs), unit, better, must, floor, tuple(runs))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` (0..1) of the values lie; nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _short(value: float) -> float:
    return round(value, 3) if abs(value) < 100 else round(value, 1)


def commit() -> str:
    """Return the commit that was measured, marked if the tree differs from it."""
    head = _git("rev-parse", "--short=12", "HEAD")
    return f"{head}+changes" if _git("status", "--porcelain", "--untracked-files=no") else head


def _git(*words: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def machine() -> str:
    """Return what the machine is: processor, cores, memory, system, Python, its load now."""
    cpu = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.split(":", 1)[1].strip()
            break
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return (
        f"{cpu}, {os.cpu_count()} cores, {pages / 2**30:.0f} GiB, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, "
        f"load {os.getloadavg()[0]:.1f}"
    )
