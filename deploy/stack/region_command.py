"""The command line of a region: `deploy/region up|status|down --dir DIR`."""

import argparse
import contextlib
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.stack.errors import Trouble
from deploy.stack.place import MOST_HOSPITALS
from deploy.stack.progress import say
from deploy.stack.region import Region, make_region, open_region, statuses


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(
        prog="deploy/region",
        description="A whole region on this machine, on loopback, in one directory.",
        epilog="Existing servers are used where HIE_DATABASE_URL or HIE_AMQP_URL (with HIE_MANAGEMENT_URL if"
        " its management is not on port 15672) is set at the first `up`. Ports: the hub on base+80, hospitals"
        " from base+101, servers on base+32 and base+69..73; never more than 100.",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="up|status|down")
    about = {
        "up": "start what is dead, wait until all is ready; harmless when repeated",
        "status": "say what runs and works; the last line is JSON",
        "down": "stop everything; data stays",
    }
    for name, text in about.items():
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--dir", type=Path, required=True, help="e.g. /tmp/region")
        if name == "up":
            most = f"how many, at most {MOST_HOSPITALS} (5)"
            command.add_argument("--hospitals", type=int, help=most)
            command.add_argument("--port-base", type=int, help="ports are counted from here (18000)")
            command.add_argument(
                "--sample", type=int, default=0, metavar="N", help="send N synthetic people (0)"
            )
            command.add_argument(
                "--tables", type=Path, metavar="DIR", help="load the ICD tables (ZD_INFO.dat ...) found here"
            )
    return top


def up(args: argparse.Namespace) -> int:
    """Bring a region up; the last line of stdout names its region.json."""
    region = make_region(args.dir, args.hospitals, args.port_base)
    with region.place.locked():
        region.up()
        if args.tables is not None:
            region.load_tables(args.tables)
        if args.sample > 0:
            region.send_sample(args.sample)
    say(f"The region is up: {region.hub.url}/")
    print(region.place.region_file)
    return 0


def status(args: argparse.Namespace) -> int:
    """Print what runs and works; exit status 1 if something that should does not."""
    region = open_region(args.dir)
    rows = statuses(region)
    for name, pid, is_ready in rows:
        print(f"{name:<16} {('ready' if is_ready else 'NOT READY') if pid else 'DOWN':<9} {pid or ''}")
    is_up = all(is_ready for _, _, is_ready in rows)
    print(json.dumps({"up": is_up, "pids": {name: pid for name, pid, _ in rows if pid}}))
    return 0 if is_up else 1


def down(args: argparse.Namespace) -> int:
    """Stop a region."""
    region: Region = open_region(args.dir)
    with region.place.locked():
        region.down()
    say("Nothing of the region runs any more; its data stays.")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; what the caller can mend ends in one plain sentence and exit status 2."""
    args = parser().parse_args(arguments)
    try:
        return {"up": up, "status": status, "down": down}[args.command](args)
    except Trouble as trouble:
        print(f"deploy/region: {trouble}{_way_out(args)}", file=sys.stderr)
        return 2


def _way_out(args: argparse.Namespace) -> str:
    """Return how to end what a failed `up` leaves running; empty if nothing runs."""
    with contextlib.suppress(Trouble):
        if args.command == "up" and open_region(args.dir).pids():
            return f" What runs goes on; end it with: deploy/region down --dir {shlex.quote(str(args.dir))}"
    return ""


if __name__ == "__main__":
    raise SystemExit(main())
