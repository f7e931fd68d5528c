"""How a person becomes known to a hospital: the number given, and the slips made in writing them down."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from random import Random

from deploy.sample import ids, names
from deploy.sample.model import Known
from deploy.sample.people import Person

PLACEHOLDER_ID = "1" * 18
PLACEHOLDER_PHONE = "13800000000"
PLACEHOLDER_DAY = date(1900, 1, 1)


def register(rng: Random, person: Person, facility: str, at: datetime, second: bool = False) -> Known:
    """Return the person as this hospital wrote them down; a second registration is the more careless one."""
    slip = 2.5 if second else 1.0
    known = Known(
        person=person,
        facility=facility,
        number=ids.patient_no(facility, person.number, second),
        name=person.name,
        id_type=person.id_type,
        id_no=person.id_no,
        phone=person.phone,
        address=person.address,
        born=person.born,
        since=at,
        allergies=[a for a in person.allergies if rng.random() < 0.85],
        pinyin=ids.facility_index(facility) in (2, 3),
    )
    _identify(rng, known, slip)
    _spell(rng, known, slip)
    if rng.random() < 0.10 * slip:
        known.phone = ids.phone(person.number * 3 + 2)
    if rng.random() < 0.01:
        known.phone = PLACEHOLDER_PHONE
    if not known.id_no and rng.random() < 0.06:
        known.born = PLACEHOLDER_DAY
    if rng.random() < 0.08:
        known.address = person.address.split("号")[0] + "号"
    return known


def _identify(rng: Random, known: Known, slip: float) -> None:
    person = known.person
    draw = rng.random()
    if person.id_type == "birth_certificate":
        if draw < 0.3:
            known.id_type, known.id_no = "", ""
        elif draw < 0.5 and person.guardian_id.isalnum() and len(person.guardian_id) == 18:
            known.id_type, known.id_no = "resident_id", person.guardian_id  # a parent's number: never theirs
    elif draw < 0.06 * slip:
        known.id_type, known.id_no = "", ""
    elif draw < 0.064 * slip and person.id_type == "resident_id":
        known.id_no = PLACEHOLDER_ID
    elif person.id_type == "resident_id" and person.born.year < 1985 and draw > 0.97:
        known.id_no = ids.to_15(person.id_no)


def _spell(rng: Random, known: Known, slip: float) -> None:
    draw = rng.random()
    if draw < 0.025 * slip:
        known.name = names.homophone(rng, known.name)
    elif draw < 0.035 * slip:
        known.name = names.traditional(known.name)
    elif "·" in known.name.text and draw > 0.6:
        known.name = names.dot_variant(known.name)


def update(rng: Random, known: Known, at: datetime) -> Known:
    """Return the registration after the patient told the hospital something new."""
    person = known.person
    if not known.id_no and person.id_type == "resident_id":
        return replace(known, id_type=person.id_type, id_no=person.id_no, born=person.born)
    return replace(known, phone=ids.phone(person.number * 3 + 2) if rng.random() < 0.6 else person.phone)
