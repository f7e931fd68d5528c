"""Brings a region up, says how it is, takes it down: `deploy/region up|status|down --dir DIR`."""

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from deploy.stack import region_file, services, several
from deploy.stack.errors import Trouble
from deploy.stack.hospitals import Hospital, hospitals
from deploy.stack.hub import QUEUES, Hub
from deploy.stack.place import MOST_HOSPITALS, Place, Plan
from deploy.stack.progress import say, step
from deploy.stack.servers import Servers
from deploy.stack.services import Service
from esb import topology

SAMPLE = "sample"


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

    def _own_servers(self) -> list[str]:
        own = {"postgres": self.servers.cluster, "rabbitmq": self.servers.broker}
        return [name for name, server in own.items() if server is not None]

    def _prepare(self) -> None:
        """Make settings, keys, tables and accounts; all of it is harmless when repeated."""
        log = self.place.log / "prepare.log"
        self.hub.configure(
            self.servers.database_url, self.servers.amqp_url(topology.HUB_USER), self.servers.ca
        )
        for member in self.members:
            url = self.servers.amqp_url(member.code, tls=True)
            member.configure(url, self.servers.ca, self.hub.url)
        commands = [self.hub.command("keys", "init"), self.hub.command("migrate")]
        commands += [member.command("keys", "init") for member in self.members]
        several.run(commands, log)
        for member in self.members:
            member.trust(self.hub.public_keys)
        tables = [member.command("migrate") for member in self.members]
        codes = self.hub.command("terminology", "load", "base")
        several.run([*tables, codes, *self.hub.accounts(self.members)], log)

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
        with step("Stopping hub and front-end processors"):
            names = services.names(self.place)
            # All are asked before the first is waited for.
            for name in names:
                process = services.running(self.place, name)
                if process is not None:
                    process.signal(signal.SIGTERM)
            for name in names:
                services.end(self.place, name)
        with step("Stopping RabbitMQ and PostgreSQL"):
            self.servers.stop()

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
        plan = Plan(
            port_base=18000 if port_base is None else port_base,
            hospitals=5 if hospitals_wanted is None else hospitals_wanted,
            database_url=os.environ.get("HIE_DATABASE_URL", ""),
            amqp_url=os.environ.get("HIE_AMQP_URL", ""),
            management_url=os.environ.get("HIE_MANAGEMENT_URL", ""),
        )
    else:
        if port_base not in (None, plan.port_base):
            say(f"This region keeps its ports (from {plan.port_base}); for others choose another --dir.")
        plan = replace(plan, hospitals=max(plan.hospitals, hospitals_wanted or 0))
    _check(plan)
    place.make()
    place.remember_plan(plan)
    return Region(place, plan)


def _check(plan: Plan) -> None:
    if not 1 <= plan.hospitals <= MOST_HOSPITALS:
        raise Trouble(f"--hospitals must be between 1 and {MOST_HOSPITALS}, for a region has 100 ports.")
    if not 1024 <= plan.port_base <= 65535 - 200:
        raise Trouble("--port-base must be between 1024 and 65335.")


def statuses(region: Region) -> Sequence[tuple[str, int | None]]:
    """Return every process that should live, with its pid or None."""
    pids = region.pids()
    return [(name, pids.get(name)) for name in region.expected()]
