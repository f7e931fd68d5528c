"""Settings of the hub, read once from the environment and an optional KEY=VALUE file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from esb.seal import SUITES

# name: (default or None where it must be given, what it is with an example)
SETTINGS: dict[str, tuple[str | None, str]] = {
    "HIE_DATABASE_URL": (None, "PostgreSQL of the hub, e.g. postgresql+psycopg://hie:secret@127.0.0.1/hie"),
    "HIE_AMQP_URL": ("", "RabbitMQ, e.g. amqps://hub:secret@127.0.0.1:5671/hie"),
    "HIE_HTTP": ("127.0.0.1:18080", "where the web processes listen, host:port"),
    "HIE_BASE_URL": ("", "how others call the hub, e.g. https://hie.example.org (default: from HIE_HTTP)"),
    "HIE_KEY_DIR": ("", "folder of the hub's own keys, e.g. /etc/hie/keys"),
    "HIE_BLOB_DIR": ("", "folder of large sealed bodies, e.g. /var/lib/hie/blobs"),
    "HIE_EXPORT_DIR": (
        "",
        "folder of exports and other long work [HIE_BLOB_DIR/exports], e.g. /var/lib/hie/exports",
    ),
    "HIE_IMPORT_FROM": (
        "",
        "where $import may read from, e.g. https://data.example.org/ file:///srv/import/",
    ),
    "HIE_NOTIFY_TO": ("", "where subscriptions may deliver to, e.g. https://his.example.org/notices/"),
    "HIE_CA_FILE": ("", "certificate authority of the broker's TLS, e.g. /etc/hie/ca.pem"),
    "HIE_SUITE": ("intl", "what the hub seals with: intl (AES-256, SHA-256) or sm (SM4, SM3); it opens both"),
    "HIE_ZONE": ("Asia/Shanghai", "time zone of the region: what a day means to its users"),
    "HIE_QUEUES": ("4", "number of ingest queues the 64 partitions are bound to"),
    "HIE_WEB_WORKERS": ("2", "web processes"),
    "HIE_WEB_THREADS": ("4", "requests in flight per web process"),
    "HIE_MAX_BODY": ("52428800", "largest request body in bytes"),
    "HIE_TOKEN_LIFETIME_S": ("3600", "seconds an access token of a client lives"),
    "HIE_RELATION_DAYS": ("30", "days after an encounter during which its facility may read the record"),
    "HIE_CONFIRMED_HOURS": ("24", "hours a doctor may read after confirming two identifiers and a purpose"),
    "HIE_INGEST_BATCH": ("100", "most envelopes stored in one transaction"),
    "HIE_INGEST_TRIES": ("5", "tries before a message with an unknown failure is set aside"),
    "HIE_LOG_LEVEL": ("INFO", "DEBUG, INFO, WARNING or ERROR"),
}


class SettingError(Exception):
    """A setting is missing or malformed."""


@dataclass(frozen=True, slots=True)
class Config:
    """The hub's settings; made once by `from_env` and handed down."""

    database_url: str
    amqp_url: str
    http: str
    base_url: str
    key_dir: Path
    blob_dir: Path
    export_dir: Path
    import_from: tuple[str, ...]
    notify_to: tuple[str, ...]
    ca_file: Path | None
    suite: str
    zone: ZoneInfo
    queues: int
    web_workers: int
    web_threads: int
    max_body: int
    token_lifetime_s: int
    relation_days: int
    confirmed_hours: int
    ingest_batch: int
    ingest_tries: int
    log_level: str

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Config":
        """Return the settings found in `env`, beneath them those of the file HIE_CONFIG names.

        Raises: SettingError if one is missing or is not what it should be.
        """
        text = {name: default for name, (default, _) in SETTINGS.items() if default is not None}
        if env.get("HIE_CONFIG"):
            text |= read_settings(Path(env["HIE_CONFIG"]))
        text |= {name: env[name] for name in SETTINGS if name in env}
        if not text.get("HIE_DATABASE_URL"):
            raise SettingError(f"HIE_DATABASE_URL is not set: {SETTINGS['HIE_DATABASE_URL'][1]}")
        return cls(
            database_url=sqlalchemy_url(text["HIE_DATABASE_URL"]),
            amqp_url=text["HIE_AMQP_URL"],
            http=_address(text["HIE_HTTP"]),
            base_url=(text["HIE_BASE_URL"] or f"http://{text['HIE_HTTP']}").rstrip("/"),
            key_dir=Path(text["HIE_KEY_DIR"] or "keys"),
            blob_dir=Path(text["HIE_BLOB_DIR"] or "blobs"),
            export_dir=Path(text["HIE_EXPORT_DIR"] or Path(text["HIE_BLOB_DIR"] or "blobs") / "exports"),
            import_from=tuple(text["HIE_IMPORT_FROM"].split()),
            notify_to=tuple(text["HIE_NOTIFY_TO"].split()),
            ca_file=Path(text["HIE_CA_FILE"]) if text["HIE_CA_FILE"] else None,
            suite=_suite(text["HIE_SUITE"]),
            zone=_zone(text["HIE_ZONE"]),
            log_level=_level(text["HIE_LOG_LEVEL"]),
            **{name.removeprefix("HIE_").lower(): _number(name, text[name]) for name in NUMBERS},
        )


# name: (the least and the most that makes sense)
NUMBERS = {
    "HIE_QUEUES": (1, 64),
    "HIE_WEB_WORKERS": (1, 256),
    "HIE_WEB_THREADS": (1, 256),
    "HIE_MAX_BODY": (1, 1 << 40),
    "HIE_TOKEN_LIFETIME_S": (1, 366 * 86400),
    "HIE_RELATION_DAYS": (0, 36_500),
    "HIE_CONFIRMED_HOURS": (1, 8760),
    "HIE_INGEST_BATCH": (1, 10_000),
    "HIE_INGEST_TRIES": (1, 1000),
}


def read_settings(path: Path) -> dict[str, str]:
    """Return the KEY=VALUE lines of a settings file; blank lines and lines starting with # are skipped."""
    settings: dict[str, str] = {}
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals:
            raise SettingError(f"line {number} of {path.name} is not KEY=VALUE")
        settings[name.strip()] = value.strip()
    return settings


def sqlalchemy_url(url: str) -> str:
    """Return a PostgreSQL URL that names the psycopg driver, whichever of the usual forms was given."""
    for prefix in ("postgresql://", "postgres://"):
        if url.startswith(prefix):
            return "postgresql+psycopg://" + url.removeprefix(prefix)
    return url


def _zone(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError):
        raise SettingError(f"HIE_ZONE names no time zone: {SETTINGS['HIE_ZONE'][1]}") from None


def _suite(text: str) -> str:
    if text not in SUITES:
        raise SettingError(f"HIE_SUITE must be one of {', '.join(SUITES)}.")
    return text


def _level(text: str) -> str:
    if text not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise SettingError(f"HIE_LOG_LEVEL must be one of {SETTINGS['HIE_LOG_LEVEL'][1]}.")
    return text


def _number(name: str, text: str) -> int:
    least, most = NUMBERS[name]
    if not text.isascii() or not text.isdecimal() or len(text) > 18 or not least <= int(text) <= most:
        raise SettingError(f"{name} must be a whole number from {least} to {most}: {SETTINGS[name][1]}")
    return int(text)


def _address(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdecimal() or not 0 < int(port[:6]) < 65536:
        raise SettingError(f"HIE_HTTP must be host:port, e.g. {SETTINGS['HIE_HTTP'][0]}")
    return text
