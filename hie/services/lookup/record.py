"""The merged record of a person across hospitals, read once, shaped for reading (IPS; WS/T 790.13)."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path

from sqlalchemy.orm import Session

from hie.directory.own_keys import read_own_keys
from hie.errors import NotFound
from hie.repository.blobs import read_blob
from hie.repository.read import everything
from hie.security.actor import Actor
from hie.security.audit import record_each
from hie.security.policy import decide
from hie.services.lookup.banner import Banner, banner
from hie.services.lookup.charges import Charges, charges
from hie.services.lookup.laboratory import Panel, Test, panels, tests
from hie.services.lookup.medications import Medication, medications
from hie.services.lookup.people import purpose_of, sources_of
from hie.services.lookup.problems import Problem, problems
from hie.services.lookup.reports import Report, attachment_bytes, kept_apart, reports
from hie.services.lookup.sources import Holdings, gather
from hie.services.lookup.timeline import Item, timeline
from hie.services.lookup.versions import past_versions, withdrawn

ATTACHING = ("DiagnosticReport", "DocumentReference")
UNSEEN = frozenset({"AuditEvent", "Provenance", "Basic"})


@dataclass(frozen=True, slots=True)
class Record:
    """One person's merged record; the lists are in the order they are read in."""

    banner: Banner
    problems: Sequence[Problem]
    medications: Sequence[Medication]
    tests: dict[str, Test]
    panels: Sequence[Panel]
    reports: Sequence[Report]
    timeline: Sequence[Item]
    charges: Charges
    facilities: Sequence[str]

    @property
    def test_count(self) -> int:
        """How many different tests there are."""
        return len(self.tests)

    @property
    def examinations(self) -> list[Report]:
        """The reports of physical examinations."""
        return [report for report in self.reports if report.kind == "examination"]

    @property
    def documents(self) -> list[Report]:
        """The reports and documents with something to read, other than examinations."""
        return [
            report
            for report in self.reports
            if report.kind in ("imaging", "document") or (report.kind == "laboratory" and report.parts)
        ]


def read_record(
    session: Session, person_id: uuid.UUID, operation: str, *, now: datetime, zone: tzinfo, by: Actor
) -> Record:
    """Return the record of a person, and write the audit row of the look.

    Raises: NotFound if there is no such person or no relation; the two cannot be told apart.
    """
    return compose(load(session, person_id, operation, now=now, zone=zone, by=by), now)


def load(
    session: Session, person_id: uuid.UUID, operation: str, *, now: datetime, zone: tzinfo, by: Actor
) -> Holdings:
    """Return everything of a person, read once for all source records, and write the audit row of the look.

    Raises: NotFound as `read_record`.
    """
    sources = sources_of(session, person_id, "everything", now, by)
    compartments = [source.identity for source in sources]
    allowed = decide(by, "everything", "*", now=now).where
    contents = (
        content for type_, _, content in everything(session, compartments, allowed) if type_ not in UNSEEN
    )
    holdings = gather(sources, contents, zone)
    holdings.past = past_versions(session, holdings)
    holdings.withdrawn = withdrawn(session, compartments)
    record_each(
        session,
        compartments,
        actor=by.for_request(by.request_id, purpose_of(session, person_id, now, by)),
        action="R",
        operation=operation,
        resource_type="Patient",
        person_id=person_id,
    )
    return holdings


def compose(holdings: Holdings, now: datetime) -> Record:
    """Return the record that the holdings make."""
    found = tests(holdings)
    read = reports(holdings)
    return Record(
        banner=banner(holdings, now.astimezone(holdings.zone).date()),
        problems=problems(holdings),
        medications=medications(holdings, now),
        tests=found,
        panels=panels(holdings, found),
        reports=read,
        timeline=timeline(holdings, read, found.values()),
        charges=charges(holdings),
        facilities=sorted({source.facility for source in holdings.sources}),
    )


def read_attachment(
    session: Session,
    person_id: uuid.UUID,
    type_: str,
    id_: str,
    *,
    blob_dir: Path,
    key_dir: Path,
    now: datetime,
    zone: tzinfo,
    by: Actor,
) -> tuple[str, bytes]:
    """Return (content type, bytes) of the original of a report, and write the audit row of the look.

    Args:
        blob_dir: where large contents are kept, sealed. key_dir: where the hub's keys are that open them.

    Raises: NotFound if the record, the report or its original is not there or may not be seen.
    """
    holdings = load(session, person_id, "portal.document", now=now, zone=zone, by=by)
    wanted = next((r for r in holdings.of(type_) if r.get("id") == id_), None) if type_ in ATTACHING else None
    if wanted is None:
        raise NotFound
    if apart := kept_apart(wanted):
        content_type, name = apart
        where = decide(by, "everything", "*", now=now).where
        own = read_own_keys(key_dir)
        content, _ = read_blob(session, blob_dir, own, name=name, resource=(type_, id_), where=where)
        return content_type, content
    found = attachment_bytes(wanted)
    if found is None:
        raise NotFound
    return found
