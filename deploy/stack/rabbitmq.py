"""A private RabbitMQ node in one directory: loopback only, its own port mapper, with TLS and management."""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from deploy.stack import certificates, ports, processes
from deploy.stack.certificates import Certificates
from deploy.stack.errors import Trouble
from deploy.stack.management import Management
from deploy.stack.processes import Process, wait_until

ADMIN = "admin"
VHOST = "hie"
# Busy waiting schedulers would take the cores from everybody else; the distribution stays on loopback.
ERLANG = (
    "+sbwt none +sbwtdcpu none +sbwtdio none +S 2:2"
    " -kernel inet_dist_use_interface {127,0,0,1} -proto_dist inet_tcp"
)


@dataclass(frozen=True, slots=True)
class BrokerPorts:
    """The loopback ports of a node."""

    amqp: int
    amqps: int
    management: int
    distribution: int
    epmd: int

    def named(self) -> dict[str, int]:
        """Return the ports by what they are for."""
        return {
            "RabbitMQ (AMQP)": self.amqp,
            "RabbitMQ (AMQP over TLS)": self.amqps,
            "RabbitMQ's management": self.management,
            "RabbitMQ's distribution": self.distribution,
            "Erlang's port mapper": self.epmd,
        }


@dataclass(frozen=True, slots=True)
class Broker:
    """Where a node lives and how its administrator gets in."""

    directory: Path
    ports: BrokerPorts
    password: str
    log: Path
    certificates: Certificates
    vhost: str = field(default=VHOST)

    def url(self, user: str = ADMIN, password: str | None = None, *, tls: bool = False) -> str:
        """Return an AMQP URL."""
        word = self.password if password is None else password
        scheme, port = ("amqps", self.ports.amqps) if tls else ("amqp", self.ports.amqp)
        return f"{scheme}://{user}:{word}@127.0.0.1:{port}/{self.vhost}"

    @property
    def management_url(self) -> str:
        """The management interface, with its administrator's name and password."""
        return f"http://{ADMIN}:{self.password}@127.0.0.1:{self.ports.management}"

    @property
    def management(self) -> Management:
        """The management interface, ready to be asked."""
        return Management(f"http://127.0.0.1:{self.ports.management}", ADMIN, self.password, self.vhost)


def scripts() -> Path:
    """Return the folder of the real rabbitmq-server: Debian's in /usr/sbin insists on its own user.

    Raises: Trouble if RabbitMQ is not installed.
    """
    found = sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server"))
    if not found:
        raise Trouble("RabbitMQ is not installed; run `apt-get install rabbitmq-server` as root.")
    return found[-1].parent


def environment(broker: Broker) -> dict[str, str]:
    """Return the environment of the node and of its command line tools."""
    home = broker.directory
    return {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "RABBITMQ_NODENAME": f"hie-{broker.ports.amqp}@localhost",
        "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_GENERATED_CONFIG_DIR": str(home / "generated"),
        "RABBITMQ_FEATURE_FLAGS_FILE": str(home / "feature_flags"),
        "RABBITMQ_PID_FILE": str(home / "pid"),
        "RABBITMQ_DIST_PORT": str(broker.ports.distribution),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": ERLANG,
        "ERL_EPMD_PORT": str(broker.ports.epmd),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_CRASH_DUMP_SECONDS": "0",
    }


def configure(broker: Broker) -> None:
    """Write the node's configuration."""
    for folder in (broker.directory, broker.directory / "mnesia", broker.directory / "log"):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    tls = broker.certificates
    lines = {
        "listeners.tcp.1": f"127.0.0.1:{broker.ports.amqp}",
        "listeners.ssl.1": f"127.0.0.1:{broker.ports.amqps}",
        "ssl_options.cacertfile": tls.ca,
        "ssl_options.certfile": tls.server,
        "ssl_options.keyfile": tls.server_key,
        "ssl_options.verify": "verify_none",
        "ssl_options.fail_if_no_peer_cert": "false",
        "ssl_options.versions.1": "tlsv1.3",
        "ssl_options.versions.2": "tlsv1.2",
        "management.tcp.ip": "127.0.0.1",
        "management.tcp.port": broker.ports.management,
        "default_vhost": broker.vhost,
        "default_user": ADMIN,
        "default_pass": broker.password,
        "default_user_tags.administrator": "true",
        # The largest envelope that a receiver opens (esb.seal.MAX_TOKEN).
        "max_message_size": 96 * 1024 * 1024,
        "vm_memory_high_watermark.relative": "0.3",
        "disk_free_limit.absolute": "200MB",
        "raft.wal_max_size_bytes": 64 * 1024 * 1024,
        "log.console": "false",
        "log.file": "rabbit.log",
        "log.file.level": "info",
    }
    text = "".join(f"{name} = {value}\n" for name, value in lines.items())
    _write_private(broker.directory / "rabbitmq.conf", text)
    (broker.directory / "enabled_plugins").write_text("[rabbitmq_management].\n")
    cookie = broker.directory / ".erlang.cookie"
    if not cookie.exists():
        _write_private(cookie, secrets.token_hex(16))
        cookie.chmod(0o400)


