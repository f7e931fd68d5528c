"""What stands where in the directory of a region, and which port it listens on."""

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.stack.errors import Trouble
from deploy.stack.progress import say

MOST_HOSPITALS = 40
# Without letters and digits that are taken for one another.
READABLE = "abcdefghjkmnpqrstuvwxyz23456789"


@dataclass(frozen=True, slots=True)
class Plan:
    """What was decided when the region was made, and holds for its life."""

    port_base: int = 18000
    hospitals: int = 5
    # Servers that exist already; empty where the region has its own.
    database_url: str = ""
    amqp_url: str = ""
    management_url: str = ""

    def port(self, offset: int) -> int:
        """Return a port of this region."""
        return self.port_base + offset


@dataclass(frozen=True, slots=True)
class Place:
    """The directory of one region."""

    directory: Path

    def __truediv__(self, name: str) -> Path:
        return self.directory / name

    @property
    def log(self) -> Path:
        """Where the processes' output goes."""
        return self.directory / "log"

    @property
    def region_file(self) -> Path:
        """The contract with tools: where everything is and how to get in."""
        return self.directory / "region.json"

    def pid_file(self, name: str) -> Path:
        """Return the file that remembers a process."""
        return self.directory / "run" / f"{name}.json"

    def make(self) -> None:
        """Create the directory; others may pass through it, for PostgreSQL's account has a folder in it.

        Raises: Trouble if the directory cannot be made or written.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self.directory.chmod(0o711)
            for name in ("log", "run", "secrets"):
                (self / name).mkdir(exist_ok=True)
                (self / name).chmod(0o700)
        except OSError as refused:
            raise Trouble(
                f"{self.directory} cannot be written ({refused.strerror}); choose another --dir."
            ) from None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second `up` or `down` of the same region waiting."""
        with (self / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"Another command works on {self.directory}; waiting for it ...")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def secret(self, name: str) -> str:
        """Return a secret of this region, made when first asked for."""
        return self._kept(name, lambda: secrets.token_hex(20))

    def password(self, name: str) -> str:
        """Return a password that a human types, made when first asked for."""
        return self._kept(
            name, lambda: "-".join("".join(secrets.choice(READABLE) for _ in range(4)) for _ in range(3))
        )

    def secret_file(self, name: str) -> Path:
        """Return the file a secret is kept in."""
        return self / "secrets" / name

    def _kept(self, name: str, make: Callable[[], str]) -> str:
        file = self.secret_file(name)
        if not file.exists():
            write_private(file, make())
        return file.read_text(encoding="utf-8").strip()

    def recall_plan(self) -> Plan | None:
        """Return what was decided when the region was made, None if there is none here."""
        try:
            return Plan(**json.loads((self / "plan.json").read_text(encoding="utf-8")))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def remember_plan(self, plan: Plan) -> None:
        """Write down what holds for the life of the region."""
        write_private(self / "plan.json", json.dumps(asdict(plan), indent=2))


def write_private(file: Path, text: str) -> None:
    """Write a file only its owner may read, whole or not at all."""
    fresh = file.with_name(file.name + ".new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        out.write(text)
    fresh.replace(file)


def read_settings(file: Path) -> dict[str, str]:
    """Return the settings that `write_settings` wrote, none if there is no such file."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def write_settings(file: Path, settings: dict[str, str]) -> None:
    """Write KEY=VALUE lines."""
    write_private(file, "".join(f"{name}={value}\n" for name, value in settings.items()))
