"""The problem list: diagnoses of all hospitals, merged by code (IPS problems section)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from hie.repository.dates import first_of
from hie.services.lookup.codes import code, key, status, words
from hie.services.lookup.sources import Holdings, Json
from hie.services.lookup.when import LONG_AGO, instant

GONE = frozenset({"inactive", "remission", "resolved"})
VOID = frozenset({"entered-in-error", "refuted"})


@dataclass(slots=True)
class Problem:
    """A diagnosis: its words, its ICD-10 code, when it was first and last recorded, by whom."""

    name: str
    icd10: str
    first: datetime
    last: datetime
    active: bool
    confirmed: bool
    facilities: set[str] = field(default_factory=set)
    times: int = 0


def problems(holdings: Holdings) -> list[Problem]:
    """Return the problems, the active ones first, each with the newest first."""
    found: dict[str, Problem] = {}
    for resource in holdings.of("Condition"):
        name = words(resource.get("code"))
        if not name or status(resource, "verificationStatus") in VOID:
            continue
        at = _at(resource, holdings)
        active = status(resource, "clinicalStatus") not in GONE and "abatementDateTime" not in resource
        confirmed = status(resource, "verificationStatus") in {"confirmed", ""}
        problem = found.get(key(resource.get("code")))
        if problem is None:
            icd10 = code(resource.get("code"), "icd")
            problem = found[key(resource.get("code"))] = Problem(name, icd10, at, at, active, confirmed)
        if at >= problem.last:
            problem.name, problem.last, problem.active = name, at, active
        if at != LONG_AGO and (at < problem.first or problem.first == LONG_AGO):
            problem.first = at
        problem.confirmed = problem.confirmed or confirmed
        problem.facilities.add(holdings.facility_of(resource))
        problem.times += 1
    return sorted(found.values(), key=lambda p: (p.active, p.last), reverse=True)


def _at(resource: Json, holdings: Holdings) -> datetime:
    return instant(first_of(resource, "onsetDateTime", "onsetPeriod", "recordedDate"), holdings.zone)
