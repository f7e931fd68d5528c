"""The processes of hub and hospitals: started when dead, known by name, ended together with their workers."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.stack import ports, processes
from deploy.stack.errors import Trouble
from deploy.stack.place import Place
from deploy.stack.processes import Process


@dataclass(frozen=True, slots=True)
class Service:
    """One process of ours: how to start it, where it listens, how to see that it works."""

    name: str
    command: tuple[str, ...]
    settings: Mapping[str, str]
    ports: Mapping[str, int] = field(default_factory=dict)
    is_ready: Callable[[], bool] = lambda: True


def console_script(name: str) -> str:
    """Return the path of a console script beside this Python."""
    return str(Path(sys.executable).parent / name)


def environment(settings: Mapping[str, str], config_file: str) -> dict[str, str]:
    """Return an environment in which settings of the caller's do not leak into the region.

    Tuning that the region itself does not set (HIE_WEB_WORKERS=4, say) passes through.
    """
    given = Path(settings[config_file]).read_text(encoding="utf-8")
    ours = {line.partition("=")[0] for line in given.splitlines()} | {"HIE_CONFIG", "FEP_CONFIG"}
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return {**kept, "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1", **settings}


def running(place: Place, name: str) -> Process | None:
    """Return the process of a service, None if it is dead."""
    return processes.recall(place.pid_file(name))


def start(place: Place, service: Service) -> bool:
    """Start a service unless it runs; say whether it was started.

    Raises: Trouble if one of its ports is taken.
    """
    if running(place, service.name) is not None:
        return False
    end(place, service.name)
    for what, port in service.ports.items():
        ports.check_free(port, what)
    config = "HIE_CONFIG" if "HIE_CONFIG" in service.settings else "FEP_CONFIG"
    process = processes.detach(
        service.command,
        log=place.log / f"{service.name}.log",
        env=environment(service.settings, config),
        cwd=place.directory,
    )
    processes.remember(place.pid_file(service.name), process)
    return True


def wait(place: Place, service: Service, *, timeout_s: float = 60) -> None:
    """Wait until a service works.

    Raises: Trouble if it ends or the time runs out.
    """

    def is_decided() -> bool:
        process = running(place, service.name)
        if process is not None:
            processes.reap(process.pid)
        return process is None or service.is_ready()

    decided = processes.wait_until(is_decided, timeout_s=timeout_s, every_s=0.1)
    log = place.log / f"{service.name}.log"
    if running(place, service.name) is None:
        raise Trouble(f"{service.name} ended while starting; {log} ends: {processes.tail(log, 3)}")
    if not decided:
        raise Trouble(f"{service.name} runs but did not become ready within {timeout_s:.0f} s; see {log}.")


def end(place: Place, name: str) -> None:
    """End a service and what is left of its workers."""
    file = place.pid_file(name)
    process = processes.last(file)
    if process is not None:
        processes.stop(process)
    file.unlink(missing_ok=True)


def names(place: Place) -> list[str]:
    """Return the names of the services that were started here, living or dead."""
    return sorted(file.stem for file in (place / "run").glob("*.json"))
