"""A region with the synthetic province, its pages and logins on the screen, until Ctrl-C: `deploy/demo`."""

import argparse
import shlex
import shutil
import signal
import sys
import tempfile
import time
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from deploy.stack import services
from deploy.stack.errors import Trouble
from deploy.stack.processes import wait_until
from deploy.stack.progress import say
from deploy.stack.region import SAMPLE, Region, make_region

PEOPLE = 2000
PORT_BASE = 18000
SHOWN = ("doctor", "steward", "auditor")
PIPED_EVERY_S = 10.0
ROOT = Path(__file__).resolve().parents[2]
SAMPLE_TAKES = (
    f"装入 {PEOPLE} 人的样例要几分钟（两核约四分钟），这期间一切都慢些。\n"
    f"A sample of {PEOPLE} people takes minutes (about four on two cores); all is slower meanwhile."
)
# Who is in docs/examples/admission.hl7.
EXAMPLE_NAME, EXAMPLE_BORN, EXAMPLE_NUMBER = "黎小满", "1985-06-15", "100001"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(prog="deploy/demo", description=__doc__)
    top.add_argument("--people", type=int, default=PEOPLE, help=f"how many synthetic people ({PEOPLE})")
    top.add_argument("--hospitals", type=int, default=5, help="how many hospitals (5)")
    top.add_argument("--port-base", type=int, default=PORT_BASE, help=f"ports from here ({PORT_BASE})")
    top.add_argument(
        "--dir", type=Path, help="keep the data here (default: a new directory, removed at the end)"
    )
    return top


def width(text: str) -> int:
    """Return how many columns a text takes on a terminal: a Han character takes two."""
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as text in columns."""
    widths = [max(width(row[column]) for row in rows) for column in range(len(rows[0]))]

    def line(cells: Iterable[str]) -> str:
        return "  ".join(
            cell + " " * (most - width(cell)) for cell, most in zip(cells, widths, strict=True)
        ).rstrip()

    return "\n".join([line(rows[0]), "  ".join("-" * most for most in widths), *map(line, rows[1:])])


def pages(region: dict[str, Any]) -> str:
    """Return where everything is and how to get in, in Chinese and English."""
    hub = region["hub"]
    rows = [("页面 page", "地址 address", "用户 user", "密码 password")]
    names = {hospital["code"]: hospital["name"] for hospital in region["hospitals"]}
    for user in region["users"]:
        if user["role"] in SHOWN:
            label = f"门户 portal {names.get(user['facility'], '')} {user['name']}"
            rows.append((label.replace("  ", " "), hub["portal"], user["username"], user["password"]))
    for hospital in region["hospitals"]:
        label = f"前置机 console {hospital['code']} {hospital['name']}"
        rows.append((label, hospital["console"], hospital["console_user"], hospital["console_password"]))
    bench = region["clients"][0]
    rows.append(("FHIR R4", hub["fhir"], bench["client_id"], bench["client_secret"]))
    return table(rows)


def inlets(region: dict[str, Any], home: Path) -> str:
    """Return where hospitals' systems send."""
    rows = [("医院 hospital", "HL7 v2 (MLLP)", "FHIR", "文件 drop folder")]
    rows += [(one["code"], one["mllp"], one["fhir"], one["inbox_dir"]) for one in region["hospitals"]]
    return f"{table(rows)}\n\nREGION={shlex.quote(str(home))}    # {home / 'region.json'}"


def first_steps(region: dict[str, Any]) -> str:
    """Return what to paste: a first message and its reading at the hub; and whom to look for."""
    first, hub, client = region["hospitals"][0], region["hub"], region["clients"][0]
    program, message = (
        shlex.quote(str(ROOT / name)) for name in (".venv/bin/fep", "docs/examples/admission.hl7")
    )
    doctor = [user["username"] for user in region["users"] if user["role"] == "doctor"][:2][-1]
    wanted, number = f"{EXAMPLE_NAME} {EXAMPLE_BORN}", f"urn:hie:{first['code']}:mrn%7C{EXAMPLE_NUMBER}"
    account = shlex.quote(f"{client['client_id']}:{client['client_secret']}")
    return "\n".join(
        (
            "发送第一条消息 A first message:",
            f"  {program} send {first['mllp']} {message}",
            f"然后用 {doctor} 登录门户，查找“{wanted}”；确认时填姓名和出生日期，选一个用途。",
            f'Then sign in to the portal as {doctor} and look for "{wanted}";'
            " to confirm, give name, birth date and a purpose.",
            "",
            "在中心读取 Read it at the hub:",
            f"  TOKEN=$(curl -s -u {account} -d grant_type=client_credentials {hub['token_url']}"
            " | cut -d '\"' -f 4)",
            f"  curl -s -H \"Authorization: Bearer $TOKEN\" '{hub['fhir']}/Patient?identifier={number}'",
        )
    )


