"""The hub's settings and commands: a mistake gets one plain sentence."""

from pathlib import Path

import pytest

from hie.__main__ import main, parser
from hie.config import SETTINGS, Config, SettingError

URL = {"HIE_DATABASE_URL": "postgresql://hie@127.0.0.1:1/hie"}


def test_the_environment_beats_the_file(tmp_path: Path) -> None:
    file = tmp_path / "hub.env"
    file.write_text("# the hub\nHIE_QUEUES=7\nHIE_WEB_WORKERS=3\n\nHIE_DATABASE_URL=postgres://x/y\n")
    config = Config.from_env({"HIE_CONFIG": str(file), "HIE_QUEUES": "2"})
    assert (config.queues, config.web_workers) == (2, 3)
    assert config.database_url == "postgresql+psycopg://x/y"


def test_the_address_others_use_follows_the_one_listened_on() -> None:
    assert Config.from_env(URL | {"HIE_HTTP": "127.0.0.1:9"}).base_url == "http://127.0.0.1:9"


@pytest.mark.parametrize(
    "wrong",
    [
        {"HIE_QUEUES": "many"},
        {"HIE_QUEUES": "²"},
        {"HIE_QUEUES": "0"},
        {"HIE_QUEUES": "65"},
        {"HIE_WEB_WORKERS": "0"},
        {"HIE_RELATION_DAYS": "9999999"},
        {"HIE_HTTP": "127.0.0.1"},
        {"HIE_HTTP": "127.0.0.1:http"},
        {"HIE_HTTP": "127.0.0.1:99999"},
        {"HIE_ZONE": "Asia/Nowhere"},
        {"HIE_LOG_LEVEL": "LOUD"},
        {"HIE_SUITE": "rot13"},
        {"HIE_DATABASE_URL": ""},
    ],
)
def test_a_wrong_setting_is_named(wrong: dict[str, str]) -> None:
    (name,) = wrong
    with pytest.raises(SettingError, match=name):
        Config.from_env(URL | wrong)


def test_a_line_without_an_equals_sign_is_named(tmp_path: Path) -> None:
    file = tmp_path / "hub.env"
    file.write_text("HIE_QUEUES\n")
    with pytest.raises(SettingError, match="line 1"):
        Config.from_env(URL | {"HIE_CONFIG": str(file)})


def test_the_help_explains_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["--help"])
    shown = capsys.readouterr().out
    assert all(name in shown for name in SETTINGS)


def test_a_database_that_is_away_ends_a_command_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HIE_DATABASE_URL", URL["HIE_DATABASE_URL"])
    monkeypatch.setattr("hie.__main__.speak_up", lambda _: None)
    with pytest.raises(SystemExit) as ended:
        main(["migrate"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("hie: The database cannot be reached")


def test_a_file_that_is_no_json_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HIE_DATABASE_URL", URL["HIE_DATABASE_URL"])
    monkeypatch.setattr("hie.__main__.speak_up", lambda _: None)
    file = tmp_path / "own.public.jwks"
    file.write_text("no JSON")
    with pytest.raises(SystemExit):
        main(["facility", "add", "--code", "H01", "--name", "x", "--keys", str(file)])
    assert "own.public.jwks is not JSON" in capsys.readouterr().err


def test_the_example_of_each_command_can_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["restrict", "grant"], ["restrict", "add"], ["client", "disable"], ["user", "enable"]):
        with pytest.raises(SystemExit):
            parser().parse_args([*command, "--help"])
        example = " ".join(capsys.readouterr().out.partition("example: hie ")[2].split())
        assert callable(parser().parse_args(example.split()).run)


def test_keys_are_made_once_and_private_ones_are_not_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (URL | {"HIE_KEY_DIR": str(tmp_path / "keys")}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("hie.__main__.speak_up", lambda _: None)
    main(["keys", "init"])
    first = capsys.readouterr().out
    main(["keys", "init"])
    assert capsys.readouterr().out == first
    assert '"d"' not in first
    assert (tmp_path / "keys" / "hub.jwks").stat().st_mode & 0o077 == 0
