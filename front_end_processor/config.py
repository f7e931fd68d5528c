"""Settings of a front-end processor, read once from the environment or a KEY=VALUE file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from zoneinfo import ZoneInfo

from esb.errors import Rejected
from esb.seal import SUITES
from esb.topology import check_facility_code

SETTINGS: Mapping[str, str] = {
    "FEP_CONFIG": "file of KEY=VALUE lines read before the environment, e.g. /etc/hie/fep.env",
    "FEP_FACILITY": "code of this hospital as the hub knows it, e.g. H01",
    "FEP_NAME": "name of the hospital for people, e.g. 第一人民医院",
    "FEP_NAME_EN": "its English name, for the console's English pages, e.g. First People's Hospital",
    "FEP_CACHE_URL": "local database, e.g. sqlite:////var/lib/fep/cache.db or postgresql+psycopg://fep@db/fep",
    "FEP_MLLP": "host:port that listens for HL7 v2, e.g. 127.0.0.1:18101",
    "FEP_HTTP": "host:port of the FHIR inlet and of the console, e.g. 127.0.0.1:18102",
    "FEP_INBOX_DIR": "drop folder for CSV extracts, e.g. /srv/extracts (empty: no drop folder)",
    "FEP_AMQP_URL": "broker of the region, e.g. amqps://H01:secret@hub/hie (empty: capture only)",
    "FEP_KEY_DIR": "folder of own.jwks, hub.public.jwks, id.key and epoch, e.g. /etc/hie/keys",
    "FEP_TOKEN_FILE": "file with the bearer token of the hospital's own systems, e.g. /etc/hie/token",
    "FEP_PROFILE": "profile of the hospital, a .yaml file or the name of a shipped one, e.g. h01",
    "FEP_ZONE": "time zone of times sent without one, e.g. Asia/Shanghai",
    "FEP_CA_FILE": "certificate authority of hub and broker, e.g. /etc/hie/ca.pem (empty: the system's)",
    "FEP_SUITE": "what it seals with: intl (AES-256, SHA-256) or sm (SM4, SM3), e.g. sm; it opens both",
    "FEP_CONSOLE_PASSWORD_FILE": "file with the console's password, e.g. /etc/hie/console-password",
    "FEP_MAX_MESSAGE": "largest message, bundle or file in bytes, e.g. 20971520",
    "FEP_HUB_URL": "address of the hub, for large contents, e.g. https://hub.example",
    "FEP_CLIENT_ID": "client by which this processor uploads large contents, e.g. fep.h01",
    "FEP_CLIENT_SECRET_FILE": "file with that client's secret, e.g. /etc/hie/client-secret",
}

_DEFAULTS: Mapping[str, str] = {
    "FEP_MLLP": "127.0.0.1:18101",
    "FEP_HTTP": "127.0.0.1:18102",
    "FEP_ZONE": "Asia/Shanghai",
    "FEP_SUITE": "intl",
    "FEP_MAX_MESSAGE": "20971520",
}
_REQUIRED = ("FEP_FACILITY", "FEP_CACHE_URL", "FEP_KEY_DIR")


class BadSetting(ValueError):
    """A setting is missing or cannot be read; the text names it and what it should be."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a listener stands."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of one front-end processor."""

    facility: str
    name: str
    name_en: str
    cache_url: str
    mllp: Address
    http: Address
    inbox_dir: Path | None
    amqp_url: str
    key_dir: Path
    token_file: Path | None
    profile: str
    zone: str
    ca_file: Path | None
    suite: str
    console_password_file: Path | None
    max_message: int
    hub_url: str
    client_id: str
    client_secret_file: Path | None

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Config:
        """Return the settings found in `env`, on top of those of the file that FEP_CONFIG names.

        Raises: BadSetting with every missing or unreadable setting named.
        """
        values = dict(_DEFAULTS)
        if env.get("FEP_CONFIG"):
            values.update(read_settings(Path(env["FEP_CONFIG"])))
        values.update({key: value for key, value in env.items() if key in SETTINGS and value})
        problems = [f"{key} is missing: {SETTINGS[key]}" for key in _REQUIRED if not values.get(key)]
        if values.get("FEP_FACILITY"):
            try:
                check_facility_code(values["FEP_FACILITY"])
            except Rejected as fault:
                problems.append(f"FEP_FACILITY: {fault.text}")
        mllp, http = (_address(key, values, problems) for key in ("FEP_MLLP", "FEP_HTTP"))
        try:
            ZoneInfo(values["FEP_ZONE"])
        except (KeyError, ValueError, OSError):
            problems.append(f"FEP_ZONE is no known time zone: {SETTINGS['FEP_ZONE']}")
        if not values["FEP_MAX_MESSAGE"].isdigit() or int(values["FEP_MAX_MESSAGE"]) < 1024:
            problems.append("FEP_MAX_MESSAGE must be a number of bytes of at least 1024")
        if values["FEP_SUITE"] not in SUITES:
            problems.append(f"FEP_SUITE must be one of {', '.join(SUITES)}")
        if problems:
            raise BadSetting("\n".join(problems))
        text = {field.name: values.get(f"FEP_{field.name.upper()}", "") for field in fields(cls)}
        return cls(
            facility=text["facility"],
            name=text["name"] or text["facility"],
            name_en=text["name_en"] or text["name"] or text["facility"],
            cache_url=text["cache_url"],
            mllp=mllp,
            http=http,
            inbox_dir=_path(text["inbox_dir"]),
            amqp_url=text["amqp_url"],
            key_dir=Path(text["key_dir"]),
            token_file=_path(text["token_file"]),
            profile=text["profile"],
            zone=text["zone"],
            ca_file=_path(text["ca_file"]),
            suite=text["suite"],
            console_password_file=_path(text["console_password_file"]),
            max_message=int(text["max_message"]),
            hub_url=text["hub_url"].rstrip("/"),
            client_id=text["client_id"],
            client_secret_file=_path(text["client_secret_file"]),
        )


def read_settings(path: Path) -> dict[str, str]:
    """Return the KEY=VALUE lines of a file; empty lines and lines that begin with # are skipped.

    Raises: BadSetting if the file cannot be read or a line is no setting of ours.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as fault:
        raise BadSetting(f"FEP_CONFIG names {path}, which cannot be read: {fault.strerror}") from fault
    values = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not equals or key.strip() not in SETTINGS:
            raise BadSetting(
                f"{path} line {number} is no setting: expected one of {', '.join(SETTINGS)} and ="
            )
        values[key.strip()] = value.strip().strip('"')
    return values


def read_secret(path: Path | None) -> str:
    """Return the text of a secret file without its line end; empty if there is no file."""
    return path.read_text("utf-8").strip() if path is not None and path.exists() else ""


def _path(text: str) -> Path | None:
    return Path(text) if text else None


def _address(key: str, values: Mapping[str, str], problems: list[str]) -> Address:
    host, _, port = values.get(key, "").rpartition(":")
    if not host or not port.isdigit() or not 0 <= int(port) < 65536:
        problems.append(f"{key} must be host:port: {SETTINGS[key]}")
        return Address("127.0.0.1", 0)
    return Address(host.strip("[]"), int(port))
