"""HL7 v2 ER7 encoding (HL7 v2.8 chapter 2.5-2.7): a lossless, lazy reader and a small writer.

A message is cut into segments and fields at once; fields are cut further when they are asked for. Text is
unescaped after cutting, so that an escaped delimiter never becomes a delimiter. What HL7 calls null (`""`) is
told from what was not sent: `raw` keeps it, the readers of text give an empty text for both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from front_end_processor.adapters.hl7v2.errors import SEGMENT_SEQUENCE, Unreadable

NULL = '""'
_LINE_END = re.compile("\r\n|\r|\n")
_NAME = re.compile(r"[A-Z][A-Z0-9]{2}\Z")
_MARGIN = "\ufeff\x0b\x1c \t\r\n"


class Separators(NamedTuple):
    """The delimiters that MSH-1 and MSH-2 declare; truncation is empty before v2.7."""

    field: str = "|"
    component: str = "^"
    repeat: str = "~"
    escape: str = "\\"
    sub: str = "&"
    truncation: str = ""


DEFAULT = Separators()


@lru_cache(maxsize=64)
def _unescaper(seps: Separators, charset: str) -> Callable[[str], str]:
    """Return the function that replaces the escape sequences of one set of delimiters."""
    mark = re.escape(seps.escape)
    pattern = re.compile(
        mark
        + r"(?:([FSRETPHN])|\.(br|sp|sk|fi|nf|in|ti|ce)\s*([+-]?\d*)|X((?:[0-9A-Fa-f]{2})+)"
        + r"|([CM][0-9A-Fa-f]{4,6})|(Z[^\r\n"
        + mark
        + r"]*))"
        + mark,
        re.IGNORECASE,
    )
    plain = {
        "F": seps.field,
        "S": seps.component,
        "R": seps.repeat,
        "E": seps.escape,
        "T": seps.sub,
        "P": seps.truncation or "#",
        "H": "",
        "N": "",
    }

    def one(match: re.Match[str]) -> str:
        letter, command, count, hexadecimal = match.group(1, 2, 3, 4)
        if letter:
            return plain[letter.upper()]
        if command:
            times = int(count) if count.lstrip("+-").isdigit() else 1
            return {"br": "\n", "sp": "\n" * min(max(times, 1), 99), "sk": " " * min(abs(times), 99)}.get(
                command.lower(), "\n" if command.lower() == "ce" else ""
            )
        if hexadecimal:
            return bytes.fromhex(hexadecimal).decode(charset, "replace")
        return ""  # a switch of character set: the text has been decoded as a whole already; or a local one

    return lambda text: pattern.sub(one, text)


class Repeat:
    """One repetition of a field: components from 1, subcomponents from 1, as unescaped text."""

    __slots__ = ("_message", "raw", "raw_parts")

    def __init__(self, message: Message, raw: str) -> None:
        self._message = message
        self.raw = raw
        self.raw_parts = raw.split(message.seps.component)

    def __getitem__(self, component: int) -> str:
        """Return the first subcomponent of a component; empty if absent or null."""
        try:
            text = self.raw_parts[component - 1]
        except IndexError:
            return ""
        if not text:
            return ""
        seps = self._message.seps
        if seps.sub in text:
            text = text.partition(seps.sub)[0]
        if seps.escape in text or text == NULL:
            return self._message.plain(text)
        return text.strip()

    def sub(self, component: int, number: int) -> str:
        """Return a subcomponent of a component."""
        try:
            return self._message.plain(
                self.raw_parts[component - 1].split(self._message.seps.sub)[number - 1]
            )
        except IndexError:
            return ""

    def whole(self, component: int) -> str:
        """Return a component with its subcomponents as one text (a sender that forgot to escape `&`)."""
        try:
            return self._message.plain(self.raw_parts[component - 1])
        except IndexError:
            return ""

    def text(self) -> str:
        """Return the repetition as one text, unescaped, delimiters of unescaped senders kept."""
        return self._message.plain(self.raw)

    def __len__(self) -> int:
        return len(self.raw_parts)


class Segment:
    """One segment: its line as sent, and its fields numbered as the standard numbers them."""

    __slots__ = ("_message", "fields", "line", "name")

    def __init__(self, message: Message, line: str) -> None:
        self._message = message
        self.line = line
        self.name = line[:3]
        # raw fields, so that `fields[n]` is field n (MSH-1 is the delimiter itself)
        self.fields: list[str] = line.split(message.seps.field)
        if self.name == "MSH":
            self.fields.insert(1, message.seps.field)

    def raw(self, field: int) -> str:
        """Return a field as sent; empty if absent."""
        fields = self.fields
        return fields[field] if field < len(fields) else ""

    def is_null(self, field: int) -> bool:
        """Is the field sent as `""`, that is: delete what you have?"""
        return self.raw(field) == NULL

    def repeats(self, field: int) -> list[Repeat]:
        """Return the repetitions of a field that hold something."""
        fields = self.fields
        raw = fields[field] if field < len(fields) else ""
        if not raw or raw == NULL:
            return []
        message = self._message
        if message.seps.repeat in raw:
            return [Repeat(message, part) for part in raw.split(message.seps.repeat) if part]
        return [Repeat(message, raw)]

    def first(self, field: int) -> Repeat | None:
        """Return the first repetition of a field, None if there is nothing."""
        fields = self.fields
        raw = fields[field] if field < len(fields) else ""
        if not raw or raw == NULL:
            return None
        message = self._message
        if message.seps.repeat in raw:
            raw = raw.partition(message.seps.repeat)[0]
        return Repeat(message, raw)

    def get(self, field: int, component: int = 1) -> str:
        """Return one component of the first repetition as text; empty if absent or null."""
        fields = self.fields
        raw = fields[field] if field < len(fields) else ""
        if not raw:
            return ""
        message = self._message
        seps = message.seps
        if seps.repeat in raw:
            raw = raw.partition(seps.repeat)[0]
        if seps.component in raw:
            parts = raw.split(seps.component)
            raw = parts[component - 1] if component <= len(parts) else ""
        elif component != 1:
            return ""
        if seps.sub in raw:
            raw = raw.partition(seps.sub)[0]
        if seps.escape in raw or raw == NULL:
            return message.plain(raw)
        return raw.strip()

    def text(self, field: int) -> str:
        """Return a whole field as text, repetitions on lines of their own (for ST, TX and FT fields)."""
        raw = self.raw(field)
        if not raw or raw == NULL:
            return ""
        return self._message.plain(raw.replace(self._message.seps.repeat, "\n"))

    def is_truncated(self, field: int) -> bool:
        """Did the sender cut the field and say so (v2.7 truncation character)?"""
        mark = self._message.seps.truncation
        return bool(mark) and self.raw(field).endswith(mark)


class Message:
    """A message: delimiters and segments in the order sent. Raises: Unreadable if there is no MSH."""

    __slots__ = ("_unescape", "charset", "segments", "seps", "text")

    def __init__(self, text: str, charset: str = "utf-8") -> None:
        self.text = text
        self.charset = charset
        body = text.strip(_MARGIN)
        self.seps = separators(body)
        self._unescape = _unescaper(self.seps, charset)
        self.segments = [Segment(self, line) for line in self._lines(body)]

    def _lines(self, body: str) -> list[str]:
        """Cut into segments; a line that is none belongs to the text before it (an unescaped line end)."""
        field = self.seps.field
        lines: list[str] = []
        for raw in _LINE_END.split(body):
            line = raw if raw[3:4] == field else raw.strip(_MARGIN)
            if not line:
                continue
            if _NAME.match(line[:3]) and (len(line) == 3 or line[3] == field):
                lines.append(line)
            else:
                lines[-1] += "\n" + line
        return lines

    def plain(self, text: str) -> str:
        """Return text without escape sequences and outer spaces; `""` becomes empty."""
        if self.seps.escape in text:
            text = self._unescape(text)
        elif text == NULL:
            return ""
        return text.strip()

    @property
    def msh(self) -> Segment:
        """The header."""
        return self.segments[0]

    def first(self, name: str) -> Segment | None:
        """Return the first segment of a name."""
        for segment in self.segments:
            if segment.name == name:
                return segment
        return None

    def all(self, name: str) -> Iterator[Segment]:
        """Return all segments of a name, in order."""
        return (segment for segment in self.segments if segment.name == name)

    def encode(self) -> str:
        """Return the message as ER7 with the standard's segment ends; fields are as they came."""
        return "".join(segment.line + "\r" for segment in self.segments)


