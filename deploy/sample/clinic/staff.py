"""Departments and doctors of each hospital, invented, the same for the same seed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from random import Random

from deploy.sample import names
from deploy.sample.clinic.diseases import DEPARTMENTS


@dataclass(frozen=True, slots=True)
class Doctor:
    """A doctor: the hospital's staff number, name, department code and name."""

    number: str
    name: str
    department: str
    department_name: str


@lru_cache(maxsize=64)
def doctors(facility: str, seed: int) -> dict[str, tuple[Doctor, ...]]:
    """Return the doctors of a hospital by department code."""
    rng = Random(f"{seed}:staff:{facility}")
    staff: dict[str, tuple[Doctor, ...]] = {}
    for position, (code, title) in enumerate(DEPARTMENTS.items()):
        staff[code] = tuple(
            Doctor(
                f"{code[1:]}{position:02d}{n}",
                names.han_name(rng, names.surname(rng), rng.choice("12")).text,
                code,
                title,
            )
            for n in range(1, 5)
        )
    return staff
