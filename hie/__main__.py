"""The hub's commands; `hie COMMAND --help` explains each with an example."""

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import structlog
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from esb.declare import declare
from esb.topology import HUB_USER, definitions
from hie.config import SETTINGS, Config, SettingError
from hie.directory import own_keys
from hie.directory.clients import put_client
from hie.directory.facilities import facility_names, put_facility
from hie.directory.users import put_user
from hie.errors import HieError, Rejected
from hie.schema.migrate import upgrade
from hie.security.actor import system_actor
from hie.security.chain import seal_audit, verify_audit

log = logging.getLogger("hie")


def migrate(config: Config, _: argparse.Namespace) -> None:
    """Bring the database to the newest schema."""
    upgrade(config.database_url)


def web(config: Config, _: argparse.Namespace) -> None:
    """Serve the FHIR API and the portal until told to stop."""
    from hie.server import serve

    serve(config)


def ingest(config: Config, args: argparse.Namespace) -> None:
    """Take in what the hospitals send: this worker's share of the queues."""
    from hie.ingest.process import run

    run(config, worker=args.worker, of=args.of)


def work(config: Config, _: argparse.Namespace) -> None:
    """Do the long work (exports, imports, asynchronous requests) and deliver what subscriptions ask for."""
    from hie.work.process import run

    run(config)


def redrive(config: Config, args: argparse.Namespace) -> None:
    """Try again what was set aside."""
    from hie.ingest.redrive import redrive as again

    by = system_actor("operator")
    with _sessions(config) as sessions:
        counts = again(sessions, config, facility=args.facility, limit=args.limit, by=by)
    print(json.dumps(counts))


def reindex(config: Config, _: argparse.Namespace) -> None:
    """Make the search index anew from what is stored, after a release that searches by more."""
    from hie.repository.reindexing import reindex as anew

    done = 0
    with _sessions(config) as sessions:
        for done in anew(sessions, config.zone):
            log.info("reindexed %d resources", done)
    print(json.dumps({"resources": done}))


def add_facility(config: Config, args: argparse.Namespace) -> None:
    """Register a hospital with its public keys, or change it."""
    jwks = json.loads(Path(args.keys).read_text("utf-8"))
    with _session(config) as session:
        put_facility(session, args.code, args.name, args.name_en, jwks)


def add_client(config: Config, args: argparse.Namespace) -> None:
    """Register a system that calls the FHIR API, or change it."""
    secret = Path(args.secret_file).read_text("utf-8").strip()
    with _session(config) as session:
        put_client(session, args.id, secret, args.scope, args.facility)


def add_user(config: Config, args: argparse.Namespace) -> None:
    """Register a user of the portal, or change the user."""
    password = Path(args.password_file).read_text("utf-8").strip()
    with _session(config) as session:
        put_user(session, args.username, password, role=args.role, facility=args.facility, name=args.name)


def init_keys(config: Config, _: argparse.Namespace) -> None:
    """Make the hub's own keys unless they are there; print the public set."""
    print(own_keys.init(config.key_dir))


def renew_keys(config: Config, _: argparse.Namespace) -> None:
    """Put new keys in force; the earlier ones open what is older. Give the public set to every hospital."""
    print(own_keys.renew(config.key_dir))


def apply_topology(config: Config, _: argparse.Namespace) -> None:
    """Declare exchanges, queues and bindings for every registered facility; users come by `definitions`."""
    with _session(config) as session:
        codes = list(facility_names(session))
    declare(config.amqp_url, codes, config.queues, ca_file=str(config.ca_file) if config.ca_file else None)
    print(json.dumps({"facilities": codes, "queues": config.queues}))


def print_definitions(config: Config, args: argparse.Namespace) -> None:
    """Print users, rights, exchanges, queues and bindings as `rabbitmqctl import_definitions` reads them."""
    with _session(config) as session:
        codes = list(facility_names(session))
    given = json.loads(Path(args.passwords).read_text("utf-8"))
    users = [args.admin, HUB_USER, *codes]
    missing = [user for user in users if not given.get(user)]
    if missing:
        raise Rejected(f"{args.passwords} holds no password for {', '.join(missing)}; add them.")
    wanted = definitions({user: given[user] for user in users}, admin=args.admin, ingest_queues=config.queues)
    print(json.dumps(wanted))


