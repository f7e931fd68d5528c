"""The MLLP inlet: what comes in is submitted in order of arrival, the answer follows the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime

from esb.errors import HieError
from front_end_processor.adapters.hl7v2.ack import acknowledge, answer_to, header
from front_end_processor.adapters.hl7v2.errors import UNKNOWN_KEY, Unreadable, Unusable
from front_end_processor.adapters.hl7v2.framing import condition_of
from front_end_processor.cache.fates import Settled, Verdict
from front_end_processor.normalise.hl7v2 import normalise_hl7
from front_end_processor.normalise.ids import Ids
from front_end_processor.normalise.profile import Profile
from front_end_processor.pipeline.capture import Capture, Captured, Made, Received
from front_end_processor.pipeline.writer import NotStored, failure


def hl7_normaliser(profile: Profile, ids: Ids) -> Callable[[Received], Made]:
    """Return how an HL7 v2 message is normalised."""

    def normalise(received: Received) -> Made:
        return Made([normalise_hl7(received.raw, profile, ids, now=datetime.now(UTC))])

    return normalise


def described(received: Received, profile: Profile) -> Received:
    """Return a message that was refused with what its header still tells of it."""
    message, charset = header(received.raw, profile.default_charset)
    msh = message.msh
    kind = "^".join(part for part in (msh.get(9, 1), msh.get(9, 2)) if part)
    return replace(received, sender=msh.get(3), control_id=msh.get(10), kind=kind, charset=charset)


class Hl7Inlet:
    """What the MLLP listener calls for each frame; runs on the event loop's thread."""

    def __init__(self, capture: Capture, profile: Profile) -> None:
        self._capture = capture
        self._profile = profile
        # Many systems count MSH-10 from one again each day: by default nothing is refused for it.
        self._may_reuse = str(profile.hl7v2.get("control_id_reuse") or "accept") == "accept"

    def capture(self, raw: bytes, peer: str) -> Awaitable[bytes]:
        """Submit a message now; the awaitable gives its acknowledgement once its fate is on disk."""
        try:
            captured = self._capture.take(Received("mllp", raw, peer=peer, may_reuse=self._may_reuse))
        except NotStored as fault:
            return _ready(self._answer(raw, fault))
        return self._after(raw, captured)

    def refuse(self, raw: bytes, peer: str, reason: str, size: int) -> Awaitable[bytes]:
        """Submit the note of what is no proper frame, of a size; the awaitable gives its AR."""
        fault = Unreadable(reason, condition=condition_of(reason))
        received = described(Received("mllp", raw, peer=peer), self._profile)
        try:
            settled = self._capture.refuse(received, fault, size, is_whole=False)
        except NotStored as away:
            return _ready(self._answer(raw, away))
        return self._after_refusal(raw, fault, settled)

    async def _after(self, raw: bytes, captured: Captured) -> bytes:
        try:
            settled = await _settled(captured.settled)
        except Exception as fault:  # noqa: BLE001 - told apart by `failure`
            return self._answer(raw, failure(fault))
        if captured.refusal is not None:
            return self._answer(raw, captured.refusal)
        if settled.fate is Verdict.SET_ASIDE:
            return self._answer(raw, Unusable(settled.reason, condition=UNKNOWN_KEY, location="MSH^1^10"))
        return acknowledge(
            raw,
            "AA",
            default_charset=self._profile.default_charset,
            facility=self._profile.facility,
            now=self._now(),
        ).raw

    async def _after_refusal(self, raw: bytes, fault: HieError, settled: Future[Settled]) -> bytes:
        try:
            await _settled(settled)
        except Exception as away:  # noqa: BLE001 - told apart by `failure`
            return self._answer(raw, failure(away))
        return self._answer(raw, fault)

    def _answer(self, raw: bytes, fault: HieError) -> bytes:
        profile = self._profile
        return answer_to(
            raw, fault, default_charset=profile.default_charset, facility=profile.facility, now=self._now()
        ).raw

    def _now(self) -> datetime:
        return datetime.now(self._profile.zone)


async def _ready(answer: bytes) -> bytes:
    return answer


def _settled(future: Future[Settled]) -> asyncio.Future[Settled]:
    """Return the writer's future on this loop: who stops waiting does not cancel what the writer settles."""
    return asyncio.shield(asyncio.wrap_future(future))
