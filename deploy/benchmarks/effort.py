"""Processor time of whole process trees: what a request costs the server and PostgreSQL, each apart."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")
# Fields of /proc/PID/stat after the command's name: utime, stime, cutime, cstime.
PPID, TIMES = 1, slice(11, 15)


def cpu_ms(roots: Sequence[int]) -> float:
    """Return the processor time in ms of processes and all below them, those that ended included."""
    rows = {}
    children: dict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = entry.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        fields = text[text.rindex(")") + 2 :].split()
        pid = int(entry.parent.name)
        rows[pid] = sum(int(field) for field in fields[TIMES])
        children[int(fields[PPID])].append(pid)
    total, open_ = 0, [pid for pid in roots if pid in rows]
    while open_:
        pid = open_.pop()
        total += rows[pid]
        open_ += children[pid]
    return total * TICK_MS
