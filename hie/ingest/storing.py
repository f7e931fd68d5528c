"""Stores entries in one transaction: resources, identities, relations, audit, inbox and receipts."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo

import orjson
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from esb.envelope import Entry, deflate
from esb.inbox import Taken
from esb.topology import RECEIPTS
from hie.ingest.reading import Item
from hie.mpi.identify import Identified
from hie.mpi.people import persons_of
from hie.repository.store import write
from hie.repository.writes import Outcome
from hie.schema.bulk import copy_in
from hie.schema.exchange import inbox, outbox, set_aside
from hie.security import audit
from hie.security.actor import Actor, system_actor
from hie.security.ownership import check_own_patients
from hie.services.registering import follow_writes

REASON_LENGTH = 500
ACTIONS = {"created": "C", "updated": "U", "deleted": "D"}


@dataclass(slots=True)
class Ledger:
    """What became of each entry: the inbox rows to write and the receipts to send, by facility."""

    now: datetime
    rows: list[Taken] = field(default_factory=list)
    receipts: dict[str, list[dict[str, object]]] = field(default_factory=lambda: defaultdict(list))

    def settle(self, facility: str, entry: Entry, fate: str, reason: str | None = None) -> None:
        """Note the fate of an entry that was not taken in before."""
        why = reason[:REASON_LENGTH] if reason else None
        self.rows.append(Taken(facility, entry.epoch, entry.seq, entry.kind[:64], self.now, fate, why))
        self.answer(facility, entry.epoch, entry.seq, fate, why)

    def answer(self, facility: str, epoch: int, seq: int, fate: str, reason: str | None) -> None:
        """Note a receipt."""
        self.receipts[facility].append(
            {"epoch": epoch, "seq": seq, "fate": fate, "reason": reason, "at": self.now.isoformat()}
        )


def store_items(
    session: Session, items: Sequence[Item], ledger: Ledger, zone: tzinfo, relation_days: int
) -> None:
    """Store entries that were not taken in before.

    Raises: Rejected and its kin if one of them cannot be stored; roll back and find out which.
    """
    writes = [w for item in items for w in item.writes]
    outcomes = write(session, writes, ledger.now, zone)
    check_own_patients(
        session, ((outcome.compartment, one.facility) for one, outcome in zip(writes, outcomes, strict=True))
    )
    now = ledger.now
    found = follow_writes(session, writes, outcomes, now, days=relation_days, zone=zone, actor="ingest")
    _record(session, items, outcomes, found, ledger)


def _record(
    session: Session,
    items: Sequence[Item],
    outcomes: Sequence[Outcome],
    found: Identified,
    ledger: Ledger,
) -> None:
    """Write one audit row per entry and note its fate."""
    compartments = {outcome.compartment for outcome in outcomes} - found.persons.keys() - {""}
    persons = found.persons | persons_of(session, compartments)
    actors: dict[str, Actor] = {}
    rows = []
    at = 0
    for item in items:
        own = outcomes[at : at + len(item.writes)]
        at += len(item.writes)
        fates = [outcome.fate for outcome in own]
        is_late = "superseded" in fates and not any(fate in ACTIONS for fate in fates)
        doubt = next((found.doubts[o.id] for o in own if o.type == "Patient" and o.id in found.doubts), None)
        ledger.settle(item.facility, item.entry, "superseded" if is_late else "stored", doubt)
        compartment = next((outcome.compartment for outcome in own if outcome.compartment), None)
        actor = actors.setdefault(item.facility, system_actor("ingest", item.facility))
        rows.append(
            audit.audit_row(
                actor,
                next((ACTIONS[fate] for fate in fates if fate in ACTIONS), "E"),
                "ingest",
                resource_type="Bundle",
                resource_id=f"{item.facility}.{item.entry.epoch}.{item.entry.seq}",
                compartment=compartment,
                person_id=persons.get(compartment) if compartment else None,
                detail={"kind": item.entry.kind, "resources": len(fates)},
            )
        )
    audit.record_many(session, rows)


def put_aside(session: Session, facility: str, entry: Entry, reason: str, ledger: Ledger) -> None:
    """Keep an entry that cannot be stored, with the reason, for a re-drive; audit and answer it."""
    session.execute(
        insert(set_aside).on_conflict_do_nothing(),
        [
            {
                "facility": facility,
                "epoch": entry.epoch,
                "seq": entry.seq,
                "kind": entry.kind[:64],
                "source_at": entry.source_at,
                "payload": entry.payload,
                "reason": reason[:REASON_LENGTH],
                "at": ledger.now,
            }
        ],
    )
    audit.record(
        session,
        actor=system_actor("ingest", facility),
        action="C",
        operation="ingest",
        resource_type="Bundle",
        resource_id=f"{facility}.{entry.epoch}.{entry.seq}",
        outcome=4,
        http=None,
        detail={"kind": entry.kind, "fate": "set_aside"},
    )
    ledger.settle(facility, entry, "set_aside", reason)


def close_ledger(session: Session, ledger: Ledger) -> None:
    """Write the inbox rows and one outbox row of receipts per facility."""
    if ledger.rows:
        copy_in(session, inbox.name, Taken._fields, ledger.rows)
    answer_all(session, ledger)


def answer_all(session: Session, ledger: Ledger) -> None:
    """Write one outbox row of receipts per facility."""
    rows = [
        {
            "epoch": 0,
            "exchange": RECEIPTS,
            "route": facility,
            "kind": "receipts",
            "source_at": ledger.now,
            "payload": deflate(orjson.dumps(receipts)),
            "created_at": ledger.now,
        }
        for facility, receipts in sorted(ledger.receipts.items())
        if receipts
    ]
    if rows:
        session.connection().execute(outbox.insert(), rows)
