"""Character sets of HL7 v2 messages (MSH-18, HL7 table 0211), decided before anything is cut.

471 characters of GBK end in a byte that is a delimiter in ASCII (`|`, `^`, `~`, `\\`), so a message is
decoded first. MSH-18 is looked for in the header as each likely character set would read it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from front_end_processor.adapters.hl7v2.errors import DATA_TYPE, Unreadable

# MSH-18 as sent, letters and digits only -> Python codec
CODECS = {
    "UNICODEUTF8": "utf-8",
    "UTF8": "utf-8",
    "GB180302000": "gb18030",
    "GB180302005": "gb18030",
    "GB180302022": "gb18030",
    "GB18030": "gb18030",
    "GBK": "gb18030",
    "GB2312": "gb18030",
    "CP936": "gb18030",
    "EUCCN": "gb18030",
    "BIG5": "big5hkscs",
    "CNS116431992": "big5hkscs",
    "ASCII": "ascii",
    "USASCII": "ascii",
    "ISOIR6": "ascii",
    "ISOIR100": "latin-1",
    "ISOIR192": "utf-8",
    **{f"8859{part}": f"iso8859-{part}" for part in (1, 2, 3, 4, 5, 6, 7, 8, 9, 15)},
    **{f"ISO8859{part}": f"iso8859-{part}" for part in (1, 2, 3, 4, 5, 6, 7, 8, 9, 15)},
    "UNICODE": "utf-16",
    "UNICODEUTF16": "utf-16",
    "UTF16": "utf-16",
    "UNICODEUTF32": "utf-16",
}
_WIDE = (b"\xff\xfe", b"\xfe\xff", b"M\x00S\x00", b"\x00M\x00S")
_LINE_END = re.compile(b"[\r\n]")
_HAN_ONLY = re.compile(r"[\x00-\x7f\u00b7\u2000-\u206f\u3000-\u303f\u3400-\u9fff\uff00-\uffef]*\Z")


class Decoded(NamedTuple):
    """The text, the codec used, what MSH-18 said, and a warning if the two do not agree."""

    text: str
    charset: str
    declared: str
    warning: str = ""


@lru_cache(maxsize=256)
def codec_of(name: str) -> str:
    """Return the Python codec for a name used in MSH-18 or in a profile; empty if it is unknown."""
    return CODECS.get(re.sub("[^A-Z0-9]", "", name.upper()), "")


def header_of(raw: bytes) -> bytes:
    """Return the MSH segment of an undecoded message, at most 4096 bytes of it; empty if there is none."""
    start = raw.find(b"MSH")
    return _LINE_END.split(raw[start : start + 4096], maxsplit=1)[0] if start >= 0 else b""


def declared_charset(raw: bytes) -> str:
    """Return MSH-18 (first repetition) of an undecoded message; empty if absent or unreadable."""
    header = header_of(raw)
    if not header:
        return ""
    if header.isascii():
        return _field_18(header.decode("ascii"))
    found = ""
    for codec in ("utf-8", "gb18030", "big5hkscs", "latin-1"):
        try:
            name = _field_18(header.decode(codec))
        except UnicodeDecodeError:
            continue
        if codec_of(name) == codec:
            return name
        if not found and codec_of(name):
            found = name
    return found


def _field_18(header: str) -> str:
    """Return MSH-18 of a decoded header."""
    fields = header.split(header[3:4] or "|")
    if len(fields) <= 17:
        return ""
    marks = fields[1]
    value = fields[17].split(marks[1:2] or "~", 1)[0] if len(marks) > 1 else fields[17]
    return value.split(marks[:1] or "^", 1)[0].strip().strip('"')


def decode(raw: bytes, default: str) -> Decoded:
    """Decode a message: MSH-18 first, then strict UTF-8, then the profile's default.

    Raises: Unreadable where the bytes are UTF-16 or no character set fits.
    """
    if raw[:4].startswith(_WIDE):
        raise Unreadable("UTF-16 is not taken; send UNICODE UTF-8 or GB 18030-2000.", condition=DATA_TYPE)
    if raw.startswith(b"\xef\xbb\xbf"):
        raw = raw[3:]
    declared = declared_charset(raw)
    codec = codec_of(declared)
    if raw.isascii():
        return Decoded(raw.decode("ascii"), "ascii" if codec in ("", "utf-16") else codec, declared)
    fallback = codec_of(default) or "utf-8"
    if codec in ("", "utf-16", "ascii"):
        warning = f"MSH-18 names {declared}, which the bytes are not" if declared else ""
        return _guess(raw, declared, ("utf-8", fallback), warning)
    try:
        text = raw.decode(codec)
    except UnicodeDecodeError:
        warning = f"MSH-18 names {declared}, which the bytes are not"
        return _guess(raw, declared, ("utf-8", fallback), warning)
    if codec == "gb18030" and _is_really_utf8(raw):
        warning = f"MSH-18 names {declared}, which the bytes are not"
        return Decoded(raw.decode("utf-8"), "utf-8", declared, warning)
    return Decoded(text, codec, declared)


def _guess(raw: bytes, declared: str, codecs: tuple[str, ...], warning: str) -> Decoded:
    """Return the message in the first character set that reads all of it."""
    for codec in codecs:
        try:
            return Decoded(
                raw.decode(codec), codec, declared, f"{warning}: read as {codec}" if warning else ""
            )
        except UnicodeDecodeError:
            continue
    raise Unreadable(
        "The bytes are neither what MSH-18 says, nor UTF-8, nor the hospital's own character set.",
        condition=DATA_TYPE,
        location="MSH^1^18",
    )


def _is_really_utf8(raw: bytes) -> bool:
    """Are bytes that pass as GB 18030 in truth UTF-8? Only if all of it makes Han text that way."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return len(raw) - len(text) >= 4 and _HAN_ONLY.match(text) is not None


def encode(text: str, codec: str) -> bytes:
    """Return text as bytes; what the character set lacks becomes `?`."""
    return text.encode(codec or "utf-8", "replace")
