"""The years of one person: where they are known, when they come and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from random import Random

from deploy.sample.clinic.diseases import ACUTE, CHRONIC, Disease
from deploy.sample.events import registration
from deploy.sample.events.reports import Body
from deploy.sample.events.visits import Cause, VisitMaker
from deploy.sample.model import Change, Known, Life, Visit
from deploy.sample.people import Person

_HOURS = (8, 8, 8, 9, 9, 9, 10, 10, 11, 14, 14, 15, 15, 16)
_ACUTE_PER_YEAR = 0.42


def life(person: Person, seed: int, hospitals: Sequence[str], today: date, years: int) -> Life:
    """Return everything that happened to a person in these years; the same whoever else is made."""
    rng = Random(f"{seed}:life:{person.number}")
    begin = today - timedelta(days=365 * years)
    until = datetime.combine(today, time())
    maker = VisitMaker(rng, Body(person, begin, 365 * years), seed, until)
    mine = rng.sample(list(hospitals), min(len(hospitals), rng.choices((1, 2, 3), (48, 36, 16))[0]))
    plan = sorted(
        (p for p in _plan(rng, person, maker, begin, today, years, mine) if p[0].date() >= person.born),
        key=lambda p: p[0],
    )
    out = Life(person)
    known: dict[str, Known] = {}
    seconds: dict[str, Known] = {}
    seen: set[str] = set()
    free_from = datetime.combine(begin, time())
    for start, kind, facility, disease in plan:
        if start < free_from:
            continue
        if facility not in known:
            known[facility] = _register(rng, out, person, facility, start)
        elif facility not in seconds and rng.random() < 0.012:
            seconds[facility] = _register(rng, out, person, facility, start, second=True)
        who = seconds.get(facility) or known[facility]
        others = tuple(d for d in maker.chronic(start) if d is not disease)[:3] if disease else ()
        first = bool(disease and disease.key not in seen)
        if disease:
            seen.add(disease.key)
        visit = maker.make(who, kind, start, Cause(disease, others, first))
        out.visits.append(visit)
        free_from = (visit.end or until) + timedelta(hours=1)
        if visit.died and visit.end:
            _change(out, known, facility, who, visit)
            break
        _after(rng, out, known, seconds, facility, until, visit)
    return out


def _register(
    rng: Random, out: Life, person: Person, facility: str, start: datetime, second: bool = False
) -> Known:
    at = start - timedelta(minutes=rng.randint(12, 45))
    known = registration.register(rng, person, facility, at, second)
    out.changes.append(Change(at, "register", known))
    return known


def _change(out: Life, known: dict[str, Known], facility: str, who: Known, visit: Visit) -> None:
    """Write the death down where it happened."""
    died = visit.end or visit.start
    known[facility] = replace(who, deceased=died)
    out.changes.append(Change(died + timedelta(minutes=30), "update", known[facility]))


def _after(
    rng: Random, out: Life, known: dict[str, Known], seconds: dict[str, Known], facility: str,
    until: datetime, visit: Visit,
) -> None:  # fmt: skip
    """After a visit: a changed phone, or the record office merges a double registration."""
    end = visit.end or until
    second = seconds.get(facility)
    if second and rng.random() < 0.5:
        at = end + timedelta(days=rng.randint(1, 20), hours=2)
        if at < until:
            del seconds[facility]
            gone = replace(second, merged_into=known[facility].number)
            out.changes.append(Change(at, "merge", known[facility], gone))
    elif rng.random() < 0.03:
        at = end + timedelta(hours=rng.randint(1, 30))
        if at < until:
            known[facility] = registration.update(rng, known[facility], at)
            out.changes.append(Change(at, "update", known[facility]))


def _plan(
    rng: Random, person: Person, maker: VisitMaker, begin: date, today: date, years: int, mine: list[str]
) -> list[tuple[datetime, str, str, Disease | None]]:
    """Return (start, kind of visit, hospital, disease or None for a physical examination)."""
    plan: list[tuple[datetime, str, str, Disease | None]] = []
    chronic = [(i.since, CHRONIC[i.key]) for i in person.illnesses]
    if chronic:
        every = min(d.every_days for _, d in chronic) * 3.6
        at = begin + timedelta(days=rng.random() * every)
        while at < today:
            there = [d for since, d in chronic if since <= at]
            if there:
                disease = rng.choices(there, [1 / d.every_days for d in there])[0]
                kind = "inpatient" if rng.random() < disease.admits else "outpatient"
                plan.append((_hour(rng, at, kind), kind, _where(rng, mine), disease))
            at += timedelta(days=every * rng.uniform(0.6, 1.5))
    for _ in range(_count(rng, _ACUTE_PER_YEAR * years)):
        at = begin + timedelta(days=rng.randrange(365 * years))
        age = max(0, person.age(at))
        fitting = [(w, d) for low, high, w, d in ACUTE if low <= age < high and d.sex in ("", person.sex)]
        disease = rng.choices([d for _, d in fitting], [w for w, _ in fitting])[0]
        admitted = rng.random() < disease.admits
        kind = "inpatient" if admitted else "emergency" if rng.random() < 0.2 else "outpatient"
        plan.append((_hour(rng, at, kind), kind, _where(rng, mine), disease))
    plan += _examinations(rng, person, begin, today, years, mine)
    return plan


def _examinations(
    rng: Random, person: Person, begin: date, today: date, years: int, mine: list[str]
) -> list[tuple[datetime, str, str, Disease | None]]:
    """Return the yearly physical examinations of those who have them."""
    age = person.age(today)
    share = {"public": 0.35, "employee": 0.12}.get(person.insurance, 0.12 if age >= 65 else 0.02)
    if person.beneficiary:
        share = 1.0
    if age < 22 or rng.random() > share:
        return []
    day, where = rng.randrange(300), mine[-1]
    return [
        (_hour(rng, begin + timedelta(days=365 * year + day + rng.randrange(40)), "examination"),
         "examination", where, None)
        for year in range(years)
        if rng.random() < 0.8
    ]  # fmt: skip


def _where(rng: Random, mine: list[str]) -> str:
    return mine[0] if rng.random() < 0.7 else rng.choice(mine)


def _hour(rng: Random, day: date, kind: str) -> datetime:
    hour = rng.randrange(24) if kind == "emergency" else rng.choice(_HOURS)
    return datetime.combine(day, time(hour, rng.randrange(60), rng.randrange(60)))


def _count(rng: Random, mean: float) -> int:
    """Return a Poisson count."""
    total, n = rng.expovariate(1.0), 0
    while total < mean:
        n += 1
        total += rng.expovariate(1.0)
    return n
