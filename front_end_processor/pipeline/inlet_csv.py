"""The drop folder's capture function: a file in parts, each on disk; bad rows set aside, others go on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from esb.errors import Rejected, reason_of
from front_end_processor.adapters.drop_folder.folder import Taken
from front_end_processor.normalise.csv import SENDER, halves, normalise_csv, parts, text_of
from front_end_processor.normalise.csv_rows import (
    BadRow,
    Extract,
    Row,
    delimiter_of,
    kind_of,
    own_charset,
    read,
)
from front_end_processor.normalise.fhir_ids import Resolve
from front_end_processor.normalise.ids import Ids
from front_end_processor.normalise.profile import Profile
from front_end_processor.pipeline.capture import Capture, Captured, Made, Received
from front_end_processor.pipeline.inlets import fate_of, wait

MAX_REASONS = 20


def csv_normaliser(profile: Profile, ids: Ids, resolve: Resolve) -> Callable[[Received], Made]:
    """Return how (part of) a CSV file is normalised; its `request` is the file's name."""

    def normalise(received: Received) -> Made:
        extract = received.content
        if not isinstance(extract, Extract):
            extract = read(received.raw, kind_of(received.request), profile)
        made = normalise_csv(
            extract, profile, ids, resolve, control_id=received.control_id, now=datetime.now(UTC)
        )
        return Made(made.entries, made.aliases)

    return normalise


class CsvInlet:
    """What the drop folder calls for each complete file."""

    def __init__(self, capture: Capture, profile: Profile) -> None:
        self._capture = capture
        self._profile = profile

    def take(self, name: str, raw: bytes) -> Taken:
        """Capture a file; return what was wrong with it, if anything.

        Raises: WrongFile or Unfinished, before anything is kept, if it cannot be taken or ends in the middle
            of a row; NotStored if the local database takes nothing at the moment.
        """
        extract = read(raw, kind_of(name), self._profile)
        now = datetime.now(UTC)
        rows = 0
        for place, part in enumerate(parts(extract, now), 1):
            rows += self._take_part(f"{name}#{place}", name, part, extract.bad, now)
        if not extract.bad:
            return Taken(rows)
        rejected = Extract(extract.kind, extract.charset, extract.header, bad=extract.bad)
        wait(self._submit(name, f"{name}#rejected", rejected))
        return Taken(rows, _rejected_file(extract, self._profile), _reasons(extract, rows))

    def _take_part(self, control_id: str, name: str, part: Extract, bad: list[BadRow], now: datetime) -> int:
        """Capture rows and return how many; of what is refused, only the entry at fault becomes bad."""
        try:
            captured = self._submit(name, control_id, part, keeps_refused=False)
        except Rejected as fault:
            smaller = halves(part, now)
            if not smaller:
                bad += [_as_bad(row, reason_of(fault)) for row in part.rows]
            # One after the other: a later row may build on what an earlier one left.
            return sum(
                self._take_part(f"{control_id}{half}", name, each, bad, now)
                for half, each in zip("ab", smaller, strict=False)
            )
        try:
            wait(captured)
        except Rejected as fault:
            bad += [_as_bad(row, fault.text) for row in part.rows]
            return 0
        return len(part.rows)

    def set_aside(self, name: str, raw: bytes, reason: str, size: int) -> None:
        """Keep a file that cannot be taken, with the reason, for the console."""
        received = self._received(name, f"{name}#whole", raw, None)
        fate_of(self._capture.refuse(received, Rejected(reason), size))

    def _submit(self, name: str, control_id: str, part: Extract, *, keeps_refused: bool = True) -> Captured:
        received = self._received(name, control_id, text_of(part), part)
        return self._capture.take(received, keeps_refused=keeps_refused)

    def _received(self, name: str, control_id: str, raw: bytes, content: Extract | None) -> Received:
        return Received(
            inlet="csv",
            raw=raw,
            request=name,
            sender=SENDER,
            control_id=control_id,
            kind=f"CSV {content.kind}" if content else "CSV",
            charset=content.charset if content else "",
            may_reuse=True,
            content=content,
        )


def _as_bad(row: Row, reason: str) -> BadRow:
    return BadRow(row.line, row.text, reason)


def _rejected_file(extract: Extract, profile: Profile) -> bytes:
    """Return the rejected rows as a file to correct: the header, each row, its reason in a last column."""
    delimiter = delimiter_of(profile)
    # Line ends alone: where fields are parted by tabs, empty last fields are white space too.
    rows = [extract.header.rstrip("\r\n"), *(bad.text.rstrip("\r\n") for bad in extract.bad)]
    # Rows in ASCII say nothing about the character set that the hospital reads the reasons in.
    charset = own_charset(profile) if all(row.isascii() for row in rows) else extract.charset
    reasons = ["reason", *(_quoted(f"line {bad.line}: {bad.reason}") for bad in extract.bad)]
    lines = (f"{row}{delimiter}{reason}\r\n" for row, reason in zip(rows, reasons, strict=True))
    return "".join(lines).encode(charset, "replace")


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _reasons(extract: Extract, taken: int) -> str:
    shown = [f"line {bad.line}: {bad.reason}" for bad in extract.bad[:MAX_REASONS]]
    more = len(extract.bad) - len(shown)
    others = ", the other rows were" if taken > 1 else ", the other row was" if taken else ""
    head = f"{len(extract.bad)} rows were not taken{others}. Correct them and send them again."
    if len(extract.bad) == 1:
        head = f"1 row was not taken{others}. Correct it and send it again."
    return "\n".join([head, *shown, *([f"and {more} more"] if more > 0 else [])])