def add_restriction(config: Config, args: argparse.Namespace) -> None:
    """Hide a person from everybody without an explicit right."""
    from hie.mpi.restrict import restrict

    with _session(config) as session:
        restrict(session, args.patient, reason=args.reason, by=system_actor("operator"))


def lift_restriction(config: Config, args: argparse.Namespace) -> None:
    """Show a person again to whom the usual rules allow it."""
    from hie.mpi.restrict import lift

    with _session(config) as session:
        lift(session, args.patient, reason=args.reason, by=system_actor("operator"))


def grant(config: Config, args: argparse.Namespace) -> None:
    """Give a facility, or one user of it, the explicit right to a restricted person's record."""
    from hie.mpi.restrict import grant as give

    with _session(config) as session:
        give(
            session,
            args.patient,
            facility=args.facility,
            username=args.username,
            days=args.days,
            reason=args.reason,
            now=datetime.now(UTC),
            by=system_actor("operator"),
        )


def seal_trail(config: Config, _: argparse.Namespace) -> None:
    """Seal the audit rows written so far into the hash chain."""
    engine = create_engine(config.database_url, hide_parameters=True)
    print(json.dumps({"sealed": seal_audit(engine, time.sleep)}))


def verify_trail(config: Config, _: argparse.Namespace) -> None:
    """Check the hash chain of the audit trail; exit status 1 if it was altered."""
    with _session(config) as session:
        broken = verify_audit(session)
    print(json.dumps({"broken_seals": broken}))
    if broken:
        raise SystemExit(1)


def load_terminology(config: Config, args: argparse.Namespace) -> None:
    """Load a table of codes, or `base`: those that come with the exchange. Loading again does nothing."""
    from hie.services.vocabulary import publish
    from hie.terminology import commands

    def say(count: int) -> None:
        print(f"{args.kind}: {count} codes read", file=sys.stderr)

    with _session(config) as session:
        done = commands.load(session, args, say)
        if any(one["fate"] == "loaded" for one in done):
            publish(session, datetime.now(UTC), config.zone)
    print(json.dumps(done, ensure_ascii=False))


def list_unmapped(config: Config, args: argparse.Namespace) -> None:
    """Write the hospitals' own codes that no map translates yet, as CSV."""
    from hie.terminology import commands

    with _session(config) as session:
        print(commands.unmapped(session, args.facility), end="")


def map_codes(config: Config, args: argparse.Namespace) -> None:
    """Take in the filled work list: what hospitals' own codes are in the region's."""
    from hie.services.vocabulary import publish
    from hie.terminology import commands

    with _session(config) as session:
        counts = commands.map_codes(session, args.file)
        publish(session, datetime.now(UTC), config.zone)
    print(json.dumps(counts))


@contextmanager
def _sessions(config: Config) -> Iterator[sessionmaker[Session]]:
    engine = create_engine(config.database_url, hide_parameters=True)
    try:
        yield sessionmaker(engine)
    finally:
        engine.dispose()


