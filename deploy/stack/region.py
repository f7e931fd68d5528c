"""Brings a region up, says how it is, takes it down: `deploy/region up|status|down --dir DIR`."""

import os
import re
import signal
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from deploy.stack import ports, prepared, region_file, services, several
from deploy.stack.errors import Trouble
from deploy.stack.hospitals import Hospital, hospitals
from deploy.stack.hub import QUEUES, Hub
from deploy.stack.place import MOST_HOSPITALS, Place, Plan
from deploy.stack.processes import wait_until
from deploy.stack.progress import say, step
from deploy.stack.servers import Servers
from deploy.stack.services import Service
from esb import topology

SAMPLE = "sample"
# A consumer is renewed now and then, and is away for a moment.
LOOK_S = 2.0
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._+-]+", re.ASCII)


class Region:
    """One region on this machine: servers, hub, hospitals, and where they live."""

    def __init__(self, place: Place, plan: Plan) -> None:
        self.place = place
        self.plan = plan
        self.servers = Servers(place, plan)
        self.hub = Hub(place, plan)
        self.members: list[Hospital] = hospitals(place, plan)

    @property
    def services(self) -> list[Service]:
        """All processes of ours, in the order they start."""
        return [*self.hub.services(self.servers.management), *(member.service for member in self.members)]

    def up(self) -> dict[str, Any]:
        """Start what is dead, wait until all is ready, and return the content of region.json.

        Raises: Trouble if something does not come up; what runs by then goes on running.
        """
        dead = [one for one in self.services if services.running(self.place, one.name) is None]
        if not dead and len(self.servers.pids()) == len(self._own_servers()):
            return self._write()
        self._check_ports(dead)
        self.servers.launch()
        with step("Keys, tables and accounts"):
            self._prepare()
        self.servers.wait()
        self.servers.declare([member.code for member in self.members], QUEUES)
        with step("Hub and front-end processors"):
            for service in self.services:
                services.start(self.place, service)
            for service in self.services:
                services.wait(self.place, service)
        return self._write()

    def _check_ports(self, dead: Sequence[Service]) -> None:
        """Look at all ports before anything starts: half a region helps nobody.

        Raises: Trouble, naming ports that are taken.
        """
        wanted = self.servers.ports_wanted()
        for service in dead:
            services.end(self.place, service.name)
            wanted |= service.ports
        ports.check_all_free(wanted)

    def _own_servers(self) -> list[str]:
        own = {"postgres": self.servers.cluster, "rabbitmq": self.servers.broker}
        return [name for name, server in own.items() if server is not None]

    def _prepare(self) -> None:
        """Make settings, keys, tables and accounts, unless nothing has changed since the last time."""
        log = self.place.log / "prepare.log"
        self.hub.configure(
            self.servers.database_url, self.servers.amqp_url(topology.HUB_USER), self.servers.ca
        )
        for member in self.members:
            url = self.servers.amqp_url(member.code, tls=True)
            member.configure(url, self.servers.ca, self.hub.url)
        accounts = self.hub.accounts(self.members)
        if prepared.is_unchanged(self.place, self.servers.cluster, self.members, accounts):
            return
        commands = [self.hub.command("keys", "init"), self.hub.command("migrate")]
        commands += [member.command("keys", "init") for member in self.members]
        several.run(commands, log)
        for member in self.members:
            member.trust(self.hub.public_keys)
        tables = [member.command("migrate") for member in self.members]
        codes = self.hub.command("terminology", "load", "base")
        several.run([*tables, codes, *accounts], log)
        prepared.remember(self.place, self.servers.cluster, self.members, accounts)

    def _write(self) -> dict[str, Any]:
        content = region_file.compose(
            self.hub,
            self.members,
            database_url=self.servers.database_url,
            amqp_url=self.servers.amqp_url(),
            management_url=self.servers.management_url,
            pids=self.pids(),
            ca=self.servers.ca,
        )
        region_file.write(self.place, content)
        return content

    def pids(self) -> dict[str, int]:
        """Return the living processes by name."""
        found = {one.name: services.running(self.place, one.name) for one in self.services}
        return {**self.servers.pids(), **{name: process.pid for name, process in found.items() if process}}

    def expected(self) -> list[str]:
        """Return the names of the processes that should live."""
        return [*self._own_servers(), *(service.name for service in self.services)]

    def down(self) -> None:
        """Stop everything; data, keys and ports stay for the next time."""
        names = services.names(self.place)
        with step("Stopping hub and front-end processors") if names else nullcontext():
            # All are asked before the first is waited for.
            for name in names:
                process = services.running(self.place, name)
                if process is not None:
                    process.signal(signal.SIGTERM)
            for name in names:
                services.end(self.place, name)
        with step("Stopping RabbitMQ and PostgreSQL") if self.servers.pids() else nullcontext():
            self.servers.stop()

    def load_tables(self, directory: Path) -> None:
        """Load the insurance edition's files from a directory; those loaded already cost nothing.

        Raises: Trouble naming the log that holds the loader's sentence.
        """
        with step("Loading ICD-10 and ICD-9-CM-3"):
            load = self.hub.command("terminology", "load", "folder", str(directory.absolute()))
            several.run([load], self.place.log / "tables.log")

    def send_sample(self, people: int) -> None:
        """Let the synthetic province flow in, in a process of its own."""
        command = (sys.executable, "-P", "-m", "deploy.sample", "send")
        arguments = ("--region", str(self.place.region_file), "--people", str(people))
        settings = {"HIE_CONFIG": str(self.hub.settings_file)}
        if services.start(self.place, Service(SAMPLE, (*command, *arguments), settings)):
            say(f"The sample of {people} people flows in; follow it in {self.place.log / SAMPLE}.log.")


