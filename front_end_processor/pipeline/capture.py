"""Capture: raw bytes and what they became, committed together before the sender hears anything."""

from __future__ import annotations

import hashlib
import traceback
import uuid
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import structlog

from esb.envelope import partition_of
from esb.errors import HieError, Rejected, reason_of
from esb.fhir.validation import check_resource
from esb.topology import record_route
from front_end_processor.cache.fates import Settled
from front_end_processor.cache.raw import kept
from front_end_processor.normalise.fhir_ids import id_of
from front_end_processor.normalise.ids import Ids
from front_end_processor.normalise.model import Normalised
from front_end_processor.pipeline.blobs import LARGE, BlobSeal, lift
from front_end_processor.pipeline.submission import BlobContent, OutboxEntry, Submission
from front_end_processor.pipeline.writer import Writer

MAX_WARNINGS = 50
MAX_REASON = 1000
MAX_AHEAD = timedelta(days=1)

log = structlog.get_logger()

Alias = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Received:
    """One message as it came in.

    request: what the bytes alone do not say (`PUT Patient/p1`, `laboratory`).
    sender, control_id, kind, charset: as far as the envelope around the content tells; normalising wins.
    may_reuse: whether the control id may stand over other content than it did before.
    content: the raw bytes as already read, where the inlet had to read them.
    """

    inlet: str
    raw: bytes
    peer: str = ""
    request: str = ""
    sender: str = ""
    control_id: str = ""
    kind: str = ""
    charset: str = ""
    may_reuse: bool = False
    content: object = None


@dataclass(frozen=True, slots=True)
class Made:
    """What normalising made of one message: an entry per patient, and names to remember.

    checked: the resources were validated as they came, before ids were given. answers: what the sender is
    told of each part, where the inlet tells it.
    """

    entries: Sequence[Normalised]
    aliases: Sequence[Alias] = ()
    checked: bool = False
    answers: Sequence[tuple[str, str]] = ()


Normalise = Callable[[Received], Made]


@dataclass(frozen=True, slots=True)
class Captured:
    """A message on its way: the future of its fate, what it became, or why it could not become anything."""

    settled: Future[Settled]
    made: Made | None
    refusal: HieError | None