def at_the_end(directory: Path | None) -> str:
    """Return what Ctrl-C does, and what becomes of the data."""
    if directory is not None:
        return f"按 Ctrl-C 停止，数据留在 {directory}。 Ctrl-C stops it; the data stay in {directory}."
    return (
        "按 Ctrl-C 停止并删除这个区域；要保留的区域用 deploy/region up --dir DIR 建立。\n"
        "Ctrl-C stops and deletes this region; make one that stays with deploy/region up --dir DIR."
    )


class Progress:
    """Shows the newest line of a log: rewritten in place on a terminal, else now and then as a line."""

    def __init__(self, log: Path, *, is_terminal: bool) -> None:
        self._log = log
        self._is_terminal = is_terminal
        self._shown = ""
        self._shown_at = -PIPED_EVERY_S

    def show(self, now_s: float, *, is_last: bool = False) -> None:
        """Show the last line if it is new and it is time to."""
        lines = (
            self._log.read_text(encoding="utf-8", errors="replace").splitlines() if self._log.exists() else []
        )
        newest = next((line for line in reversed(lines) if line.strip()), "")
        if self._is_terminal:
            if newest != self._shown:
                print(f"\r  {newest}\033[K", end="", file=sys.stderr, flush=True)
            if is_last:
                print(file=sys.stderr, flush=True)
        elif newest != self._shown and (is_last or now_s - self._shown_at >= PIPED_EVERY_S):
            say(f"  {newest}")
            self._shown_at = now_s
        else:
            return
        self._shown = newest


def stay(region: Region, summary: str, at_the_end: str) -> None:
    """Wait for Ctrl-C, showing how the sample flows in; what was told at first is told again after it."""
    progress = Progress(region.place.log / f"{SAMPLE}.log", is_terminal=sys.stderr.isatty())

    def has_ended() -> bool:
        progress.show(time.monotonic())
        return services.running(region.place, SAMPLE) is None

    if services.running(region.place, SAMPLE) is not None:
        wait_until(has_ended, timeout_s=24 * 3600, every_s=1)
        progress.show(time.monotonic(), is_last=True)
        print(f"\n{summary}", flush=True)
        say("样例数据已全部进入。 The sample is in.")
        say(at_the_end)
    signal.pause()


def interrupt(number: int, frame: FrameType | None) -> None:
    """Treat a request to end like Ctrl-C."""
    raise KeyboardInterrupt


def main() -> int:
    """Bring the region up, print its pages, stay, and take it down."""
    args = parser().parse_args()
    # SIGINT too: whoever starts it in the background of a script gave it one that is ignored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    directory = args.dir or Path(tempfile.mkdtemp(prefix="hie-demo-"))
    region = None
    is_up = False
    try:
        region = make_region(directory, args.hospitals, args.port_base)
        content = region.up()
        is_up = True
        if args.people > 0:
            region.send_sample(args.people)
        parts = (pages(content), inlets(content, region.place.directory), first_steps(content))
        summary = "\n\n".join(parts)
        print(f"\n{summary}\n\n区域已就绪 The region is up: {content['hub']['portal']}", flush=True)
        if args.people > 0:
            say(SAMPLE_TAKES)
        say(at_the_end(args.dir))
        stay(region, summary, at_the_end(args.dir))
    except KeyboardInterrupt:
        say("")
    except Trouble as trouble:
        print(f"deploy/demo: {trouble}", file=sys.stderr)
        return 2
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if region is not None:
            region.down()
        if args.dir is None:
            shutil.rmtree(directory, ignore_errors=True)
            if is_up:
                say(f"区域已删除。 The region is deleted: {directory}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
