"""A private PostgreSQL cluster in one directory, on loopback, run as `postgres` where the caller is root."""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from deploy.stack import ports, processes
from deploy.stack.errors import Trouble
from deploy.stack.processes import Process, wait_until

ACCOUNT = "postgres"
SETTINGS = {
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "max_connections": "200",
    "default_toast_compression": "lz4",
    "wal_compression": "lz4",
    "work_mem": "16MB",
    "maintenance_work_mem": "256MB",
    "effective_cache_size": "4GB",
    "random_page_cost": "1.1",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Statements and their parameters may name people; the log holds neither.
    "log_min_error_statement": "panic",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_error_verbosity": "terse",
}
# For clusters that live as long as a test run.
FORGETFUL = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "128MB",
}


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where a cluster lives and how its superuser gets in."""

    directory: Path
    port: int
    password: str
    log: Path
    forgetful: bool = False

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.directory / "data"

    def url(self, database: str = "postgres", user: str = ACCOUNT, password: str | None = None) -> str:
        """Return a libpq URL of one database."""
        word = quote(self.password if password is None else password, safe="")
        return f"postgresql://{user}:{word}@127.0.0.1:{self.port}/{database}"


def binaries() -> Path:
    """Return the folder of initdb and postgres.

    Raises: Trouble if PostgreSQL is not installed.
    """
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: _number(path.parts[-3]))
    if found:
        return found[-1].parent
    beside = shutil.which("initdb")
    if beside is None:
        raise Trouble("PostgreSQL is not installed; run `apt-get install postgresql` as root.")
    return Path(beside).resolve().parent


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


def account() -> str | None:
    """Return the account to run as: PostgreSQL refuses root, so root lends it `postgres`."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(ACCOUNT)
    except KeyError as missing:
        raise Trouble("There is no account `postgres`; run `apt-get install postgresql`.") from missing
    return ACCOUNT


def _run(command: Sequence[str], user: str | None) -> subprocess.CompletedProcess[str]:
    prefix = ["runuser", "-u", user, "--"] if user else []
    return subprocess.run(
        [*prefix, *command], capture_output=True, text=True, check=False, cwd="/", stdin=subprocess.DEVNULL
    )


def create(cluster: Cluster) -> None:
    """Make the cluster's files, unless they are there.

    Raises: Trouble if PostgreSQL's account cannot enter the directory, or initdb says no.
    """
    if (cluster.data / "PG_VERSION").exists():
        return
    user = account()
    cluster.directory.mkdir(parents=True, exist_ok=True)
    if user is not None:
        shutil.chown(cluster.directory, user, pwd.getpwnam(user).pw_gid)
    cluster.directory.chmod(0o700)
    if _run(["test", "-w", str(cluster.directory)], user).returncode:
        raise Trouble(
            f"PostgreSQL (run as {user or 'you'}) cannot enter {cluster.directory}; choose a --dir"
            " under folders that everybody may enter, for example /var/lib or /tmp."
        )
    # A run that was killed half-way leaves a directory that initdb would refuse.
    shutil.rmtree(cluster.data, ignore_errors=True)
    word = cluster.directory / "initial-password"
    with contextlib.suppress(FileNotFoundError):
        word.unlink()
    with open(os.open(word, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(cluster.password)
    if user is not None:
        shutil.chown(word, user)
    fresh = cluster.directory / "fresh"
    shutil.rmtree(fresh, ignore_errors=True)
    command = [str(binaries() / "initdb"), "-D", str(fresh), "-U", ACCOUNT, f"--pwfile={word}"]
    command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums"]
    done = _run([*command, *(["--no-sync"] if cluster.forgetful else [])], user)
    word.unlink()
    if done.returncode:
        raise Trouble(f"initdb failed in {cluster.directory}: {done.stderr.strip().splitlines()[-1:]}")
    fresh.rename(cluster.data)


def running(cluster: Cluster) -> Process | None:
    """Return the postmaster of this cluster, None if it does not run."""
    try:
        pid = int((cluster.data / "postmaster.pid").read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None
    process = processes.find(pid)
    if process is None or not any(one.pid == pid for one in processes.started_in(cluster.data)):
        return None
    return process


def start(cluster: Cluster, *, dies_with_parent: bool = False, timeout_s: float = 120) -> Process:
    """Start the cluster, unless it runs, and wait until it lets us in.

    Raises: Trouble if its port is taken or it does not come up.
    """
    alive = running(cluster)
    if alive is not None:
        return alive
    clear_after_a_crash(cluster)
    ports.check_free(cluster.port, "PostgreSQL")
    settings = {**SETTINGS, **(FORGETFUL if cluster.forgetful else {})}
    settings |= {"port": str(cluster.port), "listen_addresses": "127.0.0.1"}
    settings["unix_socket_directories"] = ""
    command = [str(binaries() / "postgres"), "-D", str(cluster.data)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    process = processes.detach(
        command, log=cluster.log, user=account(), cwd=Path("/"), dies_with_parent=dies_with_parent
    )

    def is_ready() -> bool:
        processes.reap(process.pid)
        return not process.is_alive() or lets_in(cluster)

    wait_until(is_ready, timeout_s=timeout_s)
    if not process.is_alive() or not lets_in(cluster):
        raise Trouble(
            f"PostgreSQL did not come up; {cluster.log} ends with: {processes.tail(cluster.log, 3)}"
        )
    return process


def clear_after_a_crash(cluster: Cluster) -> None:
    """Wait for the orphans of a killed postmaster, and drop its lock file once nobody is left."""
    if not wait_until(lambda: not any(processes.started_in(cluster.data)), timeout_s=20):
        for orphan in processes.started_in(cluster.data):
            orphan.signal(signal.SIGKILL)
        wait_until(lambda: not any(processes.started_in(cluster.data)), timeout_s=5)
    # Its number may belong to another process by now, which PostgreSQL would take for itself.
    with contextlib.suppress(FileNotFoundError):
        (cluster.data / "postmaster.pid").unlink()


def lets_in(cluster: Cluster) -> bool:
    try:
        with psycopg.connect(cluster.url(), connect_timeout=2):
            return True
    except psycopg.OperationalError:
        return False


def stop(cluster: Cluster) -> None:
    """Stop the cluster: connections are cut, data is flushed, nothing is lost."""
    process = running(cluster)
    if process is not None:
        processes.stop(process, number=signal.SIGINT, timeout_s=60)
    for orphan in processes.started_in(cluster.data):
        orphan.signal(signal.SIGKILL)


def ensure_role(cluster: Cluster, name: str, password: str) -> None:
    """Create a role that may make databases and nothing else, or set its password anew."""
    with psycopg.connect(cluster.url(), autocommit=True) as connection:
        is_there = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone()
        verb = "ALTER" if is_there else "CREATE"
        connection.execute(
            sql.SQL("{} ROLE {} LOGIN CREATEDB PASSWORD {}").format(
                sql.SQL(verb), sql.Identifier(name), sql.Literal(password)
            )
        )


def ensure_database(cluster: Cluster, name: str, owner: str) -> None:
    """Create a database, unless it is there."""
    with psycopg.connect(cluster.url(), autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(owner))
            )


def throwaway(directory: Path) -> Cluster:
    """Start a cluster for a test run: a free port, no care for power cuts, gone with its parent."""
    cluster = Cluster(
        directory / "postgres", ports.pick(), secrets.token_hex(16), directory / "postgres.log", True
    )
    create(cluster)
    start(cluster, dies_with_parent=True)
    return cluster
