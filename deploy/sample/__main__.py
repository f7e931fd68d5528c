"""Commands: `python -m deploy.sample write|send`; progress on stderr, the last line of stdout is JSON."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import date
from pathlib import Path

from deploy.sample.generate import HOSPITALS, TODAY, YEARS, province
from deploy.sample.send import read_region, send, write


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    top = argparse.ArgumentParser(prog="python -m deploy.sample", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    writing = commands.add_parser(
        "write",
        help="write what the hospitals would send as files",
        epilog="example: python -m deploy.sample write --people 100 --out /tmp/province",
    )
    writing.add_argument("--out", type=Path, required=True, help="directory, made if absent")
    writing.add_argument("--hospitals", default=",".join(HOSPITALS), help="codes with commas (%(default)s)")
    sending = commands.add_parser(
        "send",
        help="send it into a running region",
        epilog="example: python -m deploy.sample send --region /tmp/region/region.json --people 2000",
    )
    sending.add_argument("--region", type=Path, required=True, help="region.json of deploy/region")
    sending.add_argument("--rate", type=float, default=0.0, help="messages a second at most (no limit)")
    for command in (writing, sending):
        command.add_argument("--people", type=int, default=2000, help="how many people (%(default)s)")
        command.add_argument(
            "--seed", type=int, default=1, help="another seed, another province (%(default)s)"
        )
        command.add_argument("--today", type=date.fromisoformat, default=TODAY, help="last day (%(default)s)")
        command.add_argument("--years", type=int, default=YEARS, help="years before it (%(default)s)")
    return top


def main() -> int:
    """Run a command."""
    args = parser().parse_args()
    if args.command == "write":
        hospitals = args.hospitals.split(",")
        summary = write(province(args.people, args.seed, hospitals, args.today, args.years), args.out)
    else:
        region = read_region(args.region)
        events = province(args.people, args.seed, [h["code"] for h in region], args.today, args.years)
        summary = send(events, region, args.rate)
    print(json.dumps({"people": args.people} | summary, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
