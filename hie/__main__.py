"""The hub's command line; `hie COMMAND --help` explains each with an example."""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import structlog
from sqlalchemy.exc import OperationalError

from hie.commands import (
    add_client,
    add_facility,
    add_restriction,
    add_user,
    apply_topology,
    disable_client,
    disable_user,
    enable_client,
    enable_user,
    grant,
    ingest,
    init_keys,
    lift_restriction,
    list_parked,
    list_unmapped,
    load_terminology,
    map_codes,
    migrate,
    print_definitions,
    rebase,
    redrive,
    reindex,
    release_parked,
    renew_keys,
    seal_trail,
    verify_trail,
    web,
    work,
)
from hie.config import SETTINGS, Config, SettingError
from hie.errors import HieError

Command = Callable[[Config, argparse.Namespace], None]
Actions: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _add_bus(keys: Any, topology: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    add(keys, "init", init_keys, "keys init")
    add(keys, "renew", renew_keys, "keys renew")
    add(topology, "apply", apply_topology, "topology apply")
    users = add(topology, "definitions", print_definitions, "topology definitions --passwords broker.json")
    users.add_argument(
        "--passwords", required=True, help='file of {"admin": "...", "hub": "...", "H01": "..."}'
    )
    users.add_argument("--admin", default="admin", help="the user that administers the broker (admin)")


def _add_directory(
    members: Any, systems: Any, people: Any, add: Callable[..., argparse.ArgumentParser]
) -> None:
    facility = add(
        members,
        "add",
        add_facility,
        "facility add --code H01 --name 省立医院 --name-en 'Provincial Hospital' --keys own.public.jwks",
    )
    facility.add_argument("--code", required=True)
    facility.add_argument("--name", required=True)
    facility.add_argument("--name-en", default="")
    facility.add_argument("--keys", required=True, help="file with the hospital's public keys (JWKS)")

    client = add(
        systems,
        "add",
        add_client,
        "client add --id his.h01 --secret-file his.secret --scope 'system/*.cruds' --facility H01",
    )
    client.add_argument("--id", required=True)
    client.add_argument("--secret-file", required=True)
    client.add_argument("--scope", required=True)
    client.add_argument("--facility", help="without it the client serves the whole region")

    for name, run in (("disable", disable_client), ("enable", enable_client)):
        add(systems, name, run, f"client {name} --id his.h01").add_argument("--id", required=True)

    user = add(
        people,
        "add",
        add_user,
        "user add --username li --password-file li.secret --role doctor --facility H02 --name 李医生",
    )
    user.add_argument("--username", required=True)
    user.add_argument("--password-file", required=True)
    user.add_argument("--role", required=True)
    user.add_argument("--facility", help="without it the user serves the whole region")
    user.add_argument("--name", required=True)
    for name, run in (("disable", disable_user), ("enable", enable_user)):
        add(people, name, run, f"user {name} --username li").add_argument("--username", required=True)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    settings = "\n".join(
        f"  {name:<22} {text}" + (f" [{default}]" if default else "")
        for name, (default, text) in SETTINGS.items()
    )
    top = argparse.ArgumentParser(
        prog="hie",
        description="The hub of the health information exchange.",
        epilog=f"settings, from the environment or the file HIE_CONFIG names:\n{settings}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def add(group: Actions, name: str, run: Command, example: str) -> argparse.ArgumentParser:
        text = (run.__doc__ or "").strip()
        added = group.add_parser(name, help=text, description=text, epilog=f"example: hie {example}")
        added.set_defaults(run=run)
        return added

    def group(name: str, text: str) -> Actions:
        return commands.add_parser(name, help=text).add_subparsers(required=True, metavar="ACTION")

    add(commands, "migrate", migrate, "migrate")
    add(commands, "rebase", rebase, "rebase")
    add(commands, "web", web, "web")
    worker = add(commands, "ingest", ingest, "ingest --worker 1 --of 2")
    worker.add_argument("--worker", type=int, default=1, help="number of this worker, from 1")
    worker.add_argument("--of", type=int, default=1, help="how many workers share the queues")
    add(commands, "work", work, "work")
    again = add(commands, "redrive", redrive, "redrive --facility H01")
    again.add_argument("--facility", help="only what this facility sent")
    again.add_argument("--limit", type=int, help="try so many at most, the oldest first (all)")
    add(commands, "reindex", reindex, "reindex")

    members = group("facility", "member hospitals")
    systems, people = group("client", "systems that call the FHIR API"), group("user", "users of the portal")
    _add_directory(members, systems, people, add)
    _add_bus(group("keys", "the hub's own keys"), group("topology", "the broker's queues and users"), add)

    restrict = group("restrict", "people whose record is hidden without an explicit right")
    for name, run in (("add", add_restriction), ("lift", lift_restriction), ("grant", grant)):
        more = " --facility H02 --days 30" if run is grant else ""
        one = add(restrict, name, run, f"restrict {name} --patient PATIENT-ID --reason beneficiary{more}")
        one.add_argument("--patient", required=True, help="id of one Patient of the person")
        one.add_argument("--reason", required=True)
        if run is grant:
            one.add_argument("--facility", required=True)
            one.add_argument("--username", help="only this user of the facility")
            one.add_argument("--days", type=int, default=30)

    terminology = group("terminology", "code systems, value sets, maps of hospitals' own codes")
    _terminology(lambda name, run, example: add(terminology, name, run, f"terminology {example}"))

    told = group("subscription", "subscriptions of the FHIR API")
    add(told, "list", list_parked, "subscription list")
    add(told, "release", release_parked, "subscription release --id ID").add_argument("--id", required=True)

    audit = group("audit", "the audit trail")
    add(audit, "seal", seal_trail, "audit seal")
    add(audit, "verify", verify_trail, "audit verify")
    return top


def _terminology(add: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    """Add the commands of the terminology."""
    load = add("load", load_terminology, "load icd10 icd10.csv --version 2.0")
    load.add_argument(
        "kind",
        help="base, folder, resource, codes, or one of: icd10, icd9cm3, icd10-map, icd9cm3-map, gb2260 ...",
    )
    load.add_argument(
        "file",
        nargs="?",
        help="CSV or .dat in UTF-8 or GB18030; JSON for resource; a directory for folder; none for base",
    )
    load.add_argument("--version", default="", help="version of the table; needed for icd10, icd9cm3, codes")
    load.add_argument("--system", default="", help="URI of the code system, for codes; of a map's sources")
    load.add_argument("--title", default="", help="name of the code system, for codes")
    load.add_argument("--columns", nargs="*", default=[], help="FIELD=NAME, e.g. code=编码 display=名称")
    open_codes = add("unmapped", list_unmapped, "unmapped --facility H01 > h01.csv")
    open_codes.add_argument("--facility", help="only this hospital's codes")
    maps = add("map", map_codes, "map h01.csv")
    maps.add_argument("file", help="the work list with target_system and target_code filled")


AWAY = "The database cannot be reached or does not let us in; check HIE_DATABASE_URL."
BUSY = "Others hold what this command needs in the database; try again when they are done."
# SQLSTATE: lock_not_available, query_canceled, deadlock_detected.
LOCKED = frozenset({"55P03", "57014", "40P01"})


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; a mistake of the caller ends in one plain sentence and exit status 2."""
    args = parser().parse_args(arguments)
    # libpq: sessions speak of instants in UTC, whatever the server's own zone.
    os.environ["PGTZ"] = "UTC"
    try:
        config = Config.from_env(os.environ)
        speak_up(config.log_level)
        args.run(config, args)
    except (SettingError, HieError) as error:
        issues = getattr(error, "issues", ())
        _stop("\n".join([str(error), *(f"  {issue.path}: {issue.text}" for issue in issues)]))
    except OperationalError as error:
        _stop(BUSY if getattr(error.orig, "sqlstate", None) in LOCKED else AWAY)
    except OSError as error:
        _stop(f"{error.strerror}: {error.filename}" if error.filename else str(error))


def speak_up(level: str) -> None:
    """Send what the parts have to say to stderr, one line each; stdout is for results."""
    logging.basicConfig(
        level=level, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr
    )
    # At INFO, pika tells of every channel it opens.
    logging.getLogger("pika").setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper("iso"),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _stop(text: str) -> None:
    print(f"hie: {text}", file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    main()
