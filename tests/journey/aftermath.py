"""What a region looked like when a test failed: its queues, and what its processes last complained about."""

import json
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

LINES = 12
COMPLAINTS = ('"warning"', '"error"', '"critical"', "Error:", "ERROR", "FATAL")


def describe(region: Mapping[str, Any]) -> str:
    """Return a few lines per queue and process."""
    return "\n".join([*_queues(region), *_logs(Path(region["dir"]) / "log")])


def _queues(region: Mapping[str, Any]) -> list[str]:
    address = urlsplit(region["broker"]["management_url"])
    base = f"http://127.0.0.1:{address.port}/api"
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    passwords.add_password(None, base, address.username or "", address.password or "")
    opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(passwords))
    try:
        with opener.open(f"{base}/queues", timeout=10) as answer:
            queues = json.load(answer)
    except OSError as error:
        return [f"the broker does not answer: {error}"]
    shown = ("state", "leader", "messages_ready", "messages_unacknowledged", "consumers")
    return [f"{queue['name']}: {[queue.get(name) for name in shown]}" for queue in queues]


def _logs(directory: Path) -> list[str]:
    found = []
    for log in sorted(directory.glob("*.log")):
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        worst = [line for line in lines if any(sign in line for sign in COMPLAINTS)]
        found += [f"{log.stem}: {line[:300]}" for line in worst[-LINES:]]
    return found
