"""The drop folder on a real disk: complete files only, moved only after their content is kept."""

import threading
from pathlib import Path

from esb.errors import NotNow
from front_end_processor.adapters.drop_folder.errors import Unfinished, WrongFile
from front_end_processor.adapters.drop_folder.folder import DropFolder, Taken


class Desk:
    """Takes files, or does not, as told; keeps what it was given."""

    def __init__(self, folder: Path, *, unfinished_s: float = 60.0) -> None:
        self.taken: list[str] = []
        self.aside: list[tuple[str, str]] = []
        self.outcome: Taken | Exception = Taken(1)
        self.folder = folder
        self.drop = DropFolder(
            folder,
            self._take,
            self._set_aside,
            max_bytes=1000,
            poll_s=60,
            unfinished_s=unfinished_s,
            away_s=0,
        )
        for place in ("done", "failed"):
            (folder / place).mkdir(parents=True)

    def _take(self, name: str, raw: bytes) -> Taken:
        self.taken.append(name)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def _set_aside(self, name: str, raw: bytes, reason: str, size: int) -> None:
        self.aside.append((name, reason))

    def looks(self, times: int = 2) -> None:
        for _ in range(times):
            self.drop.look()

    def in_(self, place: str) -> list[str]:
        return sorted(file.name for file in (self.folder / place).iterdir() if file.is_file())


def test_a_complete_file_is_taken_and_moved(tmp_path):
    desk = Desk(tmp_path)
    (tmp_path / "a.csv").write_text("x\n")
    desk.looks()
    assert (desk.taken, desk.in_("done"), desk.in_(".")) == (["a.csv"], ["a.csv"], [])


def test_a_file_still_growing_or_under_its_draft_name_is_left_alone(tmp_path):
    desk = Desk(tmp_path)
    (tmp_path / "b.csv.part").write_text("x\n")
    for turn in range(4):
        (tmp_path / "a.csv").write_text("x\n" * (turn + 1))
        desk.looks(1)
    assert desk.taken == []


def test_a_half_written_file_waits_for_its_end_and_fails_after_a_time(tmp_path):
    desk = Desk(tmp_path / "patient")
    desk.outcome = Unfinished()
    (desk.folder / "a.csv").write_text("x")
    desk.looks(4)
    assert desk.in_(".") == ["a.csv"]
    impatient = Desk(tmp_path / "impatient", unfinished_s=0.0)
    impatient.outcome = Unfinished()
    (impatient.folder / "a.csv").write_text("x")
    impatient.looks()
    assert impatient.in_("failed") == ["a.csv", "a.csv.reason.txt"]
    assert impatient.aside[0][0] == "a.csv"


def test_a_wrong_file_fails_with_its_reason_and_the_next_one_is_taken(tmp_path):
    desk = Desk(tmp_path)
    (tmp_path / "a.csv").write_text("x\n")
    desk.outcome = WrongFile("The header lacks the columns amount.")
    desk.looks()
    assert "lacks the columns amount" in (tmp_path / "failed" / "a.csv.reason.txt").read_text()
    desk.outcome = Taken(1)
    (tmp_path / "b.csv").write_text("x\n")
    desk.looks()
    assert desk.in_("done") == ["b.csv"]


def test_a_file_that_nothing_can_be_made_of_fails_and_the_next_one_is_taken(tmp_path):
    desk = Desk(tmp_path)
    (tmp_path / "a.csv").write_text("x\n")
    (tmp_path / "b.csv").write_text("x\n")
    desk.outcome = OverflowError("Zhang San")
    desk.looks()
    assert desk.in_(".") == []
    reason = (tmp_path / "failed" / "a.csv.reason.txt").read_text()
    assert "OverflowError" in reason
    assert "Zhang" not in reason
    assert [name for name, _ in desk.aside] == ["a.csv", "b.csv"]


