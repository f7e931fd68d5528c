"""Serves the web application by Granian: a few processes, a few threads each (docs/decisions/0005)."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable
from typing import Any

from granian import Granian
from granian.constants import HTTPModes, Interfaces, RuntimeModes
from granian.http import HTTP1Settings
from granian.log import LogLevels

from esb.runtime import rest_collector
from hie.app import create_app
from hie.config import Config

PR_SET_PDEATHSIG = 1
HEAD_BYTES = 64 * 1024
HEAD_WITHIN_MS = 30_000
STOP_WITHIN_S = 20
LEVELS = {"DEBUG": LogLevels.debug, "INFO": LogLevels.info, "ERROR": LogLevels.error}


def serve(config: Config) -> None:
    """Serve until told to stop; a worker that died is started again."""
    host, _, port = config.http.rpartition(":")
    # Made before the workers are forked: they share its memory, and it has not connected to anything yet.
    app = create_app(config)
    master = os.getpid()

    def load() -> Callable[..., Any]:
        die_with(master)
        rest_collector()
        return app

    Granian(
        "hie",
        address=host,
        port=int(port),
        interface=Interfaces.WSGI,
        workers=config.web_workers,
        blocking_threads=config.web_threads,
        runtime_mode=RuntimeModes.st,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=HEAD_WITHIN_MS, max_buffer_size=HEAD_BYTES),
        websockets=False,
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_WITHIN_S,
        log_level=LEVELS.get(config.log_level, LogLevels.warning),
    ).serve(target_loader=load, wrap_loader=False)


def die_with(master: int) -> None:
    """Ask the kernel to end this process when the master is gone, however that ended (prctl(2))."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != master:
        os._exit(1)
