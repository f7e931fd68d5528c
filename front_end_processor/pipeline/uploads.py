"""Uploads large contents to the hub, and makes the outbox rows that waited for them eligible."""

from __future__ import annotations

import base64
import http.client
import random
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import orjson
import structlog
from sqlalchemy import func, select, update
from sqlalchemy.exc import OperationalError

from front_end_processor.cache.engine import Cache
from front_end_processor.cache.tables import blob, blob_need, outbox

POLL_S = 1.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
TIMEOUT_S = 60.0
EARLY_S = 60.0
# A content that the hub refused is tried again after a minute, then ever more seldom.
REFUSED_PAUSE_S, LONGEST_REFUSED_PAUSE_S = 60.0, 3600.0
# These say something about the hub, or about us, and nothing about the content.
NOT_THE_CONTENT = {401, 403, 408, 429}

log = structlog.get_logger()


class HubAway(Exception):
    """The hub does not take contents at the moment, or not from us."""

    def __init__(self, reason: str, status: int = 0) -> None:
        super().__init__(reason)
        self.status = status


class ContentRefused(Exception):
    """The hub does not take this one content."""


class HubClient:
    """Speaks to the hub by HTTP with the processor's own client credentials."""

    def __init__(self, base_url: str, client_id: str, secret: str, ca_file: str | None = None) -> None:
        self._base_url = base_url
        self._basic = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
        self._context = ssl.create_default_context(cafile=ca_file) if base_url.startswith("https") else None
        self._token = ""
        self._until = 0.0

    def put_blob(self, name: str, sealed: bytes) -> None:
        """Upload a sealed content. Raises: HubAway; ContentRefused if others may fare better."""
        headers = {"Authorization": f"Bearer {self._bearer()}", "Content-Type": "application/jose"}
        try:
            self._send("PUT", f"/blobs/{name}", sealed, headers)
        except HubAway as fault:
            if 400 <= fault.status < 500 and fault.status not in NOT_THE_CONTENT:
                raise ContentRefused(str(fault)) from None
            raise

    def _bearer(self) -> str:
        if time.monotonic() >= self._until:
            form = urlencode({"grant_type": "client_credentials"}).encode()
            headers = {
                "Authorization": f"Basic {self._basic}",
                "Content-Type": "application/x-www-form-urlencoded",
            }
            answer = self._send("POST", "/oauth/token", form, headers)
            self._token, lasts_s = _read_token(answer)
            self._until = time.monotonic() + max(0.0, lasts_s - EARLY_S)
        return self._token

    def _send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> bytes:
        request = urllib.request.Request(f"{self._base_url}{path}", body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=self._context) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as fault:
            fault.close()
            self._until = 0.0  # the token may be the reason
            raise HubAway(f"HTTP {fault.code}", fault.code) from None
        except (OSError, ValueError, http.client.HTTPException) as fault:
            raise HubAway(type(getattr(fault, "reason", fault)).__name__) from None


def _read_token(answer: bytes) -> tuple[str, float]:
    """Return a token and how many seconds it lasts. Raises: HubAway if the answer is not the hub's."""
    try:
        read = orjson.loads(answer)
        return str(read["access_token"]), float(read.get("expires_in", 300))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise HubAway("the answer holds no token; check FEP_HUB_URL") from None


class Uploads:
    """The thread that uploads; contents wait in the cache as long as the hub is away."""

    def __init__(self, cache: Cache, client: HubClient, *, wake: Callable[[], None]) -> None:
        """Prepare it. wake: called when outbox rows have become eligible."""
        self._cache = cache
        self._client = client
        self._wake = wake
        self._not_before: dict[str, float] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="uploads", daemon=True)

    def start(self) -> None:
        """Begin to upload."""
        self._thread.start()

    def is_alive(self) -> bool:
        """Return whether the thread runs."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """End after the upload under way, or before it."""
        self._stopping.set()

    def upload_once(self) -> int:
        """Upload what waits, oldest first, what was refused last; return how many contents the hub took.

        Raises: HubAway.
        """
        done = 0
        while not self._stopping.is_set() and (row := self._next()) is not None:
            try:
                self._client.put_blob(row.hash, row.content)
            except ContentRefused as fault:
                self._put_off(row.hash, row.attempts, str(fault))
                continue
            self._mark(row.hash)
            done += 1
        return done

    def _next(self) -> Any:
        """Return a content that is to be tried now."""
        now = time.monotonic()
        self._not_before = {name: at for name, at in self._not_before.items() if at > now}
        with self._cache.reading() as connection:
            waiting = select(blob.c.hash).where(blob.c.uploaded_at.is_(None))
            first = waiting.where(blob.c.hash.not_in(self._not_before)).order_by(
                blob.c.attempts, blob.c.created_at
            )
            found = select(blob.c.hash, blob.c.attempts, blob.c.content).where(
                blob.c.hash == first.limit(1).scalar_subquery()
            )
            return connection.execute(found).first()

    def _put_off(self, name: str, attempts: int, cause: str) -> None:
        """Note that the hub refused a content, where an engineer sees it, and try it again later."""
        pause_s = min(REFUSED_PAUSE_S * 2 ** min(attempts, 10), LONGEST_REFUSED_PAUSE_S)
        self._not_before[name] = time.monotonic() + pause_s
        log.error("uploads.content_refused", blob=name, reason=cause, attempts=attempts + 1)
        reason = f"The hub refuses a large content of this message ({cause}); it is tried again."
        with self._cache.writing() as connection:
            connection.execute(update(blob).where(blob.c.hash == name).values(attempts=attempts + 1))
            needing = select(blob_need.c.seq).where(blob_need.c.hash == name)
            connection.execute(update(outbox).where(outbox.c.seq.in_(needing)).values(reason=reason))

    def _mark(self, name: str) -> None:
        """Note that the hub has a content; free its space; let go the rows that need nothing more."""
        with self._cache.writing() as connection:
            now = datetime.now(UTC)
            connection.execute(update(blob).where(blob.c.hash == name).values(uploaded_at=now, content=b""))
            waiting = select(blob_need.c.seq).join(blob, blob.c.hash == blob_need.c.hash)
            still = waiting.where(blob.c.uploaded_at.is_(None))
            mine = select(blob_need.c.seq).where(blob_need.c.hash == name, blob_need.c.seq.not_in(still))
            connection.execute(update(outbox).where(outbox.c.seq.in_(mine)).values(eligible=1, reason=None))
        self._wake()

    def waiting(self) -> int:
        """Return how many contents wait."""
        with self._cache.reading() as connection:
            query = select(func.count()).select_from(blob).where(blob.c.uploaded_at.is_(None))
            return int(connection.scalar(query) or 0)

    def _run(self) -> None:
        pause_s = POLL_S
        while not self._stopping.wait(pause_s):
            try:
                self.upload_once()
                pause_s = POLL_S
            except HubAway as fault:
                pause_s = min(max(pause_s * 2, FIRST_PAUSE_S), LONGEST_PAUSE_S) * random.uniform(0.5, 1.0)
                log.warning("uploads.hub_away", reason=str(fault))
            except OperationalError:
                log.warning("uploads.database_away")