def test_a_file_that_cannot_even_be_set_aside_does_not_end_the_watch(tmp_path):
    desk = Desk(tmp_path)
    (tmp_path / "a.csv").write_text("x\n")
    desk.outcome = OverflowError()

    def broken(*_: object) -> None:
        raise KeyError

    desk.drop._set_aside = broken
    desk.looks()
    assert desk.in_("failed") == ["a.csv", "a.csv.reason.txt"]


def test_rejected_rows_are_given_back_as_a_file(tmp_path):
    desk = Desk(tmp_path)
    desk.outcome = Taken(3, b"head,reason\nrow,why\n", "1 row was not taken")
    (tmp_path / "a.csv").write_text("x\n")
    desk.looks()
    assert desk.in_("done") == ["a.csv"]
    assert desk.in_("failed") == ["a.csv.reason.txt", "a.rejected.csv"]


def test_a_file_over_the_limit_fails_unread(tmp_path):
    desk = Desk(tmp_path)
    (tmp_path / "a.csv").write_text("x" * 1001)
    desk.looks()
    assert (desk.taken, desk.in_("failed")) == ([], ["a.csv", "a.csv.reason.txt"])
    assert "over 1000 bytes" in desk.aside[0][1]


def test_a_file_stays_until_the_database_is_back(tmp_path):
    desk = Desk(tmp_path)
    desk.outcome = NotNow()
    (tmp_path / "a.csv").write_text("x\n")
    waited = 0
    for _ in range(3):
        try:
            desk.looks(1)
        except NotNow:
            waited += 1
    assert (waited > 0, desk.in_(".")) == (True, ["a.csv"])


def test_a_second_file_of_the_same_name_replaces_nothing(tmp_path):
    desk = Desk(tmp_path)
    for text in ("one\n", "two\n"):
        (tmp_path / "a.csv").write_text(text)
        desk.looks()
    assert sorted((tmp_path / "done" / name).read_text() for name in desk.in_("done")) == ["one\n", "two\n"]


def test_a_file_that_cannot_be_read_is_told_of_once_and_holds_up_no_other(tmp_path):
    desk = Desk(tmp_path, unfinished_s=0.0)
    (tmp_path / "a.csv").symlink_to("/proc/self/mem")  # nobody, root neither, can read its beginning
    (tmp_path / "b.csv").write_text("x\n")
    desk.looks(4)
    assert (desk.taken, desk.in_("done")) == (["b.csv"], ["b.csv"])
    assert [name for name, reason in desk.aside if "cannot be read or moved" in reason] == ["a.csv"]
    (tmp_path / "a.csv").unlink()
    (tmp_path / "a.csv").write_text("x\n")
    desk.looks()
    assert desk.in_("done") == ["a.csv", "b.csv"]


def test_a_folder_that_is_gone_is_told_of_and_not_taken_for_a_file_that_is_gone(tmp_path):
    desk = Desk(tmp_path, unfinished_s=0.0)
    (tmp_path / "done").rmdir()
    (tmp_path / "a.csv").write_text("x\n")
    desk.looks(4)
    assert [name for name, reason in desk.aside if "cannot be read or moved" in reason] == ["a.csv"]


def test_rejected_rows_of_a_second_file_of_the_same_name_replace_nothing(tmp_path):
    desk = Desk(tmp_path)
    for day in ("one", "two", "three"):
        desk.outcome = Taken(3, f"{day}\n".encode(), f"{day} was not taken")
        (tmp_path / "a.csv").write_text("x\n")
        desk.looks()
        (tmp_path / "done" / "a.csv").unlink(missing_ok=True)  # somebody else clears it up
    failed = [(tmp_path / "failed" / name).read_text() for name in desk.in_("failed")]
    assert sorted(text for text in failed if len(text.split()) == 1) == ["one\n", "three\n", "two\n"]
    assert len(failed) == 6


def test_the_thread_ends_when_told(tmp_path):
    desk = Desk(tmp_path)
    desk.drop.start()
    assert desk.drop.is_alive()
    desk.drop._stopping.set()
    desk.drop.stop()
    assert not any(thread.name == "drop folder" for thread in threading.enumerate())