class Capture:
    """Takes messages of every inlet; safe to call from any thread, order follows the calls."""

    def __init__(
        self,
        writer: Writer,
        ids: Ids,
        normalisers: dict[str, Normalise],
        *,
        describe: Callable[[Received], Received] = lambda received: received,
        seal_blob: BlobSeal | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Prepare it.

        Args:
            normalisers: by inlet. describe: adds what the header of a refused message still tells.
            seal_blob: seals large contents for the hub; without it they travel inside the envelope.
        """
        self._writer = writer
        self._ids = ids
        self._normalisers = normalisers
        self._describe = describe
        self._seal_blob = seal_blob
        self._clock = clock

    def take(
        self, received: Received, *, replaces: int | None = None, keeps_refused: bool = True
    ) -> Captured:
        """Normalise a message and submit it for writing, refused or not.

        Raises: NotStored if the local database does not take more at the moment; the refusal, unless refused
            messages are kept.
        """
        now = self._clock()
        content_hash = hash_of(received, len(received.raw))
        refusal: HieError | None = None
        made: Made | None = None
        entries: list[OutboxEntry] = []
        blobs: list[BlobContent] = []
        try:
            made = self._normalisers[received.inlet](received)
            for normalised in made.entries:
                entries.append(self._entry(normalised, blobs, made.checked, now))
        except Rejected as fault:
            refusal = fault
        except Exception as fault:  # noqa: BLE001 - a bug in a mapping must not lose the message
            log.error("capture.mapping_failed", inlet=received.inlet, kind=received.kind, at=place_of(fault))
            name = type(fault).__name__
            refusal = Rejected(f"This processor could not map the message ({name}); it is kept for replay.")
        if refusal is not None and not keeps_refused:
            raise refusal
        if refusal is not None:
            made, entries, blobs = None, [], []
            received = self._describe(received)
        submission = Submission(
            row=self._row(received, made, content_hash, now, entries),
            refusal=reason_of(refusal)[:MAX_REASON] if refusal else "",
            entries=entries,
            aliases=made.aliases if made else (),
            blobs=blobs,
            may_reuse=received.may_reuse,
            replaces=replaces,
        )
        return Captured(self._writer.submit(submission), made, refusal)

    def refuse(
        self, received: Received, fault: HieError, size: int, *, is_whole: bool = True
    ) -> Future[Settled]:
        """Submit the note of what could not even be read as a message (over the size limit, half a frame).

        Args:
            size: of what was sent; more than `raw` where the rest was dropped.
            is_whole: whether the bytes may be a message; a stump is kept to be read, never to be replayed.
        Raises: NotStored if the local database does not take more at the moment.
        """
        now = self._clock()
        row = self._row(received, None, hash_of(received, size), now, ())
        row = {**row, "size": size, "is_whole": is_whole}
        if not is_whole:
            row["raw"] = received.raw  # see as_received()
        return self._writer.submit(Submission(row=row, refusal=reason_of(fault)[:MAX_REASON]))

    def _entry(
        self, normalised: Normalised, blobs: list[BlobContent], checked: bool, now: datetime
    ) -> OutboxEntry:
        body = normalised.bundle
        if not checked and normalised.resources:
            check_resources(normalised.resources)
        elif not checked:
            check_bundle(body)
        needs: tuple[str, ...] = ()
        if self._seal_blob is not None and len(body) > LARGE:
            body, found = lift(body, self._seal_blob)
            blobs += found
            needs = tuple({content.hash for content in found})
        partition = partition_of(self._patient_id(normalised))
        route = record_route(self._ids.facility, partition)
        # A clock far ahead would keep every later correction out of the record.
        source_at = normalised.source_at if normalised.source_at < now + MAX_AHEAD else now
        return OutboxEntry(route, normalised.kind, source_at, body, needs)

    def _patient_id(self, normalised: Normalised) -> str:
        return id_of("Patient", normalised.patient_key, self._ids) if normalised.patient_key else ""

    def _row(
        self,
        received: Received,
        made: Made | None,
        content_hash: bytes,
        now: datetime,
        entries: Sequence[OutboxEntry],
    ) -> dict[str, object]:
        first = made.entries[0] if made and made.entries else None
        if first is not None:
            received = replace(
                received,
                sender=first.sender or received.sender,
                control_id=first.control_id or received.control_id,
                kind=first.kind if len(entries) == 1 else received.kind or first.kind,
                charset=first.charset or received.charset,
            )
        one = first if len(entries) == 1 else None
        warnings = [text for normalised in (made.entries if made else ()) for text in normalised.warnings]
        return {
            "received_at": now,
            "inlet": received.inlet,
            "peer": received.peer[:120],
            "sender": _plain(received.sender)[:200],
            # Without a control id a refused content stands for itself, and an accepted one is new each time.
            "control_id": _plain(received.control_id)[:200]
            or (f"sha256:{content_hash.hex()[:32]}" if made is None else f"auto:{uuid.uuid4()}"),
            "content_hash": content_hash,
            "kind": _plain(received.kind)[:64],
            "charset": received.charset[:32],
            "request": _plain(received.request)[:300],
            "source_at": max((entry.source_at for entry in entries), default=None),
            "partition": int(entries[0].route.rpartition(".")[2]) if one else None,
            "patient_key": self._patient_id(one) or None if one else None,
            "size": len(received.raw),
            "raw": kept(received.raw),
            "is_whole": True,
            "warnings": orjson.dumps(list(dict.fromkeys(warnings))[:MAX_WARNINGS]).decode(),
            "resources": sum(normalised.bundle.count(b'"request":{') for normalised in made.entries)
            if made
            else 0,
        }


def check_resources(resources: Iterable[dict[str, Any]]) -> None:
    """Check each produced resource. Raises: NotValid with the element and the rule, no value."""
    for resource in resources:
        check_resource(resource, resource["resourceType"])


def check_bundle(body: bytes) -> None:
    """Check each resource of a produced Bundle. Raises: NotValid as `check_resources`."""
    entries = orjson.loads(body).get("entry", ())
    check_resources(entry["resource"] for entry in entries if "resource" in entry)


def hash_of(received: Received, size: int) -> bytes:
    """Return the hash by which a content is known again: of what was asked, the bytes, and those dropped."""
    digest = hashlib.sha256(received.raw)
    if received.request:
        digest.update(b"\n" + received.request.encode("utf-8", "replace"))
    if size != len(received.raw):
        digest.update(b"\n%d" % size)
    return digest.digest()


def place_of(fault: BaseException) -> str:
    """Return class, file and line of a fault; its text may hold a patient's data and is left out."""
    last = traceback.extract_tb(fault.__traceback__)[-1:]
    where = f" {last[0].filename.rpartition('/')[2]}:{last[0].lineno}" if last else ""
    return f"{type(fault).__name__}{where}"


def _plain(text: str) -> str:
    """Return a text as every database keeps it: a name that is no UTF-8 has halves of characters in it."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()
