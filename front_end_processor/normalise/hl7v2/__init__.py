"""HL7 v2 -> FHIR R4: one message, one transaction Bundle (after HL7's guide, with Chinese practice)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import orjson

from esb.fhir import bundles, lexemes
from front_end_processor.adapters.hl7v2 import charset, er7
from front_end_processor.adapters.hl7v2.errors import (
    EVENT_CODE,
    FIELD_MISSING,
    MESSAGE_TYPE,
    SEGMENT_SEQUENCE,
    VERSION_ID,
    Unreadable,
    Unusable,
)
from front_end_processor.normalise.hl7v2 import encounter, patient
from front_end_processor.normalise.hl7v2.context import Context, Resource
from front_end_processor.normalise.hl7v2.triggers import STEPS, TRIGGERS
from front_end_processor.normalise.ids import Ids
from front_end_processor.normalise.model import Normalised
from front_end_processor.normalise.profile import Profile

_CLOCK_TOLERANCE = timedelta(hours=24)
_TYPES = frozenset(name.partition("^")[0] for name in TRIGGERS)


def normalise_hl7(raw: bytes, profile: Profile, ids: Ids, *, now: datetime | None = None) -> Normalised:
    """Return what a message says as a transaction Bundle.

    Args: now: when it was received; the source time of a message that gives none.
    Raises: Unreadable (AR) if it cannot be read or its kind is not taken; Unusable (AE) if it lacks
    what is needed to keep it.
    """
    received = now or datetime.now(UTC)
    decoded = charset.decode(raw, profile.default_charset)
    has_controls = er7.has_controls(raw)
    text = er7.without_controls(decoded.text) if has_controls else decoded.text
    message = er7.Message(text, decoded.charset)
    kind = check_kind(message, profile)
    ctx = Context(message, profile, ids, kind)
    ctx.needs_visit = TRIGGERS[kind].needs_visit
    if decoded.warning:
        ctx.warn(decoded.warning)
    if has_controls:
        ctx.warn("control characters are replaced by blanks")
    patient.read_subject(ctx)
    encounter.read_visit(ctx)
    source_at = _source_time(ctx, received)
    for step in TRIGGERS[kind].steps:
        STEPS[step].run(ctx)
    bundle, is_plain = _write(ctx.entries)
    return Normalised(
        kind=kind,
        sender=message.msh.get(3),
        control_id=message.msh.get(10),
        source_at=source_at,
        patient_key=ctx.patient_key,
        bundle=bundle,
        charset=decoded.charset,
        warnings=tuple(ctx.warnings),
        resources=[entry["resource"] for entry in ctx.entries] if is_plain else (),
    )


def _write(entries: list[Resource]) -> tuple[bytes, bool]:
    """Return the transaction of the entries, and whether the validator knows the types of all its numbers.

    Raises: Malformed as `lexemes.dumps`.
    """
    bundle = bundles.transaction(entries)
    is_plain = True

    def number(value: object) -> orjson.Fragment:
        nonlocal is_plain
        if not isinstance(value, Decimal):
            raise TypeError
        is_plain = is_plain and type(value) is Decimal
        return orjson.Fragment(str(value))

    try:
        return orjson.dumps(bundle, number), is_plain
    except TypeError:
        return lexemes.dumps(bundle), False


def check_kind(message: er7.Message, profile: Profile) -> str:
    """Return the trigger (`ADT^A01`). Raises: Unreadable if it, its version or its header is not taken."""
    msh = message.msh
    if sum(segment.name == "MSH" for segment in message.segments) > 1:
        raise Unreadable(
            "There is a second MSH segment; send one message per frame.",
            condition=SEGMENT_SEQUENCE,
            location="MSH^2",
        )
    type_, event = msh.get(9, 1).upper(), msh.get(9, 2).upper()
    if not event and "_" in type_:  # some write ADT_A01 instead of ADT^A01
        type_, _, event = type_.partition("_")
    if not event:
        evn = message.first("EVN")
        event = evn.get(1).upper() if evn else ""
    if not type_:
        raise Unreadable("MSH-9 is empty.", condition=FIELD_MISSING, location="MSH^1^9")
    kind = f"{type_}^{event}"
    if type_ not in _TYPES:
        raise Unreadable(
            f"Messages of type {_safe(type_)} are not taken.", condition=MESSAGE_TYPE, location="MSH^1^9^1"
        )
    if kind not in TRIGGERS or kind in (profile.hl7v2.get("refused") or ()):
        raise Unreadable(f"The event {_safe(kind)} is not taken.", condition=EVENT_CODE, location="MSH^1^9^2")
    version = msh.get(12)
    if version and version not in profile.hl7v2["versions"]:
        raise Unreadable(
            f"HL7 version {_safe(version)} is not taken.", condition=VERSION_ID, location="MSH^1^12"
        )
    if not msh.get(10):
        raise Unusable(
            "MSH-10 is empty; a message needs a control id.", condition=FIELD_MISSING, location="MSH^1^10"
        )
    return kind


def _safe(code: str) -> str:
    """Return a code of the header for an error text: short, plain."""
    return "".join(c for c in code if c.isalnum() or c in "^._")[:20] or "without a name"


def _source_time(ctx: Context, received: datetime) -> datetime:
    """Return the instant of the source system: MSH-7, EVN-2, else when it was received.

    A clock that is a day ahead would win over every later message; then the time of receipt counts.
    """
    evn = ctx.message.first("EVN")
    for segment, field in ((ctx.message.msh, 7), (evn, 2)):
        sent = segment.get(field) if segment is not None else ""
        found = ctx.moment(sent, f"{segment.name}-{field}") if segment is not None and sent else None
        if found is None or found.instant is None:
            continue
        if found.instant > received + _CLOCK_TOLERANCE:
            ctx.warn("MSH-7, EVN-2: more than a day ahead, left out")
            continue
        return found.instant
    ctx.warn("MSH-7: no time of the message, time of receipt taken")
    return received
