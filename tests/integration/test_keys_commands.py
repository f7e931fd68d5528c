"""New keys at either end: what was sealed before is opened, and the old set no longer speaks for a side."""

import json
from pathlib import Path

import pytest

from esb.errors import HieError
from esb.seal import load_keys, load_public, open_sealed, seal
from front_end_processor import __main__ as fep
from hie import __main__ as hie
from hie.directory.own_keys import read_own_keys


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The key folder of a hub and of a hospital."""
    monkeypatch.setenv("HIE_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    for name, value in {"FACILITY": "H01", "CACHE_URL": f"sqlite:///{tmp_path}/cache.db"}.items():
        monkeypatch.setenv(f"FEP_{name}", value)
    for name in ("HIE_KEY_DIR", "FEP_KEY_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    return tmp_path


def read(folder: Path, name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / name).read_bytes())
    return found


def test_what_was_sealed_before_either_end_renewed_its_keys_is_opened(folder: Path) -> None:
    hie.main(["keys", "init"])
    assert fep.main(["keys", "init"]) == 0
    before = load_keys(read(folder, "own.jwks"))
    sealed = seal(b"body", {}, own=before, to=load_public(read(folder, "hub.public.jwks")))
    hie.main(["keys", "renew"])
    assert fep.main(["keys", "renew"]) == 0
    hospital, hub = load_public(read(folder, "own.public.jwks")), read_own_keys(folder)
    assert open_sealed(*sealed, {}, sender=hospital, own=hub) == b"body"
    after = load_keys(read(folder, "own.jwks"))
    assert [key.kid for key in hub.sign] == ["hub.sign.2", "hub.sign.1"]
    anew = seal(b"new", {}, own=after, to=load_public(read(folder, "hub.public.jwks")))
    with pytest.raises(HieError):
        open_sealed(*anew, {}, sender=before.public, own=hub)
    assert not list(folder.glob(".*"))


def test_what_is_not_there_cannot_be_renewed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        hie.main(["keys", "renew"])
    assert fep.main(["keys", "renew"]) == 1
    assert "keys init" in capsys.readouterr().err