def open_region(directory: Path) -> Region:
    """Return the region of a directory.

    Raises: Trouble if there is none.
    """
    place = Place(directory.absolute())
    plan = place.recall_plan()
    if plan is None:
        raise Trouble(f"No region is in {directory}; make one with `deploy/region up --dir {directory}`.")
    return Region(place, plan)


def make_region(directory: Path, hospitals_wanted: int | None, port_base: int | None) -> Region:
    """Return the region of a directory, decided upon now unless it was before.

    A region keeps its ports; it may grow by hospitals, but not shrink.

    Raises: Trouble if what is asked for is impossible.
    """
    place = Place(directory.absolute())
    plan = place.recall_plan()
    if plan is None:
        _check_name(place.directory)
        plan = Plan(
            port_base=18000 if port_base is None else port_base,
            hospitals=5 if hospitals_wanted is None else hospitals_wanted,
            database_url=os.environ.get("HIE_DATABASE_URL", ""),
            amqp_url=os.environ.get("HIE_AMQP_URL", ""),
            management_url=os.environ.get("HIE_MANAGEMENT_URL", ""),
        )
    else:
        if port_base not in (None, plan.port_base) and place.region_file.exists():
            say(f"This region keeps its ports (from {plan.port_base}); for others choose another --dir.")
        elif port_base is not None:
            plan = replace(plan, port_base=port_base)
        plan = replace(plan, hospitals=max(plan.hospitals, hospitals_wanted or 0))
    _check(plan)
    place.make()
    place.remember_plan(plan)
    return Region(place, plan)


def _check_name(directory: Path) -> None:
    """Refuse a path that Erlang's scripts would take apart. Raises: Trouble."""
    odd = "".join(dict.fromkeys(PLAIN_PATH.sub("", str(directory))))
    if odd:
        raise Trouble(
            f"RabbitMQ cannot live in a path with {' '.join(map(repr, odd))};"
            " choose a --dir of letters a-z, digits and . _ + - only, e.g. /tmp/region."
        )


def _check(plan: Plan) -> None:
    if not 1 <= plan.hospitals <= MOST_HOSPITALS:
        raise Trouble(f"--hospitals must be between 1 and {MOST_HOSPITALS}, for a region has 100 ports.")
    if not 1024 <= plan.port_base <= 65535 - 200:
        raise Trouble("--port-base must be between 1024 and 65335.")


def statuses(region: Region) -> Sequence[tuple[str, int | None, bool]]:
    """Return every process that should live, with its pid or None, and whether it works."""
    pids = region.pids()
    ready = {service.name: service.is_ready for service in region.services}

    def works(name: str) -> bool:
        look = ready.get(name, lambda: region.servers.is_ready(name))
        return name in pids and wait_until(look, timeout_s=LOOK_S, every_s=0.2)

    return [(name, pids.get(name), works(name)) for name in region.expected()]
