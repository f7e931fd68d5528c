"""The processor's counters in Prometheus text format (exposition format 0.0.4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from front_end_processor.console.view import Console


def render(console: Console, now: datetime) -> str:
    """Return all metrics of a processor."""
    counters = console.counters(now)
    lines: list[str] = []
    kinds = [
        ({"inlet": inlet, "fate": fate, "kind": kind}, count)
        for (inlet, fate, kind), count in sorted(console.kinds().items())
    ]
    lines += _metric("fep_messages", "gauge", "Messages in the cache by inlet, fate and kind", kinds)
    lines += _metric(
        "fep_repeats", "gauge", "Re-sends acknowledged and not doubled", [({}, console.repeats())]
    )
    for name, text, value in (
        ("fep_unsettled", "Entries without the hub's receipt", counters.backlog.unsettled),
        ("fep_unsent", "Entries the broker has not confirmed", counters.backlog.unsent),
        (
            "fep_oldest_unsettled_seconds",
            "Age of the oldest entry without the hub's receipt",
            counters.oldest_s,
        ),
        ("fep_set_aside", "Messages set aside", counters.set_aside),
    ):
        lines += _metric(name, "gauge", text, [({}, value)])
    return "\n".join(lines) + "\n"


def _metric(name: str, type_: str, text: str, samples: Iterable[tuple[Mapping[str, str], int]]) -> list[str]:
    rows = [f"{name}{_labels(labels)} {value}" for labels, value in samples]
    return [f"# HELP {name} {text}", f"# TYPE {name} {type_}", *rows]


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    quoted = (f'{key}="{_escape(value)}"' for key, value in labels.items())
    return "{" + ",".join(quoted) + "}"


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
