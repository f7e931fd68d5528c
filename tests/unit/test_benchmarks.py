"""The benchmarks' command line, and the figures made of what they measured."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from deploy.benchmarks import __main__ as command
from deploy.benchmarks import record, road
from deploy.benchmarks.figures import Report

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "bench"
MEASURED = road.Measured(
    fsync=0.2,
    copied=100_000,
    messages=[310.0, 290.0, 300.0],
    message_resources=[3720.0, 3480.0, 3600.0],
    latencies=[[50.0, 60.0, 400.0]] * 3,
    bundles=[120.0, 125.0, 130.0],
    bundle_resources=[2400.0, 2500.0, 2600.0],
    bundle_latencies=[[70.0, 80.0]] * 3,
    readings=[60.0, 65.0, 70.0],
)


def test_every_figure_of_the_road_that_must_be_reached_has_a_floor():
    figures = {figure.name: figure for figure in road.figures(MEASURED)}
    assert [name for name, figure in figures.items() if figure.must is not None and not figure.floor] == []
    # Twelve resources a message: the bare COPY of 100,000 rows a second is 8,333 messages.
    assert figures["mllp_to_searchable"].floor == pytest.approx(100_000 / 12)
    assert figures["bundles_through_road"].floor == pytest.approx(100_000 / 20)
    assert figures["end_to_end_p99"].floor == pytest.approx(2 * 0.2 + 0.12)
    assert figures["mllp_to_searchable"].value == 300


def test_a_figure_short_of_its_must_is_marked_and_one_that_reaches_it_is_not():
    table = record.table(Report("road", road.figures(MEASURED)))
    assert "missed" not in table
    assert "| mllp_to_searchable | 300 msg/s | >= 300 | 8333.3 | 27.778 | 310, 290, 300 |" in table
    missed = road.Measured(**{name: getattr(MEASURED, name) for name in road.Measured.__slots__})
    missed.messages = [299.0, 299.0, 299.0]
    assert ">= 300 **missed**" in record.table(Report("road", road.figures(missed)))


def test_the_script_names_every_benchmark_there_is():
    (line,) = [line for line in SCRIPT.read_text(encoding="utf-8").splitlines() if "deploy/bench " in line]
    (names,) = re.findall(r"deploy/bench (\S+)", line)
    assert set(names.split("|")) == set(command.NAMES)


@pytest.mark.parametrize("name", sorted(set(command.NAMES) - set(command.TAKES_DATA)))
def test_data_is_refused_where_nothing_would_be_done_with_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(sys, "argv", ["deploy/bench", name, "--data", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 2
    assert "--data is taken by ingest and repository only" in capsys.readouterr().err
