"""Character sets: MSH-18 first, never cut before decoding, wrong declarations survived."""

from __future__ import annotations

import pytest

from front_end_processor.adapters.hl7v2 import charset, er7
from front_end_processor.adapters.hl7v2.errors import Unreadable

DELIMITERS = b"|^~\\"
HEADER = "MSH|^~\\&|{app}|H01|HIE||20260401||ADT^A01|1|P|2.3.1||||||{charset}\r"


def message(name: str, codec: str, declared: str, app: str = "HIS") -> bytes:
    return (HEADER.format(app=app, charset=declared) + f"PID|1||7||{name}||19491231|F\r").encode(codec)


def name_of(raw: bytes, default: str = "GB18030") -> str:
    decoded = charset.decode(raw, default)
    return er7.Message(decoded.text, decoded.charset).segments[1].get(5)


def traps() -> list[str]:
    """All GBK characters whose second byte is a delimiter in ASCII."""
    found = []
    for lead in range(0x81, 0xFF):
        for trail in DELIMITERS:
            try:
                found.append(bytes((lead, trail)).decode("gbk"))
            except UnicodeDecodeError:
                continue
    return found


def test_there_are_as_many_trap_characters_as_the_standard_has() -> None:
    assert len(traps()) == 471


@pytest.mark.parametrize("declared", ["GB 18030-2000", "GBK", "GB2312", "gb18030", ""])
def test_every_trap_character_in_a_name_survives(declared: str) -> None:
    for character in traps():
        assert name_of(message(f"李{character}明", "gb18030", declared)) == f"李{character}明"


def test_trap_characters_in_the_header_do_not_hide_the_character_set() -> None:
    for character in traps():
        raw = message("王五", "gb18030", "GB 18030-2000", app=f"{character}医{character}")
        assert charset.declared_charset(raw) == "GB 18030-2000"


@pytest.mark.parametrize("name", ["𠮷野", "㐂明", "\U0002b820山", "阿·布都"])
def test_four_byte_characters_and_rare_names_survive(name: str) -> None:
    assert name_of(message(name, "gb18030", "GB 18030-2000")) == name
    assert name_of(message(name, "utf-8", "UNICODE UTF-8")) == name


@pytest.mark.parametrize(
    ("declared", "codec"),
    [
        ("UNICODE UTF-8", "utf-8"),
        ("UTF-8", "utf-8"),
        ("utf8", "utf-8"),
        ("GB 18030-2000", "gb18030"),
        ("BIG-5", "big5hkscs"),
        ("8859/1", "iso8859-1"),
        ("ISO IR100", "latin-1"),
        ("ASCII", "ascii"),
    ],
)
def test_names_of_table_0211_are_known(declared: str, codec: str) -> None:
    assert charset.codec_of(declared) == codec


def test_the_declared_set_beats_the_hospitals_default() -> None:
    assert charset.decode(message("张三", "utf-8", "UNICODE UTF-8"), "GB18030").charset == "utf-8"
    assert charset.decode(message("張三", "big5", "BIG-5"), "GB18030").text.count("張三") == 1


def test_without_a_declaration_utf8_is_tried_before_the_default() -> None:
    assert charset.decode(message("张三", "utf-8", ""), "GB18030").charset == "utf-8"
    assert charset.decode(message("张三", "gb18030", ""), "GB18030").charset == "gb18030"


@pytest.mark.parametrize(
    ("declared", "real"),
    [("UNICODE UTF-8", "gb18030"), ("GB 18030-2000", "utf-8"), ("ASCII", "gb18030"), ("UNICODE", "utf-8")],
)
def test_a_wrong_declaration_is_survived_with_a_warning(declared: str, real: str) -> None:
    decoded = charset.decode(message("欧阳小燕来看病", real, declared), "GB18030")
    assert "欧阳小燕来看病" in decoded.text
    assert decoded.charset == real
    assert declared in decoded.warning


def test_short_gbk_text_that_happens_to_be_utf8_stays_gbk() -> None:
    assert name_of(message("联通", "gb18030", "GBK")) == "联通"


def test_bytes_of_no_character_set_are_refused() -> None:
    with pytest.raises(Unreadable, match="neither"):
        charset.decode(
            HEADER.format(app="A", charset="UTF-8").encode() + b"PID|1||7||\xff\xff\xfe\r", "UTF-8"
        )


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_is_refused_clearly(codec: str) -> None:
    with pytest.raises(Unreadable, match="UTF-16"):
        charset.decode(message("张三", codec, "UNICODE UTF-16"), "UTF-8")
