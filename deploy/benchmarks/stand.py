"""The stand a benchmark runs on: a region of its own in a directory of its own, taken down at the end."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import requests

from deploy.benchmarks.floors import plain
from deploy.stack import ports

ROOT = Path(__file__).resolve().parents[2]


def say(text: str) -> None:
    """Show progress on stderr."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def region_command(*words: str) -> None:
    """Run deploy/region; its progress goes to stderr."""
    subprocess.run([str(ROOT / "deploy" / "region"), *words], check=True, stdout=sys.stderr)


@contextlib.contextmanager
def region(hospitals: int = 5) -> Iterator[dict[str, Any]]:
    """Bring up a region, give its region.json (with `dir` added), take it down and delete it."""
    directory = Path(tempfile.mkdtemp(prefix="hie-bench-"))
    directory.chmod(0o711)
    try:
        base = str(ports.window(200))
        region_command("up", "--dir", str(directory), "--hospitals", str(hospitals), "--port-base", base)
        yield read(directory)
    finally:
        region_command("down", "--dir", str(directory))
        shutil.rmtree(directory, ignore_errors=True)


def read(directory: Path) -> dict[str, Any]:
    """Return a region's region.json with its directory added."""
    found: dict[str, Any] = json.loads((directory / "region.json").read_text(encoding="utf-8"))
    return found | {"dir": str(directory)}


def token(place: dict[str, Any]) -> str:
    """Return an access token of the region's first client."""
    client = place["clients"][0]
    answer = requests.post(
        place["hub"]["token_url"],
        data={"grant_type": "client_credentials", "scope": client["scope"]},
        auth=(client["client_id"], client["client_secret"]),
        timeout=30,
    )
    answer.raise_for_status()
    return str(answer.json()["access_token"])


def taken_in(place: dict[str, Any]) -> int:
    """Return how many entries the hub has taken in."""
    with psycopg.connect(plain(place["hub"]["database_url"])) as connection:
        row = connection.execute("SELECT count(*) FROM inbox").fetchone()
    return int(row[0]) if row else 0


def count_resources(place: dict[str, Any]) -> int:
    """Return how many resources the hub holds."""
    with psycopg.connect(plain(place["hub"]["database_url"])) as connection:
        row = connection.execute("SELECT count(*) FROM resource").fetchone()
    return int(row[0]) if row else 0


def wait_for(what: str, is_true: Any, timeout_s: float, every_s: float = 0.1) -> None:
    """Wait until something holds; show progress. Raises: TimeoutError, naming it."""
    deadline, shown = time.monotonic() + timeout_s, time.monotonic()
    while not is_true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"Waited {timeout_s:.0f} s in vain for {what}; see the region's log folder.")
        if time.monotonic() - shown > 5:
            say(f"waiting for {what}")
            shown = time.monotonic()
        time.sleep(every_s)
