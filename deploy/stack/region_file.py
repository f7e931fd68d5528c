"""Writes region.json, the contract with tools: where everything of a region is and how to get in."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deploy.stack.hospitals import CONSOLE_USER, Hospital
from deploy.stack.hub import BENCH, EVERYTHING, Hub, users
from deploy.stack.place import Place, write_private


def compose(
    hub: Hub,
    members: Sequence[Hospital],
    *,
    database_url: str,
    amqp_url: str,
    management_url: str,
    pids: Mapping[str, int],
    ca: Path | None,
) -> dict[str, Any]:
    """Return the content of region.json."""
    place = hub.place
    clients = [{"client_id": BENCH, "client_secret": place.secret(f"client.{BENCH}"), "scope": EVERYTHING}]
    clients += [
        {
            "client_id": member.client,
            "client_secret": place.secret(f"client.{member.client}"),
            "scope": EVERYTHING,
            "facility": member.code,
        }
        for member in members
    ]
    return {
        "hub": {
            "fhir": f"{hub.url}/fhir",
            "portal": f"{hub.url}/",
            "token_url": f"{hub.url}/oauth/token",
            "database_url": database_url,
            "settings_file": str(hub.settings_file),
            "import_dir": str(hub.imports),
        },
        "broker": {"amqp_url": amqp_url, "management_url": management_url},
        "hospitals": [_hospital(member) for member in members],
        "clients": clients,
        "users": [
            {
                "username": user.username,
                "password": place.password(f"user.{user.username}"),
                "role": user.role,
                "facility": user.facility or None,
                "name": user.name,
            }
            for user in users(members)
        ],
        "pids": dict(pids),
        "certificates": {"ca": None if ca is None else str(ca)},
        "dir": str(place.directory),
    }


def _hospital(member: Hospital) -> dict[str, Any]:
    http = f"http://127.0.0.1:{member.http}"
    return {
        "code": member.code,
        "name": member.name,
        "name_en": member.name_en,
        "mllp": f"127.0.0.1:{member.mllp}",
        "fhir": f"{http}/fhir",
        "inbox_dir": str(member.inbox),
        "console": f"{http}/",
        "console_user": CONSOLE_USER,
        "console_password": member.place.password(f"console.{member.code}"),
        "cache_url": member.cache_url,
        "token_file": str(member.token_file),
        "settings_file": str(member.settings_file),
    }


def write(place: Place, region: Mapping[str, Any]) -> None:
    """Write region.json; it holds secrets, so only its owner may read it."""
    write_private(place.region_file, json.dumps(region, ensure_ascii=False, indent=2) + "\n")


def read(place: Place) -> dict[str, Any] | None:
    """Return the content of region.json, None if the region was never up."""
    try:
        content: dict[str, Any] = json.loads(place.region_file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return content