@contextmanager
def _session(config: Config) -> Iterator[Session]:
    """Give a session that commits when its `with` block ends well."""
    with _sessions(config) as sessions, sessions.begin() as session:
        yield session


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
    add(commands, "web", web, "web")
    worker = add(commands, "ingest", ingest, "ingest --worker 1 --of 2")
    worker.add_argument("--worker", type=int, default=1, help="number of this worker, from 1")
    worker.add_argument("--of", type=int, default=1, help="how many workers share the queues")
    add(commands, "work", work, "work")
    again = add(commands, "redrive", redrive, "redrive --facility H01")
    again.add_argument("--facility", help="only what this facility sent")
    again.add_argument("--limit", type=int, help="try so many at most, the oldest first (all)")
    add(commands, "reindex", reindex, "reindex")

    facility = add(
        group("facility", "member hospitals"),
        "add",
        add_facility,
        "facility add --code H01 --name 省立医院 --name-en 'Provincial Hospital' --keys own.public.jwks",
    )
    facility.add_argument("--code", required=True)
    facility.add_argument("--name", required=True)
    facility.add_argument("--name-en", default="")
    facility.add_argument("--keys", required=True, help="file with the hospital's public keys (JWKS)")

    client = add(
        group("client", "systems that call the FHIR API"),
        "add",
        add_client,
        "client add --id his.h01 --secret-file his.secret --scope 'system/*.cruds' --facility H01",
    )
    client.add_argument("--id", required=True)
    client.add_argument("--secret-file", required=True)
    client.add_argument("--scope", required=True)
    client.add_argument("--facility", help="without it the client serves the whole region")

    user = add(
        group("user", "users of the portal"),
        "add",
        add_user,
        "user add --username li --password-file li.secret --role doctor --facility H02 --name 李医生",
    )
    user.add_argument("--username", required=True)
    user.add_argument("--password-file", required=True)
    user.add_argument("--role", required=True)
    user.add_argument("--facility", help="without it the user serves the whole region")
    user.add_argument("--name", required=True)

    _add_bus(group("keys", "the hub's own keys"), group("topology", "the broker's queues and users"), add)

    restrict = group("restrict", "people whose record is hidden without an explicit right")
    for name, run in (("add", add_restriction), ("lift", lift_restriction), ("grant", grant)):
        one = add(restrict, name, run, f"restrict {name} --patient PATIENT-ID --reason beneficiary")
        one.add_argument("--patient", required=True, help="id of one Patient of the person")
        one.add_argument("--reason", required=True)
        if run is grant:
            one.add_argument("--facility", required=True)
            one.add_argument("--username", help="only this user of the facility")
            one.add_argument("--days", type=int, default=30)

    terminology = group("terminology", "code systems, value sets, maps of hospitals' own codes")
    _terminology(lambda name, run, example: add(terminology, name, run, f"terminology {example}"))

    audit = group("audit", "the audit trail")
    add(audit, "seal", seal_trail, "audit seal")
    add(audit, "verify", verify_trail, "audit verify")
    return top


def _terminology(add: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    """Add the commands of the terminology."""
    load = add("load", load_terminology, "load icd10 icd10.csv --version 2.0")
    load.add_argument(
        "kind", help="base, resource, codes, or one of: icd10, icd9cm3, gb2260, loinc, ucum ..."
    )
    load.add_argument("file", nargs="?", help="CSV in UTF-8 or GB18030; JSON for resource; none for base")
    load.add_argument("--version", default="", help="version of the table; needed for icd10, icd9cm3, codes")
    load.add_argument("--system", default="", help="URI of the code system, for codes")
    load.add_argument("--title", default="", help="name of the code system, for codes")
    load.add_argument("--columns", nargs="*", default=[], help="FIELD=NAME, e.g. code=编码 display=名称")
    open_codes = add("unmapped", list_unmapped, "unmapped --facility H01 > h01.csv")
    open_codes.add_argument("--facility", help="only this hospital's codes")
    maps = add("map", map_codes, "map h01.csv")
    maps.add_argument("file", help="the work list with target_system and target_code filled")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; a mistake of the caller ends in one plain sentence and exit status 2."""
    args = parser().parse_args(arguments)
    try:
        config = Config.from_env(os.environ)
        speak_up(config.log_level)
        args.run(config, args)
    except (SettingError, HieError) as error:
        issues = getattr(error, "issues", ())
        _stop("\n".join([str(error), *(f"  {issue.path}: {issue.text}" for issue in issues)]))
    except OperationalError:
        _stop("The database cannot be reached or does not let us in; check HIE_DATABASE_URL.")
    except OSError as error:
        _stop(f"{error.strerror}: {error.filename}" if error.filename else str(error))
    except json.JSONDecodeError:
        _stop("The key file is not JSON.")


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
