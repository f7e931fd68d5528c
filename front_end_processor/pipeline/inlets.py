"""The capture functions the adapters are given, one per inlet, and how the content of each is normalised."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter

from sqlalchemy import or_, select

from esb.errors import Conflict, HieError, NotFound
from esb.fhir.types import RESOURCE_TYPES
from front_end_processor.adapters.fhir_rest.inlet import Kept
from front_end_processor.cache.engine import Cache
from front_end_processor.cache.fates import Settled, Verdict
from front_end_processor.cache.raw import as_received
from front_end_processor.cache.tables import SET_ASIDE, alias, message
from front_end_processor.normalise.fhir import normalise_fhir, read_control_id
from front_end_processor.normalise.fhir_ids import Recall, Resolve
from front_end_processor.normalise.ids import Ids
from front_end_processor.pipeline.capture import Capture, Captured, Made, Received
from front_end_processor.pipeline.writer import NotStored, failure

WAIT_S = 30.0
NAMES_PER_QUERY = 400
FHIR_SENDER = "fhir"


def wait(captured: Captured) -> Settled:
    """Return the fate of a message once it is on disk. Raises: NotStored if it is not."""
    return fate_of(captured.settled)


def fate_of(settled: Future[Settled]) -> Settled:
    """Return what the writer made of a message. Raises: NotStored if it is not on disk."""
    try:
        return settled.result(WAIT_S)
    except TimeoutError:
        raise NotStored from None
    except Exception as fault:  # noqa: BLE001 - told apart by `failure`
        raise failure(fault) from None


def resolver(cache: Cache) -> Resolve:
    """Return the function that finds the id of what an earlier message brought."""

    def resolve(type_: str, local: str) -> str | None:
        query = select(alias.c.resource_id).where(alias.c.type == type_, alias.c.local_id == local)
        with cache.reading() as connection:
            return connection.scalar(query)

    return resolve


def recaller(cache: Cache) -> Recall:
    """Return the function that finds the ids of many at once."""

    def recall(names: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], str]:
        found: dict[tuple[str, str], str] = {}
        wanted = sorted(names)
        with cache.reading() as connection:
            for begin in range(0, len(wanted), NAMES_PER_QUERY):
                by_type = groupby(wanted[begin : begin + NAMES_PER_QUERY], key=itemgetter(0))
                # By type: SQLite finds no index for pairs.
                query = select(alias).where(
                    or_(
                        *(
                            (alias.c.type == type_) & alias.c.local_id.in_([local for _, local in pairs])
                            for type_, pairs in by_type
                        )
                    )
                )
                found |= {(row.type, row.local_id): row.resource_id for row in connection.execute(query)}
        return found

    return recall


def fhir_normaliser(ids: Ids, resolve: Resolve, recall: Recall) -> Callable[[Received], Made]:
    """Return how a FHIR request is normalised."""

    def normalise(received: Received) -> Made:
        made = normalise_fhir(
            received.raw,
            received.request,
            ids,
            resolve,
            recall,
            sender=received.sender,
            control_id=received.control_id,
            now=datetime.now(UTC),
        )
        return Made(made.entries, made.aliases, checked=True, answers=made.answers)

    return normalise


def capture_fhir(capture: Capture, raw: bytes, request: str, control_id: str, peer: str) -> Kept:
    """Capture a FHIR request and say what it became.

    Args: control_id: as the sender gave it in a header; else a Bundle's own identifier is taken.
    Raises: HieError: the refusal, Conflict for a control id used for other content, NotStored.
    """
    is_bundle = not request.partition(" ")[2]
    received = Received(
        inlet="fhir",
        raw=raw,
        peer=peer,
        request=request,
        sender=FHIR_SENDER,
        control_id=control_id or (read_control_id(raw) if is_bundle else ""),
        kind=kind_of(request),
        charset="utf-8",
        may_reuse=not control_id,
    )
    captured = capture.take(received)
    settled = wait(captured)
    if captured.refusal is not None:
        raise captured.refusal
    if settled.fate is Verdict.SET_ASIDE:
        raise Conflict(settled.reason)
    made = captured.made
    assert made is not None
    bundle_type = made.entries[0].kind.removeprefix("Bundle ") if is_bundle else ""
    return Kept(made.answers, bundle_type)


def refuse_fhir(capture: Capture, request: str, peer: str, size: int, fault: HieError) -> None:
    """Note a FHIR request whose content was not taken in."""
    received = Received("fhir", b"", peer=peer, request=request, sender=FHIR_SENDER, kind=kind_of(request))
    fate_of(capture.refuse(received, fault, size))


def kind_of(request: str) -> str:
    """Return method and type of a FHIR request: what else is in its address may be a patient's number."""
    method, _, address = request.partition(" ")
    type_ = re.split(r"[/?]", address.strip("/"), maxsplit=1)[0] or "Bundle"
    return f"{method} {type_}" if type_ in RESOURCE_TYPES else method


def replay(capture: Capture, cache: Cache, seq: int) -> Settled:
    """Normalise a set-aside message again, as the present profile says; return its fate.

    Raises: NotFound if there is no such message; Conflict if it is not set aside or has no content.
    """
    with cache.reading() as connection:
        row = connection.execute(select(message).where(message.c.seq == seq)).first()
    if row is None:
        raise NotFound("There is no such message here.")
    if row.fate != SET_ASIDE:
        raise Conflict("This message was captured already; only a set-aside one can be replayed.")
    if not row.is_whole:
        raise Conflict("The message did not come in whole; the sender must send it again.")
    raw = as_received(row.raw, row.size)
    if not raw and row.size:
        raise Conflict("The content of this message was not taken in; the sender must send it again.")
    named = not row.control_id.startswith("sha256:")
    again = Received(
        inlet=row.inlet,
        raw=raw,
        peer=row.peer,
        request=row.request,
        sender=row.sender,
        control_id=row.control_id if named else "",
        kind=row.kind,
        charset=row.charset,
    )
    return wait(capture.take(again, replaces=seq))
