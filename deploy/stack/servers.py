"""PostgreSQL and RabbitMQ of a region: its own, or those named by HIE_DATABASE_URL and HIE_AMQP_URL."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from deploy.stack import certificates, ports, postgres, rabbitmq
from deploy.stack.certificates import Certificates
from deploy.stack.errors import Trouble
from deploy.stack.management import Management
from deploy.stack.place import Place, Plan
from deploy.stack.postgres import Cluster
from deploy.stack.progress import step
from deploy.stack.rabbitmq import Broker, BrokerPorts
from esb import topology

DATABASE = "hie"
PORTS = {"postgres": 32, "epmd": 69, "distribution": 70, "amqps": 71, "amqp": 72, "management": 73}


@dataclass(frozen=True, slots=True)
class Servers:
    """What the region stands on."""

    place: Place
    plan: Plan

    @property
    def cluster(self) -> Cluster | None:
        """Its own PostgreSQL, None where another is used."""
        if self.plan.database_url:
            return None
        port = self.plan.port(PORTS["postgres"])
        password = self.place.secret("postgres")
        return Cluster(self.place / "postgres", port, password, self.place.log / "postgres.log")

    @property
    def broker(self) -> Broker | None:
        """Its own RabbitMQ, None where another is used."""
        if self.plan.amqp_url:
            return None
        names = ("amqp", "amqps", "management", "distribution", "epmd")
        numbers = BrokerPorts(*(self.plan.port(PORTS[name]) for name in names))
        files = Certificates(self.place / "certificates")
        log = self.place.log / "rabbitmq.log"
        return Broker(self.place / "rabbitmq", numbers, self.place.secret("amqp.admin"), log, files)

    @property
    def database_url(self) -> str:
        """The hub's database."""
        cluster = self.cluster
        if cluster is None:
            return self.plan.database_url
        return cluster.url(DATABASE, DATABASE, self.place.secret("database"))

    @property
    def management(self) -> Management:
        """RabbitMQ's management interface."""
        broker = self.broker
        if broker is not None:
            return broker.management
        parts = urlsplit(self.plan.amqp_url)
        user, password = unquote(parts.username or "guest"), unquote(parts.password or "guest")
        url = self.plan.management_url or f"http://{parts.hostname}:15672"
        return Management(url.rstrip("/"), user, password, topology.VHOST)

    @property
    def management_url(self) -> str:
        """RabbitMQ's management interface, with the administrator's name and password."""
        given = self.management
        parts = urlsplit(given.url)
        return f"{parts.scheme}://{given.user}:{quote(given.password, safe='')}@{parts.netloc}"

    @property
    def ca(self) -> Path | None:
        """The authority of the broker's certificate, None where another broker is used."""
        broker = self.broker
        return None if broker is None else broker.certificates.ca

    def amqp_url(self, user: str = "", *, tls: bool = False) -> str:
        """Return the AMQP URL of a user, the administrator's without one."""
        broker = self.broker
        if broker is not None:
            if not user:
                return broker.url()
            return broker.url(user, self.place.secret(f"amqp.{user}"), tls=tls)
        parts = urlsplit(self.plan.amqp_url)
        word = self.place.secret(f"amqp.{user}") if user else quote(self.management.password, safe="")
        host = parts.netloc.rpartition("@")[2]
        return f"{parts.scheme}://{user or self.management.user}:{word}@{host}/{topology.VHOST}"

    def ports_wanted(self) -> dict[str, int]:
        """Return the ports of those servers that do not run, after ending what they left behind."""
        wanted: dict[str, int] = {}
        cluster, broker = self.cluster, self.broker
        if cluster is not None and postgres.running(cluster) is None:
            postgres.clear_after_a_crash(cluster)
            wanted["PostgreSQL"] = cluster.port
        if broker is not None and rabbitmq.running(broker) is None:
            rabbitmq.end_leftovers(broker)
            wanted |= broker.ports.named()
        return wanted

    def is_ready(self, name: str) -> bool:
        """Say whether `postgres` or `rabbitmq` serves."""
        if name == "postgres":
            return self.cluster is None or postgres.lets_in(self.cluster)
        broker = self.broker
        return broker is None or (ports.answers(broker.ports.amqps) and broker.management.answers())

    def launch(self) -> None:
        """Start the servers unless they run; the broker is given its time in `wait`."""
        broker, cluster = self.broker, self.cluster
        if cluster is not None:
            postgres.create(cluster)
        if broker is not None:
            certificates.ensure(broker.certificates.directory)
            rabbitmq.launch(broker)
        if cluster is not None:
            with step("PostgreSQL"):
                postgres.start(cluster)
                postgres.ensure_role(cluster, DATABASE, self.place.secret("database"))
                postgres.ensure_database(cluster, DATABASE, DATABASE)

    def wait(self) -> None:
        """Wait for the broker.

        Raises: Trouble if it does not come up, or another one's management does not answer.
        """
        broker = self.broker
        if broker is not None:
            with step("RabbitMQ"):
                rabbitmq.wait(broker)
        elif not self.management.answers():
            raise Trouble(
                f"The management of the broker in HIE_AMQP_URL does not answer at {self.management.url};"
                " set HIE_MANAGEMENT_URL, for users and rights are made through it."
            )

    def declare(self, facilities: Sequence[str], ingest_queues: int) -> None:
        """Make users, rights, exchanges, queues and bindings of the bus, unless nothing changed."""
        users = [topology.HUB_USER, *facilities]
        passwords = {user: self.place.secret(f"amqp.{user}") for user in users}
        admin = self.management
        passwords[admin.user] = admin.password
        wanted = topology.definitions(passwords, admin=admin.user, ingest_queues=ingest_queues)
        admin.call("POST", "definitions", wanted)
        broker = self.broker
        if broker is not None and self._has_new_queues(wanted):
            rabbitmq.settle(broker)

    def _has_new_queues(self, wanted: dict[str, list[dict[str, object]]]) -> bool:
        """Say whether queues were declared that were not there at the last time."""
        known = self.place / "rabbitmq" / "queues.json"
        names = sorted(str(queue["name"]) for queue in wanted["queues"])
        if known.exists() and json.loads(known.read_text()) == names:
            return False
        known.write_text(json.dumps(names))
        return True

    def stop(self) -> None:
        """Stop what is the region's own."""
        if self.broker is not None:
            rabbitmq.stop(self.broker)
        if self.cluster is not None:
            postgres.stop(self.cluster)

    def pids(self) -> dict[str, int]:
        """Return the real processes: postmaster and beam."""
        cluster, broker = self.cluster, self.broker
        found = {
            "postgres": postgres.running(cluster) if cluster else None,
            "rabbitmq": rabbitmq.running(broker) if broker else None,
        }
        return {name: process.pid for name, process in found.items() if process is not None}
