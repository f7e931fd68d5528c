"""`fep`: runs and looks after a hospital's front-end processor."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from esb.errors import HieError
from front_end_processor import app, check, keys, logs
from front_end_processor.adapters.hl7v2.client import send_files
from front_end_processor.config import SETTINGS, BadSetting, Config
from front_end_processor.normalise.profile import BadProfile

EXAMPLES = """\
examples:
  FEP_CONFIG=/etc/hie/fep.env fep keys init   make this hospital's keys, once; back up the folder
  FEP_CONFIG=/etc/hie/fep.env fep migrate     bring the local database to this version
  FEP_CONFIG=/etc/hie/fep.env fep check       say what is wrong before starting
  FEP_CONFIG=/etc/hie/fep.env fep run         take messages until SIGTERM
  fep send 127.0.0.1:2575 admission.hl7       send HL7 v2 files by MLLP, as a system of the hospital would

settings (environment, or KEY=VALUE lines in the file that FEP_CONFIG names):
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    settings = "\n".join(f"  {key:26} {text}" for key, text in SETTINGS.items())
    parser = argparse.ArgumentParser(
        prog="fep",
        description="Front-end processor: captures what a hospital's systems send and passes it to the hub.",
        epilog=EXAMPLES + settings,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    run = commands.add_parser("run", help="take messages until SIGTERM")
    run.add_argument("--log", default="info", choices=("debug", "info", "warning"), help="how much to log")
    key_commands = commands.add_parser("keys", help="the hospital's keys").add_subparsers(
        dest="keys_command", required=True, metavar="init|renew"
    )
    key_commands.add_parser("init", help="make own.jwks, own.public.jwks and id.key where missing")
    key_commands.add_parser("renew", help="put new keys in force; register own.public.jwks at the hub")
    commands.add_parser("migrate", help="bring the local database to this version; harmless when repeated")
    commands.add_parser("check", help="explain what is wrong in settings, keys, profile and connections")
    sending = commands.add_parser("send", help="send HL7 v2 files by MLLP and print the answers")
    sending.add_argument("address", type=_address, metavar="HOST:PORT", help="an MLLP listener")
    sending.add_argument("files", nargs="+", type=Path, metavar="FILE", help="one message each")
    arguments = parser.parse_args(argv)
    try:
        if arguments.command == "send":
            return _send(arguments)
        return _COMMANDS[arguments.command](Config.from_env(os.environ), arguments)
    except (BadSetting, BadProfile, HieError, app.NotReady, OSError) as fault:
        print(f"fep: {fault}", file=sys.stderr)
        return 1


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise argparse.ArgumentTypeError("write it as HOST:PORT, e.g. 127.0.0.1:2575")
    return host.strip("[]"), int(port)


def _run(config: Config, arguments: argparse.Namespace) -> int:
    logs.configure(arguments.log)
    return asyncio.run(app.run(app.Processor(config)))


def _keys(config: Config, arguments: argparse.Namespace) -> int:
    if arguments.keys_command == "renew":
        keys.renew(config.key_dir, config.facility)
        made = [keys.OWN, keys.OWN_PUBLIC]
    else:
        made = keys.init(config.key_dir, config.facility)
    print(f"made {', '.join(made)}" if made else "nothing was missing", file=sys.stderr)
    print(config.key_dir / keys.OWN_PUBLIC)
    return 0


def _migrate(config: Config, _arguments: argparse.Namespace) -> int:
    # Alembic takes a second to import, which the other commands need not wait for.
    migrate = importlib.import_module("front_end_processor.cache.migrate").migrate
    migrate(config.cache_url)
    print("the cache has the tables of this version", file=sys.stderr)
    return 0


def _check(config: Config, _arguments: argparse.Namespace) -> int:
    findings = check.findings(config)
    for finding in findings:
        mark = "ok  " if finding.is_ok else "note" if finding.is_optional else "FIX "
        print(f"{mark} {finding.what}: {finding.text}")
    return 0 if all(finding.is_ok or finding.is_optional for finding in findings) else 1


def _send(arguments: argparse.Namespace) -> int:
    """Print the answer to each file; nothing of a processor's own settings is needed."""
    refused = 0
    host, port = arguments.address
    for is_accepted, told in send_files(host, port, arguments.files):
        print(told)
        refused += not is_accepted
    return 1 if refused else 0


_COMMANDS = {"run": _run, "keys": _keys, "migrate": _migrate, "check": _check}

if __name__ == "__main__":
    sys.exit(main())
