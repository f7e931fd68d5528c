"""Files that cannot be taken: moved aside with the reason, a row in the console, the next one unaffected."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.journey.road import Fep, Hub, wait_for

HEADER = "patient_no,name,sex,birth_date,status,updated_at"
ROW = "{number},夏侯明,1,1971-05-06,normal,2026-04-01 10:00:00"
LIMIT = 20 * 1024 * 1024
# A file that ends in the middle of a row may still be written; it is given this long.
UNFINISHED_S = 10


def file_of(number: str, header: str = HEADER) -> bytes:
    return f"{header}\n{ROW.format(number=number)}\n".encode()


WRONG_HEADER, HALF, HUGE, GROWN, NEXT = (f"patients-20260401-{n}.csv" for n in range(81, 86))
# file that cannot be taken -> (content, what the reason says)
BAD: dict[str, tuple[bytes, str]] = {
    WRONG_HEADER: (file_of("CSVWRONG", "甲,乙,丙,丁,戊,己"), "column"),
    HALF: (file_of("CSVHALF") + b"CSVHALF2,\xe5\xa4\x8f", "middle of a row"),
    HUGE: (file_of("CSVHUGE") + b"," * LIMIT, str(LIMIT)),
}


@pytest.fixture(scope="module")
def fep(region: dict[str, Any]) -> Iterator[Fep]:
    """The front-end processor of H02 after it got all of them, a growing file, and a good one after them."""
    made = Fep(region["hospitals"][1])
    grown = file_of("CSVGROWN")
    (made.inbox / GROWN).write_bytes(grown[:-20])
    for name, (content, _) in BAD.items():
        made.drop(name, content)
    wait_for("a look at the files", (made.inbox / "failed" / WRONG_HEADER).exists)
    with (made.inbox / GROWN).open("ab") as file:
        file.write(grown[-20:])
    made.drop(NEXT, file_of("CSVNEXT"))
    wait_for("every file taken or moved aside", made.is_settled, UNFINISHED_S + 30)
    yield made
    for place in ("done", "failed"):
        for left in (made.inbox / place).glob("patients-20260401-8*"):
            left.unlink()


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_cannot_be_taken_is_kept_beside_its_reason(name: str, fep: Fep):
    kept = fep.inbox / "failed" / name
    assert kept.read_bytes() == BAD[name][0]
    assert BAD[name][1] in Path(f"{kept}.reason.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", BAD)
def test_the_console_has_a_row_of_it_with_the_reason(name: str, fep: Fep):
    (row,) = fep.rows(f"m.inlet = 'csv' AND m.request = '{name}'")
    assert (row["fate"], row["receipt"], row["size"]) == ("set_aside", None, len(BAD[name][0]))
    assert BAD[name][1] in row["reason"]
    assert "夏侯明" not in row["reason"]


@pytest.mark.parametrize(("name", "number"), [(GROWN, "CSVGROWN"), (NEXT, "CSVNEXT")])
def test_a_file_finished_in_time_and_the_next_one_are_stored(
    name: str, number: str, region: dict[str, Any], fep: Fep
):
    assert (fep.inbox / "done" / name).exists()
    (row,) = fep.rows(f"m.inlet = 'csv' AND m.request = '{name}'")
    assert (row["fate"], row["receipt"]) == ("captured", "stored")
    assert Hub(region).found(f"Patient?identifier={number}")["name"][0]["text"] == "夏侯明"


def test_nothing_of_a_file_that_was_moved_aside_is_at_the_hub(region: dict[str, Any], fep: Fep):
    hub = Hub(region)
    assert [n for n in ("CSVWRONG", "CSVHALF", "CSVHUGE") if hub.search("Patient", identifier=n)] == []
