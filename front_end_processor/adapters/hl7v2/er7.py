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
_DECLARED = 12  # characters from the beginning of a header that hold all delimiters


_CONTROLS = bytes({*range(32)} - {*b"\t\r\n"})
_BLANKED = dict.fromkeys(_CONTROLS, " ")


def has_controls(raw: bytes) -> bool:
    """Return whether bytes hold control characters that no text of FHIR may."""
    return len(raw.translate(None, _CONTROLS)) != len(raw)


def without_controls(text: str) -> str:
    """Return a message with blanks for control characters, but for those it declares as delimiters."""
    declared = text.lstrip(_MARGIN)[3:_DECLARED]
    return text.translate({code: " " for code in _CONTROLS if chr(code) not in declared})


class Separators(NamedTuple):
    """The delimiters that MSH-1 and MSH-2 declare; truncation is empty before v2.7."""

    field: str = "|"
    component: str = "^"
    repeat: str = "~"
    escape: str = "\\"
    sub: str = "&"
    truncation: str = ""


DEFAULT = Separators()


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
            return bytes.fromhex(hexadecimal).decode(charset, "replace").translate(_BLANKED)
        return ""  # a switch of character set: the text has been decoded as a whole already; or a local one

    return lambda text: pattern.sub(one, text)


class Notation:
    """How a message writes: its delimiters and escape sequences. Every message of one make shares it.

    Segments hold it instead of their message: without that circle a message is freed as soon as it is done
    with, not by the garbage collector, which would stop the processor for a third of a second.
    """

    __slots__ = ("_unescape", "component", "escape", "field", "repeat", "seps", "sub")

    def __init__(self, seps: Separators, charset: str) -> None:
        self.seps = seps
        self.field, self.component, self.repeat, self.escape, self.sub, _ = seps
        self._unescape = _unescaper(seps, charset)

    def plain(self, text: str) -> str:
        """Return text without escape sequences and outer spaces; `""` becomes empty."""
        if self.escape in text:
            text = self._unescape(text)
        elif text == NULL:
            return ""
        return text.strip()


@lru_cache(maxsize=256)
def notation(begin: str, charset: str) -> Notation:
    """Return the notation that the first characters of a header declare. Raises: Unreadable."""
    return Notation(separators(begin), charset)


class Repeat:
    """One repetition of a field: components from 1, subcomponents from 1, as unescaped text."""

    __slots__ = ("_notation", "_parts", "raw")

    def __init__(self, notation: Notation, raw: str) -> None:
        self._notation = notation
        self._parts: list[str] | None = None
        self.raw = raw

    @property
    def raw_parts(self) -> list[str]:
        """The components as sent."""
        if self._parts is None:  # many a repetition is only looked up as a whole
            self._parts = self.raw.split(self._notation.component)
        return self._parts

    def __getitem__(self, component: int) -> str:
        """Return the first subcomponent of a component; empty if absent or null."""
        try:
            text = self.raw_parts[component - 1]
        except IndexError:
            return ""
        if text.isalnum():  # no delimiter is a letter or a digit
            return text
        if self._notation.sub in text:
            text = text.partition(self._notation.sub)[0]
        return self._notation.plain(text)

    def sub(self, component: int, number: int) -> str:
        """Return a subcomponent of a component."""
        try:
            part = self.raw_parts[component - 1].split(self._notation.sub)[number - 1]
            return self._notation.plain(part)
        except IndexError:
            return ""

    def whole(self, component: int) -> str:
        """Return a component with its subcomponents as one text (a sender that forgot to escape `&`)."""
        try:
            return self._notation.plain(self.raw_parts[component - 1])
        except IndexError:
            return ""

    def text(self) -> str:
        """Return the repetition as one text, unescaped, delimiters of unescaped senders kept."""
        return self._notation.plain(self.raw)

    def __len__(self) -> int:
        return len(self.raw_parts)

    def __bool__(self) -> bool:
        return True


