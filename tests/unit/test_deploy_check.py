"""`deploy/check`: says what it is at while it takes long, and shows what failed."""

import sys

import pytest

from deploy.stack import check


def command(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_a_check_that_takes_long_is_named_while_it_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(check, "SAY_EVERY_S", 0.0)
    slow = command("import time; time.sleep(0.5)")
    assert check.run_all({"types": slow, "lint": slow}) == []
    shown = capsys.readouterr()
    assert "still at types, lint" in shown.err
    said = sorted(line.split()[:2] for line in shown.out.splitlines())
    assert said == [["lint", "passed"], ["types", "passed"]]


def test_what_a_failed_check_said_is_shown_and_the_others_go_on(capsys: pytest.CaptureFixture[str]):
    much = "print('line\\n' * 100_000); raise SystemExit(1)"
    assert check.run_all({"lint": command(much), "types": command("print('fine')")}) == ["lint"]
    shown = capsys.readouterr().out
    assert shown.count("line") > 99_000
    assert "fine" not in shown
    assert "types       passed" in shown
