"""Every text a front-end processor raises, notes or is sent about a message has its line in Chinese."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import front_end_processor
from esb import envelope, seal
from front_end_processor.adapters.drop_folder.folder import UNREADABLE
from front_end_processor.adapters.fhir_rest.inlet import WrongFormat
from front_end_processor.adapters.hl7v2 import framing
from front_end_processor.console.reasons import in_chinese
from front_end_processor.normalise.csv_rows import _SAID
from front_end_processor.normalise.fhir import UnknownType
from front_end_processor.pipeline.faults import NotKept
from front_end_processor.pipeline.writer import NotStored
from hie.ingest import opening
from hie.mpi.identify import ASK_SENDER

PACKAGE = Path(front_end_processor.__file__).parent
# What the operator of the machine reads on the command line, before there is a console.
NOT_ON_THE_CONSOLE = {"config.py", "check.py", "keys.py", "__main__.py", "profile.py", "station.py", "app.py"}
# What the hub says of an envelope that it refuses.
OF_AN_ENVELOPE = [Path(str(module.__file__)) for module in (envelope, seal, opening)]
TELLING = re.compile(
    r"warn|Issue|BadRow|Un(readable|usable|finished)|Not[A-Z]\w+|Malformed|Rejected|TooLarge|Conflict|WrongFile"
)
FRAMES = ("NO_START", "NO_END", "TWO_MESSAGES", "TOO_LARGE", "EMPTY", "HALF", "STALLED")
ENGLISH = re.compile(r"[A-Za-z]?[a-z]+ [a-z]+ [a-z]+")


def text_of(node: ast.AST) -> str:
    """Return a text with 7 where something is put in; empty if it is none."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or "7" for part in node.values)
    return ""


def raised() -> Iterator[str]:
    for file in (*sorted(PACKAGE.rglob("*.py")), *OF_AN_ENVELOPE):
        if file.name in NOT_ON_THE_CONSOLE or "console" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            called = getattr(node, "func", None)
            name = getattr(called, "attr", getattr(called, "id", ""))
            if isinstance(node, ast.Call) and TELLING.fullmatch(name):
                yield from (text for text in map(text_of, node.args) if " " in text)


TEXTS = sorted(
    {
        *(text for text in raised() if text != "7 (7) is no 7"),
        *(f"7 (7) is no {said}" for said in _SAID.values()),
        *(getattr(framing, name).format(limit=7) for name in FRAMES),
        UNREADABLE.format(reason="Permission denied"),
        NotKept.describe(),
        NotStored.describe(),
        UnknownType.describe(),
        WrongFormat.describe(),
        *ASK_SENDER.values(),
    }
)


def test_the_texts_are_found() -> None:
    assert len(TEXTS) > 80
    assert any("PID" in text for text in TEXTS)


@pytest.mark.parametrize("text", TEXTS)
def test_each_is_said_in_chinese(text: str) -> None:
    said = in_chinese(text)
    assert re.search("[\u4e00-\u9fff]", said), said
    assert not ENGLISH.search(said), said