def _write_private(file: Path, text: str) -> None:
    fresh = file.with_name(file.name + ".new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        out.write(text)
    fresh.replace(file)


def running(broker: Broker) -> Process | None:
    """Return the node's virtual machine (beam), None if it does not run."""
    return processes.recall(broker.directory / "beam.json")


def launch(broker: Broker, *, dies_with_parent: bool = False) -> None:
    """Start the node and its port mapper, unless they run; `wait` says when it is ready.

    Raises: Trouble if a port is taken.
    """
    if running(broker) is not None:
        return
    end_leftovers(broker)
    for what, port in broker.ports.named().items():
        ports.check_free(port, what)
    configure(broker)
    (broker.directory / "pid").unlink(missing_ok=True)
    _detach(
        broker, "epmd", [_epmd(), "-address", "127.0.0.1", "-port", str(broker.ports.epmd)], dies_with_parent
    )
    if not wait_until(lambda: ports.answers(broker.ports.epmd), timeout_s=10):
        raise Trouble(f"Erlang's port mapper did not come up; {broker.log} says why.")
    _detach(broker, "node", [str(scripts() / "rabbitmq-server")], dies_with_parent)


def _detach(broker: Broker, name: str, command: list[str], dies_with_parent: bool) -> None:
    process = processes.detach(
        command,
        log=broker.log,
        env=environment(broker),
        cwd=broker.directory,
        dies_with_parent=dies_with_parent,
    )
    processes.remember(broker.directory / f"{name}.json", process)


def wait(broker: Broker, *, timeout_s: float = 120) -> Process:
    """Wait until the node serves AMQP and its management answers; return its virtual machine.

    Raises: Trouble if it does not come up.
    """

    def is_ready() -> bool:
        launched = processes.recall(broker.directory / "node.json")
        if launched is None:
            return True
        return ports.answers(broker.ports.amqps) and broker.management.answers()

    if running(broker) is None:
        wait_until(is_ready, timeout_s=timeout_s, every_s=0.1)
        beam = _beam(broker)
        if beam is None:
            log = broker.directory / "log" / "rabbit.log"
            raise Trouble(f"RabbitMQ did not come up; {broker.log} and {log} say why.")
        processes.remember(broker.directory / "beam.json", beam)
    wait_until(is_ready, timeout_s=timeout_s, every_s=0.1)
    beam = running(broker)
    if beam is None or not broker.management.answers():
        raise Trouble(f"RabbitMQ did not become ready; {broker.directory / 'log' / 'rabbit.log'} says why.")
    return beam


def settle(broker: Broker) -> None:
    """Flush the registry of new quorum queues to disk.

    RabbitMQ 3.10 does so up to half a second after a declaration; a node killed before has a queue without
    a leader for ever.
    """
    done = subprocess.run(
        [str(scripts() / "rabbitmqctl"), "eval", "[ok = dets:sync(Table) || Table <- dets:all()]."],
        env=environment(broker),
        cwd=broker.directory,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Trouble(f"RabbitMQ could not flush its queues: {done.stderr.strip()[-200:]}")


def _beam(broker: Broker) -> Process | None:
    with contextlib.suppress(FileNotFoundError, ValueError):
        return processes.find(int((broker.directory / "pid").read_text()))
    return None


def _epmd() -> str:
    found = shutil.which("epmd")
    if found is None:
        raise Trouble("Erlang is not installed; run `apt-get install rabbitmq-server` as root.")
    return found


def stop(broker: Broker) -> None:
    """Stop the node in good order, then its port mapper."""
    beam = running(broker) or _beam(broker)
    node = processes.recall(broker.directory / "node.json")
    if beam is not None and node is not None:
        # The virtual machine closes its queues on SIGTERM.
        processes.stop(beam, timeout_s=60)
    end_leftovers(broker)


def kill(broker: Broker) -> None:
    """End the node at once, for a test run that no longer needs what is in it."""
    for process in (running(broker), _beam(broker)):
        if process is not None:
            process.signal(signal.SIGKILL)
    end_leftovers(broker)


def end_leftovers(broker: Broker) -> None:
    """End what a killed node leaves behind: its wrapper, its child setup, its port mapper."""
    for name in ("node.json", "epmd.json"):
        process = processes.last(broker.directory / name)
        if process is not None:
            processes.stop(process, timeout_s=10)
    for name in ("beam.json", "node.json", "epmd.json"):
        (broker.directory / name).unlink(missing_ok=True)


def throwaway(directory: Path) -> Broker:
    """Start a node for a test run on free ports, gone with its parent."""
    free = [ports.pick() for _ in range(5)]
    broker = Broker(
        directory / "rabbitmq",
        BrokerPorts(*free),
        secrets.token_hex(16),
        directory / "rabbitmq.log",
        certificates.ensure(directory / "certificates"),
    )
    launch(broker, dies_with_parent=True)
    wait(broker)
    return broker
