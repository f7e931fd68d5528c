"""Lets the patient index and the relations follow what was written, by the bus or by the API (ITI-104)."""

from collections.abc import Sequence
from datetime import datetime, tzinfo

from sqlalchemy.orm import Session

from esb.fhir import lexemes
from hie.mpi.identify import Identified, Source, forget, identify_many
from hie.mpi.relations import EncounterSeen, end_with_encounters, relate_by_encounters
from hie.repository.writes import Outcome, Write

FOLLOWED = ("Patient", "Encounter")
CHANGED = ("created", "updated")


def follow_writes(
    session: Session,
    writes: Sequence[Write],
    outcomes: Sequence[Outcome],
    now: datetime,
    *,
    days: int,
    zone: tzinfo,
    actor: str = "mpi",
) -> Identified:
    """Register Patients, open and end relations by Encounters, and take back what deleted ones gave.

    Args:
        days: how long after an encounter its facility may still read.
        zone: of the region.

    Returns: the person of each Patient that was registered, by its id, and what its sender should look at.
    """
    patients: dict[str, Source] = {}
    encounters: dict[str, EncounterSeen] = {}
    gone: dict[str, set[str]] = {"Patient": set(), "Encounter": set()}
    for write, outcome in zip(writes, outcomes, strict=True):
        if write.type not in FOLLOWED:
            continue
        if outcome.fate == "deleted":
            gone[write.type].add(write.id)
        elif outcome.fate in CHANGED:
            gone[write.type].discard(write.id)
            resource = write.resource if write.resource is not None else lexemes.loads(outcome.content)
            if write.type == "Patient":
                patients[write.id] = Source(write.id, write.facility, resource)
            elif write.facility and outcome.compartment:
                seen = EncounterSeen(write.id, write.facility, outcome.compartment, resource)
                encounters[write.id] = seen
    found = Identified({}, {})
    if patients:
        found = identify_many(session, list(patients.values()), now, actor)
    if encounters:
        relate_by_encounters(session, list(encounters.values()), now, days, zone)
    if gone["Patient"]:
        forget(session, sorted(gone["Patient"]), now, actor)
    if gone["Encounter"]:
        end_with_encounters(session, sorted(gone["Encounter"]))
    return found
