"""What each command of the hub does: what it is given, read, and handed to the part it concerns.

A command loads only what it needs: `hie migrate` waits for no web server's or worker's modules.
"""

import argparse
import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session, sessionmaker

from esb.declare import declare
from esb.topology import HUB_USER, definitions
from hie.config import Config
from hie.directory import clients, own_keys, users
from hie.directory.facilities import facility_names, put_facility
from hie.errors import Rejected
from hie.schema import rebasing
from hie.schema.migrate import upgrade
from hie.security import audit
from hie.security.actor import OPERATOR
from hie.security.chain import seal_audit, verify_audit

log = logging.getLogger("hie")


def migrate(config: Config, _: argparse.Namespace) -> None:
    """Bring the database to the newest schema."""
    upgrade(config.database_url)


def rebase(config: Config, _: argparse.Namespace) -> None:
    """After a restore from pg_dump: bring the stored transaction ids over to this PostgreSQL cluster."""
    with _engine(config) as engine, Session(engine) as session, session.begin():
        marks = rebasing.rebase(session.connection(), datetime.now(UTC))
        if marks is not None:
            _record(session, "database.rebase", {"marks": marks})
    print(json.dumps({"rebased": marks is not None}))


def web(config: Config, _: argparse.Namespace) -> None:
    """Serve the FHIR API and the portal until told to stop."""
    from hie.server import serve

    rebasing.check_own(config.database_url)
    serve(config)


def ingest(config: Config, args: argparse.Namespace) -> None:
    """Take in what the hospitals send: this worker's share of the queues."""
    from hie.ingest.process import run

    rebasing.check_own(config.database_url)
    run(config, worker=args.worker, of=args.of)


def work(config: Config, _: argparse.Namespace) -> None:
    """Do the long work (exports, imports, asynchronous requests) and deliver what subscriptions ask for."""
    from hie.work.process import run

    rebasing.check_own(config.database_url)
    run(config)


def redrive(config: Config, args: argparse.Namespace) -> None:
    """Try again what was set aside."""
    from hie.ingest.redrive import redrive as again

    with _sessions(config) as sessions:
        counts = again(sessions, config, facility=args.facility, limit=args.limit, by=OPERATOR)
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
    jwks = _json(args.keys)
    with _session(config) as session:
        put_facility(session, args.code, args.name, args.name_en, jwks)


def add_client(config: Config, args: argparse.Namespace) -> None:
    """Register a system that calls the FHIR API, or change it."""
    secret = Path(args.secret_file).read_text("utf-8").strip()
    with _session(config) as session:
        clients.put_client(session, args.id, secret, args.scope, args.facility)


def disable_client(config: Config, args: argparse.Namespace) -> None:
    """Let a system ask for nothing any more; its tokens end."""
    with _session(config) as session:
        clients.disable_client(session, args.id, now=datetime.now(UTC), by=OPERATOR)


def enable_client(config: Config, args: argparse.Namespace) -> None:
    """Let a system that was disabled ask again."""
    with _session(config) as session:
        clients.enable_client(session, args.id, by=OPERATOR)


def add_user(config: Config, args: argparse.Namespace) -> None:
    """Register a user of the portal, or change the user."""
    password = Path(args.password_file).read_text("utf-8").strip()
    with _session(config) as session:
        given = {"role": args.role, "facility": args.facility, "name": args.name}
        users.put_user(session, args.username, password, **given)


def disable_user(config: Config, args: argparse.Namespace) -> None:
    """Let a user of the portal sign in no more; the user's sessions end."""
    with _session(config) as session:
        users.disable_user(session, args.username, now=datetime.now(UTC), by=OPERATOR)


def enable_user(config: Config, args: argparse.Namespace) -> None:
    """Let a user that was disabled sign in again."""
    with _session(config) as session:
        users.enable_user(session, args.username, by=OPERATOR)


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
    if args.admin in codes:
        raise Rejected(f"{args.admin} is a hospital; name another user with --admin.")
    given = _json(args.passwords)
    needed = [args.admin, HUB_USER, *codes]
    missing = [user for user in needed if not given.get(user)]
    if missing:
        raise Rejected(f"{args.passwords} holds no password for {', '.join(missing)}; add them.")
    wanted = definitions(
        {user: given[user] for user in needed}, admin=args.admin, ingest_queues=config.queues
    )
    print(json.dumps(wanted))


def add_restriction(config: Config, args: argparse.Namespace) -> None:
    """Hide a person from everybody without an explicit right."""
    from hie.mpi.restrict import restrict

    with _session(config) as session:
        restrict(session, args.patient, reason=args.reason, by=OPERATOR)


def lift_restriction(config: Config, args: argparse.Namespace) -> None:
    """Show a person again to whom the usual rules allow it."""
    from hie.mpi.restrict import lift

    with _session(config) as session:
        lift(session, args.patient, reason=args.reason, by=OPERATOR)


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
            by=OPERATOR,
        )


def list_parked(config: Config, _: argparse.Namespace) -> None:
    """Show the subscriptions that were set aside: whose, where to, why, how many events wait."""
    from hie.services.subscriptions.keeping import parked

    with _session(config) as session:
        print(json.dumps(parked(session), ensure_ascii=False))


def release_parked(config: Config, args: argparse.Namespace) -> None:
    """Take up a subscription again that was set aside, from the first event that waits."""
    from hie.services.subscriptions.keeping import release

    with _session(config) as session:
        release(session, args.id, config, datetime.now(UTC), OPERATOR)
    print(json.dumps({"released": args.id}))


def seal_trail(config: Config, _: argparse.Namespace) -> None:
    """Seal the audit rows written so far into the hash chain."""
    with _engine(config) as engine:
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
        _record(session, "terminology.load", {"kind": args.kind, "version": args.version})
        if any(one["fate"] == "loaded" for one in done):
            publish(session, datetime.now(UTC), config.zone)
    print(json.dumps(done, ensure_ascii=False))


def list_unmapped(config: Config, args: argparse.Namespace) -> None:
    """Write the hospitals' own codes that no map translates yet, as CSV."""
    from hie.terminology import commands

    with _sessions(config) as sessions:
        print(commands.unmapped(sessions, args.facility), end="")


def map_codes(config: Config, args: argparse.Namespace) -> None:
    """Take in the filled work list: what hospitals' own codes are in the region's."""
    from hie.services.vocabulary import publish
    from hie.terminology import commands

    with _session(config) as session:
        counts = commands.map_codes(session, args.file)
        _record(session, "terminology.map", counts)
        publish(session, datetime.now(UTC), config.zone)
    print(json.dumps(counts))


@contextmanager
def _engine(config: Config) -> Iterator[Engine]:
    engine = create_engine(config.database_url, hide_parameters=True)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def _sessions(config: Config) -> Iterator[sessionmaker[Session]]:
    rebasing.check_own(config.database_url)
    with _engine(config) as engine:
        yield sessionmaker(engine)


@contextmanager
def _session(config: Config) -> Iterator[Session]:
    """Give a session that commits when its `with` block ends well."""
    with _sessions(config) as sessions, sessions.begin() as session:
        yield session


def _record(session: Session, operation: str, detail: Mapping[str, Any]) -> None:
    """Add the audit row of what an operator wrote."""
    audit.record(session, actor=OPERATOR, action="U", operation=operation, http=None, detail=detail)


def _json(file: str) -> Any:
    try:
        return json.loads(Path(file).read_text("utf-8"))
    except ValueError:
        raise Rejected(f"{file} is not JSON; give another file.") from None
