"""The hub of a region: settings, accounts, and its web and ingest processes."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.stack import web
from deploy.stack.errors import Trouble
from deploy.stack.hospitals import ZONE, Hospital
from deploy.stack.management import Management
from deploy.stack.place import Place, Plan, read_settings, write_settings
from deploy.stack.services import Service, console_script
from deploy.stack.several import Command
from esb.topology import INGEST_PREFIX

HTTP_PORT = 80
NOTICE_PORTS = range(90, 100)  # where whoever tries a Subscription may listen
INGEST_WORKERS = 2
QUEUES = 4
EVERYTHING = "system/*.cruds"
BENCH = "bench"
# username: (role, whether one per hospital, title shown)
ROLES = {
    "doctor": (True, "医生"),
    "referral": (True, "转诊专员"),
    "engineer": (True, "信息工程师"),
    "steward": (False, "数据管理员"),
    "auditor": (False, "审计员"),
    "operator": (False, "运维"),
}


SURNAMES = "林周吴郑冯陈蒋沈韩杨"


@dataclass(frozen=True, slots=True)
class User:
    """One user of the portal."""

    username: str
    role: str
    facility: str
    name: str


def users(members: Sequence[Hospital]) -> list[User]:
    """Return the users of a region: one per role, and per hospital where the role belongs to one."""
    found: list[User] = []
    for role, (has_hospital, title) in ROLES.items():
        if has_hospital:
            for member in members:
                username = f"{role}.{member.code.lower()}"
                surname = SURNAMES[len(found) % len(SURNAMES)]
                found.append(User(username, role, member.code, f"{surname}{title}"))
        else:
            found.append(User(role, role, "", f"区域{title}"))
    return found


@dataclass(frozen=True, slots=True)
class Hub:
    """The hub of one region."""

    place: Place
    plan: Plan

    @property
    def http(self) -> str:
        """Where its web processes listen."""
        return f"127.0.0.1:{self.plan.port(HTTP_PORT)}"

    @property
    def url(self) -> str:
        """How others call it."""
        return f"http://{self.http}"

    @property
    def directory(self) -> Path:
        """Everything of its own."""
        return self.place / "hub"

    @property
    def keys(self) -> Path:
        """Its keys."""
        return self.directory / "keys"

    @property
    def public_keys(self) -> Path:
        """What the hospitals must know of its keys."""
        return self.keys / "hub.public.jwks"

    @property
    def imports(self) -> Path:
        """What `$import` may read, unless the caller says otherwise."""
        return self.directory / "import"

    @property
    def settings_file(self) -> Path:
        """Its settings."""
        return self.directory / "hub.env"

    def configure(self, database_url: str, amqp_url: str, ca: Path | None) -> None:
        """Make its directories, secrets and settings."""
        for folder in (self.directory, self.keys, self.directory / "blobs", self.imports):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
        self.place.secret(f"client.{BENCH}")
        settings = {
            "HIE_DATABASE_URL": database_url,
            "HIE_AMQP_URL": amqp_url,
            "HIE_HTTP": self.http,
            "HIE_BASE_URL": self.url,
            "HIE_KEY_DIR": str(self.keys),
            "HIE_BLOB_DIR": str(self.directory / "blobs"),
            "HIE_EXPORT_DIR": str(self.directory / "exports"),
            "HIE_ZONE": ZONE,
            "HIE_QUEUES": str(QUEUES),
            **self._others(),
        }
        write_settings(self.settings_file, settings | ({"HIE_CA_FILE": str(ca)} if ca else {}))

    def _others(self) -> dict[str, str]:
        """Return where the hub may turn to: as the caller says, else as it was, else on this machine."""
        ports = (self.plan.port(offset) for offset in NOTICE_PORTS)
        here = (f"http://{host}:{port}/" for port in ports for host in ("127.0.0.1", "localhost"))
        usual = {"HIE_NOTIFY_TO": " ".join(here), "HIE_IMPORT_FROM": f"{self.imports.as_uri()}/"}
        before = read_settings(self.settings_file)
        return {name: os.environ.get(name, before.get(name, value)) for name, value in usual.items()}

    def command(self, *arguments: str) -> Command:
        """Return a command of the hub."""
        return Command("hie", arguments, {"HIE_CONFIG": str(self.settings_file)})

    def accounts(self, members: Sequence[Hospital]) -> list[Command]:
        """Return the commands that register hospitals, clients and users; harmless when repeated."""
        commands = []
        given: tuple[str, ...]
        for member in members:
            given = ("--code", member.code, "--name", member.name, "--name-en", member.name_en)
            keys = str(member.keys / "own.public.jwks")
            commands.append(self.command("facility", "add", *given, "--keys", keys))
        for client, facility in [(BENCH, ""), *((member.client, member.code) for member in members)]:
            secret = str(self.place.secret_file(f"client.{client}"))
            given = ("--id", client, "--secret-file", secret, "--scope", EVERYTHING)
            at = ("--facility", facility) if facility else ()
            commands.append(self.command("client", "add", *given, *at))
        for user in users(members):
            self.place.password(f"user.{user.username}")
            password = str(self.place.secret_file(f"user.{user.username}"))
            given = ("--username", user.username, "--password-file", password)
            at = ("--facility", user.facility) if user.facility else ()
            role = ("--role", user.role, "--name", user.name)
            commands.append(self.command("user", "add", *given, *role, *at))
        return commands

    def services(self, management: Management) -> list[Service]:
        """Return the hub's processes."""
        settings = {"HIE_CONFIG": str(self.settings_file)}
        serving = Service(
            "hub.web",
            (console_script("hie"), "web"),
            settings,
            {"the hub's web": self.plan.port(HTTP_PORT)},
            lambda: web.status(f"{self.url}/healthz") == 200,
        )
        ingesting = [
            Service(
                f"hub.ingest.{worker}",
                (console_script("hie"), "ingest", "--worker", str(worker), "--of", str(INGEST_WORKERS)),
                settings,
                is_ready=lambda: _is_consumed(management),
            )
            for worker in range(1, INGEST_WORKERS + 1)
        ]
        working = Service("hub.work", (console_script("hie"), "work"), settings)
        return [serving, *ingesting, working]


def _is_consumed(management: Management) -> bool:
    """Say whether every ingest queue has a consumer."""
    try:
        return len(management.consumers(INGEST_PREFIX)) >= QUEUES
    except Trouble:
        return False
