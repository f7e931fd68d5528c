"""The processor as one process: MLLP on the main thread, HTTP, drop folder, writer and relay on their own."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import structlog
import waitress
from flask import Flask, request
from flask import Response as FlaskResponse

from esb.blobs import seal_blob
from esb.runtime import BROKEN, exit_at_once, rest_collector
from esb.topology import RECORDS
from front_end_processor import keys
from front_end_processor.adapters.drop_folder.folder import DropFolder
from front_end_processor.adapters.fhir_rest.inlet import Inlet, Request, Response
from front_end_processor.adapters.hl7v2.mllp import Limits, Listener
from front_end_processor.cache.engine import Cache, Claim, is_current
from front_end_processor.cache.station import begin_epoch
from front_end_processor.config import Config, read_secret
from front_end_processor.console.app import create_console
from front_end_processor.console.view import Console, LinkState
from front_end_processor.normalise import profile as profiles
from front_end_processor.normalise.ids import Ids
from front_end_processor.pipeline.blobs import BlobSeal
from front_end_processor.pipeline.capture import Capture, Received
from front_end_processor.pipeline.inlet_csv import CsvInlet, csv_normaliser
from front_end_processor.pipeline.inlet_hl7 import Hl7Inlet, described, hl7_normaliser
from front_end_processor.pipeline.inlets import (
    capture_fhir,
    fhir_normaliser,
    recaller,
    refuse_fhir,
    replay,
    resolver,
)
from front_end_processor.pipeline.relay import Link
from front_end_processor.pipeline.uploads import HubClient, Uploads
from front_end_processor.pipeline.writer import Writer

HTTP_THREADS = 10
WATCH_S = 1.0
STOP_S = 2.0

log = structlog.get_logger()


class NotReady(RuntimeError):
    """The processor cannot start; the text says what to do."""


class Processor:
    """All parts of one front-end processor, wired."""

    def __init__(self, config: Config) -> None:
        """Open the cache, take the claim, begin an epoch. Raises: HieError, NotReady, BadProfile."""
        self.config = config
        ring = keys.load(config.key_dir)
        self.profile = profiles.load(config.profile or "base", config.facility, config.zone, config.name)
        self.ids = Ids(ring.id_key, config.facility)
        self.cache = Cache(config.cache_url)
        self._claim, self.epoch = self._enter()
        self.link = self._make_link(ring)
        wake: Callable[[], None] = self.link.wake if self.link else _nothing
        self.writer = Writer(self.cache, epoch=self.epoch, exchange=RECORDS, stored=wake)
        resolve = resolver(self.cache)
        self.capture = Capture(
            self.writer,
            self.ids,
            {
                "mllp": hl7_normaliser(self.profile, self.ids),
                "fhir": fhir_normaliser(self.ids, resolve, recaller(self.cache)),
                "csv": csv_normaliser(self.profile, self.ids, resolve),
            },
            describe=self._describe,
            seal_blob=self._blob_seal(ring),
        )
        self.uploads = self._make_uploads(ring, wake)
        self.hl7 = Hl7Inlet(self.capture, self.profile)
        self.folder = self._make_folder()
        self.inlet = Inlet(
            read_secret(config.token_file),
            config.max_message,
            partial(capture_fhir, self.capture),
            partial(refuse_fhir, self.capture),
        )
        self.console = Console(
            self.cache,
            config.facility,
            config.name,
            partial(replay, self.capture, self.cache),
            name_en=config.name_en,
            zone=config.zone,
            link=self._link_state,
        )
        self._http: waitress.server.BaseWSGIServer | None = None
        self._http_thread: threading.Thread | None = None

    def _enter(self) -> tuple[Claim, int]:
        """Become the one processor of the cache, with a new epoch."""
        config = self.config
        try:
            if not is_current(self.cache.engine):
                raise NotReady("The cache's tables are not those of this version; run `fep migrate`.")
            claim = Claim(self.cache.engine)
            try:
                return claim, begin_epoch(self.cache, config.facility, config.key_dir, datetime.now(UTC))
            except BaseException:
                claim.release()
                raise
        except BaseException:
            self.cache.close()
            raise

    def _make_folder(self) -> DropFolder | None:
        if self.config.inbox_dir is None:
            return None
        inlet = CsvInlet(self.capture, self.profile)
        return DropFolder(
            self.config.inbox_dir, inlet.take, inlet.set_aside, max_bytes=self.config.max_message
        )

    def _has_uploads(self, ring: keys.KeyRing) -> bool:
        config = self.config
        return bool(
            ring.hub and config.hub_url and config.client_id and read_secret(config.client_secret_file)
        )

    def _blob_seal(self, ring: keys.KeyRing) -> BlobSeal | None:
        if ring.hub is None or not self._has_uploads(ring):
            return None
        return partial(
            seal_blob, facility=self.config.facility, own=ring.own, to=ring.hub, suite=self.config.suite
        )

    def _make_uploads(self, ring: keys.KeyRing, wake: Callable[[], None]) -> Uploads | None:
        if not self._has_uploads(ring):
            return None
        config = self.config
        secret = read_secret(config.client_secret_file)
        ca_file = str(config.ca_file) if config.ca_file else None
        client = HubClient(config.hub_url, config.client_id, secret, ca_file)
        return Uploads(self.cache, client, wake=wake)

    def _describe(self, received: Received) -> Received:
        return described(received, self.profile) if received.inlet == "mllp" else received

    def _make_link(self, ring: keys.KeyRing) -> Link | None:
        if not self.config.amqp_url or ring.hub is None:
            log.warning(
                "link.off", reason="FEP_AMQP_URL or hub.public.jwks is missing; messages are kept until then"
            )
            return None
        return Link(
            self.cache,
            facility=self.config.facility,
            amqp_url=self.config.amqp_url,
            own=ring.own,
            hub=ring.hub,
            ca_file=str(self.config.ca_file) if self.config.ca_file else None,
            suite=self.config.suite,
        )

    def _link_state(self) -> LinkState | None:
        if self.link is None:
            return None
        return LinkState(self.link.publisher.is_connected, self.link.publisher.since)

    def start(self) -> None:
        """Start every thread but the MLLP listener. Raises: OSError if the HTTP port is in use."""
        self._claim.start()
        self.writer.start()
        web = create_web(self.inlet, self.console, read_secret(self.config.console_password_file))
        address = self.config.http
        self._http = waitress.create_server(
            web,
            host=address.host,
            port=address.port,
            threads=HTTP_THREADS,
            max_request_body_size=self.config.max_message * 2 + 1024 * 1024,
            clear_untrusted_proxy_headers=True,
            ident="fep",
        )
        self._http_thread = threading.Thread(target=self._http.run, name="http", daemon=True)
        self._http_thread.start()
        if self.folder is not None:
            self.folder.start()
        if self.link is not None:
            self.link.start()
        if self.uploads is not None:
            self.uploads.start()

    @property
    def http_port(self) -> int:
        """The port HTTP really listens on."""
        assert self._http is not None
        return int(self._http.effective_port)

    def broken(self) -> str:
        """Return what has ended that must not; empty while all is well."""
        if not self.writer.is_alive():
            return "writer"
        if not self._claim.is_watched():
            return "claim of the cache"
        if self._http_thread is not None and not self._http_thread.is_alive():
            return "http"
        if self.folder is not None and not self.folder.is_alive():
            return "drop folder"
        if self.uploads is not None and not self.uploads.is_alive():
            return "uploads"
        return self.link.dead_thread() if self.link else ""

    def stop(self) -> None:
        """Take nothing more, write what was taken, close."""
        if self._http is not None:
            self._http.close()
        if self.folder is not None:
            self.folder.stop()
        if self.uploads is not None:
            self.uploads.stop()
        self.writer.close()
        if self.link is not None:
            self.link.stop()
        self._claim.release()
        self.cache.close()


def _nothing() -> None:
    return None


def create_web(inlet: Inlet, console: Console, password: str) -> Flask:
    """Return the HTTP application: FHIR inlet at /fhir, console at /."""
    app = create_console(console, password)
    # `/fhir` and `/fhir/` are one address: a redirect would lose the body of many a sender.
    app.url_map.redirect_defaults = False

    @app.route("/fhir", defaults={"path": ""}, methods=["GET", "POST", "PUT", "DELETE", "PATCH"])
    @app.route("/fhir/", defaults={"path": ""}, methods=["GET", "POST", "PUT", "DELETE", "PATCH"])
    @app.route("/fhir/<path:path>", methods=["GET", "POST", "PUT", "DELETE", "PATCH"])
    def fhir(path: str) -> FlaskResponse:
        """Hand a FHIR request to the inlet."""
        query = request.query_string.decode("latin-1")
        answer: Response = inlet.handle(
            Request(
                method=request.method,
                path=f"{path}?{query}" if query and path else path,
                headers={name.lower(): value for name, value in request.headers.items()},
                body=request.get_data(cache=False),
                peer=request.remote_addr or "",
                base_url=f"{request.host_url}fhir",
            )
        )
        return FlaskResponse(answer.body, status=answer.status, headers=dict(answer.headers))

    return app


def exit_on_task(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """End the process when a task or callback of the loop broke, as when a thread did; without its text."""
    fault = context.get("exception")
    if fault is None or isinstance(fault, OSError):
        # A peer that went away, or a remark of the loop's own.
        log.warning("loop.remark", kind=type(fault).__name__ if fault else "")
        return
    log.critical("task.broke", kind=type(fault).__name__)
    traceback.print_tb(fault.__traceback__)
    os._exit(BROKEN)


async def run(processor: Processor) -> int:
    """Run until SIGTERM or SIGINT, or until a part breaks; return the exit status."""
    threading.excepthook = exit_at_once
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(exit_on_task)
    stopping = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stopping.set)
    processor.start()
    config = processor.config
    listener = Listener(
        config.mllp.host,
        config.mllp.port,
        processor.hl7.capture,
        processor.hl7.refuse,
        Limits(max_message=config.max_message),
    )
    await listener.start()
    rest_collector()
    log.info(
        "fep.started",
        facility=config.facility,
        epoch=processor.epoch,
        http=processor.http_port,
        mllp=listener.port,
    )
    status = 0
    while not stopping.is_set():
        try:
            await asyncio.wait_for(stopping.wait(), WATCH_S)
        except TimeoutError:
            if broken := processor.broken():
                log.error("fep.broken", part=broken)
                status = 1
                break
    await listener.stop(STOP_S)
    await loop.run_in_executor(None, processor.stop)
    log.info("fep.stopped")
    return status
