"""A region with the synthetic province, its pages and logins on the screen, until Ctrl-C: `deploy/demo`."""

import argparse
import shutil
import signal
import sys
import tempfile
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
        rows.append((label, hospital["console"], "", hospital["console_password"]))
    bench = region["clients"][0]
    rows.append(("FHIR R4", hub["fhir"], bench["client_id"], bench["client_secret"]))
    return table(rows)


def stay(region: Region) -> None:
    """Wait for Ctrl-C, showing how the sample flows in."""
    log = region.place.log / f"{SAMPLE}.log"
    shown = 0

    def show() -> bool:
        nonlocal shown
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
        for line in lines[shown:]:
            say(f"  {line}")
        shown = len(lines)
        return False

    def has_ended() -> bool:
        return show() or services.running(region.place, SAMPLE) is None

    wait_until(has_ended, timeout_s=24 * 3600, every_s=1)
    show()
    say("停止请按 Ctrl-C。 The sample is in. Press Ctrl-C to stop.")
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
    try:
        region = make_region(directory, args.hospitals, args.port_base)
        content = region.up()
        if args.people > 0:
            region.send_sample(args.people)
        print(f"\n{pages(content)}\n\n区域已就绪 The region is up: {content['hub']['portal']}", flush=True)
        say("停止请按 Ctrl-C。 Ctrl-C stops it.")
        stay(region)
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
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
