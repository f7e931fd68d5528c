"""The hospitals of a region: names, directories, keys, settings, and the process in front of each."""

from dataclasses import dataclass
from pathlib import Path

from deploy.stack import ports, web
from deploy.stack.place import MOST_HOSPITALS, Place, Plan, write_private, write_settings
from deploy.stack.services import Service, console_script
from deploy.stack.several import Command

# Invented: neither the province nor a hospital in it exists.
NAMES = (
    ("云岭省第一人民医院", "Yunling First People's Hospital"),
    ("澜石市中心医院", "Lanshi Central Hospital"),
    ("云岭医科大学附属医院", "Yunling Medical University Hospital"),
    ("松岭县人民医院", "Songling County People's Hospital"),
    ("望川市中西医结合医院", "Wangchuan Integrated Medicine Hospital"),
)
PROFILES = ("h01", "h02", "h03", "h04", "h05")
FIRST_PORT = 101
ZONE = "Asia/Shanghai"
# Whom the console knows; front_end_processor/console/app.py
CONSOLE_USER = "engineer"


@dataclass(frozen=True, slots=True)
class Hospital:
    """One member hospital and its front-end processor."""

    place: Place
    plan: Plan
    number: int

    @property
    def code(self) -> str:
        """The facility's code."""
        return f"H{self.number:02d}"

    @property
    def service_name(self) -> str:
        """The name of its process."""
        return f"fep.{self.code}"

    @property
    def name(self) -> str:
        """Its Chinese name."""
        return NAMES[self.number - 1][0] if self.number <= len(NAMES) else f"云岭省第{self.number}协作医院"

    @property
    def name_en(self) -> str:
        """Its English name."""
        known = self.number <= len(NAMES)
        return NAMES[self.number - 1][1] if known else f"Yunling Affiliated Hospital No. {self.number}"

    @property
    def mllp(self) -> int:
        """The port of its HL7 v2 listener."""
        return self.plan.port(FIRST_PORT + 2 * (self.number - 1))

    @property
    def http(self) -> int:
        """The port of its FHIR endpoint and console."""
        return self.mllp + 1

    @property
    def directory(self) -> Path:
        """Everything of its own."""
        return self.place / "hospitals" / self.code

    @property
    def inbox(self) -> Path:
        """Its drop folder."""
        return self.directory / "inbox"

    @property
    def keys(self) -> Path:
        """Its keys."""
        return self.directory / "keys"

    @property
    def cache_url(self) -> str:
        """Its local database."""
        return f"sqlite:///{self.directory / 'cache.db'}"

    @property
    def settings_file(self) -> Path:
        """Its settings."""
        return self.directory / "fep.env"

    @property
    def token_file(self) -> Path:
        """The bearer token of the hospital's own systems."""
        return self.place.secret_file(f"token.{self.code}")

    @property
    def client(self) -> str:
        """The client by which its processor and systems call the hub."""
        return f"fep.{self.code.lower()}"

    def configure(self, amqp_url: str, ca: Path | None, hub_url: str) -> None:
        """Make its directories, secrets and settings."""
        for folder in (self.directory, self.inbox, self.keys):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
        for secret in (f"token.{self.code}", f"client.{self.client}"):
            self.place.secret(secret)
        self.place.password(f"console.{self.code}")
        settings = {
            "FEP_FACILITY": self.code,
            "FEP_NAME": self.name,
            "FEP_NAME_EN": self.name_en,
            "FEP_CACHE_URL": self.cache_url,
            "FEP_MLLP": f"127.0.0.1:{self.mllp}",
            "FEP_HTTP": f"127.0.0.1:{self.http}",
            "FEP_INBOX_DIR": str(self.inbox),
            "FEP_AMQP_URL": amqp_url,
            "FEP_KEY_DIR": str(self.keys),
            "FEP_TOKEN_FILE": str(self.token_file),
            "FEP_PROFILE": PROFILES[(self.number - 1) % len(PROFILES)],
            "FEP_ZONE": ZONE,
            "FEP_CONSOLE_PASSWORD_FILE": str(self.place.secret_file(f"console.{self.code}")),
            "FEP_HUB_URL": hub_url,
            "FEP_CLIENT_ID": self.client,
            "FEP_CLIENT_SECRET_FILE": str(self.place.secret_file(f"client.{self.client}")),
        }
        write_settings(self.settings_file, settings | ({"FEP_CA_FILE": str(ca)} if ca else {}))

    def command(self, *arguments: str) -> Command:
        """Return a command of its processor."""
        return Command("front_end_processor", arguments, {"FEP_CONFIG": str(self.settings_file)})

    def trust(self, hub_keys: Path) -> None:
        """Give it the hub's public keys."""
        write_private(self.keys / "hub.public.jwks", hub_keys.read_text(encoding="utf-8"))

    @property
    def service(self) -> Service:
        """Its process."""
        return Service(
            self.service_name,
            (console_script("fep"), "run"),
            {"FEP_CONFIG": str(self.settings_file)},
            {f"HL7 v2 of {self.code}": self.mllp, f"FHIR and console of {self.code}": self.http},
            self.is_ready,
        )

    def is_ready(self) -> bool:
        """Say whether both of its inlets answer."""
        return ports.answers(self.mllp) and web.status(f"http://127.0.0.1:{self.http}/") is not None


def hospitals(place: Place, plan: Plan) -> list[Hospital]:
    """Return the hospitals of a region."""
    assert plan.hospitals <= MOST_HOSPITALS
    return [Hospital(place, plan, number) for number in range(1, plan.hospitals + 1)]