class Segment:
    """One segment: its line as sent, and its fields numbered as the standard numbers them."""

    __slots__ = ("_notation", "fields", "line", "name")

    def __init__(self, notation: Notation, line: str) -> None:
        self._notation = notation
        self.line = line
        self.name = line[:3]
        # raw fields, so that `fields[n]` is field n (MSH-1 is the delimiter itself)
        self.fields: list[str] = line.split(notation.field)
        if self.name == "MSH":
            self.fields.insert(1, notation.field)

    def raw(self, field: int) -> str:
        """Return a field as sent; empty if absent."""
        fields = self.fields
        return fields[field] if field < len(fields) else ""

    def is_repeated(self, field: int) -> bool:
        """Does the field hold more than one repetition, be they empty?"""
        return self._notation.repeat in self.raw(field)

    def is_null(self, field: int) -> bool:
        """Is the field sent as `""`, that is: delete what you have?"""
        return self.raw(field) == NULL

    def repeats(self, field: int) -> list[Repeat]:
        """Return the repetitions of a field that hold something."""
        fields = self.fields
        raw = fields[field] if field < len(fields) else ""
        if not raw or raw == NULL:
            return []
        notation = self._notation
        if notation.repeat in raw:
            return [Repeat(notation, part) for part in raw.split(notation.repeat) if part]
        return [Repeat(notation, raw)]

    def first(self, field: int) -> Repeat | None:
        """Return the first repetition of a field, None if there is nothing."""
        fields = self.fields
        raw = fields[field] if field < len(fields) else ""
        if not raw or raw == NULL:
            return None
        notation = self._notation
        return Repeat(notation, raw.partition(notation.repeat)[0] if notation.repeat in raw else raw)

    def get(self, field: int, component: int = 1) -> str:
        """Return one component of the first repetition as text; empty if absent or null."""
        fields = self.fields
        raw = fields[field] if field < len(fields) else ""
        if not raw or raw.isalnum():  # no delimiter is a letter or a digit
            return raw if component == 1 else ""
        notation = self._notation
        if notation.repeat in raw:
            raw = raw.partition(notation.repeat)[0]
        if notation.component in raw:
            parts = raw.split(notation.component)
            raw = parts[component - 1] if component <= len(parts) else ""
        elif component != 1:
            return ""
        if notation.sub in raw:
            raw = raw.partition(notation.sub)[0]
        return notation.plain(raw)

    def text(self, field: int) -> str:
        """Return a whole field as text, repetitions on lines of their own (for ST, TX and FT fields)."""
        raw = self.raw(field)
        if not raw or raw == NULL:
            return ""
        return self._notation.plain(raw.replace(self._notation.repeat, "\n"))

    def is_truncated(self, field: int) -> bool:
        """Did the sender cut the field and say so (v2.7 truncation character)?"""
        mark = self._notation.seps.truncation
        return bool(mark) and self.raw(field).endswith(mark)


class Message:
    """A message: delimiters and segments in the order sent. Raises: Unreadable if there is no MSH."""

    __slots__ = ("charset", "segments", "seps", "text")

    def __init__(self, text: str, charset: str = "utf-8") -> None:
        self.text = text
        self.charset = charset
        body = text.strip(_MARGIN)
        shared = notation(body[:_DECLARED], charset)
        self.seps = shared.seps
        self.segments = [Segment(shared, line) for line in self._lines(body)]

    def _lines(self, body: str) -> list[str]:
        """Cut into segments; a line that is none belongs to the text before it (an unescaped line end)."""
        field = self.seps.field
        lines: list[str] = []
        for raw in body.split("\r") if "\n" not in body else _LINE_END.split(body):
            line = raw if raw[3:4] == field else raw.strip(_MARGIN)
            if not line:
                continue
            if _is_name(line[:3]) and (len(line) == 3 or line[3] == field):
                lines.append(line)
            else:
                lines[-1] += "\n" + line
        return lines

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


@lru_cache(maxsize=1024)
def _is_name(text: str) -> bool:
    """Can it be the name of a segment?"""
    return _NAME.match(text) is not None


def separators(text: str) -> Separators:
    """Return the delimiters that a header declares. Raises: Unreadable if it declares none."""
    if text[:3] != "MSH" or len(text) < 8:
        raise Unreadable("The message does not begin with an MSH segment.", condition=SEGMENT_SEQUENCE)
    field = text[3]
    marks = re.split("[\r\n]", text[4:_DECLARED], maxsplit=1)[0].split(field, 1)[0]
    is_double = len({field, *marks}) <= len(marks)
    if any(map(str.isalnum, field + marks)) or field.isspace() or not 1 <= len(marks) <= 5 or is_double:
        raise Unreadable(
            "MSH-1 and MSH-2 do not declare the delimiters; send |^~\\&.",
            condition=SEGMENT_SEQUENCE,
            location="MSH^1^2",
        )
    given = marks.ljust(4, "\0")  # what is not declared is not a delimiter
    return Separators(field, given[0], given[1], given[2], given[3], given[4:5])


def escape(text: str, seps: Separators = DEFAULT) -> str:
    """Return text that stands for itself inside a field."""
    if not text or text.isalnum():  # no delimiter is a letter or a digit
        return text
    out = text.replace(seps.escape, f"{seps.escape}E{seps.escape}")
    for mark, letter in ((seps.field, "F"), (seps.component, "S"), (seps.repeat, "R"), (seps.sub, "T")):
        out = out.replace(mark, f"{seps.escape}{letter}{seps.escape}")
    if seps.truncation:
        out = out.replace(seps.truncation, f"{seps.escape}P{seps.escape}")
    return _LINE_END.sub(lambda _: f"{seps.escape}.br{seps.escape}", out)


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
