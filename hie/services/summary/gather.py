"""Reads what a summary is made of: the records of all hospitals of a person, within the policy's reach."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo

from sqlalchemy import ColumnElement, or_, select, tuple_
from sqlalchemy.orm import Session

from esb.fhir import lexemes
from esb.fhir.references import references
from hie.directory.facilities import facility_names
from hie.repository.read import Stored
from hie.schema.repository import NO_COMPARTMENT, Resource
from hie.services.summary.document import Record
from hie.services.summary.sections import TYPES, Item, Json, showable

OUTSIDE = ("Device", "Location", "Medication", "Organization", "Practitioner", "PractitionerRole")


def gather(
    session: Session,
    patient: Stored,
    compartments: Sequence[str],
    where: ColumnElement[bool],
    base: str,
    zone: tzinfo,
    now: datetime,
) -> Record:
    """Return the record of a person that a summary is made of; what no section shows is not kept in hand.

    Args:
        patient: the one the summary is of. compartments: all Patients of the person.
        where: the policy's condition. base: the address of the API. zone: what a day means.
    """
    rows = session.execute(
        select(Resource.facility, Resource.content).where(
            Resource.compartment.in_(compartments), Resource.type.in_(TYPES), ~Resource.deleted, where
        )
    )
    read = (Item(facility or "", lexemes.loads(content)) for facility, content in rows)
    items = showable(read, now, zone)
    subject = Item(patient.facility or "", lexemes.loads(patient.content))
    others = _others(session, [subject, *items], compartments, where)
    return Record(subject, compartments, items, others, facility_names(session), base, zone)


def _others(
    session: Session, items: Sequence[Item], compartments: Sequence[str], where: ColumnElement[bool]
) -> dict[str, Json]:
    """Return what items refer to besides each other, by Type/id."""
    named = {value for item in items for _, value in references(item.resource)}
    keys = sorted(
        tuple(value.split("/")) for value in named if value.startswith(OUTSIDE) and value.count("/") == 1
    )
    if not keys:
        return {}
    within = or_(Resource.compartment == NO_COMPARTMENT, Resource.compartment.in_(compartments))
    rows = session.execute(
        select(Resource.type, Resource.id, Resource.content).where(
            within, tuple_(Resource.type, Resource.id).in_(keys), ~Resource.deleted, where
        )
    )
    return {f"{type_}/{id_}": lexemes.loads(content) for type_, id_, content in rows}
