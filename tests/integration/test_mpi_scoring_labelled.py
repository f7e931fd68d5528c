"""Grades against labelled registrations of invented people: certain ones are right, probable ones mostly."""

import csv
import gzip
from collections import Counter, defaultdict
from datetime import date
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from esb.fhir.identifiers import HEALTH_CARD, INSURANCE, PASSPORT, PERMIT_HMT, RESIDENT_ID
from hie.mpi.scoring import Traits, compare, traits_of
from hie.services.matching import sounds_of

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "mpi"
CARDS = {"01": RESIDENT_ID, "03": PASSPORT, "06": PERMIT_HMT}
GENDERS = {"1": "male", "2": "female"}
TODAY = date(2026, 11, 21)
MOST_ALIKE = 200  # a number shared by so many is nobody's


def read(name: str) -> list[dict[str, str]]:
    with gzip.open(DATA / name, "rt", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def patient(row: dict[str, str]) -> dict[str, Any]:
    born = row["birth_date"]
    numbers = (
        (CARDS.get(row["id_type"], RESIDENT_ID), "id_no"),
        (INSURANCE, "insurance_no"),
        (HEALTH_CARD, "health_card"),
    )
    return {
        "name": [{"text": row["name"]}] if row["name"] else [],
        "birthDate": f"{born[:4]}-{born[4:6]}-{born[6:]}" if born.isdigit() else born,
        "gender": GENDERS.get(row["sex"]),
        "identifier": [{"system": system, "value": row[key]} for system, key in numbers if row[key]],
        "telecom": [{"system": "phone", "value": row["phone"]}] if row["phone"] else [],
        "address": [{"text": row["addr"]}] if row["addr"] else [],
    }


def alike(known: dict[str, Traits]) -> set[tuple[str, str]]:
    """Return the pairs that share a number, a phone, or sound and year."""
    sharing: dict[object, set[str]] = defaultdict(set)
    for record, traits in known.items():
        year = traits.birth_date.year if traits.birth_date else None
        for key in (*traits.keys, *traits.phones, *((sound, year) for sound in traits.sounds)):
            sharing[key].add(record)
    few = (records for records in sharing.values() if len(records) < MOST_ALIKE)
    return {pair for records in few for pair in combinations(sorted(records), 2)}


@pytest.mark.skipif(not DATA.is_dir(), reason="the labelled registrations are not here")
def test_certain_matches_are_right_and_probable_ones_mostly() -> None:
    people = {row["rec_id"]: row["person_id"] for row in read("cn_train_truth.csv.gz")}
    known = {r["rec_id"]: traits_of(patient(r), sounds_of, TODAY) for r in read("cn_train_records.csv.gz")}
    grades: dict[str, Counter[bool]] = defaultdict(Counter)
    for one, other in alike(known):
        grades[compare(known[one], known[other]).grade][people[one] == people[other]] += 1
    true = sum(number * (number - 1) // 2 for number in Counter(people.values()).values())
    certain, probable = grades["certain"], grades["probable"]
    assert certain[True] / certain.total() >= 0.999
    assert probable[True] / probable.total() >= 0.9
    assert (certain[True] + probable[True]) / true >= 0.8
