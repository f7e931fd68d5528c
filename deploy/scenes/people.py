"""Whom the pictures show: somebody of the synthetic province whose record has something of everything."""

from __future__ import annotations

import json
from dataclasses import dataclass

import psycopg

from deploy.stack.errors import Trouble

# Known to several hospitals and with an allergy if there is such a person; of those who has most results,
# so that the same sample gives the same person.
CHOOSE = """
SELECT i.person_id, array_agg(DISTINCT i.facility)
  FROM identity i JOIN resource r ON r.compartment = i.id AND NOT r.deleted
 WHERE NOT i.restricted
 GROUP BY i.person_id
HAVING bool_or(r.type = 'Observation')
 ORDER BY count(DISTINCT i.facility) > 1 DESC,
          bool_or(r.type = 'AllergyIntolerance' AND r.content LIKE '%"manifestation"%') DESC,
          count(*) FILTER (WHERE r.type = 'Observation') DESC,
          min(i.id)
 LIMIT 1
"""
KNOWN = """
SELECT r.content
  FROM identity i JOIN resource r ON r.compartment = i.id AND r.id = i.id
 WHERE i.person_id = %s AND r.type = 'Patient' AND NOT r.deleted
 ORDER BY i.id
"""


@dataclass(frozen=True, slots=True)
class Shown:
    """A person: who they are to a doctor who searches, and the hospitals that know them."""

    person_id: str
    name: str
    birth_date: str
    facilities: frozenset[str]


def choose(database_url: str) -> Shown:
    """Return the person to show. Raises: Trouble where the region holds nobody with a result."""
    with psycopg.connect(database_url.replace("postgresql+psycopg:", "postgresql:")) as connection:
        found = connection.execute(CHOOSE).fetchone()
        if found is None:
            raise Trouble(
                "The region has nobody to show; send it the sample first: deploy/region up --sample 400."
            )
        person, facilities = found
        patients = [json.loads(row[0]) for row in connection.execute(KNOWN, [person])]
    named = next(patient for patient in patients if patient.get("name") and patient.get("birthDate"))
    return Shown(str(person), str(named["name"][0]["text"]), str(named["birthDate"]), frozenset(facilities))