def separators(text: str) -> Separators:
    """Return the delimiters that a header declares. Raises: Unreadable if it declares none."""
    if text[:3] != "MSH" or len(text) < 8:
        raise Unreadable("The message does not begin with an MSH segment.", condition=SEGMENT_SEQUENCE)
    field = text[3]
    marks = re.split("[\r\n]", text[4:12], maxsplit=1)[0].split(field, 1)[0]
    if field.isalnum() or field.isspace() or not 1 <= len(marks) <= 5 or len({field, *marks}) <= len(marks):
        raise Unreadable(
            "MSH-1 and MSH-2 do not declare the delimiters; send |^~\\&.",
            condition=SEGMENT_SEQUENCE,
            location="MSH^1^2",
        )
    given = marks.ljust(4, "\0")  # what is not declared is not a delimiter
    return Separators(field, given[0], given[1], given[2], given[3], given[4:5])


def escape(text: str, seps: Separators = DEFAULT) -> str:
    """Return text that stands for itself inside a field."""
    out = text.replace(seps.escape, f"{seps.escape}E{seps.escape}")
    for mark, letter in ((seps.field, "F"), (seps.component, "S"), (seps.repeat, "R"), (seps.sub, "T")):
        out = out.replace(mark, f"{seps.escape}{letter}{seps.escape}")
    if seps.truncation:
        out = out.replace(seps.truncation, f"{seps.escape}P{seps.escape}")
    return re.sub("\r\n|\r|\n", lambda _: f"{seps.escape}.br{seps.escape}", out)


def write(segments: Sequence[Sequence[object]], seps: Separators = DEFAULT) -> str:
    """Return ER7 text of segments given as lists: name, then fields.

    A field is a text (escaped here), a list of components, or a list of lists of components (repetitions).
    In MSH the delimiter fields are left out: the list goes on with MSH-3.
    """

    def component(value: object) -> str:
        return "" if value is None else escape(str(value), seps)

    def field(value: object) -> str:
        if isinstance(value, list | tuple):
            if value and all(isinstance(part, list | tuple) for part in value):
                return seps.repeat.join(field(part) for part in value)
            return seps.component.join(component(part) for part in value)
        return component(value)

    lines = []
    for name, *values in segments:
        head = [str(name)]
        if name == "MSH":
            head.append(seps.component + seps.repeat + seps.escape + seps.sub + seps.truncation)
        lines.append(seps.field.join([*head, *(field(value) for value in values)]).rstrip(seps.field) + "\r")
    return "".join(lines)
