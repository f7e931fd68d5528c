"""HL7 v2 acknowledgements: original mode AA/AE/AR, enhanced mode CA/CE/CR (HL7 v2.8 ch. 2.9).

An acknowledgement is written from the header alone, however broken the rest of the message is, in the
sender's character set, version and delimiters, with sender and receiver swapped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from front_end_processor.adapters.hl7v2 import charset, er7
from front_end_processor.adapters.hl7v2.errors import CONDITIONS, Unreadable

_COMMIT = {"AA": "CA", "AE": "CE", "AR": "CR"}
_FROM_2_5 = re.compile(r"2\.(?:[5-9]|\d\d)")
# MSH-15, MSH-16: which outcomes an acknowledgement is wanted for (HL7 table 0155)
_WANTED = {
    "AL": frozenset(_COMMIT),
    "ER": frozenset(("AE", "AR")),
    "SU": frozenset(("AA",)),
}
_EMPTY_HEADER = "MSH|^~\\&|||||||||P|2.3.1"


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back. code: AA, AE, AR, CA, CE or CR."""

    raw: bytes
    code: str


@dataclass(frozen=True, slots=True)
class Fault:
    """One finding for an ERR segment: code of table 0357, what to do, and the place as `PID^1^3`."""

    condition: str
    text: str
    location: str = ""


def header(raw: bytes, default_charset: str) -> tuple[er7.Message, str]:
    """Return the header of a message and its character set, however broken the rest is.

    Where there is no readable header, an empty one: it can still be answered.
    """
    first = charset.header_of(raw)
    try:
        decoded = charset.decode(first, default_charset)
        return er7.Message(decoded.text, decoded.charset), decoded.charset
    except Unreadable:
        pass
    try:
        text = first.decode(charset.codec_of(default_charset) or "utf-8", "replace")
        return er7.Message(text), charset.codec_of(default_charset) or "utf-8"
    except Unreadable:
        return er7.Message(_EMPTY_HEADER), "utf-8"


def acknowledge(
    raw: bytes,
    code: str,
    text: str = "",
    *,
    faults: Sequence[Fault] = (),
    default_charset: str = "UTF-8",
    facility: str = "",
    number: str = "",
    now: datetime,
) -> Answer:
    """Return the acknowledgement of a message.

    Args: code: AA kept, AE cannot be kept as it is, AR not read or not taken; becomes CA, CE, CR in
    enhanced mode (MSH-15). text: for MSA-3, no patient data. number: own control id.
    facility: our MSH-3 where the sender named no receiver. now: aware, in the hospital's zone.
    """
    message, codec = header(raw, default_charset)
    msh = message.msh
    seps = message.seps
    code = _in_mode(code, msh.get(15).upper(), msh.get(16).upper())
    version = msh.get(12) or "2.3.1"
    event = msh.get(9, 2)
    newer = _FROM_2_5.match(version) is not None
    kind = [part for part in ("ACK", event, "ACK" if event and newer else "") if part]
    raw_fields = [msh.raw(5) or facility, msh.raw(6), msh.raw(3), msh.raw(4)]
    sent_charset = msh.raw(18)
    head = [
        seps.component + seps.repeat + seps.escape + seps.sub + seps.truncation,
        *raw_fields,
        now.strftime("%Y%m%d%H%M%S%z"),
        "",
        seps.component.join(kind),
        er7.escape(number or now.strftime("%Y%m%d%H%M%S%f"), seps),
        msh.raw(11) or "P",
        version,
        *([""] * 5),
        sent_charset,
    ]
    lines = [seps.field.join(["MSH", *head]).rstrip(seps.field).replace("\0", "")]
    lines.append(seps.field.join(["MSA", code, msh.raw(10), er7.escape(text[:200], seps)]).rstrip(seps.field))
    if newer:
        lines += [_err(fault, seps) for fault in faults]
    elif faults:
        lines.append(_old_err(faults[0], seps))
    return Answer(
        charset.encode("\r".join(lines) + "\r", codec if sent_charset else _answer_codec(codec)), code
    )


def _in_mode(code: str, accept: str, application: str) -> str:
    """Return the code as the sender's mode asks: the accept form where MSH-15 wants one for this outcome.

    A frame is never left without an answer, not even for NE: MLLP senders wait for one.
    """
    if not accept or code in _WANTED.get(accept, ()):
        return _COMMIT[code] if accept else code
    return code if code in _WANTED.get(application, ()) else _COMMIT[code]


def _answer_codec(codec: str) -> str:
    """Return what to answer in where MSH-18 was empty: what the header was read in."""
    return "utf-8" if codec == "ascii" else codec


def _err(fault: Fault, seps: er7.Separators) -> str:
    """Return an ERR segment of v2.5 and later: place, code, severity, text for the user."""
    location = seps.component.join(er7.escape(part, seps) for part in fault.location.split("^"))
    condition = seps.component.join(
        (fault.condition, er7.escape(CONDITIONS.get(fault.condition, ""), seps), "HL70357")
    )
    user_text = er7.escape(fault.text[:250], seps)
    return seps.field.join(["ERR", "", location, condition, "E", "", "", "", user_text])


def _old_err(fault: Fault, seps: er7.Separators) -> str:
    """Return an ERR segment before v2.5: ERR-1 place and code."""
    place = [*fault.location.split("^"), "", "", ""][:3]
    code = seps.sub.join((fault.condition, er7.escape(CONDITIONS.get(fault.condition, ""), seps)))
    return seps.field.join(["ERR", seps.component.join([*place, code])])


def answer_to(
    raw: bytes, error: Exception, *, default_charset: str, facility: str = "", now: datetime
) -> Answer:
    """Return the negative acknowledgement that fits an error: AR or AE as it says, AE for any other."""
    code = getattr(error, "ack", "AE")
    text = getattr(error, "text", "") or "The message could not be kept; see the console."
    condition = getattr(error, "condition", "207")
    fault = Fault(condition, text, getattr(error, "location", ""))
    return acknowledge(
        raw, code, text, faults=[fault], default_charset=default_charset, facility=facility, now=now
    )
