"""Writes what was measured into docs/benchmarks.md: one section a benchmark, replaced by the newest run."""

from __future__ import annotations

import re

from deploy.benchmarks.figures import ROOT, Figure, Report

PAGE = ROOT / "docs" / "benchmarks.md"


def table(report: Report) -> str:
    """Return the figures as a Markdown table."""
    rows = ["| figure | value | must | floor | ratio | runs |", "|---|---|---|---|---|---|"]
    return "\n".join(rows + [_row(figure) for figure in report.figures])


def _row(figure: Figure) -> str:
    stated = figure.as_dict()
    sign = ">=" if figure.better == "higher" else "<="
    must = "" if figure.must is None else f"{sign} {figure.must:g}{' **missed**' if figure.is_missed else ''}"
    runs = ", ".join(f"{run:g}" for run in stated.get("runs", ()))
    floor = "" if figure.floor is None else f"{stated['floor']:g}"
    ratio = "" if figure.ratio is None else f"{figure.ratio:g}"
    return f"| {figure.name} | {stated['value']:g} {figure.unit} | {must} | {floor} | {ratio} | {runs} |"


def write(report: Report, command: str) -> None:
    """Replace the benchmark's section of the page."""
    stated = report.as_dict()
    begin, end = f"<!-- {report.bench}: begin -->", f"<!-- {report.bench}: end -->"
    section = (
        f"{begin}\n`{command}` at commit {stated['commit']}, {stated['at']}\n\n{stated['machine']}\n\n"
        f"{table(report)}\n{end}"
    )
    page = PAGE.read_text(encoding="utf-8")
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if not pattern.search(page):
        raise LookupError(f"docs/benchmarks.md has no place for {report.bench}; add {begin} and {end}.")
    PAGE.write_text(pattern.sub(lambda _: section, page), encoding="utf-8")
